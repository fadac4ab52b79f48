// Bodies by the best connections of all limbs: each joins what it can, whichever limb it is of.
#include <algorithm>

#include "base/sampling.hpp"
#include "methods/simple_pose/stages.hpp"

namespace personlab::simple_pose {
namespace {

// Groups of peaks, one for each peak at first, with its number; a group that is joined to another has no peaks left.
class Groups {
 public:
  Groups(const LimbSkeleton& skeleton, const MapPeaks& peaks, GroupScratch& scratch)
      : k_(static_cast<std::size_t>(skeleton.n_keypoints)), peaks_(peaks), groups_(scratch) {
    const std::size_t count = peaks.all.size();
    groups_.owner.resize(count);
    groups_.best.assign(count, 0.0);
    groups_.slots.assign(count * k_, -1);
    groups_.longest.assign(count, 0.0);
    groups_.lowest.assign(count, kNone);
    for (std::size_t part = 0; part < k_; ++part)
      for (int id = peaks.first[part]; id < peaks.first[part + 1]; ++id) {
        const auto n = static_cast<std::size_t>(id);
        groups_.owner[n] = id;
        groups_.slots[n * k_ + part] = id;
      }
  }

  // Returns whether the ends of a connection belong together, now or already.
  bool add(const Connection& one, const MapOptions& options) {
    const auto a = static_cast<std::size_t>(one.a), b = static_cast<std::size_t>(one.b);
    if (groups_.owner[a] != groups_.owner[b] && !join(one, options)) return false;
    for (const std::size_t end : {a, b}) groups_.best[end] = std::max(groups_.best[end], one.score);
    return true;
  }

  // Appends the groups that have keypoints enough and score enough.
  void finish(const MapOptions& options, BodyList& bodies) const {
    for (std::size_t n = 0; n < groups_.owner.size(); ++n) {
      if (groups_.owner[n] != static_cast<int>(n)) continue;
      const int* slots = groups_.slots.data() + n * k_;
      int size = 0;
      double total = 0.0;
      for (std::size_t part = 0; part < k_; ++part) {
        if (slots[part] < 0) continue;
        const auto id = static_cast<std::size_t>(slots[part]);
        ++size;
        total += 0.5 * (clamp(peaks_.all[id].score, 0.0, 1.0) + groups_.best[id]);
      }
      if (size < options.min_keypoints || total / size < options.min_score) continue;
      for (std::size_t part = 0; part < k_; ++part) {
        bodies.peaks.push_back(slots[part]);
        bodies.limbs.push_back(slots[part] < 0 ? -1.0 : groups_.best[static_cast<std::size_t>(slots[part])]);
      }
      bodies.totals.push_back(total);
      bodies.sizes.push_back(size);
      bodies.longest.push_back(groups_.longest[n]);
      ++bodies.count;
    }
  }

 private:
  static constexpr double kNone = 2.0;  // above any score

  bool join(const Connection& one, const MapOptions& options) {
    const int first = groups_.owner[static_cast<std::size_t>(one.a)],
              second = groups_.owner[static_cast<std::size_t>(one.b)];
    const auto to = static_cast<std::size_t>(std::min(first, second));
    const auto from = static_cast<std::size_t>(std::max(first, second));
    const double longest = std::max(groups_.longest[to], groups_.longest[from]);
    if (longest > 0.0 && one.length >= options.length_ratio * longest) return false;
    const double lowest = std::min(groups_.lowest[to], groups_.lowest[from]);
    if (lowest < kNone && one.score < options.merge_ratio * lowest) return false;
    int *own = groups_.slots.data() + to * k_, *others = groups_.slots.data() + from * k_;
    for (std::size_t part = 0; part < k_; ++part)
      if (own[part] >= 0 && others[part] >= 0) return false;
    for (std::size_t part = 0; part < k_; ++part) {
      if (others[part] < 0) continue;
      own[part] = others[part];
      groups_.owner[static_cast<std::size_t>(own[part])] = static_cast<int>(to);
    }
    groups_.longest[to] = std::max(longest, one.length);
    groups_.lowest[to] = std::min(lowest, one.score);
    return true;
  }

  std::size_t k_;
  const MapPeaks& peaks_;
  GroupScratch& groups_;
};

}  // namespace

void assemble(const LimbSkeleton& skeleton, const MapOptions& options, MapScratch& scratch) {
  Groups groups(skeleton, scratch.peaks, scratch.groups);
  std::size_t kept = 0;
  for (const Connection& one : scratch.connections)
    if (groups.add(one, options)) scratch.connections[kept++] = one;
  scratch.connections.resize(kept);
  scratch.bodies.clear(skeleton.n_keypoints);
  groups.finish(options, scratch.bodies);
}

}  // namespace personlab::simple_pose

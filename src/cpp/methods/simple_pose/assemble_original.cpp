// Bodies by the rules of the originals: limb after limb, each connection begins, extends or merges bodies.
#include <algorithm>

#include "methods/simple_pose/stages.hpp"

namespace personlab::simple_pose {
namespace {

class Assembly {
 public:
  Assembly(const LimbSkeleton& skeleton, const MapOptions& options, MapScratch& scratch)
      : skeleton_(skeleton), peaks_(scratch.peaks), options_(options), bodies_(scratch.bodies), owner_(scratch.owner) {
    bodies_.clear(skeleton.n_keypoints);
    owner_.assign(peaks_.all.size(), -1);
  }

  void add(const Connection& one) {
    const auto [a, b] = skeleton_.limbs[static_cast<std::size_t>(one.limb)];
    const int first = owner(one.a), second = owner(one.b);
    if (first < 0 && second < 0) {
      begin(one, a, b);
    } else if (first < 0 || second < 0 || first == second) {
      extend(std::max(first, second), one, b);
    } else {
      join(std::min(first, second), std::max(first, second), one, a, b);
    }
  }

  // Drops bodies that were merged into others, or are too small or too weak.
  void finish() {
    int kept = 0;
    const auto k = static_cast<std::size_t>(bodies_.n_keypoints);
    for (int j = 0; j < bodies_.count; ++j) {
      const auto from = static_cast<std::size_t>(j), to = static_cast<std::size_t>(kept);
      if (size(j) < options_.min_keypoints || !(bodies_.totals[from] / size(j) >= options_.min_score)) continue;
      std::copy_n(bodies_.peaks.begin() + static_cast<std::ptrdiff_t>(from * k), k,
                  bodies_.peaks.begin() + static_cast<std::ptrdiff_t>(to * k));
      std::copy_n(bodies_.limbs.begin() + static_cast<std::ptrdiff_t>(from * k), k,
                  bodies_.limbs.begin() + static_cast<std::ptrdiff_t>(to * k));
      bodies_.totals[to] = bodies_.totals[from];
      bodies_.sizes[to] = bodies_.sizes[from];
      bodies_.longest[to] = bodies_.longest[from];
      ++kept;
    }
    bodies_.count = kept;
  }

 private:
  int& owner(int peak) { return owner_[static_cast<std::size_t>(peak)]; }
  double confidence(int peak) const { return peaks_.all[static_cast<std::size_t>(peak)].score; }
  int& peak(int j, int k) { return bodies_.peaks[index(j, k)]; }
  double& limb(int j, int k) { return bodies_.limbs[index(j, k)]; }
  double& total(int j) { return bodies_.totals[static_cast<std::size_t>(j)]; }
  int& size(int j) { return bodies_.sizes[static_cast<std::size_t>(j)]; }
  double& longest(int j) { return bodies_.longest[static_cast<std::size_t>(j)]; }
  std::size_t index(int j, int k) const {
    return static_cast<std::size_t>(j) * static_cast<std::size_t>(bodies_.n_keypoints) + static_cast<std::size_t>(k);
  }

  void begin(const Connection& one, int a, int b) {
    const int j = bodies_.count++;
    const std::size_t end = index(j + 1, 0);
    bodies_.peaks.resize(end, -1);
    bodies_.limbs.resize(end, -1.0);
    bodies_.totals.push_back(confidence(one.a) + confidence(one.b) + one.score);
    bodies_.sizes.push_back(2);
    bodies_.longest.push_back(one.length);
    hold(j, a, one.a, one.score);
    hold(j, b, one.b, one.score);
  }

  void hold(int j, int k, int id, double score) {
    peak(j, k) = id;
    limb(j, k) = score;
    owner(id) = j;
  }

  // A body that holds one end, or both. The first end is never attached.
  void extend(int j, const Connection& one, int b) {
    const int held = peak(j, b);
    const double old = limb(j, b);
    const bool near = options_.length_ratio * longest(j) > one.length;
    if (held < 0) {
      if (!near) return;
      ++size(j);
      total(j) += confidence(one.b) + one.score;
    } else if (held != one.b) {
      if (!(old < one.score && near)) return;
      total(j) += confidence(one.b) + one.score - confidence(held) - old;
      owner(held) = -1;
    } else {
      if (options_.rules == Rules::kPartA || old > one.score || (options_.rules == Rules::kDemo && !near)) return;
      total(j) += one.score - old;
    }
    longest(j) = std::max(longest(j), one.length);
    hold(j, b, one.b, one.score);
  }

  void join(int first, int second, const Connection& one, int a, int b) {
    bool shared = false;
    double lowest = one.score;
    bool any = false;
    for (int k = 0; k < bodies_.n_keypoints; ++k) {
      shared = shared || (peak(first, k) >= 0 && peak(second, k) >= 0);
      for (const int j : {first, second}) {
        if (peak(j, k) < 0) continue;
        lowest = any ? std::min(lowest, limb(j, k)) : limb(j, k);
        any = true;
      }
    }
    if (shared) {
      if (options_.resolve_shared) resolve(first, second, one, a, b);
      return;
    }
    if (one.score < options_.merge_ratio * lowest || options_.length_ratio * longest(first) <= one.length) return;
    for (int k = 0; k < bodies_.n_keypoints; ++k)
      if (peak(second, k) >= 0) hold(first, k, peak(second, k), limb(second, k));
    total(first) += total(second) + one.score;
    size(first) += size(second);
    longest(first) = std::max(longest(first), one.length);  // the second's is forgotten
    size(second) = 0;
  }

  // One of two bodies that share a keypoint type loses its end of the connection.
  void resolve(int first, int second, const Connection& one, int a, int b) {
    const int first_end = owner(one.a) == first ? a : b, second_end = owner(one.a) == second ? a : b;
    const double first_score = limb(first, first_end), second_score = limb(second, second_end);
    if (one.score < first_score && one.score < second_score) return;
    const bool second_loses = first_score > second_score;
    const int loser = second_loses ? second : first, end = second_loses ? second_end : first_end;
    total(loser) -= confidence(peak(loser, end)) + limb(loser, end);
    --size(loser);
    owner(peak(loser, end)) = -1;
    peak(loser, end) = -1;
    limb(loser, end) = -1.0;
  }

  const LimbSkeleton& skeleton_;
  const MapPeaks& peaks_;
  const MapOptions& options_;
  BodyList& bodies_;
  std::vector<int>& owner_;
};

}  // namespace

void assemble_original(const LimbSkeleton& skeleton, const MapOptions& options, MapScratch& scratch) {
  Assembly assembly(skeleton, options, scratch);
  for (const Connection& one : scratch.connections) assembly.add(one);
  assembly.finish();
}

}  // namespace personlab::simple_pose

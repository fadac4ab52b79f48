// Greedy grouping: poses grow from the best peaks along mid-range offsets, refined at each step by short offsets.
#include <algorithm>
#include <limits>
#include <type_traits>

#include "follow.hpp"
#include "sampling.hpp"
#include "stages.hpp"

namespace personlab {

Skeleton::Skeleton(int keypoints, const std::vector<std::pair<int, int>>& pairs, const std::vector<float>& oks_sigmas)
    : n_keypoints(keypoints), first(static_cast<std::size_t>(keypoints) + 1, 0), sigmas(oks_sigmas) {
  const int count = static_cast<int>(pairs.size());
  for (int k = 0; k < keypoints; ++k) {
    for (int e = 0; e < 2 * count; ++e) {
      const std::pair<int, int>& pair = pairs[static_cast<std::size_t>(e % count)];
      const int source = e < count ? pair.first : pair.second, target = e < count ? pair.second : pair.first;
      if (source == k) edges.push_back({e, target});
    }
    first[static_cast<std::size_t>(k) + 1] = static_cast<int>(edges.size());
  }
}

namespace {

constexpr int kTogether = 4;  // edges followed side by side

}  // namespace

template <typename Real>
void grow_pose(int keypoint, Real x, Real y, const Field& heatmaps, const Field& short_offsets,
               const Field& mid_offsets, const Skeleton& skeleton, int refine_steps, PoseList& poses,
               GrowScratch& scratch) {
  const auto count = static_cast<std::size_t>(skeleton.n_keypoints);
  const Follower<Real> follow(heatmaps);
  const auto step = [&](const Field& offsets, int channel, Step<Real>& point) {
    follow.step(offsets.plane(2 * channel), offsets.plane(2 * channel + 1), point);
  };
  // A NaN logit waits longest and has no probability.
  const auto key = [&](int k, const Site<Real>& at) {
    if (!std::is_same<Real, float>::value) return read_probability(heatmaps.plane(k), at);
    const auto logit = static_cast<float>(read(heatmaps.plane(k), at));
    return logit == logit ? logit : -std::numeric_limits<float>::infinity();
  };
  const auto probability = [](float score) {
    if (!std::is_same<Real, float>::value) return score;
    return score == -std::numeric_limits<float>::infinity() ? 0.0F : sigmoid(score);
  };
  const auto waits = [](const Reached& a, const Reached& b) { return precedes(b, a); };

  poses.keypoints.resize(poses.keypoints.size() + 2 * count);
  poses.probabilities.resize(poses.probabilities.size() + count, 0.0F);
  double* keypoints = poses.keypoints.data() + poses.keypoints.size() - 2 * count;
  float* probabilities = poses.probabilities.data() + poses.probabilities.size() - count;
  for (std::size_t k = 0; k < count; ++k) {  // a keypoint that no edge reaches stays at the seed
    keypoints[2 * k] = static_cast<double>(x);
    keypoints[2 * k + 1] = static_cast<double>(y);
  }
  ++poses.count;

  std::vector<Reached>& queue = scratch.queue;
  scratch.done.assign(count, 0);
  queue.clear();
  queue.push_back({key(keypoint, follow.site(x, y)), keypoint, static_cast<double>(x), static_cast<double>(y)});
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), waits);
    const Reached source = queue.back();
    queue.pop_back();
    const auto k = static_cast<std::size_t>(source.keypoint);
    if (scratch.done[k] != 0) continue;
    scratch.done[k] = 1;
    keypoints[2 * k] = source.x;
    keypoints[2 * k + 1] = source.y;
    probabilities[k] = probability(source.score);
    // The edges' targets are sought side by side: each has to wait for its own last step, but not for another's.
    for (int e = skeleton.first[k]; e < skeleton.first[k + 1];) {
      int edges[kTogether], n = 0;
      for (; e < skeleton.first[k + 1] && n < kTogether; ++e)
        if (scratch.done[static_cast<std::size_t>(skeleton.edges[static_cast<std::size_t>(e)].target)] == 0) edges[n++] = e;
      Step<Real> targets[kTogether];
      for (int i = 0; i < n; ++i) {
        const Skeleton::Edge& edge = skeleton.edges[static_cast<std::size_t>(edges[i])];
        targets[i] = {static_cast<Real>(source.x), static_cast<Real>(source.y), edge.target};
        step(mid_offsets, edge.channel, targets[i]);
      }
      for (int refined = 0; refined < refine_steps; ++refined)
        for (int i = 0; i < n; ++i) step(short_offsets, targets[i].keypoint, targets[i]);
      for (int i = 0; i < n; ++i) {
        const Step<Real>& target = targets[i];
        queue.push_back({key(target.keypoint, follow.site(target.x, target.y)), target.keypoint,
                         static_cast<double>(target.x), static_cast<double>(target.y)});
        std::push_heap(queue.begin(), queue.end(), waits);
      }
    }
  }
}

template void grow_pose<float>(int, float, float, const Field&, const Field&, const Field&, const Skeleton&, int, PoseList&,
                               GrowScratch&);
template void grow_pose<double>(int, double, double, const Field&, const Field&, const Field&, const Skeleton&, int,
                                PoseList&, GrowScratch&);

bool is_taken(const PoseList& poses, int keypoint, double x, double y, double radius) {
  const double* at = poses.keypoints.data() + static_cast<std::ptrdiff_t>(2) * keypoint;
  for (int j = 0; j < poses.count; ++j, at += static_cast<std::ptrdiff_t>(2) * poses.n_keypoints) {
    const double dx = at[0] - x, dy = at[1] - y;
    if (dx * dx + dy * dy <= radius * radius) return true;
  }
  return false;
}

void group_poses(const std::vector<Peak>& peaks, const Field& heatmaps, const Field& short_offsets,
                 const Field& mid_offsets, const Skeleton& skeleton, const DecodeOptions& options, PoseList& poses,
                 GrowScratch& scratch) {
  poses.clear(skeleton.n_keypoints);
  for (const Peak& peak : peaks) {
    const double x = peak.x, y = peak.y;
    if (!is_taken(poses, peak.keypoint, x, y, options.nms_radius))
      grow_pose(peak.keypoint, x, y, heatmaps, short_offsets, mid_offsets, skeleton, options.refine_steps, poses,
                scratch);
  }
}

}  // namespace personlab

// Google's PoseNet decoder, number for number: poses grow from local maxima of the heatmaps, best first.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/interrupt.hpp"
#include "base/sampling.hpp"
#include "methods/personlab/decode.hpp"
#include "methods/personlab/stages.hpp"
#include "methods/personlab/vote_unit.hpp"

namespace personlab {
namespace {

// A number that sorts candidates as `precedes` does: by score, descending, then by their index in the order of
// keypoint, y, x.
std::uint64_t sort_key(float score, std::size_t index) {
  score += 0.0F;  // no negative zero
  std::uint32_t bits;
  std::memcpy(&bits, &score, sizeof bits);
  bits ^= (bits >> 31) != 0 ? 0 : 0x7fffffffU;
  return static_cast<std::uint64_t>(bits) << 32 | static_cast<std::uint32_t>(index);
}

// Fills scratch.peaks with the cells (x, y) whose logit is at least `lowest` and not smaller than any of their 8
// neighbours, in the order of keypoint, y, x, and scratch.order with keys that sort them.
template <typename T>
void find_seeds(const Field& heatmaps, float lowest, DecodeScratch& scratch) {
  const PlaneKernels<T>& planes = kernels().planes(T());
  const int h = heatmaps.height, w = heatmaps.width;
  const std::size_t words = (heatmaps.cells() + 63) / 64;
  std::vector<std::uint64_t>& high = scratch.high;
  if (high.size() < words) high.resize(words);
  scratch.peaks.clear();
  scratch.order.clear();
  for (int k = 0; k < heatmaps.planes; ++k) {
    const T* logits = heatmaps.plane<T>(k);
    if (!planes.threshold(logits, heatmaps.cells(), lowest, high.data())) continue;
    planes.suppress_non_maxima(logits, h, w, high.data());
    for (std::size_t word = 0; word < words; ++word) {
      for (std::uint64_t bits = high[word]; bits != 0; bits &= bits - 1) {
        const int cell = static_cast<int>(word * 64) + lowest_bit(bits);
        const float logit = to_float32(logits[cell]);
        scratch.order.push_back(sort_key(logit, scratch.peaks.size()));
        scratch.peaks.push_back({logit, k, static_cast<float>(cell % w), static_cast<float>(cell / w)});
      }
    }
  }
}

// The short offset of a seed's cell; (0, 0) where that is not finite.
Offset<float> offset_at(const Field& short_offsets, const Peak& seed) {
  const std::ptrdiff_t cell =
      static_cast<std::ptrdiff_t>(seed.y) * short_offsets.width + static_cast<std::ptrdiff_t>(seed.x);
  return with_elements(short_offsets, [&](auto of) {
    const auto* dx = short_offsets.plane<decltype(of)>(2 * seed.keypoint) + cell;
    const Offset<float> offset{to_float32(dx[0]), to_float32(dx[short_offsets.cells()])};
    return is_finite(offset.dx) && is_finite(offset.dy) ? offset : Offset<float>{0.0F, 0.0F};
  });
}

// Sorts more of the keys, of which the first `sorted` are in order, and returns how many are now: of many seeds few are
// read.
std::size_t sort_more(std::vector<std::uint64_t>& keys, std::size_t sorted) {
  constexpr std::size_t kFirst = 128;
  const std::size_t next = std::min(keys.size(), std::max(kFirst, 2 * sorted));
  const auto from = keys.begin() + static_cast<std::ptrdiff_t>(sorted),
             to = keys.begin() + static_cast<std::ptrdiff_t>(next);
  if (to != keys.end()) std::nth_element(from, to, keys.end());
  std::sort(from, to);
  return next;
}

double mean_probability(const PoseList& poses, int j) {
  const float* p = poses.probability(j);
  return std::accumulate(p, p + poses.n_keypoints, 0.0) / poses.n_keypoints;
}

using Candidate = ScoreScratch::Candidate;

// Soft non-maximum suppression in the order of mean probabilities: an instance score is the sum, over K, of the
// probabilities of keypoints that no pose ahead has within nms_radius.
void rank_poses(const PoseList& poses, const DecodeOptions& options, KeypointGrid& grid, std::vector<Candidate>& best,
                Ranking& ranking) {
  const int count = poses.n_keypoints;
  const double min_score = options.min_score;
  best.clear();
  for (int j = 0; j < poses.count; ++j) best.push_back({mean_probability(poses, j), j, j});
  std::sort(best.begin(), best.end(), ranks_before);
  grid.reset(count, options.nms_radius);
  std::size_t kept = 0;
  for (std::size_t rank = 0; rank < best.size(); ++rank) {
    poll(options.interrupt);
    const int j = best[rank].row;
    const double* pose = poses.pose(j);
    const float* p = poses.probability(j);
    double sum = 0.0;
    for (int k = 0; k < count; ++k)
      if (p[k] > 0.0F && !grid.has_near(k, pose[2 * k], pose[2 * k + 1])) sum += static_cast<double>(p[k]);
    grid.add(pose);
    const double score = sum / count;
    if (!(score < min_score)) best[kept++] = {score, static_cast<int>(rank), j};
  }
  best.resize(kept);
  std::sort(best.begin(), best.end(), ranks_before);
  ranking.index.clear();
  ranking.keypoint_scores.clear();
  ranking.scores.clear();
  for (const Candidate& one : best) {
    const float* p = poses.probability(one.row);
    ranking.index.push_back(one.row);
    ranking.keypoint_scores.insert(ranking.keypoint_scores.end(), p, p + count);
    ranking.scores.push_back(static_cast<float>(one.score));
  }
}

}  // namespace

void decode_posenet(const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets,
                    const Skeleton& skeleton, const DecodeOptions& options, DecodeScratch& scratch) {
  const double min_score = options.min_score;
  const float lowest = seed_logit(options);
  with_elements(heatmaps, [&](auto of) { find_seeds<decltype(of)>(heatmaps, lowest, scratch); });
  PoseList& poses = scratch.poses;
  KeypointGrid& grid = scratch.grow.grid;
  poses.clear(skeleton.n_keypoints);
  grid.reset(skeleton.n_keypoints, options.nms_radius);
  const auto count = static_cast<std::size_t>(skeleton.n_keypoints);
  const auto stride = static_cast<float>(heatmaps.stride);
  std::size_t sorted = 0;
  for (std::size_t i = 0; i < scratch.order.size() && poses.count < options.max_poses; ++i) {
    if (i == sorted) sorted = sort_more(scratch.order, sorted);
    const Peak& seed = scratch.peaks[static_cast<std::uint32_t>(scratch.order[i])];
    const Offset<float> offset = offset_at(short_offsets, seed);
    const float x = clamp(seed.x * stride + offset.dx, 0.0F, static_cast<float>(heatmaps.last_x()));
    const float y = clamp(seed.y * stride + offset.dy, 0.0F, static_cast<float>(heatmaps.last_y()));
    if (grid.has_near(seed.keypoint, static_cast<double>(x), static_cast<double>(y))) continue;
    poll(options.interrupt);
    grow_pose(seed.keypoint, x, y, heatmaps, short_offsets, mid_offsets, skeleton, options.refine_steps, poses,
              scratch.grow);
    if (mean_probability(poses, poses.count - 1) < min_score) {
      --poses.count;
      poses.keypoints.resize(poses.keypoints.size() - 2 * count);
      poses.probabilities.resize(poses.probabilities.size() - count);
    } else {
      grid.add(poses.pose(poses.count - 1));
    }
  }
  rank_poses(poses, options, grid, scratch.score.best, scratch.ranking);
}

}  // namespace personlab

// The two decoders: the paper's five stages in a row, and that of Google's PoseNet.
#include <algorithm>
#include <numeric>

#include "sampling.hpp"
#include "stages.hpp"
#include "vote_unit.hpp"

namespace personlab {
namespace {

// Whether none of the up to 8 neighbours of cell (i, j) is larger.
bool is_largest(const float* values, int h, int w, int i, int j) {
  const float own = values[static_cast<std::ptrdiff_t>(i) * w + j];
  for (int row = std::max(i - 1, 0); row <= std::min(i + 1, h - 1); ++row)
    for (int column = std::max(j - 1, 0); column <= std::min(j + 1, w - 1); ++column)
      if (values[static_cast<std::ptrdiff_t>(row) * w + column] > own) return false;
  return true;
}

// Cells (x, y) whose logit is at least `lowest` and not smaller than any of their 8 neighbours; best
// first, ties by cell.
void find_posenet_seeds(const Field& heatmaps, float lowest, std::vector<std::uint64_t>& high, std::vector<Peak>& seeds) {
  const int h = heatmaps.height, w = heatmaps.width;
  const std::size_t words = (heatmaps.cells() + 63) / 64;
  if (high.size() < words) high.resize(words);
  seeds.clear();
  for (int k = 0; k < heatmaps.planes; ++k) {
    const float* logits = heatmaps.plane(k);
    if (!kernels().find(logits, heatmaps.cells(), lowest, high.data())) continue;
    kernels().thin(logits, h, w, high.data());
    for (std::size_t word = 0; word < words; ++word) {
      for (std::uint64_t bits = high[word]; bits != 0; bits &= bits - 1) {
        const int cell = static_cast<int>(word * 64) + lowest_bit(bits), i = cell / w, j = cell % w;
        if (is_largest(logits, h, w, i, j)) seeds.push_back({logits[cell], k, static_cast<float>(j), static_cast<float>(i)});
      }
    }
  }
  std::sort(seeds.begin(), seeds.end(), precedes<Peak>);
}

}  // namespace

void decode_personlab(const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets,
                      const Skeleton& skeleton, const DecodeOptions& options, DecodeScratch& scratch) {
  hough_vote(heatmaps, short_offsets, options, scratch.hough, scratch.hough_scratch);
  find_peaks(scratch.hough, options, scratch.peaks);
  group_poses(scratch.peaks, heatmaps, short_offsets, mid_offsets, skeleton, options, scratch.poses, scratch.grow);
  if (options.expected_oks)
    expected_oks(scratch.poses, scratch.hough, skeleton, options, scratch.keypoint_scores);
  else
    scratch.keypoint_scores = scratch.poses.probabilities;
  rank_poses(scratch.poses, scratch.keypoint_scores, options, scratch.ranking);
}

void decode_posenet(const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets,
                    const Skeleton& skeleton, const DecodeOptions& options, DecodeScratch& scratch) {
  const double threshold = options.min_score;
  find_posenet_seeds(heatmaps, seed_logit(options), scratch.high, scratch.peaks);
  PoseList& poses = scratch.poses;
  poses.clear(skeleton.n_keypoints);
  const int count = skeleton.n_keypoints;
  const auto stride = static_cast<float>(heatmaps.stride);
  for (const Peak& seed : scratch.peaks) {
    if (poses.count == options.max_poses) break;
    const std::ptrdiff_t cell =
        static_cast<std::ptrdiff_t>(seed.y) * heatmaps.width + static_cast<std::ptrdiff_t>(seed.x);
    float dx = short_offsets.plane(2 * seed.keypoint)[cell];
    float dy = short_offsets.plane(2 * seed.keypoint + 1)[cell];
    if (!is_finite(dx) || !is_finite(dy)) dx = dy = 0.0F;
    const float x = clamp(seed.x * stride + dx, 0.0F, static_cast<float>(heatmaps.last_x()));
    const float y = clamp(seed.y * stride + dy, 0.0F, static_cast<float>(heatmaps.last_y()));
    if (is_taken(poses, seed.keypoint, static_cast<double>(x), static_cast<double>(y), options.nms_radius)) continue;
    grow_pose(seed.keypoint, x, y, heatmaps, short_offsets, mid_offsets, skeleton, options.refine_steps, poses,
              scratch.grow);
    const float* p = poses.probability(poses.count - 1);
    if (std::accumulate(p, p + count, 0.0) / count < threshold) {
      --poses.count;
      poses.keypoints.resize(poses.keypoints.size() - 2 * static_cast<std::size_t>(count));
      poses.probabilities.resize(poses.probabilities.size() - static_cast<std::size_t>(count));
    }
  }
  scratch.keypoint_scores = poses.probabilities;
  rank_poses(poses, scratch.keypoint_scores, options, scratch.ranking);
}

}  // namespace personlab

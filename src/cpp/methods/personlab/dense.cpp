// Single stages over dense arrays: into sparse tiles and lists of poses, and back.
#include "methods/personlab/dense.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/disc.hpp"

namespace personlab {
namespace {

// Copies one tile of dense scores (rows, columns); returns whether any is left. What is beyond +-max becomes 0.
bool copy_tile(const float* from, const HoughPlane& plane, int tile, float max, float* scores) {
  constexpr int kTile = HoughPlane::kTile;
  const int i0 = tile / plane.tile_columns * kTile - 1, j0 = tile % plane.tile_columns * kTile - 1;
  bool any = false;
  for (int i = std::max(i0, 0); i < std::min(i0 + kTile, plane.rows); ++i) {
    for (int j = std::max(j0, 0); j < std::min(j0 + kTile, plane.columns); ++j) {
      const float value = from[static_cast<std::ptrdiff_t>(i) * plane.columns + j];
      if (value == 0.0F || !(std::abs(value) <= max)) continue;
      scores[(i - i0) * kTile + j - j0] = value;
      any = true;
    }
  }
  return any;
}

std::vector<HoughPlane> planes_of(const DenseScores& dense, float max) {
  std::vector<HoughPlane> hough(static_cast<std::size_t>(dense.planes));
  const float* from = dense.data;
  for (HoughPlane& plane : hough) {
    plane.reset(dense.rows, dense.columns);
    for (int tile = 0; tile < plane.tile_rows * plane.tile_columns; ++tile) {
      float scores[HoughPlane::kTilePoints] = {};
      if (copy_tile(from, plane, tile, max, scores)) std::memcpy(plane.add(tile), scores, sizeof scores);
    }
    from += static_cast<std::ptrdiff_t>(dense.rows) * dense.columns;
  }
  return hough;
}

std::size_t size_of(const DenseScores& dense) {
  return static_cast<std::size_t>(dense.planes) * static_cast<std::size_t>(dense.rows) *
         static_cast<std::size_t>(dense.columns);
}

bool has_negative(const float* values, std::size_t count) {
  return std::any_of(values, values + count, [](float value) { return value < 0.0F; });
}

}  // namespace

LatticeSize lattice_size(const Field& heatmaps, int hough_stride) {
  if (heatmaps.cells() == 0) return {0, 0};
  return {heatmaps.last_y() / hough_stride + 1, heatmaps.last_x() / hough_stride + 1};
}

void hough_vote_dense(const Field& heatmaps, const Field& short_offsets, const DecodeOptions& options, float* scores) {
  const LatticeSize size = lattice_size(heatmaps, options.hough_stride);
  std::vector<HoughPlane> hough;
  HoughScratch scratch;
  hough_vote(heatmaps, short_offsets, options, hough, scratch);
  for (const HoughPlane& plane : hough)
    for (int row = 0; row < size.rows; ++row)
      for (int column = 0; column < size.columns; ++column) *scores++ = plane.at(row, column);
}

std::vector<Peak> find_peaks_dense(const DenseScores& hough, const DecodeOptions& options) {
  std::vector<Peak> peaks;
  find_peaks(planes_of(hough, std::numeric_limits<float>::max()), options, peaks);
  return peaks;
}

void write_peaks(const std::vector<Peak>& peaks, const PeakArrays<std::int32_t, float>& arrays) {
  for (std::size_t i = 0; i < peaks.size(); ++i) {
    arrays.keypoints[i] = peaks[i].keypoint;
    arrays.positions[2 * i] = peaks[i].x;
    arrays.positions[2 * i + 1] = peaks[i].y;
    arrays.scores[i] = peaks[i].score;
  }
}

PoseList group_poses_dense(const PeakArrays<const std::int32_t, const float>& peaks, int n_peaks, const Field& heatmaps,
                           const Field& short_offsets, const Field& mid_offsets, const Skeleton& skeleton,
                           const DecodeOptions& options) {
  std::vector<Peak> sorted;
  for (int i = 0; i < n_peaks; ++i)
    sorted.push_back({peaks.scores[i], peaks.keypoints[i], peaks.positions[2 * i], peaks.positions[2 * i + 1]});
  std::sort(sorted.begin(), sorted.end(), precedes<Peak>);
  PoseList poses;
  GrowScratch scratch;
  group_poses(sorted, heatmaps, short_offsets, mid_offsets, skeleton, options, poses, scratch);
  return poses;
}

Ranking score_poses_dense(const DensePoses& dense, const DenseScores& hough, const Skeleton& skeleton,
                          const DecodeOptions& options) {
  const std::size_t points = static_cast<std::size_t>(dense.count) * static_cast<std::size_t>(dense.n_keypoints);
  PoseList poses;
  poses.clear(dense.n_keypoints);
  poses.count = dense.count;
  poses.keypoints.assign(dense.keypoints, dense.keypoints + 2 * points);
  poses.probabilities.assign(dense.probabilities, dense.probabilities + points);
  const bool bounded = !has_negative(hough.data, size_of(hough)) && !has_negative(dense.probabilities, points);
  Ranking ranking;
  ScoreScratch scratch;
  score_poses(poses, planes_of(hough, kLargestScore), skeleton, options, bounded, scratch, ranking);
  return ranking;
}

void sharpen_keypoints_dense(const float* keypoints, int n_poses, const DenseScores& hough,
                             const DecodeOptions& options, float* sharpened) {
  const std::size_t count = 2 * static_cast<std::size_t>(n_poses) * static_cast<std::size_t>(hough.planes);
  PoseList poses;
  poses.clear(hough.planes);
  poses.keypoints.assign(keypoints, keypoints + count);
  std::vector<int> all(static_cast<std::size_t>(n_poses));
  std::iota(all.begin(), all.end(), 0);
  sharpen_keypoints(planes_of(hough, kLargestScore), options, all, poses);
  std::transform(poses.keypoints.begin(), poses.keypoints.end(), sharpened,
                 [](double v) { return static_cast<float>(v); });
}

}  // namespace personlab

// Single stages over dense arrays, as personlab.stages runs them; decoding itself keeps Hough scores sparse.
#pragma once

#include <cstdint>
#include <vector>

#include "methods/personlab/stages.hpp"

namespace personlab {

// Hough scores at the pixels that are multiples of g.
struct DenseScores {
  const float* data;  // (K, rows, columns)
  int planes, rows, columns;
};

// Size of the Hough lattice over a grid of cells; (0, 0) where that is empty.
struct LatticeSize {
  int rows, columns;
};
LatticeSize lattice_size(const Field& heatmaps, int hough_stride);

void hough_vote_dense(const Field& heatmaps,       // K planes
                      const Field& short_offsets,  // 2K planes
                      const DecodeOptions& options,
                      float* scores);  // (K, rows, columns)

// Scores that are not finite count as 0; in scoring and sharpening so do those beyond +-kLargestScore.
std::vector<Peak> find_peaks_dense(const DenseScores& hough, const DecodeOptions& options);

// Peaks as arrays.
template <typename Int, typename Real>
struct PeakArrays {
  Int* keypoints;   // (N)
  Real* positions;  // (N, 2) x, y in input pixels
  Real* scores;     // (N)
};

void write_peaks(const std::vector<Peak>& peaks, const PeakArrays<std::int32_t, float>& arrays);

PoseList group_poses_dense(const PeakArrays<const std::int32_t, const float>& peaks, int n_peaks,  // in any order
                           const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets,
                           const Skeleton& skeleton, const DecodeOptions& options);

// Poses in the order of their seeds.
struct DensePoses {
  const float* keypoints;      // (P, K, 2) input pixels
  const float* probabilities;  // (P, K)
  int count, n_keypoints;
};

Ranking score_poses_dense(const DensePoses& poses, const DenseScores& hough, const Skeleton& skeleton,
                          const DecodeOptions& options);

void sharpen_keypoints_dense(const float* keypoints,  // (P, K, 2)
                             int n_poses, const DenseScores& hough, const DecodeOptions& options,
                             float* sharpened);  // (P, K, 2)

}  // namespace personlab

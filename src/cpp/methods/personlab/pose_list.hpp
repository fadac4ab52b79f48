// Poses on their way from grouping to the result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace personlab {

// Poses while they are being made: coordinates in double, so that they are rounded once, at the end.
struct PoseList {
  int n_keypoints = 0;
  int count = 0;
  std::vector<double> keypoints;     // (count, K, 2) input pixels
  std::vector<float> probabilities;  // (count, K) p_k(y_jk)
  std::vector<std::uint8_t> free;    // (count, K) whether no pose before has the keypoint within nms_radius; or empty

  void clear(int k) {
    n_keypoints = k;
    count = 0;
    keypoints.clear();
    probabilities.clear();
    free.clear();
  }
  const double* pose(int j) const { return keypoints.data() + static_cast<std::size_t>(j) * 2 * n_keypoints; }
  const float* probability(int j) const { return probabilities.data() + static_cast<std::size_t>(j) * n_keypoints; }
};

// Which poses are kept, best first, and their scores.
struct Ranking {
  std::vector<int> index;              // (Q)
  std::vector<float> keypoint_scores;  // (Q, K) s_jk
  std::vector<float> scores;           // (Q)
};

}  // namespace personlab

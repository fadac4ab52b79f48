// What the stages of pose decoding pass on, for a batch of N images in device memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cells.cuh"
#include "base/field.cuh"
#include "base/lists.cuh"
#include "base/sampling.hpp"
#include "base/types.hpp"

namespace personlab {
namespace cuda {

// The fields that poses are decoded from, on one grid.
struct DevicePoseFields {
  DeviceField heatmaps;       // (N, K, h, w) logits
  DeviceField short_offsets;  // (N, 2K, h, w)
  DeviceField mid_offsets;    // (N, 4E, h, w)
};

// The lattice of pixels that are multiples of g, and what votes are worth on it.
struct Lattice {
  int rows = 0, columns = 0;
  int stride = 1;          // g, input pixels
  float min_logit = 0.0F;  // of the vote threshold
  float inverse = 1.0F;    // lattice points per input pixel
  float unit = 1.0F;       // fixed-point value of a certain vote
  double scale = 1.0;      // score of a fixed-point value of 1
  bool wide = false;       // whether sums may go beyond 2^31

  Lattice(const DeviceField& heatmaps, const DecodeOptions& options);
  __host__ __device__ std::size_t points() const {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
  }
  // The score of a sum, rounded as the CPU core rounds it.
  __device__ float score(unsigned long long sum) const {
    return wide ? static_cast<float>(static_cast<double>(sum) * scale)
                : static_cast<float>(static_cast<long long>(sum)) * static_cast<float>(scale);
  }
};

// Hough scores from sums of votes: of plane p, at lattice point i in raster order.
struct VoteScores {
  static constexpr bool kNeverNegative = true;
  const unsigned long long* sums;  // (planes, rows, columns)
  Lattice lattice;

  __host__ __device__ int rows() const { return lattice.rows; }
  __host__ __device__ int columns() const { return lattice.columns; }
  __device__ float at(int p, int i) const { return lattice.score(sums[p * lattice.points() + i]); }
};

// Hough scores that a caller passes; one that is not finite counts as 0.
struct FieldScores {
  static constexpr bool kNeverNegative = false;
  DeviceField hough;  // (1, K, rows, columns)

  __host__ __device__ int rows() const { return hough.height; }
  __host__ __device__ int columns() const { return hough.width; }
  __device__ float at(int p, int i) const {
    const float value = hough.plane(0, p)[i];
    return is_finite(value) ? value : 0.0F;
  }
};

using Peaks = Lists<Peak>;  // candidates of each image

// Poses of each image: keypoints in double, so that they are rounded once, at the end.
struct PoseRows {
  double* keypoints = nullptr;     // (N, capacity, K, 2) input pixels
  float* probabilities = nullptr;  // (N, capacity, K)
  int capacity = 0;
  int n_keypoints = 0;

  __device__ std::size_t row(int image, int j) const { return static_cast<std::size_t>(image) * capacity + j; }
  __device__ double* pose(int image, int j) const { return keypoints + row(image, j) * 2 * n_keypoints; }
  __device__ float* probability(int image, int j) const { return probabilities + row(image, j) * n_keypoints; }
};

// The rows of poses that greedy grouping accepts, best seed first.
struct Accepted {
  int* rows = nullptr;    // (N, capacity)
  int* counts = nullptr;  // (N)
  int capacity = 0;

  __device__ const int* of(int image) const { return rows + static_cast<std::size_t>(image) * capacity; }
};

struct GroupScratch {
  std::uint8_t* claimed;  // (N, capacity) whether an accepted pose lies at the candidate, or its own pose is too weak
  CellLists seeds;

  GroupScratch(Arena& arena, int images, int capacity)
      : claimed(arena.take<std::uint8_t>(static_cast<std::size_t>(images) * capacity)),
        seeds(arena, images, capacity, 1) {}
};

// Decoded poses, best first; rows behind them are 0.
struct RankedPoses {
  int* counts = nullptr;             // (N) poses
  float* scores = nullptr;           // (N, rows)
  float* keypoints = nullptr;        // (N, rows, K, 2)
  float* keypoint_scores = nullptr;  // (N, rows, K)
  float* probabilities = nullptr;    // (N, rows, K)
  int* kept = nullptr;               // (N, rows) places in the order of acceptance
  int rows = 0;
};

// A pose by its place in the order of acceptance, and the score that ranks it.
struct Ranked {
  double score;
  int pose;

  friend __device__ bool precedes(const Ranked& a, const Ranked& b) { return a.score > b.score; }
};

// Which keypoints of a pose lie at the same keypoint of a pose ahead: bits.
struct ClaimedKeypoints {
  unsigned* words = nullptr;  // (N, capacity, each) by the order of acceptance
  int capacity = 0, each = 0;

  __device__ unsigned* of(int image, int j) const {
    return words + (static_cast<std::size_t>(image) * capacity + j) * each;
  }
  __device__ bool at(int image, int j, int k) const { return (of(image, j)[k / 32] >> (k % 32) & 1) != 0; }
};

struct DeviceScoreScratch {
  float* keypoint_scores;         // (N, capacity, K) s_jk in the order of acceptance
  Lists<Ranked> ranked, ordered;  // by mean s_jk, then by instance score
  ClaimedKeypoints claimed;
  CellLists keypoints;

  DeviceScoreScratch(Arena& arena, int images, int capacity, int n_keypoints);
};

}  // namespace cuda
}  // namespace personlab

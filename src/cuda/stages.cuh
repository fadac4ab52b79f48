// The contract of decoding on a GPU: the stages of ../cpp/stages.hpp for a batch of N pictures, with a stream.
//
// All memory belongs to the caller and lies on the device. Nothing here waits for the device: results are there once the
// stream has come so far.
#pragma once

#include "device.cuh"
#include "vote_unit.hpp"

namespace personlab {
namespace cuda {

// The lattice of pixels that are multiples of g, and what votes are worth on it.
struct Lattice {
  int rows = 0, columns = 0;
  int stride = 1;         // g, input pixels
  float lowest = 0.0F;    // logit of the vote threshold
  float inverse = 1.0F;   // lattice points per input pixel
  float unit = 1.0F;      // fixed-point value of a certain vote
  double scale = 1.0;     // score of a fixed-point value of 1
  bool wide = false;      // whether sums may go beyond 2^31

  Lattice(const Field& heatmaps, const DecodeOptions& options);
  __host__ __device__ std::size_t points() const { return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns); }
  // The score of a sum, rounded as the CPU core rounds it.
  __device__ float score(unsigned long long sum) const {
    return wide ? static_cast<float>(static_cast<double>(sum) * scale)
                : static_cast<float>(static_cast<long long>(sum)) * static_cast<float>(scale);
  }
};

// Hough voting, section 3.1.1: sums of votes, fixed point.
void hough_vote(const Field& heatmaps,       // (N, K, h, w)
                const Field& short_offsets,  // (N, 2K, h, w)
                const Lattice& lattice, cudaStream_t stream,
                unsigned long long* sums);  // (N, K, rows, columns)

// The scores of these sums.
void hough_scores(const unsigned long long* sums, std::size_t count, const Lattice& lattice, cudaStream_t stream,
                  float* scores);  // (count)

// Votes as scores: of plane p, at lattice point i in raster order.
struct VoteScores {
  const unsigned long long* sums;  // (planes, rows, columns)
  Lattice lattice;

  __host__ __device__ int rows() const { return lattice.rows; }
  __host__ __device__ int columns() const { return lattice.columns; }
  __device__ float at(int p, int i) const { return lattice.score(sums[p * lattice.points() + i]); }
};

// Scores that somebody gave; what is not finite counts as 0.
struct GivenScores {
  Field hough;  // (1, K, rows, columns)

  __host__ __device__ int rows() const { return hough.height; }
  __host__ __device__ int columns() const { return hough.width; }
  __device__ float at(int p, int i) const {
    const float value = hough.plane(0, p)[i];
    return is_finite(value) ? value : 0.0F;
  }
};

// Candidates of each picture. Their counts go on where there is no room for more; then all are forgotten, as it is chance who
// came in time.
struct Peaks {
  Peak* list = nullptr;   // (N, capacity)
  int* counts = nullptr;  // (N) found
  int capacity = 0;

  __device__ Peak* of(int picture) const { return list + static_cast<std::size_t>(picture) * capacity; }
  __device__ int count(int picture) const { return counts[picture] <= capacity ? counts[picture] : 0; }
};

// Local maxima of scores, in any order; counts are 0 before.
template <typename Scores>
void find_peaks(const Scores& scores, int pictures, int n_keypoints, const DecodeOptions& options, cudaStream_t stream,
                const Peaks& peaks);

// Seeds of Google's decoder, in any order: cells (x, y), by logit.
void find_seeds(const Field& heatmaps, const DecodeOptions& options, cudaStream_t stream, const Peaks& seeds);

// Puts candidates in their order; both lists have the same counts.
void sort_peaks(const Peaks& peaks, int pictures, cudaStream_t stream, const Peaks& sorted);

constexpr int kMostKeypoints = 256;  // of a skeleton

// A skeleton in device memory, with the ways from each keypoint to all others where there is but one way.
struct SkeletonView {
  struct Branch {
    int source, channel, target;
  };

  int n_keypoints = 0;
  bool has_cycles = false;
  const float* sigmas = nullptr;   // (K)
  const int* first = nullptr;      // (K + 1) edges that leave keypoint k: first[k] .. first[k + 1]
  const Branch* edges = nullptr;   // (2E) grouped by source
  const Branch* branches = nullptr;   // from keypoint 0 to all others, nearest first, then from keypoint 1, and so on
  const int* levels = nullptr;        // where branches of one distance begin, and where the last end
  const int* first_level = nullptr;   // (K + 1) levels of the branches from keypoint k: first_level[k] .. first_level[k + 1]
};

// Poses of each picture: keypoints in double, so that they are rounded once, at the end.
struct PoseRows {
  double* keypoints = nullptr;     // (N, capacity, K, 2) input pixels
  float* probabilities = nullptr;  // (N, capacity, K)
  int capacity = 0;
  int n_keypoints = 0;

  __device__ std::size_t row(int picture, int j) const { return static_cast<std::size_t>(picture) * capacity + j; }
  __device__ double* pose(int picture, int j) const { return keypoints + row(picture, j) * 2 * n_keypoints; }
  __device__ float* probability(int picture, int j) const { return probabilities + row(picture, j) * n_keypoints; }
};

// A pose grown from each candidate, taken or not; Google's seeds move to their refined places.
void grow_poses(const Peaks& seeds, const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets,
                const SkeletonView& skeleton, const DecodeOptions& options, cudaStream_t stream, const PoseRows& poses);

// Which rows of poses there are, best seed first.
struct Accepted {
  int* rows = nullptr;    // (N, capacity)
  int* counts = nullptr;  // (N)
  int capacity = 0;

  __device__ const int* of(int picture) const { return rows + static_cast<std::size_t>(picture) * capacity; }
};

// Greedy acceptance: those whose seeds no pose accepted before has taken.
void accept_poses(const Peaks& seeds, const PoseRows& poses, int pictures, const DecodeOptions& options, cudaStream_t stream,
                  std::uint8_t* taken,  // (N, capacity) scratch
                  const Accepted& accepted);

// Scores of keypoints s_jk, in the order of acceptance: by Expected-OKS, section 3.1.3, or by the heatmaps.
template <typename Scores>
void expected_oks(const Scores& hough, const PoseRows& poses, const Accepted& accepted, int pictures,
                  const SkeletonView& skeleton, const DecodeOptions& options, cudaStream_t stream,
                  float* scores);  // (N, capacity, K)
void heatmap_scores(const PoseRows& poses, const Accepted& accepted, int pictures, cudaStream_t stream,
                    float* scores);  // (N, capacity, K)

// What ranking works in.
struct RankScratch {
  double* instances = nullptr;  // (N, capacity) by rank
  int* order = nullptr;         // (N, capacity) which pose has a rank
};

// What decoding finds, best first; what lies behind the poses is 0.
struct Found {
  int* counts = nullptr;           // (N) poses
  float* scores = nullptr;         // (N, rows)
  float* keypoints = nullptr;      // (N, rows, K, 2)
  float* keypoint_scores = nullptr;  // (N, rows, K)
  float* probabilities = nullptr;    // (N, rows, K)
  int* kept = nullptr;             // (N, rows) the places of poses in the order of acceptance, or null
  int rows = 0;
};

// Instance scores by soft non-maximum suppression, cut at min_score and at the rows there are.
void rank_poses(const PoseRows& poses, const Accepted& accepted, const float* keypoint_scores, int pictures,
                const DecodeOptions& options, cudaStream_t stream, const RankScratch& scratch, const Found& found);

// Fields that poses are decoded from.
struct PoseFields {
  Field heatmaps, short_offsets, mid_offsets;
};

// Bytes of scratch that decoding needs.
std::size_t decode_scratch(const PoseFields& fields, const DecodeOptions& options, int capacity);

// Everything in a row, as many pictures at once as fit the scratch: either decoder.
void decode_poses(const PoseFields& fields, const SkeletonView& skeleton, const DecodeOptions& options, int capacity,
                  cudaStream_t stream, void* scratch,
                  int* candidates,  // (N) found; where they are more than `capacity`, there is no pose
                  const Found& found);

}  // namespace cuda
}  // namespace personlab

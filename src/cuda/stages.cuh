// The contract of decoding on a GPU: the stages of ../cpp/stages.hpp for a batch of N pictures, with a stream.
//
// All memory belongs to the caller and lies on the device. Nothing here waits for the device: results are there once the
// stream has come so far.
#pragma once

#include "device.cuh"
#include "stages.hpp"

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

// --- masks --------------------------------------------------------------------------------------------------------------

// Poses of a batch in the rows of one array; `counts` may be known to the device alone.
struct PoseBatch {
  const float* keypoints;  // (rows, K, 2) input pixels
  const float* weights;    // (rows, K) p_jk
  const int* first;        // (N) row of each picture's first pose; null where picture n has the rows from n * most on
  const int* counts;       // (N) how many it has; past `most` they are not there
  int rows;
  int most;  // poses of a picture
  int n_keypoints;

  __device__ int count(int picture) const { return counts[picture] < most ? counts[picture] : most; }
  __device__ std::size_t first_row(int picture) const {
    return first != nullptr ? static_cast<std::size_t>(first[picture])
                            : static_cast<std::size_t>(picture) * static_cast<std::size_t>(most);
  }
};

// An offset, dx and dy in one read.
struct alignas(8) OffsetPair {
  float dx, dy;  // input pixels
};

// What a thread needs to know of a pose's keypoint, in one read.
struct alignas(16) MaskTarget {
  float x, y;    // input pixels
  float weight;  // p_jk
  float reach;   // of the pose: the weighted sum of distances up to which a pixel belongs; -1 for no pixel
};

// A pixel of a picture along one axis of the grid.
struct PixelPlace {
  int cell;
  float t;         // in [0, 1] from that cell
  float position;  // input pixels
};

// Where mask association works.
struct MaskScratch {
  int at_once;  // pictures whose offsets there is room for
  OffsetPair *long_pairs, *short_pairs;  // (at_once, K, h, w)
  MaskTarget* targets;                   // (rows, K)
  float* unit;                           // (rows) lambda_j sum_k p_jk
  PixelPlace* places;                    // (W + H) along x, then along y

  MaskScratch(Arena& arena, const PoseBatch& poses, const Field& long_offsets, bool short_too, int height, int width);
};

// Mask association, section 3.2.
void associate_pixels(const PoseBatch& poses,
                      const Field& segmentation,   // (N, 1, h, w)
                      const Field& long_offsets,   // (N, 2K, h, w)
                      const Field* short_offsets,  // (N, 2K, h, w), or null
                      int height, int width,       // of the pictures
                      const MaskOptions& options, Arena& arena, cudaStream_t stream,
                      std::uint8_t* masks);  // (rows, H, W)

// --- dense refinement -----------------------------------------------------------------------------------------------

// Dense refinement, section 3.1.2; an offset that is not finite counts as (0, 0).
void refine_offsets(const Field& offsets,  // (N, 2C, h, w)
                    const Field& by,       // (N, 2L, h, w)
                    const int* channels,   // (C) in 0 .. L - 1
                    int steps, cudaStream_t stream,
                    float* refined);  // (N, C, 2, h, w)

// The same for networks: what is not finite stays so. Channels outside 0 .. L - 1 become NaN.
template <typename Real>
void refine_offset_batch(const OffsetBatch<Real>& batch, cudaStream_t stream, Real* refined);  // (N, C, 2, h, w)

// Where the gradients by the fields are summed up.
struct RefineScratch {
  unsigned long long* largest;  // (N, L) bits of the largest contribution's magnitude
  unsigned long long* sums;     // (N, L, 2, h, w) fixed point

  RefineScratch(Arena& arena, int pictures, int fields, int height, int width);
};

// The way back through dense refinement. Where a gradient by a field gets a contribution that is not finite, all of that
// field's gradient in the picture is NaN.
template <typename Real>
void refine_offset_batch_backward(const OffsetBatch<Real>& batch, const OffsetGradients<Real>& gradients, Arena& arena,
                                  cudaStream_t stream);

// --- targets --------------------------------------------------------------------------------------------------------

// A skeleton in device memory, as Skeleton has it.
struct EdgeLists {
  const int* first;  // (K + 1)
  const int* edges;  // (2E, 2) channel and target
  int n_keypoints, n_edges;
};

// Where targets are made.
struct TargetScratch {
  int* stand_in;  // (P, K) keypoint whose place is taken, -1 for none
  int* reached;   // (P, K) keypoints in the order in which they are found
  int* alone;     // (h, w) the one person on whose mask the cell is, -1 where not one
  std::uint8_t* counts;  // (h, w) 0 on a crowd

  TargetScratch(Arena& arena, int n_people, int n_keypoints, std::size_t cells);
};

// Targets from annotations, section 4; every element is written. A keypoint is labelled that has v > 0 and is finite.
void encode_targets(const Annotations& annotations, const EdgeLists& skeleton, int stride, float disk_radius, Arena& arena,
                    cudaStream_t stream, const TargetViews& targets);

}  // namespace cuda
}  // namespace personlab

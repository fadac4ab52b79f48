// The contract of PersonLab on a GPU: one declaration per stage of src/cpp's stages.hpp, for a batch of N images.
//
// All memory belongs to the caller and lies on the device. Stages queue work on a stream and return at once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/field.cuh"
#include "base/skeleton.cuh"
#include "methods/personlab/masks.cuh"
#include "methods/personlab/poses.cuh"
#include "methods/personlab/stages.hpp"

namespace personlab {
namespace cuda {

// Hough voting, section 3.1.1: sums of votes, fixed point.
void hough_vote(const DeviceField& heatmaps,       // (N, K, h, w)
                const DeviceField& short_offsets,  // (N, 2K, h, w)
                const Lattice& lattice, cudaStream_t stream,
                unsigned long long* sums);  // (N, K, rows, columns)

// The scores of these sums.
void hough_scores(const unsigned long long* sums, std::size_t count, const Lattice& lattice, cudaStream_t stream,
                  float* scores);  // (count)

// Local maxima of Hough scores, best first.
template <typename Scores>
void find_peaks(const Scores& hough, int images, int n_keypoints, const DecodeOptions& options, cudaStream_t stream,
                const Peaks& unordered,  // scratch that shares its counts with the result
                const Peaks& peaks);

// Seeds of Google's decoder, best first: cells (x, y), by logit.
void find_seeds(const DeviceField& heatmaps, const DecodeOptions& options, cudaStream_t stream, const Peaks& unordered,
                const Peaks& seeds);

// Sorts candidates, best first; `unordered`, which shares its counts with the result, is overwritten.
void sort_peaks(const Peaks& unordered, int images, cudaStream_t stream, const Peaks& peaks);

// Grows a pose from each candidate; seeds of Google's decoder move to their refined places.
void grow_poses(const Peaks& seeds,  // best first
                const DevicePoseFields& fields, const SkeletonView& skeleton, const DecodeOptions& options,
                cudaStream_t stream, const PoseRows& poses);

// Greedy grouping, section 3.1.2: a pose from each candidate, and which of them are accepted.
void group_poses(const Peaks& seeds,  // best first
                 const DevicePoseFields& fields, const SkeletonView& skeleton, const DecodeOptions& options,
                 cudaStream_t stream, GroupScratch scratch, const PoseRows& poses, const Accepted& accepted);

// Scores s_jk of the keypoints of all accepted poses, in the order of acceptance: by Expected-OKS, section 3.1.3, or by
// the heatmaps. A pose that cannot reach min_score by its probabilities gets zeros.
template <typename Scores>
void expected_oks(const Scores& hough, const PoseRows& poses, const Accepted& accepted, int images,
                  const SkeletonView& skeleton, const DecodeOptions& options,
                  const ClaimedKeypoints* claimed,  // or null, where that depends on the scores
                  cudaStream_t stream,
                  float* scores);  // (N, capacity, K)
void heatmap_scores(const PoseRows& poses, const Accepted& accepted, int images, cudaStream_t stream,
                    float* scores);  // (N, capacity, K)

// Keypoint scores, and instance scores by soft non-maximum suppression, section 3.1.3; best first, cut at min_score and
// at the rows of the result.
template <typename Scores>
void score_poses(const Scores& hough, const PoseRows& poses, const Accepted& accepted, int images,
                 const SkeletonView& skeleton, const DecodeOptions& options, cudaStream_t stream,
                 DeviceScoreScratch scratch, const RankedPoses& ranked);

// One Hough mean shift of each keypoint of the ranked poses, which are rows accepted[ranked.kept] of `poses`.
template <typename Scores>
void sharpen_keypoints(const Scores& hough, const PoseRows& poses, const Accepted& accepted, int images,
                       const DecodeOptions& options, cudaStream_t stream, const RankedPoses& ranked);

// Bytes of scratch that decoding needs.
std::size_t decode_scratch_bytes(const DevicePoseFields& fields, const DecodeOptions& options, int capacity);

// All stages of either decoder, for as many images at once as fit the scratch.
void decode_poses(const DevicePoseFields& fields, const SkeletonView& skeleton, const DecodeOptions& options,
                  int capacity, cudaStream_t stream, void* scratch,
                  int* candidates,      // (N); an image with more than `capacity` of them has no poses
                  RankedPoses ranked);  // without `kept`

// Mask association, section 3.2.
void associate_pixels(const PoseBatch& poses,
                      const DeviceField& segmentation,   // (N, 1, h, w)
                      const DeviceField& long_offsets,   // (N, 2K, h, w)
                      const DeviceField* short_offsets,  // (N, 2K, h, w), or null
                      int height, int width,             // of the images
                      const MaskOptions& options, Arena& arena, cudaStream_t stream,
                      std::uint8_t* masks);  // (rows, H, W)

// Mask scores: instance score times the mean person probability over the mask to a power; 0 for an empty mask and for
// a row without a pose.
void score_masks(const PoseBatch& poses,           // without keypoints and weights
                 const std::uint8_t* masks,        // (rows, H, W)
                 const DeviceField& segmentation,  // (N, 1, h, w)
                 int height, int width,            // of the images
                 const MaskOptions& options, Arena& arena, cudaStream_t stream,
                 float* mask_scores);  // (rows)

// Dense refinement, section 3.1.2; an offset that is not finite, or too large at the end, counts as (0, 0).
void refine_offsets(const DeviceField& offsets,  // (N, 2C, h, w)
                    const DeviceField& by,       // (N, 2L, h, w)
                    const int* channels,         // (C) in 0 .. L - 1
                    int steps, cudaStream_t stream,
                    float* refined);  // (N, C, 2, h, w)

// The same for networks: a number that is not finite stays so. Channels outside 0 .. L - 1 become NaN.
template <typename Real>
void refine_offset_batch(const OffsetBatch<Real>& batch, cudaStream_t stream, Real* refined);  // (N, C, 2, h, w)

// Sums of the gradients by the refining fields.
struct RefineScratch {
  unsigned long long* largest;  // (N, L) bits of the largest contribution's magnitude
  unsigned long long* sums;     // (N, L, 2, h, w) fixed point

  RefineScratch(Arena& arena, int images, int fields, int height, int width);
};

// The gradient of dense refinement. A contribution to a field's gradient that is not finite makes all of that field's
// gradient in the image NaN.
template <typename Real>
void refine_offset_batch_backward(const OffsetBatch<Real>& batch, const OffsetGradients<Real>& gradients, Arena& arena,
                                  cudaStream_t stream);

struct TargetScratch {
  int* stand_in;         // (P, K) keypoint whose place counts, -1 for none
  int* reached;          // (P, K) keypoints in breadth-first order
  int* alone;            // (h, w) the one person on whose mask the cell is, -1 where not one
  std::uint8_t* counts;  // (h, w) 0 on a crowd

  TargetScratch(Arena& arena, int n_people, int n_keypoints, std::size_t cells);
};

// Targets from annotations, section 4; every element is written. A keypoint is labelled that has v > 0 and is finite.
void encode_targets(const Annotations& annotations, const SkeletonView& skeleton, int stride, float disk_radius,
                    Arena& arena, cudaStream_t stream, const TargetViews& targets);

}  // namespace cuda
}  // namespace personlab

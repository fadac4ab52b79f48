// The contract of the decoding core: one declaration per stage, in the order in which data flows through them.
//
// Stages are functions of views; the caller owns what outlives a call, large scratch included, and has checked the
// arguments. Section numbers are those of the paper, arXiv 1803.08225.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.hpp"
#include "methods/personlab/masks/scratch.hpp"
#include "methods/personlab/scratch.hpp"

namespace personlab {

// Hough voting, section 3.1.1: scores of all K keypoint types at the pixels that are multiples of options.hough_stride.
void hough_vote(const Field& heatmaps,       // K planes
                const Field& short_offsets,  // 2K planes
                const DecodeOptions& options,
                std::vector<HoughPlane>& hough,  // resized to K
                HoughScratch& scratch);

// Local maxima of the Hough scores, best first.
void find_peaks(const std::vector<HoughPlane>& hough, const DecodeOptions& options, std::vector<Peak>& peaks);

// Best-first search over directed edges from one seed, section 3.1.2; appends the pose to `poses`. In double, the
// queue's key is the probability, as in the paper; in float, the logit, as in the published PoseNet decoder.
template <typename Real>
void grow_pose(int keypoint, Real x, Real y, const Field& heatmaps, const Field& short_offsets,
               const Field& mid_offsets, const Skeleton& skeleton, int refine_steps, PoseList& poses,
               GrowScratch& scratch);

// Sets free[k] (K) to whether no keypoint k in the grid lies within its radius of pose j's, then adds pose j to the
// grid.
void admit(const PoseList& poses, int j, KeypointGrid& grid, std::uint8_t* free);

// Greedy grouping, section 3.1.2: a pose for every peak farther than nms_radius from that keypoint of all earlier
// poses. Marks the free keypoints in the order of the seeds.
void group_poses(const std::vector<Peak>& peaks,  // best first
                 const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets, const Skeleton& skeleton,
                 const DecodeOptions& options, PoseList& poses, GrowScratch& scratch);

// Keypoint scores s_jk, and instance scores by soft non-maximum suppression in the order of the seeds or of mean
// keypoint scores, section 3.1.3; best first, cut at min_score and max_poses. A keypoint that cannot change the result
// is not scored. `bounded` says that 0 <= s_jk <= p_jk, which negative Hough scores or probabilities break.
void score_poses(const PoseList& poses, const std::vector<HoughPlane>& hough, const Skeleton& skeleton,
                 const DecodeOptions& options, bool bounded, ScoreScratch& scratch, Ranking& ranking);

// Moves the keypoints of the kept poses by one step of a Gaussian mean shift over the Hough scores around them.
void sharpen_keypoints(const std::vector<HoughPlane>& hough, const DecodeOptions& options, const std::vector<int>& kept,
                       PoseList& poses);

// Poses that pixels are assigned to.
struct PoseArrays {
  const float* keypoints;  // (P, K, 2) input pixels
  const float* weights;    // (P, K) p_jk
  const float* scores;     // (P) instance scores
  int count, n_keypoints;
};

// Mask association, section 3.2: masks (P, H, W), and their scores.
void associate_pixels(const PoseArrays& poses,
                      const Field& segmentation,   // 1 plane
                      const Field& long_offsets,   // 2K planes
                      const Field* short_offsets,  // 2K planes, or null
                      int height, int width,       // of the image
                      const MaskOptions& options, std::uint8_t* masks,
                      bool clear,          // whether the masks are zero on entry
                      float* mask_scores,  // (P), or null
                      MaskBuffers& scratch);

// Mask scores (P): instance score times the mean person probability over the mask to a power; 0 for an empty mask.
void score_masks(const std::uint8_t* masks,  // (P, H, W)
                 const float* scores,        // (P) instance scores
                 int n_poses,
                 const Field& segmentation,  // 1 plane
                 int height, int width,      // of the image
                 const MaskOptions& options, float* mask_scores, MaskBuffers& scratch);

// Offset fields of N images on grids of h x w cells, and the fields that refine them.
template <typename Real>
struct OffsetBatch {
  const Real* offsets;        // (N, C, 2, h, w) input pixels
  const Real* by;             // (N, L, 2, h, w) input pixels
  const int* channels;        // (C) in 0 .. L - 1
  int images, count, fields;  // N, C, L
  int height, width;
  int stride;  // input pixels
  int steps;
};

// Result for numbers that are not finite, or too large at the end: an offset of (0, 0), or one that is not finite
// either.
enum class NonFinite { kZero, kKept };

// Dense refinement, section 3.1.2: `steps` times M_c(x) += S_l(x + M_c(x)), l = channels[c].
template <NonFinite kNonFinite, typename Real>
void refine_offset_batch(const OffsetBatch<Real>& batch, int threads, Real* refined);  // (N, C, 2, h, w)

// Gradients with respect to the refined offsets, and to both inputs.
template <typename Real>
struct OffsetGradients {
  const Real* refined;  // (N, C, 2, h, w)
  Real* offsets;        // (N, C, 2, h, w), or null to leave them out
  Real* by;             // (N, L, 2, h, w), likewise
};

// Backward pass of dense refinement. Reads are clamped to the grid: outside it a point's position has no gradient.
template <typename Real>
void refine_offset_batch_backward(const OffsetBatch<Real>& batch, int threads, const OffsetGradients<Real>& gradients);

// Annotations of one image.
struct Annotations {
  const float* keypoints;     // (P, K, 3): x, y in input pixels, v > 0 where labelled
  bool has_masks;             // else nothing is known of any person's pixels
  const std::uint8_t* masks;  // (P, H, W)
  const std::uint8_t* crowd;  // (H, W), or null
  int n_people;
  int height, width;  // H, W of the network input
};

// Training targets on the grid and their valid cells, section 4; all arrays zero on entry.
struct TargetViews {
  float* heatmaps;                   // (K, h, w) 0 or 1
  float* short_offsets;              // (K, 2, h, w)
  float* mid_offsets;                // (2E, 2, h, w)
  float* segmentation;               // (1, h, w) 0 or 1
  float* long_offsets;               // (K, 2, h, w)
  std::uint8_t* heatmap_valid;       // (h, w), one for all keypoint types
  std::uint8_t* short_valid;         // (K, h, w)
  std::uint8_t* mid_valid;           // (2E, h, w)
  std::uint8_t* segmentation_valid;  // (h, w)
  std::uint8_t* long_valid;          // (K, h, w)
};

// Targets from annotations, section 4: the inverse of decoding.
void encode_targets(const Annotations& annotations, const Skeleton& skeleton, int stride, float disk_radius,
                    const TargetViews& targets);

}  // namespace personlab

// The contract of the decoding core: one declaration per stage, in the order in which data flows through them.
//
// Stages are functions of views; the caller owns what outlives a call, large scratch included. Arguments have been checked
// before.
// Section numbers are those of the paper, arXiv 1803.08225.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/types.hpp"
#include "methods/personlab/hough_plane.hpp"
#include "methods/personlab/kernels.hpp"
#include "methods/personlab/keypoint_grid.hpp"
#include "methods/personlab/pose_list.hpp"
#include "methods/personlab/votes.hpp"

namespace personlab {

// What one thread of Hough voting works in.
struct HoughWorker {
  std::vector<std::uint64_t> high;  // a bit for each cell: whether its logit reaches the threshold
  std::array<int, 4> shape{};       // what `points` were placed for
  CellPoints points;
  Ballots ballots;
};

struct HoughScratch {
  std::vector<HoughWorker> workers;
  std::vector<VoteSums> sums;
};

// Hough voting, section 3.1.1: scores of all K keypoint types at the pixels that are multiples of options.hough_stride.
void hough_vote(const Field& heatmaps,       // K planes
                const Field& short_offsets,  // 2K planes
                const DecodeOptions& options,
                std::vector<HoughPlane>& hough,  // resized to K
                HoughScratch& scratch);

// Local maxima of the Hough scores, best first.
void find_peaks(const std::vector<HoughPlane>& hough, const DecodeOptions& options, std::vector<Peak>& peaks);

// A target keypoint waiting to join the pose that is growing.
struct Reached {
  float score;  // the key it waits by: probability, or logit
  int keypoint;
  double x, y;  // input pixels
};

// Where best-first search stands: waiting targets, those being followed on, and the keypoints found; and where poses
// lie that have been found before.
struct GrowScratch {
  std::vector<Reached> queue, sources;
  std::vector<std::uint8_t> done;  // (K)
  KeypointGrid grid;
};

// Best-first search over directed edges from one seed, section 3.1.2; appends the pose to `poses`. In double, targets wait by
// their probability, as the paper has it; in float, by their logit, as the published PoseNet decoder has it and computes.
template <typename Real>
void grow_pose(int keypoint, Real x, Real y, const Field& heatmaps, const Field& short_offsets,
               const Field& mid_offsets, const Skeleton& skeleton, int refine_steps, PoseList& poses,
               GrowScratch& scratch);

// Says of each keypoint of pose j in `free` (K) whether the grid has none within its radius; then adds them all.
void admit(const PoseList& poses, int j, KeypointGrid& grid, std::uint8_t* free);

// Greedy grouping, section 3.1.2: a pose for every peak that no earlier pose has taken, and which keypoints are free by
// the order of the seeds.
void group_poses(const std::vector<Peak>& peaks,  // best first
                 const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets, const Skeleton& skeleton,
                 const DecodeOptions& options, PoseList& poses, GrowScratch& scratch);

// What scoring works in.
struct ScoreScratch {
  // A pose and what its instance score is, or is not above.
  struct Candidate {
    double score;
    int rank;  // in the order of soft NMS
    int row;   // of its keypoint scores, or -1
  };
  KeypointGrid grid;
  std::vector<int> order;            // (P) poses by rank
  std::vector<double> means;         // (P) of keypoint scores
  std::vector<std::uint8_t> free;    // (P, K) by pose
  std::vector<Candidate> waiting, together, best;
  std::vector<float> rows;           // (R, K) s_jk of poses that were scored
};

// Keypoint scores s_jk, and instance scores by soft non-maximum suppression in the order of the seeds or of mean
// keypoint scores, section 3.1.3; best first, cut at min_score and max_poses. A keypoint that cannot change the result
// is not scored. Where s_jk may be negative or greater than p_jk, as it is by a negative Hough score or probability,
// `bounded` is false.
void score_poses(const PoseList& poses, const std::vector<HoughPlane>& hough, const Skeleton& skeleton,
                 const DecodeOptions& options, bool bounded, ScoreScratch& scratch, Ranking& ranking);

// Moves the keypoints of the poses that are kept by one step of a Gaussian mean shift over the Hough scores around
// them.
void sharpen_keypoints(const std::vector<HoughPlane>& hough, const DecodeOptions& options, const std::vector<int>& kept,
                       PoseList& poses);

// Everything that decoding one image works in.
struct DecodeScratch {
  std::vector<HoughPlane> hough;
  HoughScratch hough_scratch;
  std::vector<std::uint64_t> high;  // a bit for each cell that may be a seed
  std::vector<Peak> peaks;
  std::vector<std::uint64_t> order;  // of PoseNet's seeds: keys that hold their places among the peaks
  GrowScratch grow;
  PoseList poses;
  ScoreScratch score;
  Ranking ranking;
};

// The paper's decoder, section 3.1; leaves its result in scratch.poses and scratch.ranking.
void decode_personlab(const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets,
                      const Skeleton& skeleton, const DecodeOptions& options, DecodeScratch& scratch);

// The decoder of Google's PoseNet, number for number; leaves its result in the same places.
void decode_posenet(const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets,
                    const Skeleton& skeleton, const DecodeOptions& options, DecodeScratch& scratch);

// Pixels of an image, or none.
struct PixelBox {
  int x0 = 0, y0 = 0, x1 = 0, y1 = 0;  // half-open

  bool empty() const { return x0 >= x1 || y0 >= y1; }
  PixelBox with(const PixelBox& other) const {  // the smallest that holds both, neither empty
    return {std::min(x0, other.x0), std::min(y0, other.y0), std::max(x1, other.x1), std::max(y1, other.y1)};
  }
};

// The person probability of a mask's pixels, added up in fixed point: the same sum in any order.
struct MaskSum {
  std::uint64_t total = 0;  // in units of 2^-24
  std::uint64_t pixels = 0;
};

// The score of a mask, from the instance score and the mean probability over its pixels; 0 where there is none.
inline float mask_score(float score, const MaskSum& sum, float power) {
  if (sum.pixels == 0 || !(score - score == 0.0F)) return 0.0F;
  const double whole = static_cast<double>(kPersonUnit) * static_cast<double>(sum.pixels);
  const double mean = static_cast<double>(sum.total) / whole;
  return static_cast<float>(static_cast<double>(score) * std::pow(mean, static_cast<double>(power)));
}

// Rows of person probabilities: logits between the columns of two rows of cells, and what pixels between these rows read.
struct PersonRows {
  std::vector<float> upper, lower;         // (W, in whole registers)
  std::vector<std::uint32_t> probability;  // likewise, in units of 2^-24
};

// What one thread of mask association works in: blocks of pixels between four cells, in strips from left to right.
struct MaskScratch {
  int row0, y0;                          // first block row and first pixel row of the strip
  std::vector<std::uint8_t> foreground;  // (strip's pixel rows, W)
  std::vector<PixelBox> extents;         // (strip's block rows, blocks) of the foreground in each block
  std::vector<std::int32_t> poses;       // lists of those that may reach a region; last the one at hand
  std::vector<float> lower, upper;       // (P) bounds of the weighted distance of all pixels at hand
  std::vector<DistanceBounds> bounds;    // (P, groups) the same for each keypoint
  std::vector<float> gap;                // (groups, lanes) between these bounds, of the poses left
  std::vector<std::int32_t> wide;        // keypoints that are bounded again in a part of a region

  // What is known of all pixels of a region, and of those in each of its parts.
  struct Level {
    std::vector<Boxes> boxes;         // (groups) of G_k
    std::vector<std::int32_t> loose;  // keypoints whose boxes leave the poses open
  };
  std::vector<Level> levels;  // one for each size of regions, largest first

  // For the n foreground pixels of one block that are still open and the m poses left there; pitches are the first n made
  // whole groups of points.
  std::vector<std::size_t> pixel;             // (n) index in the image
  std::vector<float> start, points;           // (pitch, 2) pixels in [0, 1] of the block, and G_k in input pixels; whole
                                              // groups by repeating the last
  std::vector<float> sums;                    // (m, pitch) weighted distances
  std::vector<std::int32_t> open;             // (pitch) not 0 where any pose is undecided
  std::vector<float> low;                     // (m) sums up to this one are within reach
  std::vector<std::int32_t> order;            // (K) of keypoints, largest gap between the bounds first
  std::vector<float> rest_lower, rest_upper;  // (m, K + 1) bounds of the sum over order[i], order[i + 1] and so on

  // For mask scores.
  std::vector<PixelBox> claims;  // (P) the pixels of the strip that may have been given to each pose
  PersonRows person;
  std::vector<MaskSum> mask_sums;  // (P) of all strips so far
};

// An image's pixels along one axis, placed over the grid.
struct PixelAxis {
  std::vector<std::int32_t> first;  // (blocks + 1): pixels from cell b to cell b + 1
  std::vector<float> t;             // (pixels) in [0, 1] from cell b
  std::vector<float> position;      // (pixels) in input pixels
};

struct MaskBuffers {
  PixelAxis x, y;
  std::vector<float> long_pairs, short_pairs;  // (K, h, w, 2) dx and dy side by side
  std::vector<float> segmentation;             // (h, w) where it is not float32
  std::vector<MaskScratch> workers;
};

// Poses whose masks are wanted.
struct PoseArrays {
  const float* keypoints;  // (P, K, 2) input pixels
  const float* weights;    // (P, K) p_jk
  const float* scores;     // (P) instance scores
  int count, n_keypoints;
};

// Mask association, section 3.2: masks (P, H, W), zero on entry, and their scores where these are wanted.
void associate_pixels(const PoseArrays& poses,
                      const Field& segmentation,   // 1 plane
                      const Field& long_offsets,   // 2K planes
                      const Field* short_offsets,  // 2K planes, or null
                      int height, int width,       // of the image
                      const MaskOptions& options, std::uint8_t* masks,
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
  const Real* offsets;  // (N, C, 2, h, w) input pixels
  const Real* by;       // (N, L, 2, h, w) input pixels
  const int* channels;  // (C) in 0 .. L - 1
  int images, count, fields;  // N, C, L
  int height, width;
  int stride;  // input pixels
  int steps;
};

// What becomes of numbers that are not finite, or too large at the end: an offset of (0, 0), or something not finite either.
enum class NonFinite { kZero, kKept };

// Dense refinement, section 3.1.2: `steps` times M_c(x) += S_l(x + M_c(x)), l = channels[c].
template <NonFinite kNonFinite, typename Real>
void refine_offset_batch(const OffsetBatch<Real>& batch, int threads, Real* refined);  // (N, C, 2, h, w)

// Gradients of a number by the refined offsets, and from them by what they were made of.
template <typename Real>
struct OffsetGradients {
  const Real* refined;  // (N, C, 2, h, w)
  Real* offsets;        // (N, C, 2, h, w), or null where not wanted
  Real* by;             // (N, L, 2, h, w), likewise
};

// The way back through dense refinement. Reads are clamped to the grid: there a point's position has no effect.
template <typename Real>
void refine_offset_batch_backward(const OffsetBatch<Real>& batch, int threads, const OffsetGradients<Real>& gradients);

// What is to be encoded for one image.
struct Annotations {
  const float* keypoints;     // (P, K, 3): x, y in input pixels, v > 0 where labelled
  const std::uint8_t* masks;  // (P, H, W), or null
  const std::uint8_t* crowd;  // (H, W), or null
  int n_people;
  int height, width;  // H, W of the network input
};

// Training targets on the grid and where each counts, section 4; all arrays zero on entry.
struct TargetViews {
  float* heatmaps;                  // (K, h, w) 0 or 1
  float* short_offsets;             // (K, 2, h, w)
  float* mid_offsets;               // (2E, 2, h, w)
  float* segmentation;              // (1, h, w) 0 or 1
  float* long_offsets;              // (K, 2, h, w)
  std::uint8_t* heatmap_valid;      // (h, w), one for all keypoint types
  std::uint8_t* short_valid;        // (K, h, w)
  std::uint8_t* mid_valid;          // (2E, h, w)
  std::uint8_t* segmentation_valid;  // (h, w)
  std::uint8_t* long_valid;         // (K, h, w)
};

// Targets from annotations, section 4: the inverse of decoding.
void encode_targets(const Annotations& annotations, const Skeleton& skeleton, int stride, float disk_radius,
                    const TargetViews& targets);

}  // namespace personlab

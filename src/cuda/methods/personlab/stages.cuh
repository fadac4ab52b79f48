// The contract of decoding on a GPU: the stages of ../cpp/stages.hpp for a batch of N images, with a stream.
//
// All memory belongs to the caller and lies on the device. Nothing here waits for the device: results are there once the
// stream has come so far.
#pragma once

#include "methods/personlab/cells.cuh"
#include "base/device.cuh"
#include "methods/personlab/stages.hpp"
#include "methods/personlab/vote_unit.hpp"

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
  static constexpr bool kNeverNegative = true;
  const unsigned long long* sums;  // (planes, rows, columns)
  Lattice lattice;

  __host__ __device__ int rows() const { return lattice.rows; }
  __host__ __device__ int columns() const { return lattice.columns; }
  __device__ float at(int p, int i) const { return lattice.score(sums[p * lattice.points() + i]); }
};

// Scores that somebody gave; what is not finite counts as 0.
struct GivenScores {
  static constexpr bool kNeverNegative = false;
  Field hough;  // (1, K, rows, columns)

  __host__ __device__ int rows() const { return hough.height; }
  __host__ __device__ int columns() const { return hough.width; }
  __device__ float at(int p, int i) const {
    const float value = hough.plane(0, p)[i];
    return is_finite(value) ? value : 0.0F;
  }
};

// A list of each image. Counts go on where there is no room for more; then all items are forgotten, as it is chance who
// came in time.
template <typename Item>
struct Lists {
  Item* items = nullptr;  // (N, capacity)
  int* counts = nullptr;  // (N)
  int capacity = 0;

  __device__ Item* of(int image) const { return items + static_cast<std::size_t>(image) * capacity; }
  __device__ int count(int image) const { return counts[image] <= capacity ? counts[image] : 0; }
};

using Peaks = Lists<Peak>;  // candidates of each image

// Local maxima of scores, in any order; counts are 0 before.
template <typename Scores>
void find_peaks(const Scores& scores, int images, int n_keypoints, const DecodeOptions& options, cudaStream_t stream,
                const Peaks& peaks);

// Seeds of Google's decoder, in any order: cells (x, y), by logit.
void find_seeds(const Field& heatmaps, const DecodeOptions& options, cudaStream_t stream, const Peaks& seeds);

// Puts candidates in their order, as `sort` does.
void sort_peaks(const Peaks& peaks, int images, cudaStream_t stream, const Peaks& sorted);

constexpr int kMaxKeypoints = 256;  // of a skeleton

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

// A pose grown from each candidate, taken or not; Google's seeds move to their refined places.
void grow_poses(const Peaks& seeds, const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets,
                const SkeletonView& skeleton, const DecodeOptions& options, cudaStream_t stream, const PoseRows& poses);

// Which rows of poses there are, best seed first.
struct Accepted {
  int* rows = nullptr;    // (N, capacity)
  int* counts = nullptr;  // (N)
  int capacity = 0;

  __device__ const int* of(int image) const { return rows + static_cast<std::size_t>(image) * capacity; }
};

// What greedy acceptance works in.
struct AcceptScratch {
  std::uint8_t* taken;  // (N, capacity)
  CellLists seeds;

  AcceptScratch(Arena& arena, int images, int capacity)
      : taken(arena.take<std::uint8_t>(static_cast<std::size_t>(images) * capacity)),
        seeds(arena, images, capacity, 1) {}
};

// Greedy acceptance: those whose seeds no pose accepted before has taken.
void accept_poses(const Peaks& seeds, const PoseRows& poses, int images, const DecodeOptions& options,
                  cudaStream_t stream, AcceptScratch scratch, const Accepted& accepted);

// What decoding finds, best first; what lies behind the poses is 0.
struct Found {
  int* counts = nullptr;           // (N) poses
  float* scores = nullptr;         // (N, rows)
  float* keypoints = nullptr;      // (N, rows, K, 2)
  float* keypoint_scores = nullptr;  // (N, rows, K)
  float* probabilities = nullptr;    // (N, rows, K)
  int* kept = nullptr;             // (N, rows) the places of poses in the order of acceptance
  int rows = 0;
};

// A pose by its place in the order of acceptance, and a score that it is ranked by.
struct Ranked {
  double score;
  int pose;

  friend __device__ bool precedes(const Ranked& a, const Ranked& b) { return a.score > b.score; }
};

// Which keypoints of poses are taken: bits.
struct TakenKeypoints {
  unsigned* words = nullptr;  // (N, capacity, each) by the order of acceptance
  int capacity = 0, each = 0;

  __device__ unsigned* of(int image, int j) const {
    return words + (static_cast<std::size_t>(image) * capacity + j) * each;
  }
  __device__ bool at(int image, int j, int k) const { return (of(image, j)[k / 32] >> (k % 32) & 1) != 0; }
};

// What scoring works in.
struct ScoreScratch {
  float* keypoint_scores;          // (N, capacity, K) s_jk in the order of acceptance
  Lists<Ranked> ranked, ordered;  // by mean s_jk, then by instance score
  TakenKeypoints taken;
  CellLists keypoints;

  ScoreScratch(Arena& arena, int images, int capacity, int n_keypoints);
};

// Scores s_jk of the keypoints of all poses, in the order of acceptance: by Expected-OKS, section 3.1.3, or by the
// heatmaps. A pose whose probabilities show that it will not be kept gets zeros.
template <typename Scores>
void expected_oks(const Scores& hough, const PoseRows& poses, const Accepted& accepted, int images,
                  const SkeletonView& skeleton, const DecodeOptions& options,
                  const TakenKeypoints* taken,  // where known, else null
                  cudaStream_t stream,
                  float* scores);  // (N, capacity, K)
void heatmap_scores(const PoseRows& poses, const Accepted& accepted, int images, cudaStream_t stream,
                    float* scores);  // (N, capacity, K)

// Keypoint scores, then instance scores by soft non-maximum suppression, cut at min_score and at the rows there are.
template <typename Scores>
void score_poses(const Scores& hough, const PoseRows& poses, const Accepted& accepted, int images,
                 const SkeletonView& skeleton, const DecodeOptions& options, cudaStream_t stream, ScoreScratch scratch,
                 const Found& found);

// One Hough mean shift of each keypoint of the poses found, which are those of rows accepted[found.kept].
template <typename Scores>
void sharpen_keypoints(const Scores& hough, const PoseRows& poses, const Accepted& accepted, int images,
                       const DecodeOptions& options, cudaStream_t stream, const Found& found);

// Fields that poses are decoded from.
struct PoseFields {
  Field heatmaps, short_offsets, mid_offsets;
};

// Bytes of scratch that decoding needs.
std::size_t decode_scratch(const PoseFields& fields, const DecodeOptions& options, int capacity);

// Everything in a row, as many images at once as fit the scratch: either decoder.
void decode_poses(const PoseFields& fields, const SkeletonView& skeleton, const DecodeOptions& options, int capacity,
                  cudaStream_t stream, void* scratch,
                  int* candidates,  // (N) found; where they are more than `capacity`, there is no pose
                  Found found);     // without `kept`

// --- masks -----------------------------------------------------------------------------------------------------------

// Poses of a batch in the rows of one array; `counts` may be known to the device alone.
struct PoseBatch {
  const float* keypoints;  // (rows, K, 2) input pixels
  const float* weights;    // (rows, K) p_jk
  const float* scores;     // (rows) instance scores
  const int* first;        // (N) row of each image's first pose; null where image n has the rows from n * most on
  const int* counts;       // (N) how many it has; past `most` they are not there
  int rows;
  int most;  // poses of an image
  int n_keypoints;

  __device__ int count(int image) const { return counts[image] < most ? counts[image] : most; }
  __device__ std::size_t first_row(int image) const {
    return first != nullptr ? static_cast<std::size_t>(first[image])
                            : static_cast<std::size_t>(image) * static_cast<std::size_t>(most);
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

// A pixel of an image along one axis of the grid.
struct PixelPlace {
  int cell;
  float t;         // in [0, 1] from that cell
  float position;  // input pixels
};

// Where mask association works.
struct MaskScratch {
  int at_once;                           // images whose offsets there is room for
  OffsetPair *long_pairs, *short_pairs;  // (at_once, K, h, w)
  int* order;                            // (rows) poses of each image; where they exclude each other, by their scores
  MaskTarget* targets;                   // (rows, K) in this order, as the next two
  float* unit;                           // (rows) lambda_j sum_k p_jk
  float* scores;                         // (rows)
  PixelPlace* places;                    // (W + H) along x, then along y

  MaskScratch(Arena& arena, const PoseBatch& poses, const Field& long_offsets, bool short_too, int height, int width);
};

// Mask association, section 3.2.
void associate_pixels(const PoseBatch& poses,
                      const Field& segmentation,   // (N, 1, h, w)
                      const Field& long_offsets,   // (N, 2K, h, w)
                      const Field* short_offsets,  // (N, 2K, h, w), or null
                      int height, int width,       // of the images
                      const MaskOptions& options, Arena& arena, cudaStream_t stream,
                      std::uint8_t* masks);  // (rows, H, W)

// Where mask scores are made.
struct MaskScoreScratch {
  PixelPlace* places;                  // (W + H) along x, then along y
  unsigned long long *total, *pixels;  // (rows) person probability of each mask in fixed point, and its size

  MaskScoreScratch(Arena& arena, int rows, int height, int width);
};

// Mask scores: instance score times the mean person probability over the mask to a power; 0 for an empty mask, and where
// there is no pose.
void score_masks(const PoseBatch& poses,     // without keypoints and weights
                 const std::uint8_t* masks,  // (rows, H, W)
                 const Field& segmentation,  // (N, 1, h, w)
                 int height, int width,      // of the images
                 float power, Arena& arena, cudaStream_t stream,
                 float* scores);  // (rows)

// --- dense refinement -----------------------------------------------------------------------------------------------

// Dense refinement, section 3.1.2; an offset that is not finite, or too large at the end, counts as (0, 0).
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

  RefineScratch(Arena& arena, int images, int fields, int height, int width);
};

// The way back through dense refinement. Where a gradient by a field gets a contribution that is not finite, all of
// that field's gradient in the image is NaN.
template <typename Real>
void refine_offset_batch_backward(const OffsetBatch<Real>& batch, const OffsetGradients<Real>& gradients, Arena& arena,
                                  cudaStream_t stream);

// --- targets --------------------------------------------------------------------------------------------------------

// Where targets are made.
struct TargetScratch {
  int* stand_in;         // (P, K) keypoint whose place is taken, -1 for none
  int* reached;          // (P, K) keypoints in the order in which they are found
  int* alone;            // (h, w) the one person on whose mask the cell is, -1 where not one
  std::uint8_t* counts;  // (h, w) 0 on a crowd

  TargetScratch(Arena& arena, int n_people, int n_keypoints, std::size_t cells);
};

// Targets from annotations, section 4; every element is written. A keypoint is labelled that has v > 0 and is finite.
void encode_targets(const Annotations& annotations, const SkeletonView& skeleton, int stride, float disk_radius,
                    Arena& arena, cudaStream_t stream, const TargetViews& targets);

}  // namespace cuda
}  // namespace personlab

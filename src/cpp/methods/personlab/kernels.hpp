// The kernel table: the inner loops that are compiled once for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/elements.hpp"
#include "methods/personlab/hough_tile.hpp"

namespace personlab {

constexpr int kMaxLanes = 16;  // floats of the widest register

// Votes of lattice points, a structure of arrays for vector instructions. A vote is splatted onto four lattice points.
struct alignas(64) VoteBatch {
  static constexpr int kMax = 256;
  static constexpr int kCapacity = kMax + kMaxLanes;  // whole registers are written behind the last vote

  float logit[kCapacity], dx[kCapacity], dy[kCapacity];  // read at the voter, a lattice point
  std::int32_t column[kCapacity], row[kCapacity];        // of the voter
  std::int32_t left[kCapacity], top[kCapacity];          // lattice points from the voter to the upper left of the four
  std::int32_t weight[4][kCapacity];                     // added to each of the four, fixed point
  std::int32_t target[kCapacity];                        // tile and index in it of the upper left one
  // Added to the upper and the lower two, fixed point: to the left one the low half, to the right one the high half.
  std::uint64_t upper[kCapacity], lower[kCapacity];
  int count = 0;
};

// Some lattice points between four cells, and how fields are read there.
struct alignas(64) CellPoints {
  float weight[4][VoteBatch::kCapacity];  // of the cells: top left, top right, bottom left, bottom right
  std::int32_t column[VoteBatch::kCapacity], row[VoteBatch::kCapacity];  // from the first of the points
  int count = 0;
};

// The lattice that votes fall on, and what they are worth. Around it lies a margin of one point: lattice point (row,
// column) is at (row + 1, column + 1), in tiles.
struct VoteLattice {
  std::int32_t columns, rows;  // without the margin
  std::int32_t tile_columns;
  std::int32_t discard;  // target of votes that do not count: the first point of a tile that is never read
  float inverse_g;       // lattice points per input pixel
  float lowest;          // logit of the vote threshold
  float unit;            // fixed-point value of a certain vote
};

// Positions that the offsets of cells lead to, as pairs x + dx, y + dy on a grid of at least 2 x 2 cells, all finite.
struct Pairs {
  const float* data;  // (h, w, 2) input pixels
  int h, w;
  float stride, inverse_stride;  // input pixels per cell, cells per input pixel
};

// Points are followed in chunks of up to so many, in groups of up to so many. All places of a chunk can be computed
// with: what lies past the last point is ignored.
constexpr int kPointChunk = 64, kPointGroup = 8;

struct alignas(64) PointChunk {
  float x[kPointChunk], y[kPointChunk];
};

struct alignas(64) PointSums {
  float of[kPointChunk];
};

// A bit for each point of a chunk: whether it is within a pose's reach whatever follows, and whether that is open.
struct PointBits {
  std::uint64_t within, open;
};

// Sums of packed votes that count for one tile of 16 x 16 points: its own and those of three neighbours. Each is 17
// rows of 16 sums, the last row for the tile below; the high half of a sum is for the point to the right.
struct TileSums {
  const std::uint64_t *own, *left, *above, *corner;
};

struct TileTotal {
  float highest;  // score
  double sum;     // of all votes of the tile's points, fixed point
};

// Lattice points along one axis of a keypoint's disc, in whole tiles.
struct DiscAxis {
  const float* weight;     // exp(-d^2 * inverse) at distance d: the OKS, or a Gaussian, is the product of two
  const float* distance;   // d from the keypoint, input pixels: `disc_distance`
  const float* distance2;  // d^2
};

// Sums over points of a disc, in 16 parts.
struct DiscSums {
  double weight[16], oks[16];  // of h, and of h times OKS
};

// Sums over points of a disc, in 16 parts, of weighted h: by itself, times dx and times dy.
struct ShiftSums {
  double mass[16], x[16], y[16];
};

// Keypoints are bounded in groups of so many.
constexpr int kKeypointGroup = 8;

constexpr float kFarthest = 1048576.0F;  // input pixels: farther than any image reaches

// Bounds of a pose's weighted distances, for each keypoint of a group.
struct DistanceBounds {
  float lower[kKeypointGroup], upper[kKeypointGroup];
};

// A group of keypoints of a pose; those past the last one have weight 0.
struct Targets {
  float x[kKeypointGroup], y[kKeypointGroup], weight[kKeypointGroup];
};

// One keypoint of a pose. A sum of distances up to this one is within reach where it is up to `low`, whatever follows,
// and out of it where it is above `high`.
struct Target {
  float x, y, weight, low, high;
};

// A box of points for each keypoint of a group, input pixels.
struct Boxes {
  float x0[kKeypointGroup], y0[kKeypointGroup], x1[kKeypointGroup], y1[kKeypointGroup];
};

// Kernels on planes with elements of one type.
template <typename T>
struct PlaneKernels {
  // Sets bit i of `bits` where value i of n is at least `lowest`; returns whether any is. Bits past n in the last word
  // are 0.
  bool (*threshold)(const T* values, std::size_t n, float lowest, std::uint64_t* bits);

  // Clears bits of cells of a plane (h, w), 64 to a word, that have a larger neighbour among the up to 8.
  void (*suppress_non_maxima)(const T* values, int h, int w, std::uint64_t* bits);

  // Reads logit, dx and dy at lattice points between four cells: `cells` are the top left ones, `right` and `below` the
  // steps to the others. Appends the points, the first of them at (row, column), to the batch; skips a register of
  // points whose logits are all below `lowest`. Returns false and appends nothing where a value is not finite.
  bool (*sample)(const T* const cells[3], std::ptrdiff_t right, std::ptrdiff_t below, const CellPoints& points,
                 std::int32_t column, std::int32_t row, float lowest, VoteBatch& batch);

  // Converts n values.
  void (*to_float32)(const T* values, std::size_t n, float* to);
};

constexpr float kPersonUnit = 16777216.0F;  // of person probabilities in fixed point: 2^24

struct Kernels {
  PlaneKernels<float> float32;
  PlaneKernels<Float16> float16;
  PlaneKernels<Bfloat16> bfloat16;

  const PlaneKernels<float>& planes(float) const { return float32; }
  const PlaneKernels<Float16>& planes(Float16) const { return float16; }
  const PlaneKernels<Bfloat16>& planes(Bfloat16) const { return bfloat16; }

  // Computes target, upper and lower of a batch from the values read at the voters; returns the sum of all weights.
  std::uint32_t (*compute_votes)(VoteBatch& batch, const VoteLattice& lattice);

  // Computes the scores of one tile, in units of `scale`, from its sums of votes.
  TileTotal (*score_tile)(const TileSums& sums, float scale, float* scores);

  // Fills a DiscAxis for n points, a multiple of kMaxLanes, of a lattice of stride g, from point `first` on, and a
  // keypoint at `centre`, input pixels.
  void (*fill_disc_axis)(int first, int g, double centre, int n, float inverse, float* weight, float* distance,
                         float* distance2);

  // Adds the points of n rows of 16 scores that lie within the disc.
  void (*sum_disc)(const float* scores, int n, DiscAxis rows, DiscAxis columns, float radius2, DiscSums& sums);

  // The same for a mean shift; negative scores count as 0.
  void (*sum_mean_shift)(const float* scores, int n, DiscAxis rows, DiscAxis columns, float radius2, ShiftSums& sums);

  // G += offsets(G) for n points, input pixels, so many times.
  void (*follow_points)(const Pairs& pairs, int steps, int n, PointChunk& points);

  // The first step, for points between the four cells from (column, row) on, with t in [0, 1] from that cell.
  void (*follow_in_cell)(const Pairs& pairs, int column, int row, int n, const PointChunk& t, PointChunk& points);

  // One step for all points in n boxes, in groups, each with its plane of pairs, `plane` floats long: replaces them by
  // tight boxes of the results, `slack` wider. A box over very many cells becomes one that holds everything. Others of
  // the last group must be finite, and become undefined.
  void (*follow_boxes)(const Pairs& first, std::ptrdiff_t plane, int n, const std::int32_t* planes, float slack,
                       Boxes* boxes);

  // For the n poses listed: bounds of the weighted distances of a group's keypoints to the points of their boxes; adds
  // their sums to the pose's `lower` and `upper`. Targets and bounds of two poses are `pitch` apart.
  void (*bound_distances)(const Boxes& boxes, const Targets* targets, std::size_t pitch, int n,
                          const std::int32_t* listed, DistanceBounds* bounds, float* lower, float* upper);

  // For the poses listed: adds the weighted distances of n points to the pose's sums; one of weight zero is 0, even if
  // infinite. Bits past the last point are undefined.
  void (*add_distances)(const Target* targets, int n_poses, const std::int32_t* listed, int n, const PointChunk& points,
                        PointSums* sums, PointBits* bits);

  // Moves those values of a chunk to the front whose bits are set.
  void (*keep_points)(std::uint64_t bits, float* values);

  // Person probabilities in fixed point, rounded down, of logits t of the way from `upper` to `lower`; n is a multiple
  // of kMaxLanes. Returns false, with `probability` undefined, where a logit is not finite.
  bool (*read_person_probabilities)(const float* upper, const float* lower, float t, int n, std::uint32_t* probability);

  // Adds the values, each at most kPersonUnit, of those of n pixels that a mask holds, and the number of these.
  void (*sum_masked)(const std::uint8_t* mask, const std::uint32_t* values, int n, std::uint64_t& total,
                     std::uint64_t& count);
};

// The kernels of the instruction set that `isa` chooses.
const Kernels& kernels();

}  // namespace personlab

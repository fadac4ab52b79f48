// The kernel table: the inner loops that are compiled once for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/elements.hpp"
#include "methods/personlab/hough_tile.hpp"

namespace personlab {

// Lattice points on their way to casting a vote, side by side for vector instructions.
struct alignas(64) Ballots {
  static constexpr int kMost = 256;
  static constexpr int kRoom = kMost + 16;  // whole registers are written behind the last

  float logit[kRoom], dx[kRoom], dy[kRoom];  // read at the point
  std::int32_t column[kRoom], row[kRoom];    // of the point
  std::int32_t left[kRoom], top[kRoom];      // whole lattice points from there to the upper left of the four voted for
  std::int32_t vote[4][kRoom];               // what is added to each of these, fixed point
  std::int32_t at[kRoom];                    // tile and place in it of the upper left one
  // What to add there, fixed point: for the left point in the lower half, for the right one in the upper half.
  std::uint64_t upper[kRoom], lower[kRoom];
  int count = 0;
};

// Some lattice points between four cells, and how they are read there.
struct alignas(64) CellPoints {
  float weight[4][Ballots::kRoom];  // of the cells: top left, top right, bottom left, bottom right
  std::int32_t column[Ballots::kRoom], row[Ballots::kRoom];  // from the first of the points
  int count = 0;
};

// Where votes may fall, and what they are worth. Around the lattice lies a margin of one point: lattice point (row, column)
// is at (row + 1, column + 1), in tiles.
struct VotingLattice {
  std::int32_t columns, rows;  // without the margin
  std::int32_t tile_columns;
  std::int32_t nowhere;  // `at` of the first point in a tile that nobody reads, for votes that do not count
  float inverse_g;       // lattice points per input pixel
  float lowest;          // logit of the vote threshold
  float unit;            // fixed-point value of a whole vote
};

// Where offsets point, as pairs of x + dx and y + dy on a grid of at least 2 x 2 cells, all finite.
struct Pairs {
  const float* data;  // (h, w, 2) input pixels
  int h, w;
  float stride, inverse_stride;  // input pixels per cell, cells per input pixel
};

// Points are followed in groups of this many.
constexpr int kPointGroup = 8;

// Sums of packed votes for one tile of 16 x 16 points: where its own votes fell, and its three neighbours'. Each is 17 rows
// of 16, the last of them for the tile below; the upper half of a sum is for the point to the right.
struct TileSums {
  const std::uint64_t *own, *left, *above, *corner;
};

struct TileTotal {
  float highest;  // score
  double sum;     // of all votes for the tile's points, fixed point
};

// Lattice points along one axis of a keypoint's disc, in whole tiles.
struct DiscAxis {
  const float* weight;  // exp(-d^2 * inverse) at distance d: the OKS, or a Gaussian, is the product of two
  const float* distance;   // d from the keypoint, input pixels, as `disc_distance` has it
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

// Keypoints are bounded in groups of this many.
constexpr int kKeypointGroup = 8;

constexpr float kFarthest = 1048576.0F;  // input pixels: farther than any image reaches

// Bounds of a pose's weighted distances, for each keypoint of a group.
struct DistanceBounds {
  float lower[kKeypointGroup], upper[kKeypointGroup];
};

// Where a pose has the keypoints of a group; those past the last one weigh nothing.
struct Targets {
  float x[kKeypointGroup], y[kKeypointGroup], weight[kKeypointGroup];
};

struct Target {
  float x, y, weight;
};

// A box of points for each keypoint of a group, input pixels.
struct Boxes {
  float x0[kKeypointGroup], y0[kKeypointGroup], x1[kKeypointGroup], y1[kKeypointGroup];
};

// What is done to planes with elements of one type.
template <typename T>
struct PlaneKernels {
  // Sets bit i of `bits` where value i of n is at least `lowest`; says whether any is. Bits past n in the last word are 0.
  bool (*find)(const T* values, std::size_t n, float lowest, std::uint64_t* bits);

  // Clears bits of cells of a plane (h, w), 64 to a word, that have a larger neighbour among the up to 8.
  void (*thin)(const T* values, int h, int w, std::uint64_t* bits);

  // Reads logit, dx and dy between four cells, of which `cells` are the top left ones, `right` and `below` the way to the
  // others. Adds the lattice points, the first of them at (row, column), to the ballots, or leaves them out where all those in
  // a register are under the threshold. False, and nothing added, where not all that was read is finite.
  bool (*sample)(const T* const cells[3], std::ptrdiff_t right, std::ptrdiff_t below, const CellPoints& points,
                 std::int32_t column, std::int32_t row, float lowest, Ballots& ballots);

  // Makes n values float32.
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

  // From what was read at lattice points to where their votes fall and what they add there; the sum of all they add.
  std::uint32_t (*work_out)(Ballots& ballots, const VotingLattice& lattice);

  // Scores of one tile, in units of `scale`, from the sums of votes in it and in its neighbours.
  TileTotal (*gather)(const TileSums& sums, float scale, float* scores);

  // For n points, a multiple of 16, of a lattice of stride g, from point `first` on, and a keypoint at `centre`, input
  // pixels: what DiscAxis holds.
  void (*lay_out)(int first, int g, double centre, int n, float inverse, float* weight, float* distance,
                  float* distance2);

  // Adds to the sums what lies within the disc of n rows of 16 scores.
  void (*sum_disc)(const float* scores, int n, DiscAxis rows, DiscAxis columns, float radius2, DiscSums& sums);

  // The same for the sums of a mean shift; negative scores count as 0.
  void (*sum_shift)(const float* scores, int n, DiscAxis rows, DiscAxis columns, float radius2, ShiftSums& sums);

  // G += offsets(G) for n points (x, y), input pixels; n is a multiple of kPointGroup.
  void (*follow)(const Pairs& pairs, int n, float* points);

  // The first of these steps, for points between the four cells from (column, row) on, given in [0, 1] from that cell.
  void (*follow_inside)(const Pairs& pairs, int column, int row, int n, const float* t, float* points);

  // The same for all points in n boxes (x0, y0, x1, y1), each with its plane of pairs, `plane` floats long: boxes of the
  // results, as tight as boxes can be, then `slack` wider. What has spread over very many cells is given up: its box holds
  // everything.
  void (*follow_boxes)(const Pairs& first, std::ptrdiff_t plane, int n, const std::int32_t* planes, float slack,
                       float (*boxes)[4]);

  // For the n poses listed: weighted distances of a group's keypoints to the nearest and to the farthest point of their
  // boxes; their sums are added to the pose's `lower` and `upper`. Targets and bounds of two poses are `pitch` apart.
  void (*bound)(const Boxes& boxes, const Targets* targets, std::size_t pitch, int n, const std::int32_t* listed,
                DistanceBounds* bounds, float* lower, float* upper);

  // Adds the weighted distances of n points (x, y) to n sums, of which weight zero has none, be it infinite; n is a multiple
  // of kPointGroup. Sets all bits of open[i] where a sum is above `low` and at most `high`; returns whether any is.
  bool (*measure)(const Target& target, int n, const float* points, float low, float high, float* sums,
                  std::int32_t* open);

  // Person probabilities in fixed point, rounded down, of logits read t of the way from `upper` to `lower`; n is a multiple
  // of 16. False, and nothing of use written, where not all logits are finite.
  bool (*read_person)(const float* upper, const float* lower, float t, int n, std::uint32_t* probability);

  // Adds up the values, each at most kPersonUnit, of those of n pixels that are marked, and how many these are.
  void (*sum_marked)(const std::uint8_t* marks, const std::uint32_t* values, int n, std::uint64_t& total,
                     std::uint64_t& count);
};

// The kernels of the instruction set that `isa` chooses.
const Kernels& kernels();

}  // namespace personlab

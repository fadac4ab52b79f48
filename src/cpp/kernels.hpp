// The inner loops that are compiled once for each instruction set, and the choice between them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace personlab {

constexpr float kVoteUnit = 1073741824.0F;  // 2^30: fixed-point value of a whole vote; 2^33 - 1 of them fit a 64-bit sum

// Lattice points on their way to casting a vote, side by side for vector instructions.
struct Ballots {
  static constexpr int kMost = 256;

  int count = 0;
  float logit[kMost], dx[kMost], dy[kMost];  // read at the point
  std::int32_t column[kMost], row[kMost];    // of the point
  std::int32_t at[kMost];                    // first of the four sums to add to: it, the next, and those a pitch further
  std::int32_t vote[4][kMost];               // what to add to them, fixed point
  std::int32_t tile[kMost];                  // tile of the first sum
  std::int32_t edge[kMost];                  // not 0 where the four sums lie in more than one tile
};

// Where votes may fall: a lattice with a margin of one point around it, in tiles of 2^tile_shift points a side.
struct VotingLattice {
  std::int32_t columns, rows;  // without the margin
  std::int32_t pitch;          // points from row to row
  std::int32_t tile_shift, tile_columns;
  std::int32_t nowhere, nowhere_tile;  // place and tile of sums that nobody reads, for votes that do not count
};

// Where offsets point, as pairs of x + dx and y + dy on a grid of at least 2 x 2 cells, all finite.
struct Pairs {
  const float* data;  // (h, w, 2) input pixels
  int h, w;
  float stride, inverse_stride;  // input pixels per cell, cells per input pixel
};

// Points are followed in groups of this many.
constexpr int kPointGroup = 8;

// Keypoints are bounded in groups of this many.
constexpr int kKeypointGroup = 8;

constexpr float kFarthest = 1048576.0F;  // input pixels: farther than any picture reaches

// Bounds of a pose's weighted distances, for each keypoint of a group, and their sums.
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

struct Kernels {
  const char* name;

  // From what was read at lattice points to where their votes fall and what they add there. `inverse_g` is in lattice
  // points per input pixel, `lowest` the logit of the vote threshold.
  void (*work_out)(Ballots& ballots, float inverse_g, float lowest, const VotingLattice& lattice);

  // G += offsets(G) for n points (x, y), input pixels; n is a multiple of kPointGroup.
  void (*follow)(const Pairs& pairs, int n, float* points);

  // The first of these steps, for points between the four cells from (column, row) on, given in [0, 1] from that cell.
  void (*follow_inside)(const Pairs& pairs, int column, int row, int n, const float* t, float* points);

  // The same for all points in n boxes (x0, y0, x1, y1), each with its plane of pairs, `plane` floats long: boxes of the
  // results, as tight as boxes can be, then `slack` wider. What has spread over very many cells is given up: its box holds
  // everything.
  void (*follow_boxes)(const Pairs& first, std::ptrdiff_t plane, int n, const std::int32_t* planes, float slack,
                       float (*boxes)[4]);

  // Weighted distances of a pose's keypoints to the nearest and to the farthest point of their boxes.
  void (*bound)(const Boxes& boxes, const Targets& targets, DistanceBounds& bounds);

  // Adds the weighted distances of n points (x, y) to n sums, of which weight zero has none, be it infinite; n is a multiple
  // of kPointGroup. Sets all bits of open[i] where a sum is above `low` and at most `high`; returns whether any is.
  bool (*measure)(const Target& target, int n, const float* points, float low, float high, float* sums,
                  std::int32_t* open);
};

// The fastest kernels that this processor runs, or those that the environment variable PERSONLAB_ISA names. Results are the
// same to the last bit.
//
// Throws std::invalid_argument where that variable names none that can run.
const Kernels& kernels();

// Names of all kernels in this build, fastest last, separated by commas.
const char* kernel_names();

}  // namespace personlab

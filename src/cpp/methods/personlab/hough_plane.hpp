// Sparse Hough scores of one keypoint type: what voting writes and peaks, scores and sharpening read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "methods/personlab/hough_tile.hpp"

namespace personlab {

// Scores on the Hough lattice of one keypoint type, stored only where votes fell: tiles of kTile x kTile points. The
// lattice has a margin of one point around it, always 0, so lattice point (row, column) lies at (row + 1, column + 1).
struct HoughPlane {
  static constexpr int kTile = kHoughTile;
  static constexpr int kTilePoints = kTile * kTile;

  int rows = 0, columns = 0;            // of the lattice, without the margin
  int tile_rows = 0, tile_columns = 0;  // of the lattice with its margin
  std::vector<std::int32_t> slot;       // (tile_rows, tile_columns): place in `scores`, -1 where no vote fell
  std::vector<std::int32_t> touched;    // tiles with a slot, in the order of their slots
  std::vector<float> highest;           // (slots) no score of the tile is above it
  std::vector<float> scores;            // (slots or more, kTile, kTile)

  // Empties the plane for a lattice of this size.
  void reset(int lattice_rows, int lattice_columns);
  // Gives a tile a slot and returns its scores, for the caller to fill.
  float* add(int tile);
  // Score at a lattice point; row and column from -1 to rows and columns.
  float at(int row, int column) const {
    const int i = row + 1, j = column + 1;
    const std::int32_t s = slot[static_cast<std::size_t>(i / kTile) * tile_columns + j / kTile];
    return s < 0 ? 0.0F : scores[static_cast<std::size_t>(s) * kTilePoints + (i % kTile) * kTile + j % kTile];
  }
};

}  // namespace personlab

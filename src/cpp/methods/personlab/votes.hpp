// Sums of the Hough votes for one keypoint type, in sparse tiles of fixed-point numbers: the same in any order of the
// votes.
#pragma once

#include <cstdint>
#include <vector>

#include "methods/personlab/hough_plane.hpp"
#include "methods/personlab/kernels.hpp"

namespace personlab {

// Sums are packed: 32 bits for each of two neighbouring points in one 64-bit number, so that a vote takes two
// additions. Where one of them overflows, `compute_scores` returns false, and the votes have to be cast again into wide
// sums, 64 bits a point.
class VoteSums {
 public:
  // Empties the sums for the lattice of a plane.
  void reset(const HoughPlane& plane, bool wide);
  // Target of votes that do not count.
  std::int32_t discard() const { return discard_tile_ * HoughPlane::kTilePoints; }
  // Adds computed votes; `total` is the sum of their weights.
  void add(const VoteBatch& batch, std::uint32_t total);
  // Adds the sums of other votes on the same lattice, in the same unit.
  void merge(const VoteSums& other);
  // Fills the plane with scores in units of `scale`; returns false where sums have overflowed.
  bool compute_scores(double scale, HoughPlane& plane) const;

 private:
  // Either 17 rows of 16 packed sums or 17 rows of 17 wide ones: row 16 and column 16 are the neighbours' first.
  static constexpr int kSums = 17 * 17;

  void reserve(std::size_t tiles);
  std::uint64_t* sums_of(std::int32_t tile);
  void allocate(std::int32_t tile);
  void add_packed(const VoteBatch& batch);
  void add_wide(const VoteBatch& batch);
  TileSums neighbourhood(std::int32_t tile, int tile_columns) const;
  bool overlaps(const std::uint64_t* own, int down, int across) const;
  void add_tiles(HoughPlane& plane) const;

  bool wide_ = false;
  double total_ = 0.0;                 // of all votes, fixed point
  std::int32_t discard_tile_ = 0;      // the tile behind the last, for votes that do not count
  std::vector<std::int32_t> first_;    // (tiles + 1) index of a tile's first sum, -1 without votes
  std::vector<std::int32_t> touched_;  // tiles with votes
  std::vector<std::uint64_t> sums_;    // (1 + touched or more, kSums); the first tile stays 0
};

}  // namespace personlab

// Where Hough votes for one keypoint type are summed: sparse tiles of fixed-point numbers, so that the sums do not depend on
// the order of the votes.
#pragma once

#include <cstdint>
#include <vector>

#include "methods/personlab/hough_plane.hpp"
#include "methods/personlab/kernels.hpp"

namespace personlab {

// Sums are packed: 32 bits for each of two neighbouring points in one 64-bit number, so that a vote takes two additions. Should
// one of them overflow, `collect` tells, and the votes have to be cast again into wide sums, a whole number for each point.
class VoteSums {
 public:
  // Empties the sums for the lattice of a plane.
  void reset(const HoughPlane& plane, bool wide);
  // `at` of votes that do not count.
  std::int32_t nowhere() const { return nowhere_ * HoughPlane::kTilePoints; }
  // Adds votes that the kernels have worked out; `total` is the sum of all that they add.
  void add(const Ballots& ballots, std::uint32_t total);
  // Adds what other votes on the same lattice, cast in the same unit, have come to.
  void merge(const VoteSums& other);
  // Fills the plane with scores in units of `scale`; false where sums have overflowed.
  bool collect(double scale, HoughPlane& plane) const;

 private:
  // Either 17 rows of 16 packed sums or 17 rows of 17 wide ones: row 16 and column 16 are the neighbours' first.
  static constexpr int kSums = 17 * 17;

  void make_room(std::size_t tiles);
  std::uint64_t* sums_of(std::int32_t tile);
  void claim(std::int32_t tile);
  void add_packed(const Ballots& ballots);
  void add_wide(const Ballots& ballots);
  TileSums around(std::int32_t tile, int tile_columns) const;
  bool reaches(const std::uint64_t* own, int down, int across) const;
  void find_tiles(HoughPlane& plane) const;

  bool wide_ = false;
  double total_ = 0.0;                // of all votes, fixed point
  std::int32_t nowhere_ = 0;          // the tile behind the last, for votes that do not count
  std::vector<std::int32_t> first_;   // (tiles + 1) index of a tile's first sum, -1 where no vote fell
  std::vector<std::int32_t> touched_;  // tiles where votes fell
  std::vector<std::uint64_t> sums_;   // (1 + touched or more, kSums); the first tile stays 0
};

}  // namespace personlab

// The size of the tiles that Hough scores and votes are stored in, for every file that counts in them.
#pragma once

namespace personlab {

constexpr int kHoughTileShift = 4;
constexpr int kHoughTile = 1 << kHoughTileShift;  // lattice points a side

}  // namespace personlab

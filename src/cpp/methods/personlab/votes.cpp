// Sums Hough votes, and computes scores from the sums.
#include "methods/personlab/votes.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace personlab {
namespace {

constexpr int kTile = HoughPlane::kTile;
constexpr int kTilePoints = HoughPlane::kTilePoints;
constexpr int kWide = kTile + 1;  // wide sums in a row
constexpr int kIndexBits = 2 * kHoughTileShift;

// `Kernels::score_tile` for wide sums.
TileTotal score_wide_tile(const TileSums& sums, double scale, float* scores) {
  float highest = 0.0F;
  for (int i = 0; i < kTile; ++i) {
    for (int j = 0; j < kTile; ++j) {
      std::uint64_t sum = sums.own[i * kWide + j];
      if (j == 0) sum += sums.left[i * kWide + kTile];
      if (i == 0) sum += sums.above[kTile * kWide + j];
      if (i == 0 && j == 0) sum += sums.corner[kTile * kWide + kTile];
      const auto score = static_cast<float>(static_cast<double>(sum) * scale);
      scores[i * kTile + j] = score;
      highest = std::max(highest, score);
    }
  }
  return {highest, 0.0};
}

// Clears the part of a tile that lies in the margin around the lattice.
void clear_margin(int tile, const HoughPlane& plane, float* scores) {
  const int i0 = tile / plane.tile_columns * kTile, j0 = tile % plane.tile_columns * kTile;
  if (i0 > 0 && j0 > 0 && i0 + kTile <= plane.rows + 1 && j0 + kTile <= plane.columns + 1) return;
  for (int i = 0; i < kTile; ++i)
    for (int j = 0; j < kTile; ++j)
      if (i0 + i < 1 || i0 + i > plane.rows || j0 + j < 1 || j0 + j > plane.columns) scores[i * kTile + j] = 0.0F;
}

}  // namespace

void VoteSums::reset(const HoughPlane& plane, bool wide) {
  const std::int32_t tiles = plane.tile_rows * plane.tile_columns;
  if (first_.size() != static_cast<std::size_t>(tiles) + 1) {
    first_.assign(static_cast<std::size_t>(tiles) + 1, -1);
  } else {
    for (const std::int32_t tile : touched_) first_[static_cast<std::size_t>(tile)] = -1;
  }
  touched_.clear();
  discard_tile_ = tiles;
  wide_ = wide;
  total_ = 0.0;
}

void VoteSums::allocate(std::int32_t tile) {
  touched_.push_back(tile);
  const std::size_t first = touched_.size() * kSums;
  first_[static_cast<std::size_t>(tile)] = static_cast<std::int32_t>(first);
  std::memset(sums_.data() + first, 0, kSums * sizeof(std::uint64_t));
}

// Memory for new tiles comes first: allocating one must not fail half-way.
void VoteSums::reserve(std::size_t tiles) {
  const std::size_t size = touched_.size() + tiles;
  if (touched_.capacity() < size) touched_.reserve(2 * size);
  if (sums_.size() < (size + 1) * kSums) sums_.resize((2 * size + 1) * kSums, 0);
}

void VoteSums::add(const VoteBatch& batch, std::uint32_t total) {
  reserve(static_cast<std::size_t>(batch.count));  // each vote may need a tile
  total_ += static_cast<double>(total);
  wide_ ? add_wide(batch) : add_packed(batch);
}

inline std::uint64_t* VoteSums::sums_of(std::int32_t tile) {
  if (first_[static_cast<std::size_t>(tile)] < 0) allocate(tile);
  return sums_.data() + first_[static_cast<std::size_t>(tile)];
}

void VoteSums::add_packed(const VoteBatch& batch) {
  for (int i = 0; i < batch.count; ++i) {
    std::uint64_t* const to = sums_of(batch.target[i] >> kIndexBits) + (batch.target[i] & (kTilePoints - 1));
    to[0] += batch.upper[i];
    to[kTile] += batch.lower[i];
  }
}

void VoteSums::add_wide(const VoteBatch& batch) {
  for (int i = 0; i < batch.count; ++i) {
    const std::int32_t index = batch.target[i] & (kTilePoints - 1);
    std::uint64_t* const to = sums_of(batch.target[i] >> kIndexBits) + index + index / kTile;
    const std::uint64_t upper = batch.upper[i], lower = batch.lower[i];
    to[0] += upper & 0xffffffffU;
    to[1] += upper >> 32;
    to[kWide] += lower & 0xffffffffU;
    to[kWide + 1] += lower >> 32;
  }
}

void VoteSums::merge(const VoteSums& other) {
  reserve(other.touched_.size());
  for (const std::int32_t tile : other.touched_) {
    std::uint64_t* const to = sums_of(tile);
    const std::uint64_t* const from = other.sums_.data() + other.first_[static_cast<std::size_t>(tile)];
    for (int i = 0; i < kSums; ++i) to[i] += from[i];
  }
  total_ += other.total_;
}

// Whether votes of a tile count for the neighbour so many tiles below and to the right.
bool VoteSums::overlaps(const std::uint64_t* own, int down, int across) const {
  std::uint64_t any = 0;
  const int pitch = wide_ ? kWide : kTile;
  const int i0 = down != 0 ? kTile : 0, i1 = down != 0 ? kTile : kTile - 1;
  if (wide_ || across == 0) {
    const int j0 = across != 0 ? kTile : 0, j1 = across != 0 ? kTile : kTile - 1;
    for (int i = i0; i <= i1; ++i)
      for (int j = j0; j <= j1; ++j) any |= own[i * pitch + j];
  } else {
    for (int i = i0; i <= i1; ++i) any |= own[i * pitch + kTile - 1] >> 32;
  }
  return any != 0;
}

// Adds each tile to the plane that votes count for.
void VoteSums::add_tiles(HoughPlane& plane) const {
  const auto add = [&](std::int32_t tile) {
    if (plane.slot[static_cast<std::size_t>(tile)] < 0) plane.add(tile);
  };
  for (const std::int32_t tile : touched_) {
    if (tile == discard_tile_) continue;
    const std::uint64_t* own = sums_.data() + first_[static_cast<std::size_t>(tile)];
    add(tile);
    if (overlaps(own, 0, 1)) add(tile + 1);
    if (overlaps(own, 1, 0)) add(tile + plane.tile_columns);
    if (overlaps(own, 1, 1)) add(tile + plane.tile_columns + 1);
  }
}

TileSums VoteSums::neighbourhood(std::int32_t tile, int tile_columns) const {
  const auto sums = [&](bool exists, std::int32_t other) {
    const std::int32_t first = exists ? first_[static_cast<std::size_t>(other)] : -1;
    return sums_.data() + std::max(first, 0);
  };
  const bool left = tile % tile_columns > 0, above = tile >= tile_columns;
  return {sums(true, tile), sums(left, tile - 1), sums(above, tile - tile_columns),
          sums(left && above, tile - tile_columns - 1)};
}

bool VoteSums::compute_scores(double scale, HoughPlane& plane) const {
  add_tiles(plane);
  double sum = 0.0;
  for (std::size_t s = 0; s < plane.touched.size(); ++s) {
    const std::int32_t tile = plane.touched[s];
    float* const scores = plane.scores.data() + s * kTilePoints;
    const TileSums sums = neighbourhood(tile, plane.tile_columns);
    const TileTotal total =
        wide_ ? score_wide_tile(sums, scale, scores) : kernels().score_tile(sums, static_cast<float>(scale), scores);
    plane.highest[s] = total.highest;
    sum += total.sum;
    clear_margin(tile, plane, scores);
  }
  // Each overflow takes at least 2^32 - 1 away from the sum; rounding to float32 does not come near half of that.
  return wide_ || std::abs(sum - total_) < 2147483648.0;
}

}  // namespace personlab

// The kernels of mask association: points that follow offsets, distances, and probabilities. Part of kernels_isa.cpp,
// and compiled with it.
#pragma once

#include <math.h>

#include <cstddef>
#include <cstdint>

#include "base/sampling.hpp"
#include "methods/personlab/kernels.hpp"
#include "simd/floats.hpp"

namespace personlab {
namespace PERSONLAB_KERNELS {
namespace {

// A register of coordinates of points, and what `follow_points` does with it. AVX-512 gains nothing here: what takes
// the time is fetching single cells.
#if defined(__AVX2__)
using Points = F32x8;
using PointCells = I32x8;
#else
using Points = F32x4;
using PointCells = I32x4;
#endif

constexpr int kPointLanes = Register<Points>::kLanes;

static_assert(kPointGroup % kPointLanes == 0 && kPointChunk % kLanes == 0);

// The pairs of cells, and of those to the right of them.
struct CellPairs {
  Points x, y, right_x, right_y;
};

// Loads those of a register of places: at(i) is that of the i-th.
#if defined(__AVX2__)

template <typename At>
PERSONLAB_INLINE CellPairs load_pairs(const At& at) {
  const auto two = [&at](int i) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(at(i))), _mm_loadu_ps(at(i + 4)), 1);
  };
  const __m256 a = two(0), b = two(1), c = two(2), d = two(3);
  const __m256 ab = _mm256_unpacklo_ps(a, b), cd = _mm256_unpacklo_ps(c, d);
  const __m256 ab_right = _mm256_unpackhi_ps(a, b), cd_right = _mm256_unpackhi_ps(c, d);
  return {_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee), _mm256_shuffle_ps(ab_right, cd_right, 0x44),
          _mm256_shuffle_ps(ab_right, cd_right, 0xee)};
}

#else

template <typename At>
PERSONLAB_INLINE CellPairs load_pairs(const At& at) {
  F32x4 rows[4] = {load<F32x4>(at(0)), load<F32x4>(at(1)), load<F32x4>(at(2)), load<F32x4>(at(3))};
  transpose(rows);
  return {rows[0], rows[1], rows[2], rows[3]};
}

#endif

// Where points lie on the grid.
struct alignas(64) PointSites {
  PointChunk t;       // in [0, 1] from their cells
  PointChunk beyond;  // outside the grid, an offset being that of the border
  std::int32_t cell[kPointChunk];
};

PERSONLAB_INLINE PointCells place(Points at, float cells, const Pairs& pairs, float* t, float* beyond) {
  const auto c =
      min(max(at * broadcast<Points>(pairs.inverse_stride), broadcast<Points>(0.0F)), broadcast<Points>(cells - 1));
  const PointCells cell = to_int(min(c, broadcast<Points>(cells - 2)));
  store(c - to_float(cell), t);
  store(at - c * broadcast<Points>(pairs.stride), beyond);
  return cell;
}

// All points before any cell is fetched: no fetch waits for this.
void place_points(const Pairs& pairs, int n, const PointChunk& points, PointSites& sites) {
  const Pairs grid = pairs;
  const auto w = static_cast<float>(grid.w), h = static_cast<float>(grid.h);
  for (int i = 0; i < n; i += kPointLanes) {
    const PointCells column = place(load<Points>(points.x + i), w, grid, sites.t.x + i, sites.beyond.x + i);
    const PointCells row = place(load<Points>(points.y + i), h, grid, sites.t.y + i, sites.beyond.y + i);
    store(row * grid.w + column, sites.cell + i);
  }
}

void follow_points(const Pairs& pairs, int steps, int n, PointChunk& points) {
  const float *upper_row = pairs.data, *lower_row = pairs.data + 2 * std::ptrdiff_t{pairs.w};
  const auto one = broadcast<Points>(1.0F);
  PointSites sites;
  for (int step = 0; step < steps; ++step) {
    place_points(pairs, n, points, sites);
    for (int i = 0; i < n; i += kPointLanes) {
      const auto tx = load<Points>(sites.t.x + i), ty = load<Points>(sites.t.y + i), sx = one - tx, sy = one - ty;
      const std::int32_t* cell = sites.cell + i;
      const CellPairs upper = load_pairs([=](int j) { return upper_row + 2 * std::ptrdiff_t{cell[j]}; });
      const CellPairs lower = load_pairs([=](int j) { return lower_row + 2 * std::ptrdiff_t{cell[j]}; });
      const auto x = (sy * upper.x + ty * lower.x) * sx + (sy * upper.right_x + ty * lower.right_x) * tx;
      const auto y = (sy * upper.y + ty * lower.y) * sx + (sy * upper.right_y + ty * lower.right_y) * tx;
      store(load<Points>(sites.beyond.x + i) + x, points.x + i);
      store(load<Points>(sites.beyond.y + i) + y, points.y + i);
    }
  }
}

void follow_in_cell(const Pairs& pairs, int column, int row, int n, const PointChunk& t, PointChunk& points) {
  const std::ptrdiff_t pitch = static_cast<std::ptrdiff_t>(pairs.w) * 2;
  const float *cell = pairs.data + row * pitch + 2 * column, *below = cell + pitch;
  float* const to[2] = {points.x, points.y};
  for (int axis = 0; axis < 2; ++axis) {
    const auto upper_left = broadcast<Floats>(cell[axis]), upper_right = broadcast<Floats>(cell[axis + 2]);
    const auto lower_left = broadcast<Floats>(below[axis]), lower_right = broadcast<Floats>(below[axis + 2]);
    const auto one = broadcast<Floats>(1.0F);
    for (int i = 0; i < n; i += kLanes) {
      const auto tx = load<Floats>(t.x + i), ty = load<Floats>(t.y + i), sy = one - ty;
      const auto left = sy * upper_left + ty * lower_left, right = sy * upper_right + ty * lower_right;
      store((one - tx) * left + tx * right, to[axis] + i);
    }
  }
}

void add_distances(const Target* targets, int n_poses, const std::int32_t* listed, int n, const PointChunk& points,
                   PointSums* sums, PointBits* bits) {
  for (int j = 0; j < n_poses; ++j) {
    const Target& target = targets[listed[j]];
    const auto x = broadcast<Points>(target.x), y = broadcast<Points>(target.y);
    const auto weight = broadcast<Points>(target.weight);
    const auto low = broadcast<Points>(target.low), high = broadcast<Points>(target.high);
    const bool counts = target.weight != 0.0F;
    float* sum = sums[listed[j]].of;
    PointBits own{};
    for (int i = 0; i < n; i += kPointLanes) {
      auto total = load<Points>(sum + i);
      if (counts) {
        const auto dx = load<Points>(points.x + i) - x, dy = load<Points>(points.y + i) - y;
        total = total + weight * sqrt(dx * dx + dy * dy);
        store(total, sum + i);
      }
      const std::uint64_t within = mask_bits(cmp_le(total, low)), below = mask_bits(cmp_le(total, high));
      own.within |= within << i;
      own.open |= (below & ~within) << i;
    }
    bits[listed[j]] = own;
  }
}

void keep_points(std::uint64_t bits, float* values) {
  float* to = values;
#if defined(__AVX512F__)
  for (; bits != 0; bits >>= kLanes, values += kLanes) {
    const auto some = static_cast<__mmask16>(bits);
    store(F32x16(_mm512_maskz_compress_ps(some, load<F32x16>(values))), to);
    to += __builtin_popcount(some);
  }
#else
  for (; bits != 0; bits >>= 1, ++values) {
    *to = *values;
    to += bits & 1;
  }
#endif
}

bool read_person_probabilities(const float* upper, const float* lower, float t, int n, std::uint32_t* probability) {
  const Floats s = broadcast<Floats>(1.0F - t), below = broadcast<Floats>(t), zero = broadcast<Floats>(0.0F);
  Floats nothing = zero;  // stays 0 while all logits are finite
  for (int i = 0; i < n; i += kLanes) {
    const Floats logit = s * load<Floats>(upper + i) + below * load<Floats>(lower + i);
    nothing = nothing + (logit - logit);
    std::int32_t whole[kLanes];
    store(to_int(sigmoid(logit) * broadcast<Floats>(kPersonUnit)), whole);
    for (int j = 0; j < kLanes; ++j) probability[i + j] = static_cast<std::uint32_t>(whole[j]);
  }
  return all(cmp_ge(nothing, zero));
}

void sum_masked(const std::uint8_t* mask, const std::uint32_t* values, int n, std::uint64_t& total,
                std::uint64_t& count) {
  constexpr int kMax = 128;  // values whose sum fits into 32 bits
  for (int first = 0; first < n; first += kMax) {
    const int last = n - first < kMax ? n : first + kMax;
    std::uint32_t sum = 0, number = 0;
    for (int i = first; i < last; ++i) {
      const std::uint32_t held = mask[i] != 0 ? 1 : 0;
      sum += values[i] & (0U - held);
      number += held;
    }
    total += sum;
    count += number;
  }
}

}  // namespace
}  // namespace PERSONLAB_KERNELS
}  // namespace personlab

// The kernels, compiled once for each instruction set under a namespace of its own.
//
// Nothing here may leave a function that the linker could share with code for other processors: hence no standard containers,
// and sampling.hpp with internal linkage.
#define PERSONLAB_HD static inline
#include "methods/personlab/kernels.hpp"

#include <cstddef>
#include <limits>

#include "base/disc.hpp"
#include "methods/personlab/masks/kernels.hpp"
#include "base/sampling.hpp"
#include "simd/floats.hpp"

namespace personlab {
namespace PERSONLAB_KERNELS {
namespace {

// Bits of 64 values that are at least `lowest`.
template <typename T>
std::uint64_t find64(const T* values, float lowest) {
  std::uint64_t bits = 0;
  for (int i = 0; i < 64; i += kLanes)
    bits |= std::uint64_t{mask_bits(cmp_ge(load<Floats>(values + i), broadcast<Floats>(lowest)))} << i;
  return bits;
}

template <typename T>
bool find(const T* values, std::size_t n, float lowest, std::uint64_t* bits) {
  std::uint64_t any = 0;
  std::size_t i = 0;
  for (; i + 64 <= n; i += 64) any |= *bits++ = find64(values + i, lowest);
  if (i < n) {
    std::uint64_t last = 0;
    for (std::size_t j = i; j < n; ++j) last |= static_cast<std::uint64_t>(to_float32(values[j]) >= lowest) << (j - i);
    any |= *bits = last;
  }
  return any != 0;
}

// Those of 64 cells of a plane w wide, given as bits, that have a larger neighbour, wherever rows begin and end; maybe others.
template <typename T>
std::uint64_t beaten64(const T* values, std::ptrdiff_t w, std::uint64_t cells) {
  constexpr std::uint64_t kRegister = (std::uint64_t{1} << kLanes) - 1;
  std::uint64_t bits = 0;
  for (int i = 0; i < 64; i += kLanes) {
    if ((cells >> i & kRegister) == 0) continue;
    const T* at = values + i;
    const Floats own = load<Floats>(at);
    const auto above = [own](const T* others) { return mask_bits(cmp_gt(load<Floats>(others), own)); };
    unsigned beaten = above(at - 1) | above(at + 1);
    for (const T* row = at - w; row <= at + w; row += 2 * w) beaten |= above(row - 1) | above(row) | above(row + 1);
    bits |= static_cast<std::uint64_t>(beaten) << i;
  }
  return bits;
}

// Those of 64 cells, the first of them `first`, given as bits, that have a larger neighbour; any cells of the plane.
template <typename T>
std::uint64_t beaten_slowly(const T* values, int h, int w, std::ptrdiff_t first, std::uint64_t cells) {
  std::uint64_t bits = 0;
  for (int bit = 0; bit < 64 && cells >> bit != 0; ++bit) {
    if ((cells >> bit & 1) == 0) continue;
    const std::ptrdiff_t cell = first + bit, i = cell / w, j = cell % w;
    bool beaten = false;
    for (std::ptrdiff_t row = i - (i > 0 ? 1 : 0); row <= i + (i < h - 1 ? 1 : 0); ++row)
      for (std::ptrdiff_t column = j - (j > 0 ? 1 : 0); column <= j + (j < w - 1 ? 1 : 0); ++column)
        beaten = beaten || to_float32(values[row * w + column]) > to_float32(values[cell]);
    bits |= static_cast<std::uint64_t>(beaten) << bit;
  }
  return bits;
}

template <typename T>
void thin(const T* values, int h, int w, std::uint64_t* bits) {
  const std::ptrdiff_t cells = static_cast<std::ptrdiff_t>(h) * w;
  std::ptrdiff_t row = 0;  // the first cell of the last row that begins at or before the word
  for (std::ptrdiff_t i = 0; i < cells; i += 64, ++bits) {
    if (*bits == 0) continue;
    std::uint64_t apart = *bits;  // cells whose neighbours do not lie around them in memory
    if (i >= w + 1 && i + 64 + w + 1 <= cells) {
      while (row + w <= i) row += w;
      std::uint64_t border = 0;  // cells of the first and the last column
      for (std::ptrdiff_t start = row; start <= i + 64; start += w) {
        if (start >= i && start < i + 64) border |= std::uint64_t{1} << (start - i);
        if (start > i) border |= std::uint64_t{1} << (start - 1 - i);
      }
      apart &= border;
      *bits &= ~beaten64(values + i, w, *bits) | border;
    }
    *bits &= ~beaten_slowly(values, h, w, i, apart);
  }
}

template <typename T>
void to_float32_all(const T* values, std::size_t n, float* to) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(load<Floats>(values + i), to + i);
  for (; i < n; ++i) to[i] = to_float32(values[i]);
}

// Four cells of a plane, each in all lanes.
struct Corners {
  Floats a, b, c, d;
  template <typename T>
  Corners(const T* cell, std::ptrdiff_t right, std::ptrdiff_t below)
      : a(broadcast<Floats>(to_float32(cell[0]))),
        b(broadcast<Floats>(to_float32(cell[right]))),
        c(broadcast<Floats>(to_float32(cell[below]))),
        d(broadcast<Floats>(to_float32(cell[below + right]))) {}
  Floats read(const CellPoints& points, int i) const {
    return (load<Floats>(points.weight[0] + i) * a + load<Floats>(points.weight[1] + i) * b) +
           (load<Floats>(points.weight[2] + i) * c + load<Floats>(points.weight[3] + i) * d);
  }
};

template <typename T>
bool sample(const T* const cells[3], std::ptrdiff_t right, std::ptrdiff_t below, const CellPoints& points,
            std::int32_t column, std::int32_t row, float lowest, Ballots& ballots) {
  const Corners logits(cells[0], right, below), xs(cells[1], right, below), ys(cells[2], right, below);
  const Floats low = broadcast<Floats>(lowest);
  Floats nothing = broadcast<Floats>(0.0F);  // stays 0 while all that was read is finite
  int count = ballots.count;
  for (int i = 0; i < points.count; i += kLanes) {
    const Floats logit = logits.read(points, i);
    nothing = nothing + (logit - logit);
    if (!any(cmp_ge(logit, low))) continue;
    const Floats dx = xs.read(points, i), dy = ys.read(points, i);
    nothing = nothing + ((dx - dx) + (dy - dy));
    store(logit, ballots.logit + count);
    store(dx, ballots.dx + count);
    store(dy, ballots.dy + count);
    for (int j = 0; j < kLanes; ++j) {
      ballots.column[count + j] = points.column[i + j] + column;
      ballots.row[count + j] = points.row[i + j] + row;
    }
    count += kLanes < points.count - i ? kLanes : points.count - i;
  }
  if (!all(cmp_ge(nothing, broadcast<Floats>(0.0F)))) return false;
  ballots.count = count;
  return true;
}

// The whole number below an offset in lattice points, and what is left of it. What is not finite or absurdly far will end up
// outside the lattice.
Floats split(Floats offset, std::int32_t* whole) {
  const Floats far = broadcast<Floats>(1048576.0F);
  const Floats bounded = min(max(offset, broadcast<Floats>(0.0F) - far), far), below = floor(bounded);
  store(to_int(below), whole);
  return bounded - below;
}

// Rounds votes.
void store_votes(Floats votes, std::int32_t* to) { store(to_int(votes + broadcast<Floats>(0.5F)), to); }

// Where votes fall, relative to the voter: as precise at the far corner of a large image as at the near one; and what each of
// the four points gets.
void aim(Ballots& ballots, float inverse_g, float unit) {
  const Floats one = broadcast<Floats>(1.0F);
  for (int i = 0; i < ballots.count; i += kLanes) {
    const Floats fx = split(load<Floats>(ballots.dx + i) * broadcast<Floats>(inverse_g), ballots.left + i);
    const Floats fy = split(load<Floats>(ballots.dy + i) * broadcast<Floats>(inverse_g), ballots.top + i);
    const Floats weight = sigmoid(load<Floats>(ballots.logit + i)) * broadcast<Floats>(unit);
    const Floats upper = weight * (one - fy), lower = weight * fy;
    store_votes(upper * (one - fx), ballots.vote[0] + i);
    store_votes(upper * fx, ballots.vote[1] + i);
    store_votes(lower * (one - fx), ballots.vote[2] + i);
    store_votes(lower * fx, ballots.vote[3] + i);
  }
}

std::uint32_t work_out(Ballots& ballots, const VotingLattice& lattice) {
  constexpr int kShift = kHoughTileShift;
  constexpr std::int32_t kInside = kHoughTile - 1;
  const VotingLattice to = lattice;
  std::uint32_t total = 0;
  for (; ballots.count % kLanes != 0; ++ballots.count)  // a whole register, of which the rest does not vote
    ballots.logit[ballots.count] = -std::numeric_limits<float>::infinity();
  aim(ballots, to.inverse_g, to.unit);
  const int count = ballots.count;
  for (int i = 0; i < count; ++i) {
    const std::int32_t column = ballots.column[i] + ballots.left[i] + 1, row = ballots.row[i] + ballots.top[i] + 1;
    std::int32_t out = ballots.logit[i] >= to.lowest ? 0 : -1;
    out |= column | row | (to.columns - column) | (to.rows - row);  // negative where anything is
    const std::int32_t counts = ~(out >> 31);
    const std::int32_t tile = (row >> kShift) * to.tile_columns + (column >> kShift);
    const std::int32_t place = ((row & kInside) << kShift) + (column & kInside);
    ballots.at[i] = counts != 0 ? (tile << 2 * kShift) + place : to.nowhere + i;
    const auto a = static_cast<std::uint32_t>(ballots.vote[0][i] & counts);
    const auto b = static_cast<std::uint32_t>(ballots.vote[1][i] & counts);
    const auto c = static_cast<std::uint32_t>(ballots.vote[2][i] & counts);
    const auto d = static_cast<std::uint32_t>(ballots.vote[3][i] & counts);
    ballots.upper[i] = a | static_cast<std::uint64_t>(b) << 32;
    ballots.lower[i] = c | static_cast<std::uint64_t>(d) << 32;
    total += a + b + c + d;
  }
  return total;
}

TileTotal gather(const TileSums& sums, float scale, float* scores) {
  constexpr int kTile = kHoughTile, kPoints = kTile * kTile;
  const auto left = [](std::uint64_t sum) { return static_cast<std::uint32_t>(sum); };
  const auto right = [](std::uint64_t sum) { return static_cast<std::uint32_t>(sum >> 32); };
  std::uint32_t points[kPoints];  // modulo 2^32
  points[0] = left(sums.own[0]);
  for (int p = 1; p < kPoints; ++p) points[p] = left(sums.own[p]) + right(sums.own[p - 1]);
  for (int p = kTile; p < kPoints; p += kTile) points[p] -= right(sums.own[p - 1]);  // that was the end of the row above
  for (int p = 0; p < kPoints; p += kTile) points[p] += right(sums.left[p + kTile - 1]);
  for (int p = 0; p < kTile; ++p) points[p] += left(sums.above[kPoints + p]);
  for (int p = 1; p < kTile; ++p) points[p] += right(sums.above[kPoints + p - 1]);
  points[0] += right(sums.corner[kPoints + kTile - 1]);

  Floats total = broadcast<Floats>(0.0F), highest = broadcast<Floats>(0.0F);
  for (int p = 0; p < kPoints; p += kLanes) {
    const Floats sum = to_float(load<Ints>(points + p)), score = sum * broadcast<Floats>(scale);
    total = total + sum;
    highest = max(highest, score);
    store(score, scores + p);
  }
  float lanes[2][kLanes];
  store(total, lanes[0]);
  store(highest, lanes[1]);
  TileTotal result{0.0F, 0.0};
  for (int j = 0; j < kLanes; ++j) {
    result.sum += static_cast<double>(lanes[0][j]);
    result.highest = lanes[1][j] > result.highest ? lanes[1][j] : result.highest;
  }
  return result;
}

void lay_out(int first, int g, double centre, int n, float inverse, float* weight, float* distance, float* distance2) {
  const auto start = static_cast<float>(static_cast<double>(first) * g - centre);
  for (int i = 0; i < n; ++i) {
    distance[i] = disc_distance(first + i, g, centre);
    distance2[i] = distance[i] * distance[i];
    const float from_start = start + static_cast<float>(i * g);  // near enough for a weight
    weight[i] = from_start * from_start;
  }
  for (int i = 0; i < n; i += kLanes)
    store(exp(broadcast<Floats>(0.0F) - load<Floats>(weight + i) * broadcast<Floats>(inverse)), weight + i);
}

void sum_disc(const float* scores, int n, DiscAxis rows, DiscAxis columns, float radius2, DiscSums& sums) {
  constexpr int kTile = kHoughTile;
  const Floats zero = broadcast<Floats>(0.0F);
  float weight[kTile], oks[kTile];
  for (int j = 0; j < kTile; j += kLanes) {
    const Floats distance2 = load<Floats>(columns.distance2 + j), column_oks = load<Floats>(columns.weight + j);
    Floats weight_sum = zero, oks_sum = zero;
    for (int i = 0; i < n; ++i) {
      const Floats edge = broadcast<Floats>(radius2 - rows.distance2[i]);  // as `in_disc` has it
      const Floats h = select(cmp_le(distance2, edge), load<Floats>(scores + i * kTile + j), zero);
      weight_sum = weight_sum + h;
      oks_sum = oks_sum + h * broadcast<Floats>(rows.weight[i]);
    }
    store(weight_sum, weight + j);
    store(oks_sum * column_oks, oks + j);
  }
  for (int j = 0; j < kTile; ++j) {
    sums.weight[j] += static_cast<double>(weight[j]);
    sums.oks[j] += static_cast<double>(oks[j]);
  }
}

void sum_shift(const float* scores, int n, DiscAxis rows, DiscAxis columns, float radius2, ShiftSums& sums) {
  constexpr int kTile = kHoughTile;
  const Floats zero = broadcast<Floats>(0.0F);
  float mass[kTile], x[kTile], y[kTile];
  for (int j = 0; j < kTile; j += kLanes) {
    const Floats distance2 = load<Floats>(columns.distance2 + j), column = load<Floats>(columns.weight + j);
    Floats mass_sum = zero, y_sum = zero;
    for (int i = 0; i < n; ++i) {
      const Floats score = max(load<Floats>(scores + i * kTile + j), zero);
      const Floats edge = broadcast<Floats>(radius2 - rows.distance2[i]);
      const Floats h = select(cmp_le(distance2, edge), score, zero) * broadcast<Floats>(rows.weight[i]);
      mass_sum = mass_sum + h;
      y_sum = y_sum + h * broadcast<Floats>(rows.distance[i]);
    }
    mass_sum = mass_sum * column;
    store(mass_sum, mass + j);
    store(mass_sum * load<Floats>(columns.distance + j), x + j);
    store(y_sum * column, y + j);
  }
  for (int j = 0; j < kTile; ++j) {
    sums.mass[j] += static_cast<double>(mass[j]);
    sums.x[j] += static_cast<double>(x[j]);
    sums.y[j] += static_cast<double>(y[j]);
  }
}

}  // namespace

extern const Kernels kKernels;
const Kernels kKernels{{&find, &thin, &sample, &to_float32_all},
                       {&find, &thin, &sample, &to_float32_all},
                       {&find, &thin, &sample, &to_float32_all},
                       &work_out,
                       &gather,
                       &lay_out,
                       &sum_disc,
                       &sum_shift,
                       &follow,
                       &follow_inside,
                       &follow_boxes,
                       &bound,
                       &measure,
                       &read_person,
                       &sum_marked};

}  // namespace PERSONLAB_KERNELS
}  // namespace personlab

// The kernels, compiled once for each instruction set under a namespace of its own.
//
// No function here may have external linkage, for the linker would share it with code for other processors: hence no
// standard containers, and sampling.hpp with internal linkage.
#define PERSONLAB_HD static inline
#include <cstddef>
#include <limits>

#include "base/disc.hpp"
#include "base/sampling.hpp"
#include "methods/personlab/kernels.hpp"
#include "methods/personlab/masks/box_kernels.hpp"
#include "methods/personlab/masks/kernels.hpp"
#include "simd/threshold.hpp"

namespace personlab {
namespace PERSONLAB_KERNELS {
namespace {

// The bits of those of 64 cells of a plane w wide that have a larger neighbour, as if rows went on; bits not in `cells`
// are undefined.
template <typename T>
std::uint64_t find_smaller64(const T* values, std::ptrdiff_t w, std::uint64_t cells) {
  constexpr std::uint64_t kRegister = (std::uint64_t{1} << kLanes) - 1;
  std::uint64_t bits = 0;
  for (int i = 0; i < 64; i += kLanes) {
    if ((cells >> i & kRegister) == 0) continue;
    const T* at = values + i;
    const Floats own = load<Floats>(at);
    const auto above = [own](const T* others) { return mask_bits(cmp_gt(load<Floats>(others), own)); };
    unsigned smaller = above(at - 1) | above(at + 1);
    for (const T* row = at - w; row <= at + w; row += 2 * w) smaller |= above(row - 1) | above(row) | above(row + 1);
    bits |= static_cast<std::uint64_t>(smaller) << i;
  }
  return bits;
}

// The same for any cells of the plane, one by one; `first` is the first of the 64.
template <typename T>
std::uint64_t find_smaller(const T* values, int h, int w, std::ptrdiff_t first, std::uint64_t cells) {
  std::uint64_t bits = 0;
  for (int bit = 0; bit < 64 && cells >> bit != 0; ++bit) {
    if ((cells >> bit & 1) == 0) continue;
    const std::ptrdiff_t cell = first + bit, i = cell / w, j = cell % w;
    bool smaller = false;
    for (std::ptrdiff_t row = i - (i > 0 ? 1 : 0); row <= i + (i < h - 1 ? 1 : 0); ++row)
      for (std::ptrdiff_t column = j - (j > 0 ? 1 : 0); column <= j + (j < w - 1 ? 1 : 0); ++column)
        smaller = smaller || to_float32(values[row * w + column]) > to_float32(values[cell]);
    bits |= static_cast<std::uint64_t>(smaller) << bit;
  }
  return bits;
}

template <typename T>
void suppress_non_maxima(const T* values, int h, int w, std::uint64_t* bits) {
  const std::ptrdiff_t cells = static_cast<std::ptrdiff_t>(h) * w;
  std::ptrdiff_t row = 0;  // the first cell of the last row that begins at or before the word
  for (std::ptrdiff_t i = 0; i < cells; i += 64, ++bits) {
    if (*bits == 0) continue;
    std::uint64_t apart = *bits;  // cells whose neighbours are not all around them in memory
    if (i >= w + 1 && i + 64 + w + 1 <= cells) {
      while (row + w <= i) row += w;
      std::uint64_t border = 0;  // cells of the first and the last column
      for (std::ptrdiff_t start = row; start <= i + 64; start += w) {
        if (start >= i && start < i + 64) border |= std::uint64_t{1} << (start - i);
        if (start > i) border |= std::uint64_t{1} << (start - 1 - i);
      }
      apart &= border;
      *bits &= ~find_smaller64(values + i, w, *bits) | border;
    }
    *bits &= ~find_smaller(values, h, w, i, apart);
  }
}

template <typename T>
void to_float32_all(const T* values, std::size_t n, float* to) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(load<Floats>(values + i), to + i);
  for (; i < n; ++i) to[i] = to_float32(values[i]);
}

// Four cells of a plane, each broadcast.
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
            std::int32_t column, std::int32_t row, float lowest, VoteBatch& batch) {
  const Corners logits(cells[0], right, below), xs(cells[1], right, below), ys(cells[2], right, below);
  const Floats low = broadcast<Floats>(lowest);
  Floats nothing = broadcast<Floats>(0.0F);  // stays 0 while all that was read is finite
  int count = batch.count;
  for (int i = 0; i < points.count; i += kLanes) {
    const Floats logit = logits.read(points, i);
    nothing = nothing + (logit - logit);
    if (!any(cmp_ge(logit, low))) continue;
    const Floats dx = xs.read(points, i), dy = ys.read(points, i);
    nothing = nothing + ((dx - dx) + (dy - dy));
    store(logit, batch.logit + count);
    store(dx, batch.dx + count);
    store(dy, batch.dy + count);
    for (int j = 0; j < kLanes; ++j) {
      batch.column[count + j] = points.column[i + j] + column;
      batch.row[count + j] = points.row[i + j] + row;
    }
    count += kLanes < points.count - i ? kLanes : points.count - i;
  }
  if (!all(cmp_ge(nothing, broadcast<Floats>(0.0F)))) return false;
  batch.count = count;
  return true;
}

// Splits an offset, in lattice points, into its floor and the rest. One that is not finite, or absurdly far, leads
// outside the lattice.
Floats split(Floats offset, std::int32_t* whole) {
  const Floats far = broadcast<Floats>(1048576.0F);
  const Floats bounded = min(max(offset, broadcast<Floats>(0.0F) - far), far), below = floor(bounded);
  store(to_int(below), whole);
  return bounded - below;
}

void store_rounded(Floats votes, std::int32_t* to) { store(to_int(votes + broadcast<Floats>(0.5F)), to); }

// Computes left, top and weight: the four points relative to the voter, as precise at the far corner of a large image
// as at the near one, and the bilinear weight of each.
void splat_weights(VoteBatch& batch, float inverse_g, float unit) {
  const Floats one = broadcast<Floats>(1.0F);
  for (int i = 0; i < batch.count; i += kLanes) {
    const Floats fx = split(load<Floats>(batch.dx + i) * broadcast<Floats>(inverse_g), batch.left + i);
    const Floats fy = split(load<Floats>(batch.dy + i) * broadcast<Floats>(inverse_g), batch.top + i);
    const Floats weight = sigmoid(load<Floats>(batch.logit + i)) * broadcast<Floats>(unit);
    const Floats upper = weight * (one - fy), lower = weight * fy;
    store_rounded(upper * (one - fx), batch.weight[0] + i);
    store_rounded(upper * fx, batch.weight[1] + i);
    store_rounded(lower * (one - fx), batch.weight[2] + i);
    store_rounded(lower * fx, batch.weight[3] + i);
  }
}

std::uint32_t compute_votes(VoteBatch& batch, const VoteLattice& lattice) {
  constexpr int kShift = kHoughTileShift;
  constexpr std::int32_t kInside = kHoughTile - 1;
  const VoteLattice to = lattice;
  std::uint32_t total = 0;
  for (; batch.count % kLanes != 0; ++batch.count)  // a whole register; what is added does not vote
    batch.logit[batch.count] = -std::numeric_limits<float>::infinity();
  splat_weights(batch, to.inverse_g, to.unit);
  const int count = batch.count;
  for (int i = 0; i < count; ++i) {
    const std::int32_t column = batch.column[i] + batch.left[i] + 1, row = batch.row[i] + batch.top[i] + 1;
    std::int32_t out = batch.logit[i] >= to.lowest ? 0 : -1;
    out |= column | row | (to.columns - column) | (to.rows - row);  // negative where anything is
    const std::int32_t counts = ~(out >> 31);
    const std::int32_t tile = (row >> kShift) * to.tile_columns + (column >> kShift);
    const std::int32_t place = ((row & kInside) << kShift) + (column & kInside);
    batch.target[i] = counts != 0 ? (tile << 2 * kShift) + place : to.discard + i;
    const auto a = static_cast<std::uint32_t>(batch.weight[0][i] & counts);
    const auto b = static_cast<std::uint32_t>(batch.weight[1][i] & counts);
    const auto c = static_cast<std::uint32_t>(batch.weight[2][i] & counts);
    const auto d = static_cast<std::uint32_t>(batch.weight[3][i] & counts);
    batch.upper[i] = a | static_cast<std::uint64_t>(b) << 32;
    batch.lower[i] = c | static_cast<std::uint64_t>(d) << 32;
    total += a + b + c + d;
  }
  return total;
}

TileTotal score_tile(const TileSums& sums, float scale, float* scores) {
  constexpr int kTile = kHoughTile, kTilePoints = kTile * kTile;
  const auto left = [](std::uint64_t sum) { return static_cast<std::uint32_t>(sum); };
  const auto right = [](std::uint64_t sum) { return static_cast<std::uint32_t>(sum >> 32); };
  std::uint32_t points[kTilePoints];  // modulo 2^32
  points[0] = left(sums.own[0]);
  for (int p = 1; p < kTilePoints; ++p) points[p] = left(sums.own[p]) + right(sums.own[p - 1]);
  for (int p = kTile; p < kTilePoints; p += kTile)
    points[p] -= right(sums.own[p - 1]);  // that is the end of the row above
  for (int p = 0; p < kTilePoints; p += kTile) points[p] += right(sums.left[p + kTile - 1]);
  for (int p = 0; p < kTile; ++p) points[p] += left(sums.above[kTilePoints + p]);
  for (int p = 1; p < kTile; ++p) points[p] += right(sums.above[kTilePoints + p - 1]);
  points[0] += right(sums.corner[kTilePoints + kTile - 1]);

  Floats total = broadcast<Floats>(0.0F), highest = broadcast<Floats>(0.0F);
  for (int p = 0; p < kTilePoints; p += kLanes) {
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

void fill_disc_axis(int first, int g, double centre, int n, float inverse, float* weight, float* distance,
                    float* distance2) {
  const auto start = static_cast<float>(static_cast<double>(first) * g - centre);
  for (int i = 0; i < n; ++i) {
    distance[i] = disc_distance(first + i, g, centre);
    distance2[i] = distance[i] * distance[i];
    const float from_start = start + static_cast<float>(i * g);  // close enough for a weight
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
      const Floats edge = broadcast<Floats>(radius2 - rows.distance2[i]);  // `in_disc`
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

void sum_mean_shift(const float* scores, int n, DiscAxis rows, DiscAxis columns, float radius2, ShiftSums& sums) {
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
const Kernels kKernels{{&threshold, &suppress_non_maxima, &sample, &to_float32_all},
                       {&threshold, &suppress_non_maxima, &sample, &to_float32_all},
                       {&threshold, &suppress_non_maxima, &sample, &to_float32_all},
                       &compute_votes,
                       &score_tile,
                       &fill_disc_axis,
                       &sum_disc,
                       &sum_mean_shift,
                       &follow_points,
                       &follow_in_cell,
                       &follow_boxes,
                       &bound_distances,
                       &add_distances,
                       &keep_points,
                       &read_person_probabilities,
                       &sum_masked};

}  // namespace PERSONLAB_KERNELS
}  // namespace personlab

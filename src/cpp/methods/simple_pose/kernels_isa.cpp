// The kernels of Simple Pose, compiled once for each instruction set; no function here may have external linkage.
#define PERSONLAB_HD static inline
#include <limits>

#include "methods/simple_pose/kernels.hpp"
#include "simd/f64.hpp"
#include "simd/threshold.hpp"

namespace personlab {
namespace PERSONLAB_KERNELS {
namespace {

using simple_pose::SampledLine;
using simple_pose::ShownCells;

constexpr float kMaxFloat = std::numeric_limits<float>::max();

// Bits of 64 cells from `cell` on: where the cell `step` further is finite and greater.
template <typename T>
std::uint64_t exceeded64(const T* cell, std::ptrdiff_t step) {
  const Floats limit = broadcast<Floats>(kMaxFloat);
  std::uint64_t bits = 0;
  for (int i = 0; i < 64; i += kLanes) {
    const Floats neighbour = load<Floats>(cell + i + step);
    const auto greater = mask_bits(cmp_gt(neighbour, load<Floats>(cell + i))) & mask_bits(cmp_le(neighbour, limit));
    bits |= std::uint64_t{greater} << i;
  }
  return bits;
}

// Bits of the cells first .. first + 63 that are in a column; `next` is the first cell of the column that earlier calls
// have not passed.
std::uint64_t column64(std::size_t first, std::size_t width, std::size_t& next) {
  std::uint64_t bits = 0;
  for (; next < first + 64; next += width)
    if (next >= first) bits |= std::uint64_t{1} << (next - first);
  return bits;
}

template <typename T>
bool mark_tops(const ShownCells<T>& cells, float lowest, std::uint64_t* bits) {
  const auto width = static_cast<std::size_t>(cells.width);
  const std::size_t n = static_cast<std::size_t>(cells.rows) * width;
  std::size_t left = 0, right = static_cast<std::size_t>(cells.columns) - 1;  // cells of the border columns
  std::uint64_t any = 0;
  std::size_t i = 0;
  for (; i + 64 + width <= n; i += 64) {
    const T* cell = cells.plane + i;
    std::uint64_t word = threshold64(cell, lowest);
    if (word != 0 && i > width) {  // neighbours of the others are not all in the plane
      word &= ~(exceeded64(cell, -cells.width) | exceeded64(cell, cells.width));
      if (word != 0) {
        word &= ~(exceeded64(cell, -1) & ~column64(i, width, left));
        word &= ~(exceeded64(cell, 1) & ~column64(i, width, right));
      }
    }
    any |= bits[i / 64] = word;
  }
  const bool rest = threshold(cells.plane + i, n - i, lowest, bits + i / 64);
  return rest || any != 0;
}

#if defined(__AVX2__)
using Doubles = F64x4;
#else
using Doubles = F64x2x2;
#endif
constexpr int kGroup = simple_pose::kSampleGroup;

// The cells in the corners around four points, each corner of all points together: upper left, upper right, lower left,
// lower right. Values that are not finite are 0.
template <typename T>
void load_corners(const T* plane, const I32x4& cells, bool is_column, std::ptrdiff_t below, Doubles (&corners)[4]) {
  F32x4 points[kGroup];
  const F32x4 zero = broadcast<F32x4>(0.0F);
  for (int l = 0; l < kGroup; ++l) {
    const T *upper = plane + cells[l], *lower = upper + below;
    const float u = to_float32(*upper), w = to_float32(*lower);
    const F32x4 v = is_column ? F32x4{u, u, w, w} : load_halves(upper, lower);
    points[l] = select(cmp_eq(v - v, zero), v, zero);
  }
  transpose(points);
  for (int c = 0; c < 4; ++c) corners[c] = to_double<Doubles>(points[c]);
}

template <typename T>
int add_samples(const SampledLine<T>& line, double threshold, double* total) {
  const auto all = [](double v) { return repeat<Doubles>(v, v); };
  const Doubles zero = all(0.0), one = all(1.0);
  const Doubles last_x = all(line.width - 1), last_y = all(line.height - 1);
  const Doubles last_column = all(line.width > 1 ? line.width - 2 : 0);
  const Doubles last_row = all(line.height > 1 ? line.height - 2 : 0);
  const std::ptrdiff_t below = line.height > 1 ? line.width : 0;
  double sum = *total;
  int misses = 0;
  for (int n = 0; n < line.count; n += kGroup) {
    const Doubles place = load<Doubles>(line.places + n);
    const Doubles x = min(last_x, max(zero, place * all(line.step_x) + all(line.x0)));
    const Doubles y = min(last_y, max(zero, place * all(line.step_y) + all(line.y0)));
    const Doubles column = to_double<Doubles>(to_int(min(last_column, x)));
    const Doubles row = to_double<Doubles>(to_int(min(last_row, y)));
    Doubles corner[4];
    load_corners(line.plane, to_int(row * all(line.width) + column), line.width == 1, below, corner);
    const Doubles tx = x - column, ty = y - row, sx = one - tx, sy = one - ty;
    const Doubles upper = sx * corner[0] + tx * corner[1], lower = sx * corner[2] + tx * corner[3];
    const Doubles value = min(one, max(zero, sy * upper + ty * lower));
    const int left = line.count - n;
    const unsigned lanes = left < kGroup ? (1U << left) - 1 : 0xfU;
    const unsigned missed = lanes & ~mask_bits(cmp_gt(value, all(threshold)));
    misses += static_cast<int>((missed & 1) + (missed >> 1 & 1) + (missed >> 2 & 1) + (missed >> 3));
    double values[kGroup];
    store(value, values);
    for (int l = 0; l < kGroup; ++l) sum += l < left ? values[l] : 0.0;
  }
  *total = sum;
  return misses;
}

}  // namespace

extern const simple_pose::MapKernels kMapKernels;
const simple_pose::MapKernels kMapKernels{{&threshold, &mark_tops, &add_samples},
                                          {&threshold, &mark_tops, &add_samples},
                                          {&threshold, &mark_tops, &add_samples}};

}  // namespace PERSONLAB_KERNELS
}  // namespace personlab

// The kernels of Simple Pose, compiled once for each instruction set; no function here may have external linkage.
#define PERSONLAB_HD static inline
#include <limits>

#include "methods/simple_pose/kernels.hpp"
#include "simd/threshold.hpp"

namespace personlab {
namespace PERSONLAB_KERNELS {
namespace {

using simple_pose::ShownCells;

constexpr float kMost = std::numeric_limits<float>::max();

// Bits of 64 cells from `cell` on: where the cell `step` further is finite and greater.
template <typename T>
std::uint64_t exceeded64(const T* cell, std::ptrdiff_t step) {
  const Floats most = broadcast<Floats>(kMost);
  std::uint64_t bits = 0;
  for (int i = 0; i < 64; i += kLanes) {
    const Floats neighbour = load<Floats>(cell + i + step);
    const auto greater = mask_bits(cmp_gt(neighbour, load<Floats>(cell + i))) & mask_bits(cmp_le(neighbour, most));
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

}  // namespace

extern const simple_pose::MapKernels kMapKernels;
const simple_pose::MapKernels kMapKernels{{&threshold, &mark_tops}, {&threshold, &mark_tops}, {&threshold, &mark_tops}};

}  // namespace PERSONLAB_KERNELS
}  // namespace personlab

// The kernels of images, compiled once for each instruction set; no function here may have external linkage.
#define PERSONLAB_HD static inline
#include <cstring>

#include "images/kernels.hpp"
#include "simd/floats.hpp"

namespace personlab {
namespace PERSONLAB_KERNELS {
namespace {

using images::Columns;

void read_columns(const std::uint8_t* row, std::size_t n, const Columns& columns, float* line, float* to) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(load<Floats>(row + i), line + i);
  for (; i < n; ++i) line[i] = static_cast<float>(row[i]);
  // Red, green and blue, and one number more, over which the next pixel is written.
  const std::uint32_t* at = columns.at;
  const float* right = columns.right;
  for (const float* const end = right + columns.count; right != end; ++at, ++right, to += 3) {
    const float* from = line + *at;
    const F32x4 left = load<F32x4>(from);
    store(fused(load<F32x4>(from + 3) - left, broadcast<F32x4>(*right), left), to);
  }
}

PERSONLAB_INLINE Ints read_lanes(const float* upper, const float* lower, Floats below) {
  const Floats v = load<Floats>(upper);
  const Floats magic = broadcast<Floats>(12582912.0F);  // 1.5 * 2^23: halves are rounded to even
  return to_int(fused(load<Floats>(lower) - v, below, v) + magic - magic);
}

void read_between(const float* upper, const float* lower, float below, std::size_t n, std::uint8_t* to) {
  const Floats share = broadcast<Floats>(below);
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store_bytes(read_lanes(upper + i, lower + i, share), to + i);
  if (i == n) return;
  std::uint8_t last[kLanes];
  store_bytes(read_lanes(upper + i, lower + i, share), last);
  std::memcpy(to + i, last, n - i);
}

}  // namespace

extern const images::ImageKernels kImageKernels;
const images::ImageKernels kImageKernels{&read_columns, &read_between};

}  // namespace PERSONLAB_KERNELS
}  // namespace personlab

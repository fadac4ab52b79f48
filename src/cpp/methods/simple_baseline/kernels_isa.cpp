// The kernels of the top-down method, compiled once for each instruction set; no function here may have external
// linkage.
#define PERSONLAB_HD static inline
#include <cstring>
#include <limits>

#include "methods/simple_baseline/kernels.hpp"
#include "simd/floats.hpp"

namespace personlab {
namespace PERSONLAB_KERNELS {
namespace {

using simple_baseline::CropRow;
using simple_baseline::MapShape;
using simple_baseline::TopCell;

void blend(const std::uint8_t* upper, const std::uint8_t* lower, float below, std::size_t n, float* to) {
  const Floats share = broadcast<Floats>(below);
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Floats v = load<Floats>(upper + i);
    store(v + (load<Floats>(lower + i) - v) * share, to + i);
  }
  for (; i < n; ++i) {
    const auto v = static_cast<float>(upper[i]);
    to[i] = v + (static_cast<float>(lower[i]) - v) * below;
  }
}

// Red, green and blue between four pixels, and one lane more: downwards first, then to the right.
struct FromPixels {
  static PERSONLAB_INLINE_MEMBER F32x4 read(const CropRow& row, int x) {
    const std::uint8_t* upper = row.pixels + row.at[x];
    const std::uint8_t* lower = upper + row.row_bytes;
    const F32x4 share = broadcast<F32x4>(row.right[x]);
#if defined(__AVX2__)
    const F32x8 above = load<F32x8>(upper);
    const F32x8 both = above + (load<F32x8>(lower) - above) * broadcast<F32x8>(row.below[x]);
    const F32x4 left = lanes_from<0>(both);
    return left + (lanes_from<3>(both) - left) * share;
#else
    const F32x4 below = broadcast<F32x4>(row.below[x]);
    const F32x4 upper_left = load<F32x4>(upper), upper_right = load<F32x4>(upper + 3);
    const F32x4 left = upper_left + (load<F32x4>(lower) - upper_left) * below;
    const F32x4 right = upper_right + (load<F32x4>(lower + 3) - upper_right) * below;
    return left + (right - left) * share;
#endif
  }
};

struct FromLine {
  static PERSONLAB_INLINE_MEMBER F32x4 read(const CropRow& row, int x) {
    const float* from = row.line + row.at[x];
    const F32x4 left = load<F32x4>(from);
    return left + (load<F32x4>(from + 3) - left) * broadcast<F32x4>(row.right[x]);
  }
};

template <typename Source>
PERSONLAB_INLINE void write_bytes(const CropRow& row, std::uint8_t* to) {
  const F32x4 half = broadcast<F32x4>(0.5F);
  for (int x = row.first; x < row.last - 1; ++x) store_bytes(to_int(Source::read(row, x) + half), to + 3 * x);
  if (row.first >= row.last) return;
  std::uint8_t pixel[4];
  store_bytes(to_int(Source::read(row, row.last - 1) + half), pixel);
  std::memcpy(to + 3 * (row.last - 1), pixel, 3);
}

template <typename Source>
PERSONLAB_INLINE void write_planes(const CropRow& row, std::size_t plane, float* to) {
  int x = row.first;
  for (; x + 4 <= row.last; x += 4) {
    const Rows4 channels =
        transpose(Source::read(row, x), Source::read(row, x + 1), Source::read(row, x + 2), Source::read(row, x + 3));
    for (std::size_t c = 0; c < 3; ++c) store(channels.row[c], to + c * plane + x);
  }
  for (; x < row.last; ++x) {
    float pixel[4];
    store(Source::read(row, x), pixel);
    for (std::size_t c = 0; c < 3; ++c) to[c * plane + static_cast<std::size_t>(x)] = pixel[c];
  }
}

void crop_bytes(const CropRow& row, std::uint8_t* to) {
  if (row.line != nullptr)
    write_bytes<FromLine>(row, to);
  else
    write_bytes<FromPixels>(row, to);
}

void crop_planes(const CropRow& row, std::size_t plane, float* to) {
  if (row.line != nullptr)
    write_planes<FromLine>(row, plane, to);
  else
    write_planes<FromPixels>(row, plane, to);
}

// Halves the sum of a map (h, w) and of one of the mirrored crop, which is mirrored back and moved to the right;
// columns that nothing moves to stay where they are.
template <typename T>
void merge(const T* own, const T* mirrored, const MapShape& shape, float* to) {
  const auto width = static_cast<std::ptrdiff_t>(shape.width);
  const std::ptrdiff_t shift = shape.shift < shape.width ? shape.shift : shape.width;
  const Floats half = broadcast<Floats>(0.5F);
  for (int i = 0; i < shape.height; ++i, own += width, mirrored += width, to += width) {
    const auto add_cell = [&](std::ptrdiff_t j) {
      const std::ptrdiff_t from = width - 1 - (j < shift ? j : j - shift);
      to[j] = (to_float32(own[j]) + to_float32(mirrored[from])) * 0.5F;
    };
    const auto add_lanes = [&](std::ptrdiff_t j) {
      const Floats other = reverse(load<Floats>(mirrored + width - j + shift - kLanes));
      store((load<Floats>(own + j) + other) * half, to + j);
    };
    // Lanes of columns before `shift` read from the next row, and are written anew.
    std::ptrdiff_t j = i + 1 < shape.height ? 0 : shift;
    for (; j + kLanes <= width; j += kLanes) add_lanes(j);
    if (j < width && shift + kLanes <= width) {
      add_lanes(width - kLanes);  // some cells once more
    } else {
      for (; j < width; ++j) add_cell(j);
    }
    for (j = 0; j < shift; ++j) add_cell(j);
  }
}

// The highest of n finite cells, and the first of those that are equal; cell n where none is finite. Goes through the
// cells in blocks, and looks for the place in the one block that holds the first of the highest.
template <typename T>
TopCell top(const T* cells, std::size_t n) {
  constexpr std::size_t kBlock = 16 * kLanes;
  constexpr float kLowest = -std::numeric_limits<float>::infinity(), kHighest = std::numeric_limits<float>::max();
  const Floats limit = broadcast<Floats>(kHighest), lowest = broadcast<Floats>(kLowest);
  float value = kLowest;
  std::size_t first = 0, i = 0;  // cell from which the highest is found
  Floats highest = lowest;
  for (; i + kBlock <= n; i += kBlock) {
    Floats best[4] = {lowest, lowest, lowest, lowest};
    for (std::size_t j = 0; j < kBlock; j += 4 * kLanes) {
      for (std::size_t lane = 0; lane < 4; ++lane) {
        const Floats v = load<Floats>(cells + i + j + lane * kLanes);
        best[lane] = select(cmp_le(v, limit), max(v, best[lane]), best[lane]);  // neither NaN nor infinite
      }
    }
    const Floats block = max(max(best[0], best[1]), max(best[2], best[3]));
    if (mask_bits(cmp_gt(block, highest)) == 0) continue;
    float lanes[kLanes];
    store(block, lanes);
    for (const float lane : lanes) value = lane > value ? lane : value;
    first = i, highest = broadcast<Floats>(value);
  }
  for (; i < n; ++i) {
    const float v = to_float32(cells[i]);
    if (v <= kHighest && v > value) value = v, first = i, highest = broadcast<Floats>(v);
  }
  if (value == kLowest) return {0.0F, n};
  for (; first + kLanes <= n; first += kLanes) {
    const Floats v = load<Floats>(cells + first);
    if ((mask_bits(cmp_ge(v, highest)) & mask_bits(cmp_le(v, highest))) != 0) break;
  }
  while (!(to_float32(cells[first]) == value)) ++first;
  return {value, first};
}

}  // namespace

extern const simple_baseline::BaselineKernels kBaselineKernels;
const simple_baseline::BaselineKernels kBaselineKernels{&blend,         &crop_bytes,    &crop_planes,
                                                        {&merge, &top}, {&merge, &top}, {&merge, &top}};

}  // namespace PERSONLAB_KERNELS
}  // namespace personlab

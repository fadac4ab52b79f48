// One refinement step for a batch of points, and its gradient.
//
// All maths is in double: single precision resolves 1e-4 pixels only on small images, and steep offsets magnify that.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/f64.hpp"

namespace personlab {

// Splits points (x, y) into cells and the rest; writes the index of each cell among the pairs to every other integer at
// `index`.
PERSONLAB_INLINE F64x2 split(const F64x2& point, std::int32_t pitch, std::int32_t* index) {
  const auto column = static_cast<std::int32_t>(point[0]), row = static_cast<std::int32_t>(point[1]);
  *index = row * pitch + 2 * column;
  return point - F64x2{static_cast<double>(column), static_cast<double>(row)};
}
PERSONLAB_INLINE F64x2x2 split(const F64x2x2& points, std::int32_t pitch, std::int32_t* index) {
  return {split(points.low, pitch, index), split(points.high, pitch, index + 2)};
}

#ifdef PERSONLAB_X86_KERNELS

PERSONLAB_INLINE F64x4 split(const F64x4& points, std::int32_t pitch, std::int32_t* index) {
  const I32x4 cells = __builtin_convertvector(points, I32x4);
  const I32x4 parts = cells * I32x4{2, pitch, 2, pitch};
  store(parts + I32x4{parts[1], parts[0], parts[3], parts[2]}, index);
  return points - __builtin_convertvector(cells, F64x4);
}

#endif

// Offsets of a grid of cells as pairs of dx and dy, in h + 1 rows of w + 1: the last column and row are repeated, so
// that every cell has one to its right and one below.
struct OffsetGrid {
  int height, width;  // without what is repeated
  double cells_per_pixel;
  std::ptrdiff_t pitch;  // doubles from row to row

  OffsetGrid(int h, int w, int stride)
      : height(h), width(w), cells_per_pixel(1.0 / stride), pitch(2 * (static_cast<std::ptrdiff_t>(w) + 1)) {}
  std::ptrdiff_t size() const { return (static_cast<std::ptrdiff_t>(height) + 1) * pitch; }
};

// Points that take their steps side by side.
struct Batch {
  static constexpr int kMax = 64;  // even

  int count;
  std::int32_t cell[kMax];    // index in the batch before points were removed
  double home[2 * kMax];      // start: x, y in cells
  double offset[2 * kMax];    // from the start to the point: dx, dy, input pixels
  double gradient[2 * kMax];  // of the loss by that offset
};

// The points of a batch before a step, and the step's derivatives.
struct StepState {
  std::int32_t index[2 * Batch::kMax];  // of the pair at the top left, at every other place
  double t[2 * Batch::kMax];            // in [0, 1) from the left column, from the top row
  double slope[2 * Batch::kMax];        // cells per input pixel; 0 where the point is clamped to the grid
  double by_dx[2 * Batch::kMax];        // derivatives of the dx that is read by the offset's x and y
  double by_dy[2 * Batch::kMax];        // and of dy
};

template <typename Two, bool kSlopes>
PERSONLAB_INLINE void locate(const OffsetGrid& grid, const Batch& batch, StepState& state) {
  const Two zero = repeat<Two>(0.0, 0.0), last = repeat<Two>(grid.width - 1.0, grid.height - 1.0);
  const Two scale = repeat<Two>(grid.cells_per_pixel, grid.cells_per_pixel);
  const auto pitch = static_cast<std::int32_t>(grid.pitch);
  const int count = batch.count;
  for (int k = 0; k < count; k += 2) {
    const Two to = load<Two>(batch.home + 2 * k) + load<Two>(batch.offset + 2 * k) * scale;
    const Two point = min(max(to, zero), last);  // NaN becomes 0 here, and stays NaN in the offset
    store(split(point, pitch, state.index + 2 * k), state.t + 2 * k);
    if (kSlopes) store(select(cmp_gt(to, zero) & cmp_lt(to, last), scale, zero), state.slope + 2 * k);
  }
}

// One step of every point: its offset gains the one that is read where it leads, if kMoves.
template <typename Two, bool kSlopes, bool kMoves = true>
PERSONLAB_INLINE void step_forward(const OffsetGrid& grid, const double* pairs, Batch& batch, StepState& state) {
  locate<Two, kSlopes>(grid, batch, state);
  const std::ptrdiff_t pitch = grid.pitch;
  const int count = batch.count;
  for (int k = 0; k < count; ++k) {
    const double* cell = pairs + state.index[2 * k];
    const double tx = state.t[2 * k], ty = state.t[2 * k + 1];
    const Two top = load<Two>(cell), fall = load<Two>(cell + pitch) - top;  // of the left column and the right one
    const Two row = top + repeat<Two>(ty, ty) * fall;
    const F64x2 rise = high_half(row) - low_half(row);
    if (kMoves)
      store(load<F64x2>(batch.offset + 2 * k) + (low_half(row) + broadcast<F64x2>(tx) * rise), batch.offset + 2 * k);
    if (kSlopes) {
      const F64x2 down = low_half(fall) + broadcast<F64x2>(tx) * (high_half(fall) - low_half(fall));
      const F64x2 slope = load<F64x2>(state.slope + 2 * k);
      store(F64x2{rise[0], down[0]} * slope, state.by_dx + 2 * k);
      store(F64x2{rise[1], down[1]} * slope, state.by_dy + 2 * k);
    }
  }
}

PERSONLAB_INLINE void add(const F64x2& v, double* to) { store(load<F64x2>(to) + v, to); }

// Back-propagation of one step: gradients by the offsets after it become those by the offsets before; those by the
// grid's pairs are added to `sums`.
template <bool kSums>
PERSONLAB_INLINE void step_backward(const OffsetGrid& grid, const StepState& state, Batch& batch, double* sums) {
  const std::ptrdiff_t pitch = grid.pitch;
  const int count = batch.count;
  for (int k = 0; k < count; ++k) {
    const F64x2 g = load<F64x2>(batch.gradient + 2 * k);
    const double gx = batch.gradient[2 * k], gy = batch.gradient[2 * k + 1];
    if (kSums) {
      double *upper = sums + state.index[2 * k], *lower = upper + pitch;
      const F64x2 tx = broadcast<F64x2>(state.t[2 * k]), below = g * broadcast<F64x2>(state.t[2 * k + 1]),
                  above = g - below;
      const F64x2 right_above = above * tx, right_below = below * tx;
      add(above - right_above, upper);
      add(right_above, upper + 2);
      add(below - right_below, lower);
      add(right_below, lower + 2);
    }
    store(g + (load<F64x2>(state.by_dx + 2 * k) * broadcast<F64x2>(gx) +
               load<F64x2>(state.by_dy + 2 * k) * broadcast<F64x2>(gy)),
          batch.gradient + 2 * k);
  }
}

}  // namespace personlab

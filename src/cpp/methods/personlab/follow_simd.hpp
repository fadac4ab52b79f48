// Following offset fields on the CPU: `Follower` with x and y in one register, where the grid is at least 2 x 2 cells
// and the offset finite.
#pragma once

#include <algorithm>

#include "base/types.hpp"
#include "methods/personlab/follow.hpp"
#include "simd/f64.hpp"

namespace personlab {

// For fields with elements of type T.
template <typename Real, typename T>
class SimdFollower : public Follower<Real> {
 public:
  using Follower<Real>::Follower;

  // Moves a point by the offset at `at`, which is within the input, as the point stays.
  void step(const Field& offsets, int channel, const Point<Real>& at, Point<Real>& point) const {
    if (right_ > 0 && below_ > 0 && step_simd(offsets, channel, at, point)) return;
    point = this->moved(offsets.plane<T>(2 * channel), offsets.plane<T>(2 * channel + 1), at, point);
  }

 private:
  // `moved` in the same order of operations; returns false where the offset is not finite.
  bool step_simd(const Field& offsets, int channel, const Point<float>& at, Point<float>& point) const {
    const F32x4 from = load_halves(&at.x, &at.x);
    const F32x4 c = inverse_ > 0.0F ? from * broadcast<F32x4>(inverse_) : from / broadcast<F32x4>(stride_);
    const auto last_column = static_cast<float>(last_column_), last_row = static_cast<float>(last_row_);
    const I32x4 cell = to_int(min(c, F32x4{last_column, last_row, last_column, last_row}));
    const F32x4 t = c - to_float(cell), s = broadcast<F32x4>(1.0F) - t;
    const T* dx = offsets.plane<T>(2 * channel) + cell[1] * width_ + cell[0];
    const T* dy = dx + offsets.cells();
    const F32x4 across{s[0], t[0], s[0], t[0]}, down{s[1], s[1], t[1], t[1]};
    const F32x4 top = across * load_halves(dx, dy), bottom = across * load_halves(dx + width_, dy + width_);
    const F32x4 left{top[0], top[2], bottom[0], bottom[2]}, right{top[1], top[3], bottom[1], bottom[3]};
    const F32x4 rows = down * (left + right);  // dx and dy of the upper row, then of the lower one
    const F32x4 offset = rows + swap_halves(rows), zero = broadcast<F32x4>(0.0F);
    if (!all(cmp_eq(offset - offset, zero))) return false;
    store_low(min(max(load_halves(&point.x, &point.x) + offset, zero), F32x4{last_x_, last_y_, last_x_, last_y_}),
              &point.x);
    return true;
  }

  bool step_simd(const Field& offsets, int channel, const Point<double>& at, Point<double>& point) const {
    const F64x2 from = load<F64x2>(&at.x);
    const F64x2 c = inverse_ > 0.0 ? from * broadcast<F64x2>(inverse_) : from / broadcast<F64x2>(stride_);
    const int j = std::min(static_cast<int>(c[0]), last_column_), i = std::min(static_cast<int>(c[1]), last_row_);
    const T* dx = offsets.plane<T>(2 * channel) + i * width_ + j;
    const T* dy = dx + offsets.cells();
    const F64x2 t = c - F64x2{static_cast<double>(j), static_cast<double>(i)}, s = broadcast<F64x2>(1.0) - t;
    const F64x2 tx{t[0], t[0]}, ty{t[1], t[1]}, sx{s[0], s[0]}, sy{s[1], s[1]};
    const auto row = [&](const T* dx_row, const T* dy_row) {  // dx and dy of the left cell, then of the right one
      const F32x4 cells = load_halves(dx_row, dy_row), pairs{cells[0], cells[2], cells[1], cells[3]};
      return sx * low_to_double(pairs) + tx * low_to_double(swap_halves(pairs));
    };
    const F64x2 offset = sy * row(dx, dy) + ty * row(dx + width_, dy + width_), zero = broadcast<F64x2>(0.0);
    if (!all(cmp_eq(offset - offset, zero))) return false;
    store(min(F64x2{last_x_, last_y_}, max(zero, load<F64x2>(&point.x) + offset)), &point.x);
    return true;
  }

  using Follower<Real>::width_;
  using Follower<Real>::last_column_;
  using Follower<Real>::last_row_;
  using Follower<Real>::right_;
  using Follower<Real>::below_;
  using Follower<Real>::last_x_;
  using Follower<Real>::last_y_;
  using Follower<Real>::stride_;
  using Follower<Real>::inverse_;
};

}  // namespace personlab

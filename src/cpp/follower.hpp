// How points follow offset fields while poses grow: the reads of sampling.hpp for points within the input, fast.
#pragma once

#include <algorithm>
#include <cstddef>

#include "float4.hpp"
#include "sampling.hpp"
#include "types.hpp"

namespace personlab {

// A point on its way, input pixels.
template <typename Real>
struct Point {
  Real x, y;
};

// For fields with elements of type T. Sites are what `site_at` computes, but dividing by a power of two is multiplying, which
// takes a third of the time.
template <typename Real, typename T>
class Follower {
 public:
  explicit Follower(const Field& field)
      : width_(field.width),
        last_column_(std::max(field.width - 2, 0)),
        last_row_(std::max(field.height - 2, 0)),
        right_(field.width > 1 ? 1 : 0),
        below_(field.height > 1 ? field.width : 0),
        last_x_(static_cast<Real>(field.last_x())),
        last_y_(static_cast<Real>(field.last_y())),
        stride_(static_cast<Real>(field.stride)),
        inverse_((field.stride & (field.stride - 1)) == 0 ? Real(1) / stride_ : Real(0)) {}

  Point<Real> inside(Point<Real> point) const {
    return {std::min(std::max(point.x, Real(0)), last_x_), std::min(std::max(point.y, Real(0)), last_y_)};
  }

  // Of a point within the input.
  Site<Real> site(Point<Real> at) const {
    const Real cx = cells(at.x), cy = cells(at.y);
    const int j = std::min(static_cast<int>(cx), last_column_), i = std::min(static_cast<int>(cy), last_row_);
    const int top_left = i * width_ + j;
    return {top_left, top_left + right_, top_left + below_, top_left + below_ + right_, cx - static_cast<Real>(j),
            cy - static_cast<Real>(i)};
  }

  // A point moves by the offset read at `at`, and stays within the input, as that is.
  void step(const Field& offsets, int channel, const Point<Real>& at, Point<Real>& point) const {
    if (right_ > 0 && below_ > 0 && step_wide(offsets, channel, at, point)) return;
    const Offset<Real> offset = read_offset(offsets.plane<T>(2 * channel), offsets.plane<T>(2 * channel + 1), site(at));
    point = inside({point.x + offset.dx, point.y + offset.dy});
  }

 private:
  // The same with x and y in one register; false where the offset is not finite.
  bool step_wide(const Field& offsets, int channel, const Point<float>& at, Point<float>& point) const {
    const Float4 from = load_pairs(&at.x, &at.x);
    const Float4 c = inverse_ > 0.0F ? from * all4(inverse_) : from / all4(stride_);
    const auto last_column = static_cast<float>(last_column_), last_row = static_cast<float>(last_row_);
    const Int4 cell = truncate(at_most(c, Float4{last_column, last_row, last_column, last_row}));
    const Float4 t = c - to_float(cell), s = all4(1.0F) - t;
    const T* dx = offsets.plane<T>(2 * channel) + cell[1] * width_ + cell[0];
    const T* dy = dx + offsets.cells();
    const Float4 across{s[0], t[0], s[0], t[0]}, down{s[1], s[1], t[1], t[1]};
    const Float4 top = across * load_pairs(dx, dy), bottom = across * load_pairs(dx + width_, dy + width_);
    const Float4 left{top[0], top[2], bottom[0], bottom[2]}, right{top[1], top[3], bottom[1], bottom[3]};
    const Float4 rows = down * (left + right);  // dx and dy of the upper row, then of the lower one
    const Float4 offset = rows + swap_pairs(rows);
    if (!all_finite(offset)) return false;
    store_pair(at_most(at_least(load_pairs(&point.x, &point.x) + offset, all4(0.0F)),
                       Float4{last_x_, last_y_, last_x_, last_y_}),
               &point.x);
    return true;
  }
  bool step_wide(const Field&, int, const Point<double>&, Point<double>&) const { return false; }

  Real cells(Real v) const { return inverse_ > Real(0) ? v * inverse_ : v / stride_; }

  int width_, last_column_, last_row_, right_, below_;
  Real last_x_, last_y_, stride_, inverse_;  // the inverse is 0 where it is not exact
};

}  // namespace personlab

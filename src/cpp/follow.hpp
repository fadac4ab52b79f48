// Points that follow offset fields, on every backend.
#pragma once

#include "sampling.hpp"

namespace personlab {

// A target on its way.
template <typename Real>
struct Step {
  Real x, y;  // input pixels
  int keypoint;
};

// Points that follow offsets. Sites are what `site_at` computes, but for points within the input, and dividing by a power of
// two is multiplying, which takes a third of the time.
template <typename Real>
class Follower {
 public:
  template <typename Field>
  PERSONLAB_HD explicit Follower(const Field& field)
      : width_(field.width),
        last_column_(field.width > 1 ? field.width - 2 : 0),
        last_row_(field.height > 1 ? field.height - 2 : 0),
        right_(field.width > 1 ? 1 : 0),
        below_(field.height > 1 ? field.width : 0),
        last_x_(static_cast<Real>(field.last_x())),
        last_y_(static_cast<Real>(field.last_y())),
        stride_(static_cast<Real>(field.stride)),
        inverse_((field.stride & (field.stride - 1)) == 0 ? Real(1) / stride_ : Real(0)) {}

  PERSONLAB_HD Site<Real> site(Real x, Real y) const {
    const Real cx = cells(inside(x, last_x_)), cy = cells(inside(y, last_y_));
    int j = static_cast<int>(cx), i = static_cast<int>(cy);
    j = j < last_column_ ? j : last_column_;
    i = i < last_row_ ? i : last_row_;
    const int top_left = i * width_ + j;
    return {top_left, top_left + right_, top_left + below_, top_left + below_ + right_, cx - static_cast<Real>(j),
            cy - static_cast<Real>(i)};
  }

  // The point moves by an offset, given by its two planes, and stays within the input.
  template <typename Plane>
  PERSONLAB_HD void step(const Plane& dx_plane, const Plane& dy_plane, Step<Real>& point) const {
    const Offset<Real> offset = read_offset(dx_plane, dy_plane, site(point.x, point.y));
    point.x = inside(point.x + offset.dx, last_x_);
    point.y = inside(point.y + offset.dy, last_y_);
  }

 private:
  static PERSONLAB_HD Real inside(Real v, Real last) {
    v = v < Real(0) ? Real(0) : v;
    return last < v ? last : v;
  }
  PERSONLAB_HD Real cells(Real v) const { return inverse_ > Real(0) ? v * inverse_ : v / stride_; }

  int width_, last_column_, last_row_, right_, below_;
  Real last_x_, last_y_, stride_, inverse_;  // the inverse is 0 where it is not exact
};

}  // namespace personlab

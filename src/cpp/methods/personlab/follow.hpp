// Following offset fields point by point while poses grow, on every backend: the reads of sampling.hpp for points
// within the input.
#pragma once

#include "base/sampling.hpp"

namespace personlab {

// Input pixels.
template <typename Real>
struct Point {
  Real x, y;
};

// Computes the sites of `site_at`, but multiplies where the stride is a power of two, which takes a third of the time.
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

  PERSONLAB_HD Point<Real> inside(Point<Real> point) const {
    return {between(point.x, last_x_), between(point.y, last_y_)};
  }

  // Of a point within the input.
  PERSONLAB_HD Site<Real> site(Point<Real> at) const {
    const Real cx = cells(at.x), cy = cells(at.y);
    int j = static_cast<int>(cx), i = static_cast<int>(cy);
    j = j < last_column_ ? j : last_column_;
    i = i < last_row_ ? i : last_row_;
    const int top_left = i * width_ + j;
    return {top_left,
            top_left + right_,
            top_left + below_,
            top_left + below_ + right_,
            cx - static_cast<Real>(j),
            cy - static_cast<Real>(i)};
  }

  // A point moved by the offset that two planes have at `at`, which is within the input, as the result is.
  template <typename Plane>
  PERSONLAB_HD Point<Real> moved(const Plane& dx_plane, const Plane& dy_plane, Point<Real> at,
                                 Point<Real> point) const {
    const Offset<Real> offset = read_offset(dx_plane, dy_plane, site(at));
    return inside({point.x + offset.dx, point.y + offset.dy});
  }

 protected:
  static PERSONLAB_HD Real between(Real v, Real last) {
    v = v < Real(0) ? Real(0) : v;
    return last < v ? last : v;
  }
  PERSONLAB_HD Real cells(Real v) const { return inverse_ > Real(0) ? v * inverse_ : v / stride_; }

  int width_, last_column_, last_row_, right_, below_;
  Real last_x_, last_y_, stride_, inverse_;  // the inverse is 0 where it is not exact
};

}  // namespace personlab

// The size of a pose, lambda_j of section 3.1.3, on every backend.
#pragma once

#include <math.h>

#include "base/host_device.hpp"

namespace personlab {

// The tight box of a pose's keypoints, input pixels.
template <typename Real>
struct PoseBox {
  Real left, top, right, bottom;

  PERSONLAB_HD PoseBox(Real x, Real y) : left(x), top(y), right(x), bottom(y) {}

  PERSONLAB_HD void add(Real x, Real y) { add(x, y, x, y); }
  PERSONLAB_HD void add(const PoseBox& other) { add(other.left, other.top, other.right, other.bottom); }

  // At least 1: a pose of one keypoint, or a line of them, has a size too.
  PERSONLAB_HD double area() const {
    const double area = (static_cast<double>(right) - static_cast<double>(left)) *
                        (static_cast<double>(bottom) - static_cast<double>(top));
    return area > 1.0 ? area : 1.0;
  }

  // lambda_j: the square root of the area.
  PERSONLAB_HD double size() const { return sqrt(area()); }

 private:
  PERSONLAB_HD void add(Real x0, Real y0, Real x1, Real y1) {
    left = x0 < left ? x0 : left;
    top = y0 < top ? y0 : top;
    right = x1 > right ? x1 : right;
    bottom = y1 > bottom ? y1 : bottom;
  }
};

// lambda_j of a pose (K, 2), K >= 1.
template <typename Real>
PERSONLAB_HD double pose_size(const Real* keypoints, int n_keypoints) {
  PoseBox<Real> box(keypoints[0], keypoints[1]);
  for (int k = 1; k < n_keypoints; ++k) box.add(keypoints[2 * k], keypoints[2 * k + 1]);
  return box.size();
}

}  // namespace personlab

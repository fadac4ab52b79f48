// Per-point maths shared by all backends: reading fields between cells, probabilities, votes, refinement steps.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/elements.hpp"

namespace personlab {

// exp(x) to about one unit in the last place, with the same result on every instruction set: no library call, and the
// build forbids contraction into fused multiply-adds. Outside [-87, 87] the argument is clamped.
PERSONLAB_HD float exp_same(float x) {
  x = x < -87.0F ? -87.0F : x;
  x = x > 87.0F ? 87.0F : x;
  const float magic = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  const float shifted = x * 1.44269504F + magic;
  const float n = shifted - magic;
  const float r = (x - n * 0.693145752F) - n * 1.42860677e-6F;  // ln 2 in two parts; |r| <= ln 2 / 2
  // Taylor polynomial of degree 6: truncation below 2^-22 of the value on that interval.
  float p = 1.0F / 720.0F;
  p = p * r + 1.0F / 120.0F;
  p = p * r + 1.0F / 24.0F;
  p = p * r + 1.0F / 6.0F;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  std::int32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = static_cast<std::int32_t>((static_cast<std::uint32_t>(bits) + 127U) << 23);  // 2^n
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}

// Probability of a logit; not for NaN.
PERSONLAB_HD float sigmoid(float logit) { return 1.0F / (1.0F + exp_same(-logit)); }

PERSONLAB_HD bool is_finite(float v) { return v - v == 0.0F; }
PERSONLAB_HD bool is_finite(double v) { return v - v == 0.0; }

// The largest integer not above v, for |v| < 2^31.
template <typename Real>
PERSONLAB_HD int floor_int(Real v) {
  const int i = static_cast<int>(v);
  return i - static_cast<int>(v < static_cast<Real>(i));
}

template <typename Real>
PERSONLAB_HD Real clamp(Real v, Real low, Real high) {
  return v < low ? low : (v > high ? high : v);
}

// A position between four cells of a plane.
template <typename Real>
struct Site {
  int top_left, top_right, bottom_left, bottom_right;  // index in the plane
  Real tx, ty;                                         // in [0, 1] from the left column, from the top row
};

// The site of input pixel (x, y), finite, on a grid of h x w >= 1 x 1 cells; clamped to the grid first.
template <typename Real>
PERSONLAB_HD Site<Real> site_at(Real x, Real y, int h, int w, int stride) {
  const Real cx = clamp(x / static_cast<Real>(stride), Real(0), static_cast<Real>(w - 1));
  const Real cy = clamp(y / static_cast<Real>(stride), Real(0), static_cast<Real>(h - 1));
  int j = static_cast<int>(cx), i = static_cast<int>(cy);
  j = j > w - 2 ? (w > 1 ? w - 2 : 0) : j;
  i = i > h - 2 ? (h > 1 ? h - 2 : 0) : i;
  const int right = w > 1 ? 1 : 0, below = h > 1 ? w : 0;
  const int top_left = i * w + j;
  return {top_left,
          top_left + right,
          top_left + below,
          top_left + below + right,
          cx - static_cast<Real>(j),
          cy - static_cast<Real>(i)};
}

// Weighted mean of four values; one of weight zero is left out, even if it is not finite.
template <typename Real>
PERSONLAB_HD Real lerp2(Real a, Real b, Real c, Real d, Real tx, Real ty) {
  const Real sx = Real(1) - tx, sy = Real(1) - ty;
  const Real value = sy * (sx * a + tx * b) + ty * (sx * c + tx * d);
  if (is_finite(value)) return value;
  Real total = Real(0);
  if (sy * sx > Real(0)) total += sy * sx * a;
  if (sy * tx > Real(0)) total += sy * tx * b;
  if (ty * sx > Real(0)) total += ty * sx * c;
  if (ty * tx > Real(0)) total += ty * tx * d;
  return total;
}

// Reads a plane bilinearly; a plane is anything that returns an element for the index of its cell.
template <typename Plane, typename Real>
PERSONLAB_HD Real read(const Plane& plane, const Site<Real>& site) {
  return lerp2(static_cast<Real>(to_float32(plane[site.top_left])),
               static_cast<Real>(to_float32(plane[site.top_right])),
               static_cast<Real>(to_float32(plane[site.bottom_left])),
               static_cast<Real>(to_float32(plane[site.bottom_right])), site.tx, site.ty);
}

// Probability from a plane of logits; 0 where the logit is NaN.
template <typename Plane, typename Real>
PERSONLAB_HD float read_probability(const Plane& plane, const Site<Real>& site) {
  const float logit = static_cast<float>(read(plane, site));
  return logit == logit ? sigmoid(logit) : 0.0F;
}

template <typename Real>
struct Offset {
  Real dx, dy;
};

// An offset from its two planes; (0, 0) where either is not finite.
template <typename Plane, typename Real>
PERSONLAB_HD Offset<Real> read_offset(const Plane& dx_plane, const Plane& dy_plane, const Site<Real>& site) {
  const Real dx = read(dx_plane, site), dy = read(dy_plane, site);
  if (is_finite(dx) && is_finite(dy)) return {dx, dy};
  return {Real(0), Real(0)};
}

// The vote of one lattice point, splatted onto the four around the position that its short offset leads to, section
// 3.1.1.
struct Vote {
  int left, top;            // lattice points from the voter to the upper left of the four
  std::uint32_t amount[4];  // upper left, upper right, lower left, lower right; fixed point
};

// The vote of a point with this logit and offset (input pixels); a certain vote is worth `unit`. An offset that is not
// finite, or absurdly far, leads outside the lattice.
PERSONLAB_HD Vote vote_of(float logit, float dx, float dy, float inverse_g, float unit) {
  const float far = 1048576.0F;
  float x = dx * inverse_g, y = dy * inverse_g;
  x = x > -far ? x : -far;
  x = x < far ? x : far;
  y = y > -far ? y : -far;
  y = y < far ? y : far;
  const int left = floor_int(x), top = floor_int(y);
  const float fx = x - static_cast<float>(left), fy = y - static_cast<float>(top);
  const float weight = sigmoid(logit) * unit, upper = weight * (1.0F - fy), lower = weight * fy;
  return {left,
          top,
          {static_cast<std::uint32_t>(upper * (1.0F - fx) + 0.5F), static_cast<std::uint32_t>(upper * fx + 0.5F),
           static_cast<std::uint32_t>(lower * (1.0F - fx) + 0.5F), static_cast<std::uint32_t>(lower * fx + 0.5F)}};
}

}  // namespace personlab

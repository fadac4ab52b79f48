// Where a Gaussian's maximum lies between cells, from the logarithms of three of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace personlab {

// The natural logarithm of v > 0, a value of float32, with the same result on every machine: no library call.
inline double log_same(double v) {
  std::uint64_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  auto exponent = static_cast<int>(bits >> 52) - 1022;
  bits = (bits & 0x000fffffffffffffU) | 0x3fe0000000000000U;
  double m;  // 0.5 .. 1
  std::memcpy(&m, &bits, sizeof m);
  if (m < 0.70710678118654752) m *= 2.0, --exponent;
  const double s = (m - 1.0) / (m + 1.0), s2 = s * s, s4 = s2 * s2;  // |s| <= 0.1716
  // 2 artanh(s): the series up to s^21, even and odd terms by themselves.
  const double even = ((((1.0 / 21 * s4 + 1.0 / 17) * s4 + 1.0 / 13) * s4 + 1.0 / 9) * s4 + 1.0 / 5) * s4 + 1.0;
  const double odd = (((1.0 / 19 * s4 + 1.0 / 15) * s4 + 1.0 / 11) * s4 + 1.0 / 7) * s4 + 1.0 / 3;
  return exponent * 0.69314718055994531 + 2.0 * s * (even + odd * s2);
}

// How far the maximum lies from the middle one of three cells, as a parabola through their logarithms has it; 0 where
// there is none, or a value is not above 0.
inline double parabola_vertex(double before, double at, double after) {
  if (!(before > 0.0 && at > 0.0 && after > 0.0)) return 0.0;
  const double b = log_same(before), c = log_same(at), a = log_same(after), bend = b - 2.0 * c + a;
  return bend < 0.0 ? 0.5 * (b - a) / bend : 0.0;
}

}  // namespace personlab

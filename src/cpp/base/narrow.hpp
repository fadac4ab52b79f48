// Float64 results as float32, which all arrays hold.
#pragma once

#include <limits>

#include "base/sampling.hpp"

namespace personlab {

// A number as float32, the largest one where it is too large.
inline float narrow(double v) {
  constexpr double limit = std::numeric_limits<float>::max();
  return static_cast<float>(clamp(v, -limit, limit));
}

}  // namespace personlab

// The worth of Hough votes, and the logits from which points vote or cells are seeds, on every backend.
#pragma once

#include <cmath>
#include <limits>

#include "base/types.hpp"

namespace personlab {

constexpr double kPi = 3.14159265358979323846;

// The fixed-point value of a certain vote. Packed sums hold a keypoint's disc full of certain votes for one point. They
// are used where the smallest vote that counts is rounded by at most 2^-16 of it; else, or where they overflow, sums
// are wide.
struct VoteUnit {
  static constexpr double kWide = 1073741824.0;  // 2^30: 2^33 of them fit a 64-bit sum
  double packed = 8388608.0;                     // 2^23: the votes of a full batch fit a 32-bit sum
  bool wide;

  explicit VoteUnit(const DecodeOptions& options) {
    const double across = static_cast<double>(options.disk_radius) / options.hough_stride;
    while (packed * 1.2 * kPi * across * across > 2147483648.0) packed /= 2.0;
    wide = packed * static_cast<double>(options.vote_threshold) < 32768.0;
  }
};

// The score of a certain vote: g^2 / (pi R^2), section 3.1.1.
inline double vote_scale(const DecodeOptions& options) {
  const double g = options.hough_stride, radius = options.disk_radius;
  return g * g / (kPi * radius * radius);
}

// The logit of a probability.
inline float logit_of(double probability) {
  return static_cast<float>(std::log(probability) - std::log1p(-probability));
}

// The lowest logit of a seed of Google's decoder.
inline float seed_logit(const DecodeOptions& options) {
  const double odds = 1.0 / (static_cast<double>(options.min_score) + 1e-6) - 1.0;
  return odds > 0.0 ? static_cast<float>(-std::log(odds)) : std::numeric_limits<float>::infinity();
}

}  // namespace personlab

// Mask scores from the pixels of a mask, on every backend's host side.
#pragma once

#include <cmath>
#include <cstdint>

#include "methods/personlab/kernels.hpp"

namespace personlab {

// The person probability of a mask's pixels, added up in fixed point: the same sum in any order.
struct MaskSum {
  std::uint64_t total = 0;  // in units of 2^-24
  std::uint64_t pixels = 0;
};

// The score of a mask, from the instance score and the mean probability over its pixels; 0 where there is none.
inline float mask_score(float score, const MaskSum& sum, float power) {
  if (sum.pixels == 0 || !(score - score == 0.0F)) return 0.0F;
  const double whole = static_cast<double>(kPersonUnit) * static_cast<double>(sum.pixels);
  const double mean = static_cast<double>(sum.total) / whole;
  return static_cast<float>(static_cast<double>(score) * std::pow(mean, static_cast<double>(power)));
}

}  // namespace personlab

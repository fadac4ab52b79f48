// Mask scores from the pixels of a mask, on every backend.
#pragma once

#include <math.h>

#include <cstdint>

#include "base/sampling.hpp"
#include "methods/personlab/kernels.hpp"

namespace personlab {

// The person probability of a mask's pixels, added up in fixed point: the same sum in any order.
struct MaskSum {
  std::uint64_t total = 0;  // in units of 1 / kPersonUnit
  std::uint64_t pixels = 0;
};

// The score of a mask, from the instance score and the mean probability over its pixels; 0 without pixels, or where the
// instance score is not finite.
PERSONLAB_HD float mask_score(float score, const MaskSum& sum, float power) {
  if (sum.pixels == 0 || !is_finite(score)) return 0.0F;
  const double whole = static_cast<double>(kPersonUnit) * static_cast<double>(sum.pixels);
  const double mean = static_cast<double>(sum.total) / whole;
  return static_cast<float>(static_cast<double>(score) * pow(mean, static_cast<double>(power)));
}

}  // namespace personlab

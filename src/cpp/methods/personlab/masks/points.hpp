// Where pixels lie over a grid, and how the weights of poses are scaled, on every backend.
#pragma once

#include <math.h>

#include "base/sampling.hpp"

namespace personlab {

// A pixel of an image along one axis of the grid.
struct PixelPlace {
  int cell;
  float t;         // in [0, 1] from that cell
  float position;  // input pixels
};

// The place of pixel p of so many over an axis of the grid, corner pixel on corner pixel.
PERSONLAB_HD PixelPlace place_pixel(int p, int pixels, int cells, int stride) {
  const double position = p * static_cast<double>((cells - 1) * stride) / (pixels > 1 ? pixels - 1 : 1);
  const int blocks = cells > 1 ? cells - 1 : 1, whole = static_cast<int>(position / stride);
  const int cell = whole < blocks - 1 ? whole : blocks - 1;
  return {cell, static_cast<float>(position / stride - cell), static_cast<float>(position)};
}

// The power of two that brings a pose's weights, where they are no probabilities, to 1 or just below it, so that no sum
// of distances overflows or vanishes: only their ratios count.
PERSONLAB_HD double weight_scale(float largest) {
  const bool is_usual = largest <= 1.0F && largest >= 1e-6F;
  return is_usual || !(largest > 0.0F) || !is_finite(largest) ? 1.0 : ldexp(1.0, -ilogb(largest) - 1);
}

}  // namespace personlab

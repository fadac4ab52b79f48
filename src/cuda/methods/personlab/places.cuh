// Where the pixels of an image lie over a grid of cells that is stretched over it.
#pragma once

#include "methods/personlab/stages.cuh"

namespace personlab {
namespace cuda {

// Where pixel p of so many lies over an axis of the grid, as on the CPU.
inline __device__ PixelPlace place(int p, int pixels, int cells, int stride) {
  const double position = p * static_cast<double>((cells - 1) * stride) / (pixels > 1 ? pixels - 1 : 1);
  const int blocks = cells > 1 ? cells - 1 : 1, whole = static_cast<int>(position / stride);
  const int cell = whole < blocks - 1 ? whole : blocks - 1;
  return {cell, static_cast<float>(position / stride - cell), static_cast<float>(position)};
}

// Of the W + H pixels of both axes, along x first.
inline __device__ PixelPlace place_on(const Field& field, int height, int width, int p) {
  return p < width ? place(p, width, field.width, field.stride) : place(p - width, height, field.height, field.stride);
}

// What a pixel reads of a field.
inline __device__ Site<float> site_between(const Field& field, const PixelPlace& x, const PixelPlace& y) {
  const int w = field.width, right = w > 1 ? 1 : 0, below = field.height > 1 ? w : 0, corner = y.cell * w + x.cell;
  return {corner, corner + right, corner + below, corner + below + right, x.t, y.t};
}

}  // namespace cuda
}  // namespace personlab

// Checks of what callers pass, before anything is allocated. Errors read "name: expected X, got Y".
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.hpp"

namespace personlab {

// A grid of cells, in numbers that cannot overflow yet.
struct GridSize {
  std::int64_t height, width;  // cells
  int stride;                  // input pixels, 1 .. kMaxStride
};

// Whether coordinates and 32-bit counts hold on a grid, and on the Hough lattice over it unless hough_stride is 0.
bool fits(const GridSize& grid, int hough_stride);

// All of them throw std::invalid_argument.
void check(const DecodeOptions& options);
void check(const MaskOptions& options);
void check(const PoseFields& fields, const Skeleton& skeleton, const DecodeOptions& options);
void check(const std::vector<Poses>& poses, const MaskFields& fields, ImageSize size);

}  // namespace personlab

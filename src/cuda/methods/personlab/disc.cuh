// Sums over the lattice points of discs around keypoints, by all threads of a block.
#pragma once

#include "base/device.cuh"
#include "base/disc.hpp"
#include "base/sampling.hpp"

namespace personlab {
namespace cuda {

constexpr int kDiscBlock = 128;
constexpr int kDiscWarps = kDiscBlock / kWarp;

// The lattice points of a keypoint's disc along one axis, and one more at either end against rounding.
struct DiscSpan {
  int first, count;

  __device__ DiscSpan(double centre, double radius, int g, int points) {
    const double last = static_cast<double>(points);
    const int low = static_cast<int>(clamp((centre - radius) / g - 1.0, 0.0, last));
    const int high = static_cast<int>(clamp((centre + radius) / g + 2.0, 0.0, last));
    first = low;
    count = high - low;
  }
};

// Calls visit(h, dx, dy) for the points of a disc around (x, y) in a lattice plane where the Hough score h is not 0;
// each thread of the block visits its own. Distances are in input pixels.
template <typename Scores, typename Visit>
__device__ void visit_disc(const Scores& hough, int plane, double x, double y, double radius, int g,
                           const Visit& visit) {
  const float radius2 = static_cast<float>(radius * radius);
  const DiscSpan rows(y, radius, g, hough.rows()), columns(x, radius, g, hough.columns());
  for (int i = static_cast<int>(threadIdx.x); i < rows.count * columns.count; i += kDiscBlock) {
    const int row = rows.first + i / columns.count, column = columns.first + i % columns.count;
    const float dx = disc_distance(column, g, x), dy = disc_distance(row, g, y);
    if (!in_disc(dx * dx, dy * dy, radius2)) continue;
    const float h = hough.at(plane, row * hough.columns() + column);
    if (h != 0.0F && h <= kLargestScore && h >= -kLargestScore) visit(h, dx, dy);
  }
}

// Sums over a block's threads, for thread 0 alone; `parts` is shared memory. Called by all threads of the block.
template <int kCount>
__device__ void sum_block(double (&sums)[kCount], double (&parts)[kCount][kDiscWarps]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int n = 0; n < kCount; ++n) {
    sums[n] = sum_warp(sums[n]);
    if (lane == 0) parts[n][warp] = sums[n];
  }
  __syncthreads();
  if (threadIdx.x == 0)
    for (int n = 0; n < kCount; ++n)
      for (int w = 1; w < kDiscWarps; ++w) sums[n] += parts[n][w];
  __syncthreads();
}

}  // namespace cuda
}  // namespace personlab

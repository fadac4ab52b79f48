// Lists of items, one for each image, that kernels append to.
#pragma once

#include <cstddef>

#include "base/device.cuh"

namespace personlab {
namespace cuda {

// Counts grow past `capacity` where items do not fit; such a list counts as empty, as chance decides which items fit.
template <typename Item>
struct Lists {
  Item* items = nullptr;  // (N, capacity)
  int* counts = nullptr;  // (N)
  int capacity = 0;

  __device__ Item* of(int image) const { return items + static_cast<std::size_t>(image) * capacity; }
  __device__ int count(int image) const { return counts[image] <= capacity ? counts[image] : 0; }
};

}  // namespace cuda
}  // namespace personlab

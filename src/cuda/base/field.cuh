// Fields in device memory, read as float32 whatever their elements are.
#pragma once

#include <cstddef>

#include "base/device.cuh"
#include "base/elements.hpp"
#include "base/sampling.hpp"

namespace personlab {
namespace cuda {

constexpr __host__ __device__ std::size_t size_of(Element element) { return element == Element::kFloat32 ? 4 : 2; }

// One plane (h, w) of any of these, read as float32.
struct Plane {
  const void* data;
  Element element;

  __device__ float operator[](int i) const {
    if (element == Element::kFloat32) return static_cast<const float*>(data)[i];
    if (element == Element::kBfloat16) return to_float32(static_cast<const Bfloat16*>(data)[i]);
    return half_to_float32(static_cast<const Float16*>(data)[i]);
  }
};

// Fields of N images: (N, planes, height, width), C-contiguous. Offsets are planes 2c (dx) and 2c + 1 (dy).
struct DeviceField {
  const void* data = nullptr;
  Element element = Element::kFloat32;
  int images = 0;
  int planes = 0;
  int height = 0;
  int width = 0;
  int stride = 1;  // input pixels

  __host__ __device__ std::size_t cells() const {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  }
  __host__ __device__ int last_x() const { return (width - 1) * stride; }   // input pixel of the last column
  __host__ __device__ int last_y() const { return (height - 1) * stride; }  // input pixel of the last row
  __device__ Plane plane(int image, int p) const {
    const std::size_t first = (static_cast<std::size_t>(image) * planes + p) * cells();
    return {static_cast<const char*>(data) + first * size_of(element), element};
  }
  // `count` images from image `first` on.
  DeviceField part(int first, int count) const {
    DeviceField some = *this;
    some.data = static_cast<const char*>(data) + static_cast<std::size_t>(first) * planes * cells() * size_of(element);
    some.images = count;
    return some;
  }
};

// The site between cells of a field where a point lies that is placed along both axes: `cell`, and `t` from that cell.
template <typename Place>
__device__ Site<float> site_between(const DeviceField& field, const Place& x, const Place& y) {
  const int w = field.width, right = w > 1 ? 1 : 0, below = field.height > 1 ? w : 0, corner = y.cell * w + x.cell;
  return {corner, corner + right, corner + below, corner + below + right, x.t, y.t};
}

}  // namespace cuda
}  // namespace personlab

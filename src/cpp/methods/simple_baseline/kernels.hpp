// The inner loops of the top-down method that are compiled once for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/elements.hpp"

namespace personlab::simple_baseline {

// Pixels first .. last - 1 of a row of a crop, whose four pixels of the image all lie in it, with one to spare on the
// right.
struct CropRow {
  const std::uint8_t* pixels;  // (H, W, 3)
  const float* line;           // two rows of the image blended by `blend`, in place of `pixels`; or null
  const std::ptrdiff_t* at;    // (w) place of the upper left pixel in either, numbers
  const float* right;          // (w) share of the right pixels
  const float* below;          // (w) share of the lower pixels
  std::ptrdiff_t row_bytes;
  int first, last;
};

struct MapShape {
  int height, width;
  int shift;  // columns by which a mirrored map is moved
};

// The highest cell of a map.
struct TopCell {
  float value;
  std::size_t cell;
};

template <typename T>
struct BaselineKernelsOf {
  // Halves the sum of a map (h, w) and of one of the mirrored crop; `line` (w) is scratch.
  void (*merge)(const T* own, const T* mirrored, const MapShape& shape, float* line, float* to);
  // The highest of n finite cells, and the first of those that are equal; cell n where none is finite.
  TopCell (*top)(const T* cells, std::size_t n);
};

struct BaselineKernels {
  // Reads n numbers of a row of the image and of the one below between the two.
  void (*blend)(const std::uint8_t* upper, const std::uint8_t* lower, float below, std::size_t n, float* to);
  // Writes values 0 .. 255 of a row (w, 3), rounded.
  void (*crop_bytes)(const CropRow& row, std::uint8_t* to);
  // Writes the same into three rows (w), `plane` floats apart, not rounded.
  void (*crop_planes)(const CropRow& row, std::size_t plane, float* to);
  BaselineKernelsOf<float> float32;
  BaselineKernelsOf<Float16> float16;
  BaselineKernelsOf<Bfloat16> bfloat16;

  const BaselineKernelsOf<float>& of(float) const { return float32; }
  const BaselineKernelsOf<Float16>& of(Float16) const { return float16; }
  const BaselineKernelsOf<Bfloat16>& of(Bfloat16) const { return bfloat16; }
};

// The kernels of the instruction set that `isa` chooses.
const BaselineKernels& baseline_kernels();

}  // namespace personlab::simple_baseline

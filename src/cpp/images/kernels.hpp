// The inner loops on images that are compiled once for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace personlab::images {

constexpr std::size_t kSpare = 16;  // numbers after those of a row that kernels read or write, and nobody uses

// Where the pixels of a row of the result are read.
struct Columns {
  const std::uint32_t* at;  // (w) place of the left pixel, numbers
  const float* right;       // (w) share of the pixel after it; 0 at the last one of a row
  std::size_t count;        // w
};

struct ImageKernels {
  // Reads a row of `n` bytes at columns, into (w, 3); `line` is scratch of n numbers. Both have `kSpare` more.
  void (*read_columns)(const std::uint8_t* row, std::size_t n, const Columns& columns, float* line, float* to);
  // Writes n bytes between two rows, rounded; these have `kSpare` numbers more.
  void (*read_between)(const float* upper, const float* lower, float below, std::size_t n, std::uint8_t* to);
};

// The kernels of the instruction set that `isa` chooses.
const ImageKernels& image_kernels();

}  // namespace personlab::images

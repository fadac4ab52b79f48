// The kernel table of Simple Pose: the inner loops that are compiled once for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/elements.hpp"

namespace personlab::simple_pose {

// The first `rows` rows and `columns` columns of a plane whose rows are `width` cells apart.
template <typename T>
struct ShownCells {
  const T* plane;
  int rows, columns, width;
};

constexpr int kSampleGroup = 4;  // samples that are read together

// A line on a plane, and where it is sampled: at start + i * step, in cells, for every i of `places`.
template <typename T>
struct SampledLine {
  const T* plane;
  int height, width;
  double x0, y0, step_x, step_y;
  const double* places;  // (count), and as many more as fill a group
  int count;
};

template <typename T>
struct MapKernelsOf {
  // Sets bit i of `bits` where value i of n is at least `lowest`; returns whether any is.
  bool (*threshold)(const T* values, std::size_t n, float lowest, std::uint64_t* bits);
  // Likewise for all cells of the rows shown, but leaves out most of those that a finite neighbour shown exceeds.
  bool (*mark_tops)(const ShownCells<T>& cells, float lowest, std::uint64_t* bits);
  // Adds the samples to the total in their order, bilinear between cells and cut to 0 .. 1. Returns how
  // many are not above the threshold.
  int (*add_samples)(const SampledLine<T>& line, double threshold, double* total);
};

struct MapKernels {
  MapKernelsOf<float> float32;
  MapKernelsOf<Float16> float16;
  MapKernelsOf<Bfloat16> bfloat16;

  const MapKernelsOf<float>& of(float) const { return float32; }
  const MapKernelsOf<Float16>& of(Float16) const { return float16; }
  const MapKernelsOf<Bfloat16>& of(Bfloat16) const { return bfloat16; }
};

// The kernels of the instruction set that `isa` chooses.
const MapKernels& map_kernels();

}  // namespace personlab::simple_pose

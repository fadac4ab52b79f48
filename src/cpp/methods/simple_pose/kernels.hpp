// The kernel table of Simple Pose: the inner loops that are compiled once for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/elements.hpp"

namespace personlab::simple_pose {

// Sets bit i of `bits` where value i of n is at least `lowest`; returns whether any is.
template <typename T>
using Threshold = bool (*)(const T* values, std::size_t n, float lowest, std::uint64_t* bits);

struct MapKernels {
  Threshold<float> float32;
  Threshold<Float16> float16;
  Threshold<Bfloat16> bfloat16;

  Threshold<float> threshold(float) const { return float32; }
  Threshold<Float16> threshold(Float16) const { return float16; }
  Threshold<Bfloat16> threshold(Bfloat16) const { return bfloat16; }
};

// The kernels of the instruction set that `isa` chooses.
const MapKernels& map_kernels();

}  // namespace personlab::simple_pose

// What depends on the machine that kernels run on: here the host, in place of src/cuda/base/platform.cuh.
#pragma once

#include <cuda_runtime.h>

#include "base/elements.hpp"

#define PERSONLAB_UNROLL

namespace personlab {
namespace cuda {

constexpr unsigned kMaxBlocks = 4;  // one processor runs them one after the other
constexpr unsigned kMinBlocks = 2;

// Threads that meet at barriers run as fibers, others in a plain loop.
template <bool kTogether>
cudaLaunchConfig_t launch_config(dim3 grid, dim3 block, cudaStream_t stream) {
  cudaLaunchConfig_t config;
  config.gridDim = grid;
  config.blockDim = block;
  config.stream = stream;
  config.together = kTogether;
  return config;
}

inline float half_to_float32(Float16 half) { return to_float32(half); }

}  // namespace cuda
}  // namespace personlab

// What depends on the machine that kernels run on: here an NVIDIA GPU. tests/cuda_host/base has a file of this name for
// the host, which comes first on its include path.
#pragma once

#include <cuda_runtime.h>

#include "base/elements.hpp"

// Before a loop over an array that is to stay in registers.
#define PERSONLAB_UNROLL _Pragma("unroll")

namespace personlab {
namespace cuda {

// Blocks of a launch that loops over items: the maximum of all images together, the minimum of each.
constexpr unsigned kMaxBlocks = 2048;  // enough to fill any GPU
constexpr unsigned kMinBlocks = 64;

// A launch; a GPU need not know whether the threads of a block meet at barriers.
template <bool kTogether>
cudaLaunchConfig_t launch_config(dim3 grid, dim3 block, cudaStream_t stream) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.stream = stream;
  return config;
}

inline __device__ float half_to_float32(Float16 half) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half.bits));
  return value;
}

}  // namespace cuda
}  // namespace personlab

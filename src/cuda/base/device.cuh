// What every kernel stands on: errors, launches, and memory placed in the caller's scratch.
//
// Results are the same bytes on every run: sums over threads are of integers, or in a fixed order.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string>

#include "base/platform.cuh"

namespace personlab {
namespace cuda {

// Throws std::runtime_error with CUDA's own words where a call failed.
inline void check(cudaError_t error, const char* doing) {
  if (error != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + doing + ": " + cudaGetErrorString(error));
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Threads of a block, unless a stage needs another number.
constexpr int kBlock = 256;
constexpr int kWarp = 32;
constexpr unsigned kAllLanes = ~0U;

constexpr unsigned kMaxGridRows = 65535;  // blocks of a launch along y

template <typename Count>
__host__ __device__ constexpr unsigned blocks_for(Count items, int per_block = kBlock) {
  return static_cast<unsigned>((items + per_block - 1) / per_block);
}

// Rows of blocks for so many planes: kernels loop over those beyond.
constexpr unsigned grid_rows(std::size_t planes) {
  return static_cast<unsigned>(planes < kMaxGridRows ? planes : kMaxGridRows);
}

// Blocks that loop over up to `items` of each image, of which a device-side count says how many there are: enough of
// them to fill the device, no more. Row y is image y.
inline dim3 loop_grid(int items, int per_block, int images) {
  const unsigned all = blocks_for(static_cast<std::size_t>(items), per_block);
  const unsigned share = kMaxBlocks / static_cast<unsigned>(images);
  const unsigned limit = share > kMinBlocks ? share : kMinBlocks;
  return dim3(all < limit ? (all > 0 ? all : 1) : limit, static_cast<unsigned>(images));
}

// How the threads of a block work: each alone, or together by barriers, shuffles and votes.
enum class Threads { kAlone, kTogether };

// Queues one kernel on the stream; `kThreads` says what the kernel does.
template <Threads kThreads = Threads::kAlone, typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, cudaStream_t stream, Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  const cudaLaunchConfig_t config = launch_config<kThreads == Threads::kTogether>(grid, block, stream);
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), "launching a kernel");
}

// Sum over the lanes of a warp, in every lane.
template <typename Value>
__device__ Value sum_warp(Value value) {
  for (int apart = kWarp / 2; apart > 0; apart /= 2) value += __shfl_xor_sync(kAllLanes, value, apart);
  return value;
}

// Places arrays in memory that the caller owns; without memory it only counts what is needed.
class Arena {
 public:
  explicit Arena(void* memory = nullptr) : memory_(static_cast<char*>(memory)) {}

  template <typename Value>
  Value* take(std::size_t count) {
    const std::size_t at = used_;
    used_ += (count * sizeof(Value) + kAlignment - 1) / kAlignment * kAlignment;
    return memory_ == nullptr ? nullptr : reinterpret_cast<Value*>(memory_ + at);
  }
  std::size_t used() const { return used_; }  // bytes
  const char* start() const { return memory_; }

 private:
  static constexpr std::size_t kAlignment = 256;
  char* memory_;
  std::size_t used_ = 0;
};

}  // namespace cuda
}  // namespace personlab

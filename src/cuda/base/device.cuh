// What every stage on the GPU stands on: errors, launches, fields in device memory, and places in the caller's scratch.
//
// Results are the same bytes on every run: sums over threads are of integers, or in an order that nothing changes.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

#include "base/sampling.hpp"
#include "base/types.hpp"

// Before a loop over an array that is to stay in registers.
#ifdef __CUDACC__
#define PERSONLAB_UNROLL _Pragma("unroll")
#else
#define PERSONLAB_UNROLL
#endif

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

constexpr unsigned kMostRows = 65535;  // rows of blocks in a launch

template <typename Count>
__host__ __device__ constexpr unsigned blocks_for(Count items, int per_block = kBlock) {
  return static_cast<unsigned>((items + per_block - 1) / per_block);
}

// Blocks that go through up to `items` things of each image, of which a device-side count says how many there are: enough of
// them to fill any GPU, no more. Row y is image y.
inline dim3 loop_grid(int items, int per_block, int images) {
#ifdef PERSONLAB_CUDA_ON_HOST
  constexpr unsigned kMost = 4, kLeast = 2;  // which one processor goes through
#else
  constexpr unsigned kMost = 2048, kLeast = 64;
#endif
  const unsigned all = blocks_for(static_cast<std::size_t>(items), per_block), share = kMost / static_cast<unsigned>(images);
  const unsigned most = share > kLeast ? share : kLeast;
  return dim3(all < most ? (all > 0 ? all : 1) : most, static_cast<unsigned>(images));
}

// How the threads of a block work: each by itself, or in step with others through barriers, shuffles and votes.
enum class Threads { kAlone, kTogether };

// Puts one kernel on the stream. `kThreads` says what the kernel does; the GPU does not ask, but a host that stands in for
// one runs threads that are alone in a plain loop.
template <Threads kThreads = Threads::kAlone, typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, cudaStream_t stream, Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.stream = stream;
#ifdef PERSONLAB_CUDA_ON_HOST
  config.together = kThreads == Threads::kTogether;
#endif
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), "launching a kernel");
}

constexpr std::size_t size_of(Element element) { return element == Element::kFloat32 ? 4 : 2; }

// One plane (h, w) of any of these, read as float32.
struct Plane {
  const void* data;
  Element element;

  __device__ float operator[](int i) const {
    if (element == Element::kFloat32) return static_cast<const float*>(data)[i];
    if (element == Element::kBfloat16) return to_float32(static_cast<const Bfloat16*>(data)[i]);
    return of_half(static_cast<const Float16*>(data)[i]);
  }

 private:
  static __device__ float of_half(Float16 half) {
#ifdef __CUDA_ARCH__
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half.bits));
    return value;
#else
    return to_float32(half);
#endif
  }
};

// Fields of N images in device memory: (N, planes, height, width), C-contiguous. Offsets are planes 2c (dx) and 2c + 1 (dy).
struct Field {
  const void* data = nullptr;
  Element element = Element::kFloat32;
  int images = 0;
  int planes = 0;
  int height = 0;
  int width = 0;
  int stride = 1;  // input pixels

  __host__ __device__ std::size_t cells() const { return static_cast<std::size_t>(height) * static_cast<std::size_t>(width); }
  __host__ __device__ int last_x() const { return (width - 1) * stride; }   // input pixel of the last column
  __host__ __device__ int last_y() const { return (height - 1) * stride; }  // input pixel of the last row
  __device__ Plane plane(int image, int p) const {
    const std::size_t first = (static_cast<std::size_t>(image) * planes + p) * cells();
    return {static_cast<const char*>(data) + first * (element == Element::kFloat32 ? 4 : 2), element};
  }
  // Some of the images, from one on.
  Field part(int from, int count) const {
    Field some = *this;
    some.data = static_cast<const char*>(data) + static_cast<std::size_t>(from) * planes * cells() * size_of(element);
    some.images = count;
    return some;
  }
};

// Hands out places in memory that the caller owns; without memory it only counts what would be needed.
class Arena {
 public:
  explicit Arena(void* memory = nullptr) : memory_(static_cast<char*>(memory)) {}

  template <typename Value>
  Value* take(std::size_t count) {
    const std::size_t at = used_;
    used_ += (count * sizeof(Value) + kAlignment - 1) / kAlignment * kAlignment;
    return memory_ == nullptr ? nullptr : reinterpret_cast<Value*>(memory_ + at);
  }
  std::size_t used() const { return used_; }
  const char* start() const { return memory_; }

 private:
  static constexpr std::size_t kAlignment = 256;
  char* memory_;
  std::size_t used_ = 0;
};

}  // namespace cuda
}  // namespace personlab

// The CUDA runtime of a machine without a GPU: kernels compiled as plain C++ run here on the host, block after block.
//
// It stands in for NVIDIA's header of the same name when a C++ compiler compiles the stages of src/cuda, so that their
// results can be tested, and sanitizers can watch them, anywhere. Threads that work alone run in a loop; threads that
// meet at barriers run as fibers, and one that waits for others that never arrive ends the program.
// PERSONLAB_CUDA_HOST_ORDER=N runs blocks and threads in another order: results must not change. Speed, and races
// between a GPU's caches, are not simulated.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __host__
#define __constant__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

// --- runtime --------------------------------------------------------------------------------------------------------

using cudaStream_t = void*;
using cudaError_t = int;
constexpr cudaError_t cudaSuccess = 0;
constexpr cudaError_t cudaErrorMemoryAllocation = 2;

enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  bool together = false;
};

struct cudaDeviceProp {
  char name[256];
  int major, minor, multiProcessorCount;
};

inline const char* cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "out of memory"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
inline cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaDriverGetVersion(int* version) { return *version = 0, cudaSuccess; }
inline cudaError_t cudaRuntimeGetVersion(int* version) { return *version = 0, cudaSuccess; }
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "the host in place of a GPU");
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t) {
  if (bytes > 0) std::memset(to, value, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return cudaSuccess;
}

enum cudaMemoryType { cudaMemoryTypeUnregistered, cudaMemoryTypeHost, cudaMemoryTypeDevice, cudaMemoryTypeManaged };
struct cudaPointerAttributes {
  cudaMemoryType type;
  int device;
};
inline cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void*) {
  return *attributes = {cudaMemoryTypeDevice, 0}, cudaSuccess;
}

using cudaEvent_t = void*;
constexpr unsigned cudaEventDisableTiming = 2;
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return *event = nullptr, cudaSuccess; }
inline cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
inline cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }

inline cudaError_t cudaMallocAsync(void** to, std::size_t bytes, cudaStream_t) {
  *to = std::malloc(bytes > 0 ? bytes : 1);
  if (*to == nullptr) return cudaErrorMemoryAllocation;
  std::memset(*to, 0xA5, bytes);  // memory of a GPU is not zero either
  return cudaSuccess;
}
inline cudaError_t cudaFreeAsync(void* memory, cudaStream_t) { return std::free(memory), cudaSuccess; }
inline cudaError_t cudaMalloc(void** to, std::size_t bytes) { return cudaMallocAsync(to, bytes, nullptr); }
inline cudaError_t cudaFree(void* memory) { return std::free(memory), cudaSuccess; }
inline cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}
inline cudaError_t cudaMallocHost(void** to, std::size_t bytes) { return cudaMallocAsync(to, bytes, nullptr); }
inline cudaError_t cudaFreeHost(void* memory) { return std::free(memory), cudaSuccess; }

// --- blocks of threads ----------------------------------------------------------------------------------------------

namespace cuda_host {

constexpr unsigned kWarp = 32;
constexpr std::size_t kStack = std::size_t{256} << 10;  // bytes of a thread

inline dim3 place_of(unsigned index, dim3 extent) {
  return {index % extent.x, index / extent.x % extent.y, index / (extent.x * extent.y)};
}

// The numbers 0 .. n - 1, in the order that PERSONLAB_CUDA_HOST_ORDER asks for.
inline std::vector<unsigned> order(unsigned n) {
  std::vector<unsigned> numbers(n);
  for (unsigned i = 0; i < n; ++i) numbers[i] = i;
  if (const char* seed = std::getenv("PERSONLAB_CUDA_HOST_ORDER")) {
    std::mt19937 random(static_cast<unsigned>(std::atoi(seed)));
    std::shuffle(numbers.begin(), numbers.end(), random);
  }
  return numbers;
}

// The registers of a fiber. The system's functions call the kernel at every change; on x86-64, unless a sanitizer has
// to follow, the few registers that count are exchanged here.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((naked, noinline)) inline void exchange_stacks(void** /*left*/, void* /*entered*/) {
  asm("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
      "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
      "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}

class Context {
 public:
  void begin(char* stack, std::size_t size, void (*body)()) {
    auto* const top = reinterpret_cast<void**>((reinterpret_cast<std::uintptr_t>(stack) + size) & ~std::uintptr_t{15});
    top[-1] = nullptr;
    top[-2] = reinterpret_cast<void*>(body);
    at_ = top - 8;  // the six registers come first
  }
  void leave_for(Context& other) { exchange_stacks(&at_, other.at_); }

 private:
  void* at_ = nullptr;
};
#else
class Context {
 public:
  void begin(char* stack, std::size_t size, void (*body)()) {
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack;
    context_.uc_stack.ss_size = size;
    context_.uc_link = nullptr;
    makecontext(&context_, body, 0);
  }
  void leave_for(Context& other) { swapcontext(&context_, &other.context_); }

 private:
  ucontext_t context_{};
};
#endif

// A block whose threads meet.
class Block {
 public:
  enum class State { kReady, kAtWarp, kAtBlock, kDone };

  Block(unsigned threads, std::function<void()> body) : body_(std::move(body)), fibers_(threads) {
    for (auto& some : values_) some.resize((threads + kWarp - 1) / kWarp * kWarp);
    while (stacks.size() < threads) stacks.emplace_back(new char[kStack]);
    for (unsigned t = 0; t < threads; ++t) {
      fibers_[t].context.begin(stacks[t].get(), kStack, &Block::enter);
    }
  }

  void run() {
    Block* const outer = current;
    current = this;
    const std::vector<unsigned> sequence = order(static_cast<unsigned>(fibers_.size()));
    for (bool left = true; left;) {
      left = false;
      for (const unsigned t : sequence) {
        if (fibers_[t].state == State::kReady) resume(t);
        left = left || fibers_[t].state != State::kDone;
      }
      if (left) release();
    }
    current = outer;
  }

  // The running thread waits for its warp, or for all of its block.
  void wait(State where) {
    fibers_[running_].state = where;
    leave(false);
  }
  unsigned running() const { return running_; }
  bool is_done(unsigned t) const { return t >= fibers_.size() || fibers_[t].state == State::kDone; }

  static inline Block* current = nullptr;
  static inline std::vector<std::unique_ptr<char[]>> stacks;  // of any block's threads: one block runs at a time

  // Where each thread shows the others a value: in two places by turns.
  std::vector<std::uint64_t>& next_values() { return values_[fibers_[running_].shown++ % 2]; }

 private:
  struct Fiber {
    Context context;
    State state = State::kReady;
    unsigned shown = 0;      // values so far
    void* shadow = nullptr;  // of AddressSanitizer
  };

  static void enter() {
    Block* const block = current;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &block->bottom_, &block->size_);
#endif
    block->body_();
    block->fibers_[block->running_].state = State::kDone;
    block->leave(true);
  }

  void resume(unsigned t) {
    running_ = t;
    threadIdx = place_of(t, blockDim);
    Fiber& fiber = fibers_[t];
#if defined(__SANITIZE_ADDRESS__)
    void* shadow = nullptr;
    __sanitizer_start_switch_fiber(&shadow, stacks[t].get(), kStack);
#endif
    home_.leave_for(fiber.context);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(shadow, nullptr, nullptr);
#endif
  }

  void leave([[maybe_unused]] bool forever) {
    Fiber& fiber = fibers_[running_];
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(forever ? nullptr : &fiber.shadow, bottom_, size_);
#endif
    fiber.context.leave_for(home_);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fiber.shadow, &bottom_, &size_);
#endif
  }

  // Threads go on whose warp, or block, has arrived as a whole.
  void release() {
    bool any = false, all = true;
    const auto n = static_cast<unsigned>(fibers_.size());
    for (unsigned first = 0; first < n; first += kWarp) {
      const unsigned last = std::min(first + kWarp, n);
      bool met = false, complete = true;
      for (unsigned t = first; t < last; ++t) {
        met = met || fibers_[t].state == State::kAtWarp;
        complete = complete && (fibers_[t].state == State::kAtWarp || fibers_[t].state == State::kDone);
        all = all && (fibers_[t].state == State::kAtBlock || fibers_[t].state == State::kDone);
      }
      if (!met || !complete) continue;
      any = true;
      for (unsigned t = first; t < last; ++t)
        if (fibers_[t].state == State::kAtWarp) fibers_[t].state = State::kReady;
    }
    if (any) return;
    if (!all) {
      std::fputs("CUDA on the host: threads wait at different barriers\n", stderr);
      std::abort();
    }
    for (Fiber& fiber : fibers_)
      if (fiber.state == State::kAtBlock) fiber.state = State::kReady;
  }

  std::function<void()> body_;
  std::vector<Fiber> fibers_;
  std::vector<std::uint64_t> values_[2];
  Context home_;
  unsigned running_ = 0;
  const void* bottom_ = nullptr;  // of the scheduler's stack
  std::size_t size_ = 0;
};

inline Block& meeting() {
  if (Block::current == nullptr) {
    std::fputs("CUDA on the host: a barrier in a kernel whose threads work alone\n", stderr);
    std::abort();
  }
  return *Block::current;
}

// What the threads of the warp show, after all have. The next time they show it elsewhere: all will have read this by
// then.
template <typename Value>
const std::uint64_t* show(Value value) {
  static_assert(sizeof(Value) <= sizeof(std::uint64_t));
  Block& block = meeting();
  std::vector<std::uint64_t>& values = block.next_values();
  std::uint64_t& bits = values[block.running()];
  bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  block.wait(Block::State::kAtWarp);
  return values.data() + block.running() / kWarp * kWarp;
}

template <typename Value>
Value exchange(Value value, unsigned lane) {
  const std::uint64_t* const shown = show(value);
  std::memcpy(&value, shown + lane % kWarp, sizeof value);
  return value;
}

inline unsigned lane() { return meeting().running() % kWarp; }

inline unsigned ballot(bool vote) {
  const std::uint64_t* const shown = show<unsigned>(vote ? 1 : 0);
  const Block& block = meeting();
  const unsigned first = block.running() / kWarp * kWarp;
  unsigned bits = 0;
  for (unsigned i = 0; i < kWarp; ++i)
    if (!block.is_done(first + i) && shown[i] != 0) bits |= 1U << i;
  return bits;
}

}  // namespace cuda_host

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  using cuda_host::order;
  using cuda_host::place_of;
  gridDim = config->gridDim;
  blockDim = config->blockDim;
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  if (threads > 1024 || gridDim.y > 65535 || gridDim.z > 65535) {
    std::fputs("CUDA on the host: a launch larger than a GPU takes\n", stderr);
    std::abort();
  }
  const std::vector<unsigned> sequence = order(threads);
  for (const unsigned b : order(gridDim.x * gridDim.y * gridDim.z)) {
    blockIdx = place_of(b, gridDim);
    if (config->together) {
      cuda_host::Block(threads, [&] { kernel(arguments...); }).run();
      continue;
    }
    for (const unsigned t : sequence) {
      threadIdx = place_of(t, blockDim);
      kernel(arguments...);
    }
  }
  return cudaSuccess;
}

// --- what device code calls -----------------------------------------------------------------------------------------

inline void __syncthreads() { cuda_host::meeting().wait(cuda_host::Block::State::kAtBlock); }
inline void __syncwarp(unsigned = ~0U) { cuda_host::meeting().wait(cuda_host::Block::State::kAtWarp); }
inline unsigned __ballot_sync(unsigned, int vote) { return cuda_host::ballot(vote != 0); }
inline int __any_sync(unsigned, int vote) { return cuda_host::ballot(vote != 0) != 0 ? 1 : 0; }
template <typename Value>
Value __shfl_sync(unsigned, Value value, int from) {
  return cuda_host::exchange(value, static_cast<unsigned>(from));
}
template <typename Value>
Value __shfl_xor_sync(unsigned, Value value, int mask) {
  return cuda_host::exchange(value, cuda_host::lane() ^ static_cast<unsigned>(mask));
}
template <typename Value>
Value __shfl_down_sync(unsigned, Value value, unsigned by) {
  const unsigned own = cuda_host::lane();
  return cuda_host::exchange(value, own + by < cuda_host::kWarp ? own + by : own);
}

template <typename Value>
Value atomicAdd(Value* to, Value value) {
  const Value before = *to;
  *to = static_cast<Value>(before + value);
  return before;
}
template <typename Value>
Value atomicMax(Value* to, Value value) {
  const Value before = *to;
  *to = std::max(before, value);
  return before;
}
template <typename Value>
Value atomicExch(Value* to, Value value) {
  const Value before = *to;
  *to = value;
  return before;
}
template <typename Value>
Value atomicOr(Value* to, Value value) {
  const Value before = *to;
  *to = before | value;
  return before;
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __popcll(unsigned long long bits) { return __builtin_popcountll(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits)); }
template <typename To, typename From>
To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
inline int __float_as_int(float v) { return bits_as<int>(v); }
inline unsigned __float_as_uint(float v) { return bits_as<unsigned>(v); }
inline float __int_as_float(int v) { return bits_as<float>(v); }
inline float __uint_as_float(unsigned v) { return bits_as<float>(v); }
inline long long __double_as_longlong(double v) { return bits_as<long long>(v); }
inline double __longlong_as_double(long long v) { return bits_as<double>(v); }
template <typename Value>
Value __ldg(const Value* from) {
  return *from;
}

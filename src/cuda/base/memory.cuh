// Devices, their memory, and copies to and from it, ordered by streams.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>
#include <utility>

namespace personlab {
namespace cuda {

// Makes a device current for as long as this lives.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device);
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  int before_ = 0;
};

// Why no device can be used; empty where one can.
std::string unavailable_reason();

std::string device_name(int device);

// CUDA versions of the driver and of the runtime, 1000 major + 10 minor; 0 without one.
std::pair<int, int> versions();

// The device whose memory lies at an address: the current one for null, -1 where CUDA knows no such memory.
int device_of(const void* address);

// Work queued on `stream` from now on starts after all that is queued on `other` now.
void wait_for(cudaStream_t stream, cudaStream_t other, int device);

// Owns memory from a stream's pool; the memory is reused after work already queued on the stream.
class Memory {
 public:
  Memory(std::size_t bytes, int device, cudaStream_t stream);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
  int device_;
  cudaStream_t stream_;
};

// Copies to the device; waits until `host` may change.
void upload(const void* host, void* device_memory, std::size_t bytes, int device, cudaStream_t stream);

// Copies to the host after work already queued on the stream; waits for the copy.
void download(const void* device_memory, void* host, std::size_t bytes, int device, cudaStream_t stream);

}  // namespace cuda
}  // namespace personlab

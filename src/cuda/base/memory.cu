// Devices, memory from their pools, and copies: what Python asks of the CUDA runtime itself.
#include <cstring>

#include "base/device.cuh"
#include "base/memory.cuh"

namespace personlab {
namespace cuda {
namespace {

constexpr std::size_t kMaxPinned = std::size_t{16} << 20;  // bytes that each thread keeps for copies to the host

// Page-locked memory of the host, which the device writes to at full speed; each thread keeps its own.
class PinnedBuffer {
 public:
  ~PinnedBuffer() { cudaFreeHost(data_); }
  void* reserve(std::size_t bytes) {
    if (bytes > size_) {
      cudaFreeHost(data_);
      data_ = nullptr, size_ = 0;
      check(cudaMallocHost(&data_, bytes), "allocating memory of the host");
      size_ = bytes;
    }
    return data_;
  }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace

CurrentDevice::CurrentDevice(int device) {
  check(cudaGetDevice(&before_), "asking for the device");
  if (device != before_) check(cudaSetDevice(device), "choosing the device");
}

CurrentDevice::~CurrentDevice() { cudaSetDevice(before_); }

std::string unavailable_reason() {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  cudaGetLastError();  // clears it
  if (error != cudaSuccess) return cudaGetErrorString(error);
  return devices > 0 ? "" : "no device";
}

std::string device_name(int device) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "asking for a device's name");
  return properties.name;
}

std::pair<int, int> versions() {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  return {driver, runtime};
}

int device_of(const void* address) {
  int device = 0;
  if (address == nullptr) {
    check(cudaGetDevice(&device), "asking for the device");
    return device;
  }
  cudaPointerAttributes attributes;
  const cudaError_t error = cudaPointerGetAttributes(&attributes, address);
  cudaGetLastError();  // clears it
  return error == cudaSuccess && attributes.type != cudaMemoryTypeUnregistered ? attributes.device : -1;
}

void wait_for(cudaStream_t stream, cudaStream_t other, int device) {
  const CurrentDevice current(device);
  cudaEvent_t event;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
  cudaError_t error = cudaEventRecord(event, other);
  if (error == cudaSuccess) error = cudaStreamWaitEvent(stream, event, 0);
  cudaEventDestroy(event);
  check(error, "waiting for a stream");
}

Memory::Memory(std::size_t bytes, int device, cudaStream_t stream) : device_(device), stream_(stream) {
  const CurrentDevice current(device);
  if (bytes > 0) check(cudaMallocAsync(&data_, bytes, stream_), "allocating memory");
}

Memory::~Memory() {
  if (data_ == nullptr) return;
  int before = device_;
  cudaGetDevice(&before);
  cudaSetDevice(device_);
  cudaFreeAsync(data_, stream_);
  cudaSetDevice(before);
}

void upload(const void* host, void* device_memory, std::size_t bytes, int device, cudaStream_t stream) {
  const CurrentDevice current(device);
  if (bytes == 0) return;
  check(cudaMemcpyAsync(device_memory, host, bytes, cudaMemcpyHostToDevice, stream), "copying");
  check(cudaStreamSynchronize(stream), "copying to the device");
}

void download(const void* device_memory, void* host, std::size_t bytes, int device, cudaStream_t stream) {
  const CurrentDevice current(device);
  thread_local PinnedBuffer pinned;
  const bool is_pinned = bytes <= kMaxPinned;  // more goes straight to its place
  void* const target = is_pinned ? pinned.reserve(bytes) : host;
  if (bytes > 0) check(cudaMemcpyAsync(target, device_memory, bytes, cudaMemcpyDeviceToHost, stream), "copying");
  check(cudaStreamSynchronize(stream), "waiting for the device");
  if (bytes > 0 && is_pinned) std::memcpy(host, target, bytes);
}

}  // namespace cuda
}  // namespace personlab

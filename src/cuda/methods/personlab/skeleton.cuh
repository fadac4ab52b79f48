// A skeleton that lies in the memory of a device, for as long as poses are decoded by it.
#pragma once

#include "methods/personlab/stages.cuh"

namespace personlab {
namespace cuda {

class DeviceSkeleton {
 public:
  // Waits for the device; memory is the current device's.
  explicit DeviceSkeleton(const Skeleton& skeleton);
  ~DeviceSkeleton();
  DeviceSkeleton(const DeviceSkeleton&) = delete;
  DeviceSkeleton& operator=(const DeviceSkeleton&) = delete;

  const SkeletonView& view() const { return view_; }

 private:
  void* memory_ = nullptr;
  SkeletonView view_;
};

}  // namespace cuda
}  // namespace personlab

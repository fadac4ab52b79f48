// Skeletons in the memory of a device.
#pragma once

#include "personlab/types.hpp"

namespace personlab {
namespace cuda {

constexpr int kMaxKeypoints = 256;  // of a skeleton

// A skeleton as kernels read it; without cycles it lists the branches from each keypoint to all that it reaches.
struct SkeletonView {
  struct Branch {
    int source, channel, target;
  };

  int n_keypoints = 0;
  bool has_cycles = false;
  const float* sigmas = nullptr;     // (K)
  const int* first = nullptr;        // (K + 1) edges that leave keypoint k: first[k] .. first[k + 1]
  const Branch* edges = nullptr;     // (2E) grouped by source
  const Branch* branches = nullptr;  // from keypoint 0 on, nearest first, then from keypoint 1, and so on
  const int* levels = nullptr;       // where branches of one distance begin, and where the last end
  const int* first_level =
      nullptr;  // (K + 1) levels of the branches from keypoint k: first_level[k] .. first_level[k + 1]
};

// Owns the memory behind a view.
class DeviceSkeleton {
 public:
  // Copies to the current device, and waits for that.
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

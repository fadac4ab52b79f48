// The kernels of Simple Pose, compiled once for each instruction set; no function here may have external linkage.
#define PERSONLAB_HD static inline
#include "methods/simple_pose/kernels.hpp"
#include "simd/threshold.hpp"

namespace personlab {
namespace PERSONLAB_KERNELS {

extern const simple_pose::MapKernels kMapKernels;
const simple_pose::MapKernels kMapKernels{&threshold, &threshold, &threshold};

}  // namespace PERSONLAB_KERNELS
}  // namespace personlab

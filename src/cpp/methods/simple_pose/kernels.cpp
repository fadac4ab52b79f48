// Chooses the kernel table of Simple Pose.
#include "methods/simple_pose/kernels.hpp"

#include "simd/dispatch.hpp"

namespace personlab {

#define PERSONLAB_DECLARE(ISA)                      \
  namespace ISA {                                   \
  extern const simple_pose::MapKernels kMapKernels; \
  }
PERSONLAB_FOR_EACH_ISA(PERSONLAB_DECLARE)

const simple_pose::MapKernels& simple_pose::map_kernels() {
  static const MapKernels& chosen = PERSONLAB_CHOOSE(kMapKernels);
  return chosen;
}

}  // namespace personlab

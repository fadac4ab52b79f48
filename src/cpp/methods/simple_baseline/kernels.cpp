// Chooses the kernel table of the top-down method.
#include "methods/simple_baseline/kernels.hpp"

#include "simd/dispatch.hpp"

namespace personlab {

#define PERSONLAB_DECLARE(ISA)                                    \
  namespace ISA {                                                 \
  extern const simple_baseline::BaselineKernels kBaselineKernels; \
  }
PERSONLAB_FOR_EACH_ISA(PERSONLAB_DECLARE)

const simple_baseline::BaselineKernels& simple_baseline::baseline_kernels() {
  static const BaselineKernels& chosen = PERSONLAB_CHOOSE(kBaselineKernels);
  return chosen;
}

}  // namespace personlab

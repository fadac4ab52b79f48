// Chooses PersonLab's kernel table.
#include "methods/personlab/kernels.hpp"

#include "simd/dispatch.hpp"

namespace personlab {

#define PERSONLAB_DECLARE(ISA)   \
  namespace ISA {                \
  extern const Kernels kKernels; \
  }
PERSONLAB_FOR_EACH_ISA(PERSONLAB_DECLARE)

const Kernels& kernels() {
  static const Kernels& chosen = PERSONLAB_CHOOSE(kKernels);
  return chosen;
}

}  // namespace personlab

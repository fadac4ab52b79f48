// Chooses the kernel table of images.
#include "images/kernels.hpp"

#include "simd/dispatch.hpp"

namespace personlab {

#define PERSONLAB_DECLARE(ISA)                     \
  namespace ISA {                                  \
  extern const images::ImageKernels kImageKernels; \
  }
PERSONLAB_FOR_EACH_ISA(PERSONLAB_DECLARE)

const images::ImageKernels& images::image_kernels() {
  static const ImageKernels& chosen = PERSONLAB_CHOOSE(kImageKernels);
  return chosen;
}

}  // namespace personlab

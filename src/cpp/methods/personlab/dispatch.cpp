// Chooses the kernels for the processor at hand, once.
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "methods/personlab/kernels.hpp"

#ifdef PERSONLAB_X86_KERNELS
#include <cpuid.h>
#endif

namespace personlab {

namespace baseline {
extern const Kernels kKernels;
}
#ifdef PERSONLAB_X86_KERNELS
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
}
#endif

namespace {

#ifdef PERSONLAB_X86_KERNELS
// Whether float16 can be widened, which all processors with AVX2 do, but not all virtual ones say.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

const Kernels& choose() {
  const Kernels* runnable[3] = {&baseline::kKernels};
  int count = 1;
#ifdef PERSONLAB_X86_KERNELS
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && has_f16c()) {
    runnable[count++] = &avx2::kKernels;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
      runnable[count++] = &avx512::kKernels;
  }
#endif
  const char* wanted = std::getenv("PERSONLAB_ISA");
  if (wanted == nullptr || *wanted == 0) return *runnable[count - 1];
  std::string names;
  for (int i = 0; i < count; ++i) {
    if (std::strcmp(wanted, runnable[i]->name) == 0) return *runnable[i];
    names += std::string(i > 0 ? ", " : "") + runnable[i]->name;
  }
  throw std::invalid_argument("PERSONLAB_ISA: expected one of " + names + " on this machine, got '" + wanted + "'");
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

const char* kernel_names() {
#ifdef PERSONLAB_X86_KERNELS
  return "baseline, avx2, avx512";
#else
  return "baseline";
#endif
}

}  // namespace personlab

// Asks the processor and the environment which instruction set to use.
#include "simd/dispatch.hpp"

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#ifdef PERSONLAB_X86_KERNELS
#include <cpuid.h>
#endif

namespace personlab {
namespace {

constexpr const char* kNames[] = {"baseline", "avx2", "avx512"};

// How many of the instruction sets, slowest first, this processor runs.
int count_runnable() {
#ifdef PERSONLAB_X86_KERNELS
  __builtin_cpu_init();
  // All processors with AVX2 convert float16, but not all virtual ones say so.
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  const bool has_f16c = __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
  if (!has_f16c || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return has_avx512 ? 3 : 2;
#else
  return 1;
#endif
}

Isa find_isa() {
  const int count = count_runnable();
  const char* wanted = std::getenv("PERSONLAB_ISA");
  if (wanted == nullptr || *wanted == 0) return static_cast<Isa>(count - 1);
  std::string names;
  for (int i = 0; i < count; ++i) {
    if (std::strcmp(wanted, kNames[i]) == 0) return static_cast<Isa>(i);
    names += std::string(i > 0 ? ", " : "") + kNames[i];
  }
  throw std::invalid_argument("PERSONLAB_ISA: expected one of " + names + " on this machine, got '" + wanted + "'");
}

}  // namespace

Isa isa() {
  static const Isa chosen = find_isa();
  return chosen;
}

const char* isa_name() { return kNames[static_cast<int>(isa())]; }

const char* isa_names() {
#ifdef PERSONLAB_X86_KERNELS
  return "baseline, avx2, avx512";
#else
  return "baseline";
#endif
}

}  // namespace personlab

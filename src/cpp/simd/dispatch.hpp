// The choice of an instruction set, made once, for the kernel tables of all methods.
#pragma once

#include <initializer_list>

namespace personlab {

// What kernels are compiled for, slowest first.
enum class Isa { kBaseline, kAvx2, kAvx512 };

// The fastest instruction set that this processor runs, or the one that the environment variable PERSONLAB_ISA names.
// Results are the same to the last bit.
//
// Throws std::invalid_argument where that variable names none that can run.
Isa isa();

// Its name.
const char* isa_name();

// Names of all in this build, fastest last, separated by commas.
const char* isa_names();

// A method has a kernel table: a struct of function pointers. One source defines it as NAME, once for each instruction
// set, in namespace PERSONLAB_KERNELS; another declares all of them and chooses:
//
//   #define PERSONLAB_DECLARE(ISA) namespace ISA { extern const Kernels kKernels; }
//   PERSONLAB_FOR_EACH_ISA(PERSONLAB_DECLARE)
//   const Kernels& kernels() {
//     static const Kernels& chosen = PERSONLAB_CHOOSE(kKernels);
//     return chosen;
//   }
#ifdef PERSONLAB_X86_KERNELS
#define PERSONLAB_FOR_EACH_ISA(DO) DO(baseline) DO(avx2) DO(avx512)
#define PERSONLAB_CHOOSE(NAME) ::personlab::choose({&baseline::NAME, &avx2::NAME, &avx512::NAME})
#else
#define PERSONLAB_FOR_EACH_ISA(DO) DO(baseline)
#define PERSONLAB_CHOOSE(NAME) ::personlab::choose({&baseline::NAME})
#endif

// Of one table for each instruction set of this build, in their order.
template <typename Table>
const Table& choose(std::initializer_list<const Table*> tables) {
  return *tables.begin()[static_cast<int>(isa())];
}

}  // namespace personlab

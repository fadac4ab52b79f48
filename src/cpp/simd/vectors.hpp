// The vector vocabulary: what all registers of numbers share. Every operation is the same IEEE operation in the same
// order for any register, so results are the same for any instruction set.
//
//   load<V>(p)  store(v, p)  broadcast<V>(x)  + - * /  min(a, b)  max(a, b)  sqrt(v)
//   cmp_ge(a, b)  cmp_gt(a, b)  cmp_le(a, b)   a mask, false where a lane is NaN
//   select(mask, a, b)  any(mask)  all(mask)  mask_bits(mask)   bit i of mask_bits is lane i
//   to_int(v)  to_float(v)  floor(v)           to_int truncates
//   fused(a, b, c)                             a * b + c with one rounding; rarely two, where the processor lacks it
//   store_bytes(v, p)                          integers 0 .. 255 as bytes
//   reverse(v)                                 the last lane first
//
// min(a, b) and max(a, b) are b where either lane is NaN. load<V> of 16-bit elements and of bytes gives float32.
#pragma once

#include "base/elements.hpp"

// These functions become part of their caller, and so are compiled for its instruction set: the linker can share none
// of them with code for other processors.
#if defined(__GNUC__) || defined(__clang__)
#define PERSONLAB_VECTORS 1  // vector types with operators
#define PERSONLAB_INLINE static inline __attribute__((always_inline))
#define PERSONLAB_INLINE_MEMBER inline __attribute__((always_inline))
#else
#define PERSONLAB_INLINE static inline
#define PERSONLAB_INLINE_MEMBER inline
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi"  // how registers of 32 bytes are passed: no function here is ever called
#endif

namespace personlab {

// What is particular to a register of type V: kLanes, load and broadcast.
template <typename V>
struct Register;

template <typename V, typename T>
PERSONLAB_INLINE V load(const T* from) {
  return Register<V>::load(from);
}

template <typename V, typename T>
PERSONLAB_INLINE V broadcast(T v) {
  return Register<V>::broadcast(v);
}

}  // namespace personlab

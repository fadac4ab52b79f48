// Which values of a plane reach a threshold: the scan that methods begin with.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/floats.hpp"

namespace personlab {
namespace PERSONLAB_KERNELS {
namespace {

// A bit for each of 64 values: whether it is at least `lowest`.
template <typename T>
std::uint64_t threshold64(const T* values, float lowest) {
  std::uint64_t bits = 0;
  for (int i = 0; i < 64; i += kLanes)
    bits |= std::uint64_t{mask_bits(cmp_ge(load<Floats>(values + i), broadcast<Floats>(lowest)))} << i;
  return bits;
}

// Sets bit i of `bits` where value i of n is at least `lowest`; returns whether any is. Bits past n in the last word
// are 0.
template <typename T>
bool threshold(const T* values, std::size_t n, float lowest, std::uint64_t* bits) {
  std::uint64_t any = 0;
  std::size_t i = 0;
  for (; i + 64 <= n; i += 64) any |= * bits++ = threshold64(values + i, lowest);
  if (i < n) {
    std::uint64_t last = 0;
    for (std::size_t j = i; j < n; ++j) last |= static_cast<std::uint64_t>(to_float32(values[j]) >= lowest) << (j - i);
    any |= * bits = last;
  }
  return any != 0;
}

}  // namespace
}  // namespace PERSONLAB_KERNELS
}  // namespace personlab

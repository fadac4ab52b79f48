// What fields are made of: float32, or 16 bits that become float32, exactly, wherever they are read.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/host_device.hpp"
#include "personlab/types.hpp"

namespace personlab {

// IEEE 754 binary16.
struct Float16 {
  std::uint16_t bits;
};

// The upper half of a float32.
struct Bfloat16 {
  std::uint16_t bits;
};

PERSONLAB_HD float float_of_bits(std::uint32_t bits) {
  float v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}

PERSONLAB_HD float to_float32(float v) { return v; }

PERSONLAB_HD float to_float32(Bfloat16 v) { return float_of_bits(static_cast<std::uint32_t>(v.bits) << 16); }

PERSONLAB_HD float to_float32(Float16 v) {
  const std::uint32_t magnitude = v.bits & 0x7fffU, sign = (v.bits & 0x8000U) << 16;
  const std::uint32_t rebias = 112U << 23;  // between the exponents of the two
  if (magnitude >= 0x0400 && magnitude < 0x7c00) return float_of_bits(sign | ((magnitude << 13) + rebias));
  if (magnitude >= 0x7c00) return float_of_bits(sign | ((magnitude << 13) + 2 * rebias));  // infinite or NaN
  const float v_abs = float_of_bits(0x3f000000U + magnitude) - 0.5F;                       // counts 2^-24
  return sign != 0 ? -v_abs : v_abs;
}

// Calls work(T()) for the type T of a field's elements.
template <typename Work>
auto with_elements(const Field& field, const Work& work) {
  switch (field.element) {
    case Element::kFloat16:
      return work(Float16());
    case Element::kBfloat16:
      return work(Bfloat16());
    default:
      return work(float());
  }
}

}  // namespace personlab

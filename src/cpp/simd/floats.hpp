// The widest register of floats of the instruction set that a kernel is compiled for, and maths on it.
#pragma once

#include "simd/f32x16.hpp"
#include "simd/f32x4.hpp"
#include "simd/f32x8.hpp"

namespace personlab {
namespace PERSONLAB_KERNELS {
namespace {

#if defined(__AVX512F__)
using Floats = F32x16;
using Ints = I32x16;
#elif defined(__AVX2__)
using Floats = F32x8;
using Ints = I32x8;
#else
using Floats = F32x4;
using Ints = I32x4;
#endif

constexpr int kLanes = Register<Floats>::kLanes;

// What `exp_same` of sampling.hpp computes.
PERSONLAB_INLINE Floats exp(Floats v) {
  const auto all = [](float x) { return broadcast<Floats>(x); };
  const Floats x = min(max(v, all(-87.0F)), all(87.0F));
  const Floats magic = all(12582912.0F);
  const Floats shifted = x * all(1.44269504F) + magic;
  const Floats n = shifted - magic;
  const Floats r = (x - n * all(0.693145752F)) - n * all(1.42860677e-6F);
  Floats p = all(1.0F / 720.0F);
  p = p * r + all(1.0F / 120.0F);
  p = p * r + all(1.0F / 24.0F);
  p = p * r + all(1.0F / 6.0F);
  p = p * r + all(0.5F);
  p = p * r + all(1.0F);
  p = p * r + all(1.0F);
  return p * exp2_of_shifted(shifted);
}

PERSONLAB_INLINE Floats sigmoid(Floats logit) {
  return broadcast<Floats>(1.0F) / (broadcast<Floats>(1.0F) + exp(broadcast<Floats>(0.0F) - logit));
}

}  // namespace
}  // namespace PERSONLAB_KERNELS
}  // namespace personlab

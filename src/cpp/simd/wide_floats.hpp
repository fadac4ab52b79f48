// As many floats as a register of the instruction set holds, for loops that compilers do not vectorise well. The same
// operations in the same order everywhere, so the same results.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd/float4.hpp"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace personlab {
namespace PERSONLAB_KERNELS {
namespace {

#if defined(__AVX512F__)

struct Wide {
  using Floats = __m512;
  static constexpr int kLanes = 16;
  static Floats load(const float* from) { return _mm512_loadu_ps(from); }
  static Floats load(const Float16* from) { return _mm512_cvtph_ps(load16(from)); }
  static Floats load(const Bfloat16* from) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load16(from)), 16));
  }
  static __m256i load16(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
  static void store(Floats v, float* to) { _mm512_storeu_ps(to, v); }
  static Floats load_integers(const std::uint32_t* from) { return _mm512_cvtepi32_ps(_mm512_loadu_si512(from)); }
  static void store_integers(Floats v, std::int32_t* to) { _mm512_storeu_si512(to, _mm512_cvttps_epi32(v)); }
  static Floats all(float v) { return _mm512_set1_ps(v); }
  static Floats least(Floats a, Floats b) { return _mm512_min_ps(a, b); }
  static Floats most(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static Floats floor(Floats v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
  static Floats exponent(Floats v) {
    const __m512i bits = _mm512_add_epi32(_mm512_castps_si512(v), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 23));
  }
  static Floats where(Floats a, Floats b, Floats v) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_LE_OQ), v);
  }
  static unsigned at_least(Floats v, Floats low) { return _mm512_cmp_ps_mask(v, low, _CMP_GE_OQ); }
  static unsigned above(Floats v, Floats low) { return _mm512_cmp_ps_mask(v, low, _CMP_GT_OQ); }
};

#elif defined(__AVX2__)

struct Wide {
  using Floats = __m256;
  static constexpr int kLanes = 8;
  static Floats load(const float* from) { return _mm256_loadu_ps(from); }
  static Floats load(const Float16* from) { return _mm256_cvtph_ps(load8(from)); }
  static Floats load(const Bfloat16* from) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load8(from)), 16));
  }
  static __m128i load8(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }
  static void store(Floats v, float* to) { _mm256_storeu_ps(to, v); }
  static Floats load_integers(const std::uint32_t* from) {
    return _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static void store_integers(Floats v, std::int32_t* to) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_cvttps_epi32(v));
  }
  static Floats all(float v) { return _mm256_set1_ps(v); }
  static Floats least(Floats a, Floats b) { return _mm256_min_ps(a, b); }
  static Floats most(Floats a, Floats b) { return _mm256_max_ps(a, b); }
  static Floats floor(Floats v) { return _mm256_floor_ps(v); }
  static Floats exponent(Floats v) {
    const __m256i bits = _mm256_add_epi32(_mm256_castps_si256(v), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
  }
  static Floats where(Floats a, Floats b, Floats v) { return _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_LE_OQ), v); }
  static unsigned at_least(Floats v, Floats low) {
    return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(v, low, _CMP_GE_OQ)));
  }
  static unsigned above(Floats v, Floats low) {
    return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(v, low, _CMP_GT_OQ)));
  }
};

#else

struct Wide {
  using Floats = Float4;
  static constexpr int kLanes = 4;
  template <typename T>
  static Floats load(const T* from) {
    return load4(from);
  }
  static void store(Floats v, float* to) { store4(v, to); }
  static Floats load_integers(const std::uint32_t* from) {  // from 2^31 on, negative ones
    Int4 integers;
    std::memcpy(&integers, from, sizeof integers);
    return to_float(integers);
  }
  static void store_integers(Floats v, std::int32_t* to) {
    const Int4 integers = truncate(v);
    std::memcpy(to, &integers, sizeof integers);
  }
  static Floats all(float v) { return all4(v); }
  // The second where they do not compare, as the instructions of the other sets have it.
  static Floats least(Floats a, Floats b) { return at_most(a, b); }
  static Floats most(Floats a, Floats b) { return personlab::at_least(a, b); }
  static Floats floor(Floats v) {  // |v| < 2^31
    const Floats t = to_float(truncate(v));
    float one[4];
    for (int i = 0; i < 4; ++i) one[i] = v[i] < t[i] ? 1.0F : 0.0F;
    return t - load4(one);
  }
  // 2^n of what n + 1.5 * 2^23 rounds to.
  static Floats exponent(Floats v) {
    std::uint32_t bits[4];
    std::memcpy(bits, &v, sizeof bits);
    for (std::uint32_t& one : bits) one = (one + 127U) << 23;
    std::memcpy(&v, bits, sizeof bits);
    return v;
  }
  // v where a <= b, else 0.
  static Floats where(Floats a, Floats b, Floats v) { return where_at_most(a, b, v); }
  // A bit for each lane that is at least `low`, or above it.
#if defined(__SSE2__)
  static unsigned at_least(Floats v, Floats low) { return static_cast<unsigned>(_mm_movemask_ps(_mm_cmpge_ps(v, low))); }
  static unsigned above(Floats v, Floats low) { return static_cast<unsigned>(_mm_movemask_ps(_mm_cmpgt_ps(v, low))); }
#else
  static unsigned at_least(Floats v, Floats low) {
    unsigned bits = 0;
    for (int i = 0; i < 4; ++i) bits |= static_cast<unsigned>(v[i] >= low[i]) << i;
    return bits;
  }
  static unsigned above(Floats v, Floats low) {
    unsigned bits = 0;
    for (int i = 0; i < 4; ++i) bits |= static_cast<unsigned>(v[i] > low[i]) << i;
    return bits;
  }
#endif
};

#endif

using Floats = Wide::Floats;

// What `exp_same` of sampling.hpp computes.
inline Floats exp_wide(Floats v) {
  const Floats x = Wide::least(Wide::most(v, Wide::all(-87.0F)), Wide::all(87.0F));
  const Floats magic = Wide::all(12582912.0F);
  const Floats shifted = x * Wide::all(1.44269504F) + magic;
  const Floats n = shifted - magic;
  const Floats r = (x - n * Wide::all(0.693145752F)) - n * Wide::all(1.42860677e-6F);
  Floats p = Wide::all(1.0F / 720.0F);
  p = p * r + Wide::all(1.0F / 120.0F);
  p = p * r + Wide::all(1.0F / 24.0F);
  p = p * r + Wide::all(1.0F / 6.0F);
  p = p * r + Wide::all(0.5F);
  p = p * r + Wide::all(1.0F);
  p = p * r + Wide::all(1.0F);
  return p * Wide::exponent(shifted);
}

inline Floats sigmoid_wide(Floats logit) {
  return Wide::all(1.0F) / (Wide::all(1.0F) + exp_wide(Wide::all(0.0F) - logit));
}

}  // namespace
}  // namespace PERSONLAB_KERNELS
}  // namespace personlab

// Sixteen floats in one register: AVX-512.
#pragma once

#include <cstdint>

#include "simd/vectors.hpp"

#if defined(__AVX512F__)
#include <immintrin.h>

namespace personlab {

typedef float F32x16 __attribute__((vector_size(64)));
typedef std::int32_t I32x16 __attribute__((vector_size(64)));

template <>
struct Register<F32x16> {
  static constexpr int kLanes = 16;
  static PERSONLAB_INLINE_MEMBER F32x16 broadcast(float v) { return _mm512_set1_ps(v); }
  static PERSONLAB_INLINE_MEMBER F32x16 load(const float* from) { return _mm512_loadu_ps(from); }
  static PERSONLAB_INLINE_MEMBER F32x16 load(const std::uint8_t* from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
  }
  static PERSONLAB_INLINE_MEMBER F32x16 load(const Float16* from) { return _mm512_cvtph_ps(load_bits(from)); }
  static PERSONLAB_INLINE_MEMBER F32x16 load(const Bfloat16* from) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load_bits(from)), 16));
  }

 private:
  static PERSONLAB_INLINE_MEMBER __m256i load_bits(const void* from) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(from));
  }
};

template <>
struct Register<I32x16> {
  static PERSONLAB_INLINE_MEMBER I32x16 load(const void* from) {
    return reinterpret_cast<I32x16>(_mm512_loadu_si512(from));
  }
};

// A bit for each lane.
struct Mask16 {
  __mmask16 bits;
};

PERSONLAB_INLINE void store(F32x16 v, float* to) { _mm512_storeu_ps(to, v); }
PERSONLAB_INLINE void store(I32x16 v, std::int32_t* to) { _mm512_storeu_si512(to, reinterpret_cast<__m512i>(v)); }
PERSONLAB_INLINE F32x16 min(F32x16 a, F32x16 b) { return _mm512_min_ps(a, b); }
PERSONLAB_INLINE F32x16 max(F32x16 a, F32x16 b) { return _mm512_max_ps(a, b); }
PERSONLAB_INLINE F32x16 sqrt(F32x16 v) { return _mm512_sqrt_ps(v); }
PERSONLAB_INLINE Mask16 cmp_ge(F32x16 a, F32x16 b) { return {_mm512_cmp_ps_mask(a, b, _CMP_GE_OQ)}; }
PERSONLAB_INLINE Mask16 cmp_gt(F32x16 a, F32x16 b) { return {_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ)}; }
PERSONLAB_INLINE Mask16 cmp_le(F32x16 a, F32x16 b) { return {_mm512_cmp_ps_mask(a, b, _CMP_LE_OQ)}; }
PERSONLAB_INLINE F32x16 select(Mask16 mask, F32x16 a, F32x16 b) { return _mm512_mask_mov_ps(b, mask.bits, a); }
PERSONLAB_INLINE F32x16 fused(F32x16 a, F32x16 b, F32x16 c) { return _mm512_fmadd_ps(a, b, c); }
PERSONLAB_INLINE F32x16 reverse(F32x16 v) {
  return _mm512_permutexvar_ps(_mm512_setr_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), v);
}
PERSONLAB_INLINE unsigned mask_bits(Mask16 mask) { return mask.bits; }
PERSONLAB_INLINE bool any(Mask16 mask) { return mask.bits != 0; }
PERSONLAB_INLINE bool all(Mask16 mask) { return mask.bits == 0xffffU; }
PERSONLAB_INLINE I32x16 to_int(F32x16 v) { return reinterpret_cast<I32x16>(_mm512_cvttps_epi32(v)); }
PERSONLAB_INLINE F32x16 to_float(I32x16 v) { return _mm512_cvtepi32_ps(reinterpret_cast<__m512i>(v)); }
PERSONLAB_INLINE void store_bytes(I32x16 v, std::uint8_t* to) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(v)));
}
PERSONLAB_INLINE F32x16 floor(F32x16 v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
PERSONLAB_INLINE F32x16 exp2_of_shifted(F32x16 v) {
  const __m512i bits = _mm512_add_epi32(_mm512_castps_si512(v), _mm512_set1_epi32(127));
  return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 23));
}

}  // namespace personlab

#endif

// Eight floats in one register: AVX2.
#pragma once

#include <cstdint>

#include "simd/f32x4.hpp"
#include "simd/vectors.hpp"

#if defined(__AVX2__)
#include <immintrin.h>

namespace personlab {

typedef float F32x8 __attribute__((vector_size(32)));
typedef std::int32_t I32x8 __attribute__((vector_size(32)));

template <>
struct Register<F32x8> {
  static constexpr int kLanes = 8;
  static PERSONLAB_INLINE_MEMBER F32x8 broadcast(float v) { return _mm256_set1_ps(v); }
  static PERSONLAB_INLINE_MEMBER F32x8 load(const float* from) { return _mm256_loadu_ps(from); }
  static PERSONLAB_INLINE_MEMBER F32x8 load(const std::uint8_t* from) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
  }
  static PERSONLAB_INLINE_MEMBER F32x8 load(const Float16* from) { return _mm256_cvtph_ps(load_bits(from)); }
  static PERSONLAB_INLINE_MEMBER F32x8 load(const Bfloat16* from) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_bits(from)), 16));
  }

 private:
  static PERSONLAB_INLINE_MEMBER __m128i load_bits(const void* from) {
    return _mm_loadu_si128(static_cast<const __m128i*>(from));
  }
};

template <>
struct Register<I32x8> {
  static PERSONLAB_INLINE_MEMBER I32x8 load(const void* from) {
    return reinterpret_cast<I32x8>(_mm256_loadu_si256(static_cast<const __m256i*>(from)));
  }
};

// Four lanes from lane First on.
template <int First>
PERSONLAB_INLINE F32x4 lanes_from(F32x8 v) {
  if constexpr (First == 0) return _mm256_castps256_ps128(v);
  const __m256i order = _mm256_setr_epi32(First, First + 1, First + 2, First + 3, 0, 0, 0, 0);
  return _mm256_castps256_ps128(_mm256_permutevar8x32_ps(v, order));
}

PERSONLAB_INLINE void store(F32x8 v, float* to) { _mm256_storeu_ps(to, v); }
PERSONLAB_INLINE void store(I32x8 v, std::int32_t* to) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(v));
}
PERSONLAB_INLINE F32x8 min(F32x8 a, F32x8 b) { return _mm256_min_ps(a, b); }
PERSONLAB_INLINE F32x8 max(F32x8 a, F32x8 b) { return _mm256_max_ps(a, b); }
PERSONLAB_INLINE F32x8 sqrt(F32x8 v) { return _mm256_sqrt_ps(v); }
PERSONLAB_INLINE I32x8 cmp_ge(F32x8 a, F32x8 b) { return a >= b; }
PERSONLAB_INLINE I32x8 cmp_gt(F32x8 a, F32x8 b) { return a > b; }
PERSONLAB_INLINE I32x8 cmp_le(F32x8 a, F32x8 b) { return a <= b; }
PERSONLAB_INLINE F32x8 select(I32x8 mask, F32x8 a, F32x8 b) { return mask ? a : b; }
PERSONLAB_INLINE F32x8 fused(F32x8 a, F32x8 b, F32x8 c) { return _mm256_fmadd_ps(a, b, c); }
PERSONLAB_INLINE F32x8 reverse(F32x8 v) {
  return _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}
PERSONLAB_INLINE unsigned mask_bits(I32x8 mask) {
  return static_cast<unsigned>(_mm256_movemask_ps(reinterpret_cast<__m256>(mask)));
}
PERSONLAB_INLINE bool any(I32x8 mask) { return mask_bits(mask) != 0; }
PERSONLAB_INLINE bool all(I32x8 mask) { return mask_bits(mask) == 0xffU; }
PERSONLAB_INLINE I32x8 to_int(F32x8 v) { return reinterpret_cast<I32x8>(_mm256_cvttps_epi32(v)); }
PERSONLAB_INLINE F32x8 to_float(I32x8 v) { return _mm256_cvtepi32_ps(reinterpret_cast<__m256i>(v)); }
PERSONLAB_INLINE void store_bytes(I32x8 v, std::uint8_t* to) {
  const __m256i both = reinterpret_cast<__m256i>(v);
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(words, words));
}
PERSONLAB_INLINE F32x8 floor(F32x8 v) { return _mm256_floor_ps(v); }
PERSONLAB_INLINE F32x8 exp2_of_shifted(F32x8 v) {
  const __m256i bits = _mm256_add_epi32(_mm256_castps_si256(v), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
}

}  // namespace personlab

#endif

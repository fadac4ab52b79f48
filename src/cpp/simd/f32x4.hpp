// Four floats or integers in one register: on every processor.
#pragma once

#include <math.h>

#include <cstdint>
#include <cstring>

#include "simd/vectors.hpp"

#if defined(__FMA__)
#include <immintrin.h>
#elif defined(__SSE4_1__)
#include <smmintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace personlab {

#ifdef PERSONLAB_VECTORS

typedef float F32x4 __attribute__((vector_size(16)));
typedef std::int32_t I32x4 __attribute__((vector_size(16)));

PERSONLAB_INLINE F32x4 min(F32x4 a, F32x4 b) { return a < b ? a : b; }
PERSONLAB_INLINE F32x4 max(F32x4 a, F32x4 b) { return a > b ? a : b; }
PERSONLAB_INLINE I32x4 cmp_ge(F32x4 a, F32x4 b) { return a >= b; }
PERSONLAB_INLINE I32x4 cmp_gt(F32x4 a, F32x4 b) { return a > b; }
PERSONLAB_INLINE I32x4 cmp_le(F32x4 a, F32x4 b) { return a <= b; }
PERSONLAB_INLINE I32x4 cmp_lt(F32x4 a, F32x4 b) { return a < b; }
PERSONLAB_INLINE I32x4 cmp_eq(F32x4 a, F32x4 b) { return a == b; }
PERSONLAB_INLINE F32x4 select(I32x4 mask, F32x4 a, F32x4 b) { return mask ? a : b; }
PERSONLAB_INLINE I32x4 to_int(F32x4 v) { return __builtin_convertvector(v, I32x4); }
PERSONLAB_INLINE F32x4 to_float(I32x4 v) { return __builtin_convertvector(v, F32x4); }

#else

template <typename T>
struct Lanes4 {
  T lane[4];
  T operator[](int i) const { return lane[i]; }
};
using F32x4 = Lanes4<float>;
using I32x4 = Lanes4<std::int32_t>;

template <typename To, typename From, typename Operation>
Lanes4<To> map(const Lanes4<From>& a, const Lanes4<From>& b, Operation operation) {
  return {{operation(a[0], b[0]), operation(a[1], b[1]), operation(a[2], b[2]), operation(a[3], b[3])}};
}

#define PERSONLAB_MAP(NAME, TO, RESULT)                                  \
  PERSONLAB_INLINE Lanes4<TO> NAME(F32x4 a, F32x4 b) {                   \
    return map<TO>(a, b, [](float p, float q) -> TO { return RESULT; }); \
  }
PERSONLAB_MAP(operator+, float, p + q)
PERSONLAB_MAP(operator-, float, p - q)
PERSONLAB_MAP(operator*, float, p* q)
PERSONLAB_MAP(operator/, float, p / q)
PERSONLAB_MAP(min, float, p < q ? p : q)
PERSONLAB_MAP(max, float, p > q ? p : q)
PERSONLAB_MAP(cmp_ge, std::int32_t, p >= q ? -1 : 0)
PERSONLAB_MAP(cmp_gt, std::int32_t, p > q ? -1 : 0)
PERSONLAB_MAP(cmp_le, std::int32_t, p <= q ? -1 : 0)
PERSONLAB_MAP(cmp_lt, std::int32_t, p < q ? -1 : 0)
PERSONLAB_MAP(cmp_eq, std::int32_t, p == q ? -1 : 0)
#undef PERSONLAB_MAP

PERSONLAB_INLINE I32x4 operator+(const I32x4& a, const I32x4& b) {
  return map<std::int32_t>(a, b, [](std::int32_t p, std::int32_t q) { return p + q; });
}
PERSONLAB_INLINE I32x4 operator*(const I32x4& a, std::int32_t b) { return {{a[0] * b, a[1] * b, a[2] * b, a[3] * b}}; }
PERSONLAB_INLINE F32x4 select(I32x4 mask, F32x4 a, F32x4 b) {
  return {{mask[0] ? a[0] : b[0], mask[1] ? a[1] : b[1], mask[2] ? a[2] : b[2], mask[3] ? a[3] : b[3]}};
}
PERSONLAB_INLINE I32x4 to_int(F32x4 v) {
  const auto one = [](float lane) { return static_cast<std::int32_t>(lane); };
  return {{one(v[0]), one(v[1]), one(v[2]), one(v[3])}};
}
PERSONLAB_INLINE F32x4 to_float(I32x4 v) {
  const auto one = [](std::int32_t lane) { return static_cast<float>(lane); };
  return {{one(v[0]), one(v[1]), one(v[2]), one(v[3])}};
}

#endif

// Four 16-bit elements, each in the lower half of a lane.
PERSONLAB_INLINE F32x4 to_float32(Bfloat16, I32x4 bits) {
#ifdef PERSONLAB_VECTORS
  return reinterpret_cast<F32x4>(bits << 16);
#else
  const auto one = [](std::int32_t lane) { return to_float32(Bfloat16{static_cast<std::uint16_t>(lane)}); };
  return {{one(bits[0]), one(bits[1]), one(bits[2]), one(bits[3])}};
#endif
}

PERSONLAB_INLINE F32x4 to_float32(Float16, I32x4 bits) {
#ifdef PERSONLAB_VECTORS
  const I32x4 magnitude = bits & 0x7fff, sign = (bits & 0x8000) << 16;
  constexpr std::int32_t kRebias = 112 << 23;  // as in base/elements.hpp
  const I32x4 whole = (magnitude << 13) + kRebias + (kRebias & (magnitude > 0x7bff));
  const F32x4 half{0.5F, 0.5F, 0.5F, 0.5F};
  const I32x4 small = reinterpret_cast<I32x4>(reinterpret_cast<F32x4>(magnitude + 0x3f000000) - half);
  const I32x4 is_small = magnitude < 0x0400;
  return reinterpret_cast<F32x4>((small & is_small) | (whole & ~is_small) | sign);
#else
  const auto one = [](std::int32_t lane) { return to_float32(Float16{static_cast<std::uint16_t>(lane)}); };
  return {{one(bits[0]), one(bits[1]), one(bits[2]), one(bits[3])}};
#endif
}

template <>
struct Register<F32x4> {
  static constexpr int kLanes = 4;
  static PERSONLAB_INLINE_MEMBER F32x4 broadcast(float v) { return F32x4{v, v, v, v}; }
  static PERSONLAB_INLINE_MEMBER F32x4 load(const float* from) {
    F32x4 v;
    std::memcpy(&v, from, sizeof v);
    return v;
  }
  static PERSONLAB_INLINE_MEMBER F32x4 load(const std::uint8_t* from) {
#if defined(__SSE2__)
    std::int32_t word;
    std::memcpy(&word, from, sizeof word);
    __m128i bytes = _mm_cvtsi32_si128(word);
#if defined(__SSE4_1__)
    bytes = _mm_cvtepu8_epi32(bytes);
#else
    bytes = _mm_unpacklo_epi16(_mm_unpacklo_epi8(bytes, _mm_setzero_si128()), _mm_setzero_si128());
#endif
    return _mm_cvtepi32_ps(bytes);
#else
    const auto one = [from](int i) { return static_cast<float>(from[i]); };
    return F32x4{one(0), one(1), one(2), one(3)};
#endif
  }
  template <typename T>
  static PERSONLAB_INLINE_MEMBER F32x4 load(const T* from) {
#if defined(__SSE2__)
    __m128i bits = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    bits = _mm_unpacklo_epi16(bits, _mm_setzero_si128());
    return to_float32(T(), reinterpret_cast<I32x4>(bits));
#else
    return to_float32(T(), I32x4{from[0].bits, from[1].bits, from[2].bits, from[3].bits});
#endif
  }
};

template <>
struct Register<I32x4> {
  static PERSONLAB_INLINE_MEMBER I32x4 load(const void* from) {
    I32x4 v;
    std::memcpy(&v, from, sizeof v);
    return v;
  }
};

PERSONLAB_INLINE void store(F32x4 v, float* to) { std::memcpy(to, &v, sizeof v); }
PERSONLAB_INLINE void store(I32x4 v, std::int32_t* to) { std::memcpy(to, &v, sizeof v); }

PERSONLAB_INLINE unsigned mask_bits(I32x4 mask) {
#if defined(__SSE2__)
  return static_cast<unsigned>(_mm_movemask_ps(reinterpret_cast<__m128>(mask)));
#else
  unsigned bits = 0;
  for (int i = 0; i < 4; ++i) bits |= (mask[i] != 0 ? 1U : 0U) << i;
  return bits;
#endif
}

PERSONLAB_INLINE bool any(I32x4 mask) { return mask_bits(mask) != 0; }
PERSONLAB_INLINE bool all(I32x4 mask) { return mask_bits(mask) == 0xfU; }

PERSONLAB_INLINE F32x4 sqrt(F32x4 v) {
#if defined(__SSE2__)
  return _mm_sqrt_ps(v);
#else
  return F32x4{sqrtf(v[0]), sqrtf(v[1]), sqrtf(v[2]), sqrtf(v[3])};
#endif
}

// a * b + c with one rounding; without an instruction for it, in double, where products are exact.
PERSONLAB_INLINE F32x4 fused(F32x4 a, F32x4 b, F32x4 c) {
#if defined(__FMA__)
  return _mm_fmadd_ps(a, b, c);
#elif defined(__SSE2__)
  const auto low = [](__m128 v) { return _mm_cvtps_pd(v); };
  const auto high = [](__m128 v) { return _mm_cvtps_pd(_mm_movehl_ps(v, v)); };
  const __m128d first = _mm_add_pd(_mm_mul_pd(low(a), low(b)), low(c));
  const __m128d last = _mm_add_pd(_mm_mul_pd(high(a), high(b)), high(c));
  return _mm_movelh_ps(_mm_cvtpd_ps(first), _mm_cvtpd_ps(last));
#else
  return F32x4{fmaf(a[0], b[0], c[0]), fmaf(a[1], b[1], c[1]), fmaf(a[2], b[2], c[2]), fmaf(a[3], b[3], c[3])};
#endif
}

// The largest integers not above; |v| < 2^31.
PERSONLAB_INLINE F32x4 floor(F32x4 v) {
  const F32x4 t = to_float(to_int(v)), one = broadcast<F32x4>(1.0F), zero = broadcast<F32x4>(0.0F);
  return t - select(cmp_lt(v, t), one, zero);
}

// 2^n of what n + 1.5 * 2^23 rounds to.
PERSONLAB_INLINE F32x4 exp2_of_shifted(F32x4 v) {
  std::uint32_t bits[4];
  std::memcpy(bits, &v, sizeof bits);
  for (std::uint32_t& one : bits) one = (one + 127U) << 23;
  std::memcpy(&v, bits, sizeof bits);
  return v;
}

// Integers 0 .. 255 as bytes.
PERSONLAB_INLINE void store_bytes(I32x4 v, std::uint8_t* to) {
#if defined(__SSE2__)
  const __m128i words = _mm_packs_epi32(reinterpret_cast<__m128i>(v), _mm_setzero_si128());
  const std::int32_t word = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
  std::memcpy(to, &word, sizeof word);
#else
  for (int i = 0; i < 4; ++i) to[i] = static_cast<std::uint8_t>(v[i]);
#endif
}

struct Rows4 {
  F32x4 row[4];
};

// Rows as columns.
PERSONLAB_INLINE Rows4 transpose(F32x4 a, F32x4 b, F32x4 c, F32x4 d) {
#if defined(__SSE2__)
  const __m128 ab = _mm_unpacklo_ps(a, b), cd = _mm_unpacklo_ps(c, d);
  const __m128 ab_high = _mm_unpackhi_ps(a, b), cd_high = _mm_unpackhi_ps(c, d);
  return {
      {_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab), _mm_movelh_ps(ab_high, cd_high), _mm_movehl_ps(cd_high, ab_high)}};
#else
  return {{F32x4{a[0], b[0], c[0], d[0]}, F32x4{a[1], b[1], c[1], d[1]}, F32x4{a[2], b[2], c[2], d[2]},
           F32x4{a[3], b[3], c[3], d[3]}}};
#endif
}

// --- halves: two floats each -----------------------------------------------------------------------------------------

PERSONLAB_INLINE F32x4 load_halves(const float* low, const float* high) {
#ifdef PERSONLAB_VECTORS
  typedef double F64x2 __attribute__((vector_size(16)));  // moves 64 bits at a time
  F64x2 v;
  double half;
  std::memcpy(&half, low, sizeof half);
  v[0] = half;
  std::memcpy(&half, high, sizeof half);
  v[1] = half;
  return reinterpret_cast<F32x4>(v);
#else
  return F32x4{low[0], low[1], high[0], high[1]};
#endif
}

template <typename T>
PERSONLAB_INLINE F32x4 load_halves(const T* low, const T* high) {
#if defined(__SSE2__)
  std::int32_t halves[2];
  std::memcpy(halves, low, sizeof *halves);
  std::memcpy(halves + 1, high, sizeof *halves);
  __m128i bits = _mm_unpacklo_epi32(_mm_cvtsi32_si128(halves[0]), _mm_cvtsi32_si128(halves[1]));
  bits = _mm_unpacklo_epi16(bits, _mm_setzero_si128());
  return to_float32(T(), reinterpret_cast<I32x4>(bits));
#else
  return to_float32(T(), I32x4{low[0].bits, low[1].bits, high[0].bits, high[1].bits});
#endif
}

PERSONLAB_INLINE void store_low(F32x4 v, float* to) { std::memcpy(to, &v, 2 * sizeof *to); }
PERSONLAB_INLINE F32x4 reverse(F32x4 v) { return F32x4{v[3], v[2], v[1], v[0]}; }
PERSONLAB_INLINE F32x4 swap_halves(F32x4 v) { return F32x4{v[2], v[3], v[0], v[1]}; }
PERSONLAB_INLINE F32x4 low_halves(F32x4 a, F32x4 b) { return F32x4{a[0], a[1], b[0], b[1]}; }
PERSONLAB_INLINE F32x4 high_halves(F32x4 a, F32x4 b) { return F32x4{a[2], a[3], b[2], b[3]}; }

// Rows of a square become its columns.
PERSONLAB_INLINE void transpose(F32x4 (&rows)[4]) {
  const auto low = [](F32x4 a, F32x4 b) { return F32x4{a[0], b[0], a[1], b[1]}; };
  const auto high = [](F32x4 a, F32x4 b) { return F32x4{a[2], b[2], a[3], b[3]}; };
  const F32x4 p = low(rows[0], rows[1]), q = low(rows[2], rows[3]);
  const F32x4 r = high(rows[0], rows[1]), s = high(rows[2], rows[3]);
  rows[0] = low_halves(p, q), rows[1] = high_halves(p, q);
  rows[2] = low_halves(r, s), rows[3] = high_halves(r, s);
}

}  // namespace personlab

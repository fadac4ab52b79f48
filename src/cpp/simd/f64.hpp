// Two doubles in one register on every processor, and four: in one register with AVX2, else in two.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd/f32x4.hpp"
#include "simd/vectors.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace personlab {

#ifdef PERSONLAB_VECTORS

typedef double F64x2 __attribute__((vector_size(16)));
typedef std::int64_t I64x2 __attribute__((vector_size(16)));

PERSONLAB_INLINE F64x2 min(F64x2 a, F64x2 b) { return a < b ? a : b; }
PERSONLAB_INLINE F64x2 max(F64x2 a, F64x2 b) { return a > b ? a : b; }
PERSONLAB_INLINE I64x2 cmp_gt(F64x2 a, F64x2 b) { return a > b; }
PERSONLAB_INLINE I64x2 cmp_lt(F64x2 a, F64x2 b) { return a < b; }
PERSONLAB_INLINE I64x2 cmp_eq(F64x2 a, F64x2 b) { return a == b; }
PERSONLAB_INLINE F64x2 select(I64x2 mask, F64x2 a, F64x2 b) { return mask ? a : b; }

#else

template <typename T>
struct Lanes2 {
  T lane[2];
  T operator[](int i) const { return lane[i]; }
};
using F64x2 = Lanes2<double>;
using I64x2 = Lanes2<std::int64_t>;

#define PERSONLAB_MAP(NAME, TO, RESULT)                               \
  PERSONLAB_INLINE Lanes2<TO> NAME(F64x2 a, F64x2 b) {                \
    const auto one = [](double p, double q) -> TO { return RESULT; }; \
    return {{one(a[0], b[0]), one(a[1], b[1])}};                      \
  }
PERSONLAB_MAP(operator+, double, p + q)
PERSONLAB_MAP(operator-, double, p - q)
PERSONLAB_MAP(operator*, double, p* q)
PERSONLAB_MAP(operator/, double, p / q)
PERSONLAB_MAP(min, double, p < q ? p : q)
PERSONLAB_MAP(max, double, p > q ? p : q)
PERSONLAB_MAP(cmp_gt, std::int64_t, p > q ? -1 : 0)
PERSONLAB_MAP(cmp_lt, std::int64_t, p < q ? -1 : 0)
PERSONLAB_MAP(cmp_eq, std::int64_t, p == q ? -1 : 0)
#undef PERSONLAB_MAP

PERSONLAB_INLINE F64x2 select(I64x2 mask, F64x2 a, F64x2 b) { return {{mask[0] ? a[0] : b[0], mask[1] ? a[1] : b[1]}}; }
PERSONLAB_INLINE I64x2 operator&(I64x2 a, I64x2 b) { return {{a[0] & b[0], a[1] & b[1]}}; }

#endif

template <>
struct Register<F64x2> {
  static PERSONLAB_INLINE_MEMBER F64x2 broadcast(double v) { return F64x2{v, v}; }
  static PERSONLAB_INLINE_MEMBER F64x2 load(const double* from) {
    F64x2 v;
    std::memcpy(&v, from, sizeof v);
    return v;
  }
};

PERSONLAB_INLINE void store(const F64x2& v, double* to) { std::memcpy(to, &v, sizeof v); }

PERSONLAB_INLINE bool all(I64x2 mask) {
#if defined(__SSE2__)
  return _mm_movemask_pd(reinterpret_cast<__m128d>(mask)) == 3;
#else
  return mask[0] != 0 && mask[1] != 0;
#endif
}

// The first two of four floats.
PERSONLAB_INLINE F64x2 low_to_double(F32x4 v) {
#if defined(__SSE2__)
  return reinterpret_cast<F64x2>(_mm_cvtps_pd(reinterpret_cast<__m128>(v)));
#else
  return F64x2{static_cast<double>(v[0]), static_cast<double>(v[1])};
#endif
}

// --- four doubles ----------------------------------------------------------------------------------------------------

// Where registers hold two.
template <typename V>
struct Two {
  V low, high;
};
using F64x2x2 = Two<F64x2>;

PERSONLAB_INLINE F64x2x2 operator+(const F64x2x2& a, const F64x2x2& b) { return {a.low + b.low, a.high + b.high}; }
PERSONLAB_INLINE F64x2x2 operator-(const F64x2x2& a, const F64x2x2& b) { return {a.low - b.low, a.high - b.high}; }
PERSONLAB_INLINE F64x2x2 operator*(const F64x2x2& a, const F64x2x2& b) { return {a.low * b.low, a.high * b.high}; }
PERSONLAB_INLINE F64x2x2 min(const F64x2x2& a, const F64x2x2& b) { return {min(a.low, b.low), min(a.high, b.high)}; }
PERSONLAB_INLINE F64x2x2 max(const F64x2x2& a, const F64x2x2& b) { return {max(a.low, b.low), max(a.high, b.high)}; }
PERSONLAB_INLINE Two<I64x2> cmp_gt(const F64x2x2& a, const F64x2x2& b) {
  return {cmp_gt(a.low, b.low), cmp_gt(a.high, b.high)};
}
PERSONLAB_INLINE Two<I64x2> cmp_lt(const F64x2x2& a, const F64x2x2& b) {
  return {cmp_lt(a.low, b.low), cmp_lt(a.high, b.high)};
}
PERSONLAB_INLINE Two<I64x2> operator&(const Two<I64x2>& a, const Two<I64x2>& b) {
  return {a.low & b.low, a.high & b.high};
}
PERSONLAB_INLINE F64x2x2 select(const Two<I64x2>& mask, const F64x2x2& a, const F64x2x2& b) {
  return {select(mask.low, a.low, b.low), select(mask.high, a.high, b.high)};
}
PERSONLAB_INLINE F64x2 low_half(const F64x2x2& v) { return v.low; }
PERSONLAB_INLINE F64x2 high_half(const F64x2x2& v) { return v.high; }
PERSONLAB_INLINE void store(const F64x2x2& v, double* to) {
  store(v.low, to);
  store(v.high, to + 2);
}

template <>
struct Register<F64x2x2> {
  static PERSONLAB_INLINE_MEMBER F64x2x2 load(const double* from) {
    return {Register<F64x2>::load(from), Register<F64x2>::load(from + 2)};
  }
  static PERSONLAB_INLINE_MEMBER F64x2x2 repeat(double x, double y) { return {F64x2{x, y}, F64x2{x, y}}; }
  static PERSONLAB_INLINE_MEMBER F64x2x2 to_double(const F32x4& v) {
    return {low_to_double(v), low_to_double(swap_halves(v))};
  }
  static PERSONLAB_INLINE_MEMBER F64x2x2 to_double(const I32x4& v) {
    const auto one = [](std::int32_t lane) { return static_cast<double>(lane); };
    return {F64x2{one(v[0]), one(v[1])}, F64x2{one(v[2]), one(v[3])}};
  }
};

PERSONLAB_INLINE I32x4 to_int(const F64x2x2& v) {
  const auto one = [](double lane) { return static_cast<std::int32_t>(lane); };
  return I32x4{one(v.low[0]), one(v.low[1]), one(v.high[0]), one(v.high[1])};
}
PERSONLAB_INLINE unsigned mask_bits(const I64x2& mask) {
#if defined(__SSE2__)
  return static_cast<unsigned>(_mm_movemask_pd(reinterpret_cast<__m128d>(mask)));
#else
  return (mask[0] != 0 ? 1U : 0U) | (mask[1] != 0 ? 2U : 0U);
#endif
}
PERSONLAB_INLINE unsigned mask_bits(const Two<I64x2>& mask) { return mask_bits(mask.low) | mask_bits(mask.high) << 2; }

#ifdef PERSONLAB_VECTORS

// For functions that are compiled for AVX2.
typedef double F64x4 __attribute__((vector_size(32)));
typedef std::int64_t I64x4 __attribute__((vector_size(32)));

PERSONLAB_INLINE F64x4 min(const F64x4& a, const F64x4& b) { return a < b ? a : b; }
PERSONLAB_INLINE F64x4 max(const F64x4& a, const F64x4& b) { return a > b ? a : b; }
PERSONLAB_INLINE I64x4 cmp_gt(const F64x4& a, const F64x4& b) { return a > b; }
PERSONLAB_INLINE I64x4 cmp_lt(const F64x4& a, const F64x4& b) { return a < b; }
PERSONLAB_INLINE F64x4 select(const I64x4& mask, const F64x4& a, const F64x4& b) { return mask ? a : b; }
PERSONLAB_INLINE F64x2 low_half(const F64x4& v) { return F64x2{v[0], v[1]}; }
PERSONLAB_INLINE F64x2 high_half(const F64x4& v) { return F64x2{v[2], v[3]}; }
PERSONLAB_INLINE void store(const F64x4& v, double* to) { std::memcpy(to, &v, sizeof v); }

template <>
struct Register<F64x4> {
  static PERSONLAB_INLINE_MEMBER F64x4 load(const double* from) {
    F64x4 v;
    std::memcpy(&v, from, sizeof v);
    return v;
  }
  static PERSONLAB_INLINE_MEMBER F64x4 repeat(double x, double y) { return F64x4{x, y, x, y}; }
  static PERSONLAB_INLINE_MEMBER F64x4 to_double(const F32x4& v) { return __builtin_convertvector(v, F64x4); }
  static PERSONLAB_INLINE_MEMBER F64x4 to_double(const I32x4& v) { return __builtin_convertvector(v, F64x4); }
};

PERSONLAB_INLINE I32x4 to_int(const F64x4& v) { return __builtin_convertvector(v, I32x4); }
PERSONLAB_INLINE unsigned mask_bits(const I64x4& mask) {
#if defined(__AVX2__)
  return static_cast<unsigned>(_mm256_movemask_pd(reinterpret_cast<__m256d>(mask)));
#else
  return mask_bits(I64x2{mask[0], mask[1]}) | mask_bits(I64x2{mask[2], mask[3]}) << 2;
#endif
}

#endif

// --- four doubles and four floats or integers ------------------------------------------------------------------------

template <typename V>
PERSONLAB_INLINE V to_double(const F32x4& v) {
  return Register<V>::to_double(v);
}
template <typename V>
PERSONLAB_INLINE V to_double(const I32x4& v) {
  return Register<V>::to_double(v);
}

// x, y, x, y.
template <typename V>
PERSONLAB_INLINE V repeat(double x, double y) {
  return Register<V>::repeat(x, y);
}

}  // namespace personlab

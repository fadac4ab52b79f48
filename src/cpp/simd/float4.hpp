// Four floats in one register, for gathering maths that compilers do not vectorise by themselves. The same operations in the
// same order everywhere, so the same results.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/elements.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace personlab {

#if defined(__GNUC__) || defined(__clang__)

typedef float Float4 __attribute__((vector_size(16)));
typedef std::int32_t Int4 __attribute__((vector_size(16)));

inline Float4 at_least(Float4 v, Float4 low) { return v > low ? v : low; }
inline Float4 at_most(Float4 v, Float4 high) { return v < high ? v : high; }
inline Float4 where_at_most(Float4 a, Float4 b, Float4 v) { return a <= b ? v : Float4{0.0F, 0.0F, 0.0F, 0.0F}; }
inline Int4 truncate(Float4 v) { return __builtin_convertvector(v, Int4); }
inline Float4 to_float(Int4 v) { return __builtin_convertvector(v, Float4); }

#else

template <typename T>
struct Lanes {
  T lane[4];
  T operator[](int i) const { return lane[i]; }
};
using Float4 = Lanes<float>;
using Int4 = Lanes<std::int32_t>;

template <typename Operation>
Float4 each(const Float4& a, const Float4& b, Operation operation) {
  return {{operation(a[0], b[0]), operation(a[1], b[1]), operation(a[2], b[2]), operation(a[3], b[3])}};
}
inline Float4 operator+(const Float4& a, const Float4& b) {
  return each(a, b, [](float p, float q) { return p + q; });
}
inline Float4 operator-(const Float4& a, const Float4& b) {
  return each(a, b, [](float p, float q) { return p - q; });
}
inline Float4 operator*(const Float4& a, const Float4& b) {
  return each(a, b, [](float p, float q) { return p * q; });
}
inline Float4 operator/(const Float4& a, const Float4& b) {
  return each(a, b, [](float p, float q) { return p / q; });
}
inline Float4 at_least(const Float4& v, const Float4& low) {
  return each(v, low, [](float p, float q) { return p > q ? p : q; });
}
inline Float4 at_most(const Float4& v, const Float4& high) {
  return each(v, high, [](float p, float q) { return p < q ? p : q; });
}
inline Float4 where_at_most(const Float4& a, const Float4& b, const Float4& v) {
  return {{a[0] <= b[0] ? v[0] : 0.0F, a[1] <= b[1] ? v[1] : 0.0F, a[2] <= b[2] ? v[2] : 0.0F, a[3] <= b[3] ? v[3] : 0.0F}};
}
template <typename T>
Float4 each_bits(const Int4& v) {
  const auto one = [](std::int32_t bits) { return widen(T{static_cast<std::uint16_t>(bits)}); };
  return {{one(v[0]), one(v[1]), one(v[2]), one(v[3])}};
}
inline Int4 truncate(const Float4& v) {
  return {{static_cast<std::int32_t>(v[0]), static_cast<std::int32_t>(v[1]), static_cast<std::int32_t>(v[2]),
           static_cast<std::int32_t>(v[3])}};
}
inline Float4 to_float(const Int4& v) {
  return {{static_cast<float>(v[0]), static_cast<float>(v[1]), static_cast<float>(v[2]), static_cast<float>(v[3])}};
}

#endif

inline Float4 all4(float v) { return Float4{v, v, v, v}; }

inline Float4 load4(const float* from) {
  Float4 v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

inline void store4(Float4 v, float* to) { std::memcpy(to, &v, sizeof v); }

// Two floats from one place and two from another.
inline Float4 load_pairs(const float* a, const float* b) {
#if defined(__GNUC__) || defined(__clang__)
  typedef double Double2 __attribute__((vector_size(16)));  // moves 64 bits at a time
  Double2 v;
  double half;
  std::memcpy(&half, a, sizeof half);
  v[0] = half;
  std::memcpy(&half, b, sizeof half);
  v[1] = half;
  return reinterpret_cast<Float4>(v);
#else
  return Float4{a[0], a[1], b[0], b[1]};
#endif
}

// Four elements of 16 bits, in the lower half of each lane.
inline Float4 widen4(Bfloat16, Int4 bits) {
#if defined(__GNUC__) || defined(__clang__)
  return reinterpret_cast<Float4>(bits << 16);
#else
  return each_bits<Bfloat16>(bits);
#endif
}

inline Float4 widen4(Float16, Int4 bits) {
#if defined(__GNUC__) || defined(__clang__)
  const Int4 magnitude = bits & 0x7fff, sign = (bits & 0x8000) << 16;
  constexpr std::int32_t kRebias = 112 << 23;  // as in `widen`
  const Int4 whole = (magnitude << 13) + kRebias + (kRebias & (magnitude > 0x7bff));
  const Int4 small = reinterpret_cast<Int4>(reinterpret_cast<Float4>(magnitude + 0x3f000000) - all4(0.5F));
  const Int4 is_small = magnitude < 0x0400;
  return reinterpret_cast<Float4>((small & is_small) | (whole & ~is_small) | sign);
#else
  return each_bits<Float16>(bits);
#endif
}

// The same as `load4` and `load_pairs`.
template <typename T>
Float4 load4(const T* from) {
#if defined(__SSE2__)
  __m128i bits = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  bits = _mm_unpacklo_epi16(bits, _mm_setzero_si128());
  return widen4(T(), reinterpret_cast<Int4>(bits));
#else
  return widen4(T(), Int4{from[0].bits, from[1].bits, from[2].bits, from[3].bits});
#endif
}

template <typename T>
Float4 load_pairs(const T* a, const T* b) {
#if defined(__SSE2__)
  std::int32_t pairs[2];
  std::memcpy(pairs, a, sizeof *pairs);
  std::memcpy(pairs + 1, b, sizeof *pairs);
  __m128i bits = _mm_unpacklo_epi32(_mm_cvtsi32_si128(pairs[0]), _mm_cvtsi32_si128(pairs[1]));
  bits = _mm_unpacklo_epi16(bits, _mm_setzero_si128());
  return widen4(T(), reinterpret_cast<Int4>(bits));
#else
  return widen4(T(), Int4{a[0].bits, a[1].bits, b[0].bits, b[1].bits});
#endif
}

inline void store_pair(Float4 v, float* to) { std::memcpy(to, &v, 2 * sizeof *to); }

inline bool all_finite(Float4 v) {
#if defined(__GNUC__) || defined(__clang__)
  const Int4 finite = v - v == all4(0.0F);
  std::int64_t halves[2];
  std::memcpy(halves, &finite, sizeof halves);
  return (halves[0] & halves[1]) == -1;
#else
  return v[0] - v[0] == 0.0F && v[1] - v[1] == 0.0F && v[2] - v[2] == 0.0F && v[3] - v[3] == 0.0F;
#endif
}

inline Float4 swap_pairs(Float4 v) { return Float4{v[2], v[3], v[0], v[1]}; }
inline Float4 first_pairs(Float4 a, Float4 b) { return Float4{a[0], a[1], b[0], b[1]}; }

}  // namespace personlab

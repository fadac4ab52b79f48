// Four floats in one register, for gathering maths that compilers do not vectorise by themselves. The same operations in the
// same order everywhere, so the same results.
#pragma once

#include <cstdint>
#include <cstring>

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

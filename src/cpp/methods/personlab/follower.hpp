// How points follow offset fields on the CPU: x and y side by side in one register, where that can be.
#pragma once

#include <algorithm>
#include <cstddef>

#include "simd/float4.hpp"
#include "methods/personlab/follow.hpp"
#include "base/types.hpp"

namespace personlab {

// For fields with elements of type T.
template <typename Real, typename T>
class WideFollower : public Follower<Real> {
 public:
  using Follower<Real>::Follower;

  // A point moves by the offset read at `at`, and stays within the input, as that is.
  void step(const Field& offsets, int channel, const Point<Real>& at, Point<Real>& point) const {
    if (right_ > 0 && below_ > 0 && step_wide(offsets, channel, at, point)) return;
    point = this->moved(offsets.plane<T>(2 * channel), offsets.plane<T>(2 * channel + 1), at, point);
  }

 private:
  // The same with x and y in one register; false where the offset is not finite.
  bool step_wide(const Field& offsets, int channel, const Point<float>& at, Point<float>& point) const {
    const Float4 from = load_pairs(&at.x, &at.x);
    const Float4 c = inverse_ > 0.0F ? from * all4(inverse_) : from / all4(stride_);
    const auto last_column = static_cast<float>(last_column_), last_row = static_cast<float>(last_row_);
    const Int4 cell = truncate(at_most(c, Float4{last_column, last_row, last_column, last_row}));
    const Float4 t = c - to_float(cell), s = all4(1.0F) - t;
    const T* dx = offsets.plane<T>(2 * channel) + cell[1] * width_ + cell[0];
    const T* dy = dx + offsets.cells();
    const Float4 across{s[0], t[0], s[0], t[0]}, down{s[1], s[1], t[1], t[1]};
    const Float4 top = across * load_pairs(dx, dy), bottom = across * load_pairs(dx + width_, dy + width_);
    const Float4 left{top[0], top[2], bottom[0], bottom[2]}, right{top[1], top[3], bottom[1], bottom[3]};
    const Float4 rows = down * (left + right);  // dx and dy of the upper row, then of the lower one
    const Float4 offset = rows + swap_pairs(rows);
    if (!all_finite(offset)) return false;
    store_pair(at_most(at_least(load_pairs(&point.x, &point.x) + offset, all4(0.0F)),
                       Float4{last_x_, last_y_, last_x_, last_y_}),
               &point.x);
    return true;
  }
#if defined(__SSE2__)
  // In double: what `moved` computes, in the same order.
  bool step_wide(const Field& offsets, int channel, const Point<double>& at, Point<double>& point) const {
    const __m128d from = _mm_loadu_pd(&at.x);
    const __m128d c = inverse_ > 0.0 ? _mm_mul_pd(from, _mm_set1_pd(inverse_)) : _mm_div_pd(from, _mm_set1_pd(stride_));
    const __m128i whole = _mm_cvttpd_epi32(c);
    const int j = std::min(_mm_cvtsi128_si32(whole), last_column_);
    const int i = std::min(_mm_cvtsi128_si32(_mm_shuffle_epi32(whole, 1)), last_row_);
    const T* dx = offsets.plane<T>(2 * channel) + i * width_ + j;
    const T* dy = dx + offsets.cells();
    const __m128d t = _mm_sub_pd(c, _mm_set_pd(static_cast<double>(i), static_cast<double>(j)));
    const __m128d s = _mm_sub_pd(_mm_set1_pd(1.0), t);
    const __m128d tx = _mm_unpacklo_pd(t, t), ty = _mm_unpackhi_pd(t, t);
    const __m128d sx = _mm_unpacklo_pd(s, s), sy = _mm_unpackhi_pd(s, s);
    const auto row = [&](const T* dx_row, const T* dy_row) {  // dx and dy of the left cell, then of the right one
      const __m128 cells = reinterpret_cast<__m128>(load_pairs(dx_row, dy_row));
      const __m128 pairs = _mm_shuffle_ps(cells, cells, _MM_SHUFFLE(3, 1, 2, 0));
      const __m128d left = _mm_cvtps_pd(pairs), right = _mm_cvtps_pd(_mm_movehl_ps(pairs, pairs));
      return _mm_add_pd(_mm_mul_pd(sx, left), _mm_mul_pd(tx, right));
    };
    const __m128d offset =
        _mm_add_pd(_mm_mul_pd(sy, row(dx, dy)), _mm_mul_pd(ty, row(dx + width_, dy + width_)));
    if (_mm_movemask_pd(_mm_cmpeq_pd(_mm_sub_pd(offset, offset), _mm_setzero_pd())) != 3) return false;
    const __m128d moved = _mm_add_pd(_mm_loadu_pd(&point.x), offset), last = _mm_set_pd(last_y_, last_x_);
    _mm_storeu_pd(&point.x, _mm_min_pd(last, _mm_max_pd(_mm_setzero_pd(), moved)));
    return true;
  }
#else
  bool step_wide(const Field&, int, const Point<double>&, Point<double>&) const { return false; }
#endif

  using Follower<Real>::width_;
  using Follower<Real>::last_column_;
  using Follower<Real>::last_row_;
  using Follower<Real>::right_;
  using Follower<Real>::below_;
  using Follower<Real>::last_x_;
  using Follower<Real>::last_y_;
  using Follower<Real>::stride_;
  using Follower<Real>::inverse_;
};

}  // namespace personlab

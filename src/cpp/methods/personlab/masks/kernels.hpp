// The kernels of mask association: points and boxes that follow offsets. Part of kernels_isa.cpp, and compiled with it.
#pragma once

#include <math.h>

#include <cstddef>
#include <cstdint>

#include "base/sampling.hpp"
#include "methods/personlab/kernels.hpp"
#include "simd/floats.hpp"

namespace personlab {
namespace PERSONLAB_KERNELS {
namespace {

// A register of points (x, y), two in each quarter of four floats, and what `follow_points` does with it. A "row" is
// the 4 floats dx, dy of a cell and dx, dy of the next one; load_rows loads those of the first (0) or second (1) point
// of every quarter. AVX-512 gains nothing here: what takes the time is fetching single cells. repeat4 repeats four
// floats; store_index writes the place of each point's cell among the pairs to every other integer.
#if defined(__AVX2__)

using Points = F32x8;

PERSONLAB_INLINE Points repeat4(const float* from) {
  return _mm256_broadcast_ps(reinterpret_cast<const __m128*>(from));
}
PERSONLAB_INLINE Points repeat2(float x, float y) { return _mm256_setr_ps(x, y, x, y, x, y, x, y); }
PERSONLAB_INLINE void store_index(I32x8 cell, std::int32_t pitch, std::int32_t* to) {
  const __m256i parts =
      _mm256_mullo_epi32(reinterpret_cast<__m256i>(cell), _mm256_setr_epi32(2, pitch, 2, pitch, 2, pitch, 2, pitch));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_add_epi32(parts, _mm256_srli_epi64(parts, 32)));
}
PERSONLAB_INLINE Points load_rows(const float* const* from, std::ptrdiff_t further) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from[0] + further)), _mm_loadu_ps(from[2] + further),
                              1);
}
template <int kOrder>
PERSONLAB_INLINE Points shuffle(Points a, Points b) {
  return _mm256_shuffle_ps(a, b, kOrder);
}

#else

using Points = F32x4;

PERSONLAB_INLINE Points repeat4(const float* from) { return load<Points>(from); }
PERSONLAB_INLINE Points repeat2(float x, float y) { return Points{x, y, x, y}; }
PERSONLAB_INLINE void store_index(I32x4 cell, std::int32_t pitch, std::int32_t* to) {
  to[0] = cell[1] * pitch + 2 * cell[0];
  to[2] = cell[3] * pitch + 2 * cell[2];
}
PERSONLAB_INLINE Points load_rows(const float* const* from, std::ptrdiff_t further) {
  return load<Points>(from[0] + further);
}
template <int kOrder>
PERSONLAB_INLINE Points shuffle(Points a, Points b) {
  return Points{a[kOrder & 3], a[kOrder >> 2 & 3], b[kOrder >> 4 & 3], b[kOrder >> 6 & 3]};
}

#endif

constexpr int kPointLanes = Register<Points>::kLanes / 2;

static_assert(kPointGroup % kPointLanes == 0);

// Which floats of a quarter to take: two of the first register, then two of the second.
constexpr int order(int a, int b, int c, int d) { return a | b << 2 | c << 4 | d << 6; }

void follow_points(const Pairs& pairs, int n, float* points) {
  const std::ptrdiff_t pitch = static_cast<std::ptrdiff_t>(pairs.w) * 2;
  const auto w = static_cast<float>(pairs.w), h = static_cast<float>(pairs.h);
  const auto stride = broadcast<Points>(pairs.stride), inverse = broadcast<Points>(pairs.inverse_stride);
  const auto zero = broadcast<Points>(0.0F), one = broadcast<Points>(1.0F);
  const auto last = repeat2(w - 1, h - 1), last_cell = repeat2(w - 2, h - 2);
  for (int i = 0; i < n; i += kPointLanes, points += 2 * kPointLanes) {
    const auto at = load<Points>(points);
    const auto c = min(max(at * inverse, zero), last);
    const auto cell = to_int(min(c, last_cell));
    const auto t = c - to_float(cell), s = one - t;
    const auto beyond = at - c * stride;  // outside the grid an offset is that of the border
    std::int32_t index[2 * kPointLanes];
    store_index(cell, static_cast<std::int32_t>(pitch), index);
    const float* row[kPointLanes];
    for (int p = 0; p < kPointLanes; ++p) row[p] = pairs.data + index[2 * p];
    // First points of the quarters, then second ones: the cells above and below made one, then left and right weighed.
    const auto first = (shuffle<order(1, 1, 1, 1)>(s, s) * load_rows(row, 0) +
                        shuffle<order(1, 1, 1, 1)>(t, t) * load_rows(row, pitch)) *
                       shuffle<order(0, 0, 0, 0)>(s, t);
    const auto second = (shuffle<order(3, 3, 3, 3)>(s, s) * load_rows(row + 1, 0) +
                         shuffle<order(3, 3, 3, 3)>(t, t) * load_rows(row + 1, pitch)) *
                        shuffle<order(2, 2, 2, 2)>(s, t);
    store(beyond + (shuffle<order(0, 1, 0, 1)>(first, second) + shuffle<order(2, 3, 2, 3)>(first, second)), points);
  }
}

void follow_in_cell(const Pairs& pairs, int column, int row, int n, const float* t, float* points) {
  const std::ptrdiff_t pitch = static_cast<std::ptrdiff_t>(pairs.w) * 2;
  const float* cell = pairs.data + row * pitch + 2 * column;
  const auto upper = repeat4(cell), lower = repeat4(cell + pitch), one = broadcast<Points>(1.0F);
  const auto upper_left = shuffle<order(0, 1, 0, 1)>(upper, upper);
  const auto upper_right = shuffle<order(2, 3, 2, 3)>(upper, upper);
  const auto lower_left = shuffle<order(0, 1, 0, 1)>(lower, lower);
  const auto lower_right = shuffle<order(2, 3, 2, 3)>(lower, lower);
  for (int i = 0; i < 2 * n; i += 2 * kPointLanes) {
    const auto at = load<Points>(t + i);
    const auto x = shuffle<order(0, 0, 2, 2)>(at, at), y = shuffle<order(1, 1, 3, 3)>(at, at);
    const auto left = (one - y) * upper_left + y * lower_left, right = (one - y) * upper_right + y * lower_right;
    store((one - x) * left + x * right, points + i);
  }
}

// One step for all points in a box (x0, y0, x1, y1). Between four cells an offset field is bilinear, hence so is the
// position that it leads to, which has its extremes over a rectangle at the corners: the box is cut along rows and
// columns of cells, and the corners of the pieces are read.
class BoxStep {
 public:
  BoxStep(const Pairs& pairs, const float* data, F32x4 box)
      : data_(data), pitch_(static_cast<std::ptrdiff_t>(pairs.w) * 2) {
    const auto w = static_cast<float>(pairs.w), h = static_cast<float>(pairs.h);
    const F32x4 in_cells = box * broadcast<F32x4>(pairs.inverse_stride);
    const F32x4 inside = min(max(in_cells, broadcast<F32x4>(0.0F)), F32x4{w - 1, h - 1, w - 1, h - 1});
    const I32x4 cell = to_int(min(inside, F32x4{w - 2, h - 2, w - 2, h - 2}));
    t_ = inside - to_float(cell);
    beyond_ = box - inside * broadcast<F32x4>(pairs.stride);
    left_ = cell[0];
    top_ = cell[1];
    right_ = cell[2];
    bottom_ = cell[3];
  }

  bool spreads() const { return (right_ - left_ + 1) * (bottom_ - top_ + 1) > kMaxPieces; }

  F32x4 result() {
    columns();
    if (right_ - left_ < kPointLanes) {
      for (int i = top_ + 1; i <= bottom_; ++i) row(data_ + i * pitch_);
    } else if (top_ < bottom_) {
      long_rows();
    }
    const F32x4 low = min(low_, swap_halves(low_)), high = max(high_, swap_halves(high_));
    return low_halves(low, high) + beyond_;
  }

 private:
  static constexpr int kMaxPieces = 512;

  static F32x4 between(F32x4 a, F32x4 b, F32x4 t) { return a + (b - a) * t; }

  void include(F32x4 corners) {
    low_ = min(corners, low_);
    high_ = max(corners, high_);
  }

  // Corners on the upper and lower edge, from left to right.
  void columns() {
    const float *upper = data_ + top_ * pitch_, *lower = data_ + bottom_ * pitch_;
    const F32x4 t{t_[1], t_[1], t_[3], t_[3]};
    const auto column = [&](std::ptrdiff_t j) {
      const float *u = upper + 2 * j, *l = lower + 2 * j;
      return between(load_halves(u, l), load_halves(u + pitch_, l + pitch_), t);
    };
    F32x4 current = column(left_), next = column(left_ + 1);
    low_ = high_ = between(current, next, broadcast<F32x4>(t_[0]));
    for (int j = left_ + 2; j <= right_ + 1; ++j) {
      include(next);
      current = next;
      next = column(j);
    }
    include(between(current, next, broadcast<F32x4>(t_[2])));
  }

  // Corners on a row of cells between the edges.
  void row(const float* cells) {
    const float *left = cells + 2 * left_, *right = cells + 2 * right_;
    ends(left, right);
    if (left == right) return;
    for (left += 2; left < right; left += 4) include(load<F32x4>(left));
    if (left == right) include(load_halves(right, right));
  }

  // Where a row of cells meets the left and right edge.
  void ends(const float* left, const float* right) {
    include(between(load_halves(left, right), load_halves(left + 2, right + 2), F32x4{t_[0], t_[0], t_[2], t_[2]}));
  }

  // Corners on all these rows, where the cells of each fill a register. The last cells of a row may be read twice.
  void long_rows() {
    auto low = load<Points>(data_ + (top_ + 1) * pitch_ + 2 * (left_ + 1)), high = low;
    const auto cover = [&](const float* cells) {
      const auto inner = load<Points>(cells);
      low = min(inner, low);
      high = max(inner, high);
    };
    for (int i = top_ + 1; i <= bottom_; ++i) {
      const float* cells = data_ + i * pitch_;
      ends(cells + 2 * left_, cells + 2 * right_);
      const float* last = cells + 2 * (right_ + 1 - kPointLanes);
      for (const float* at = cells + 2 * (left_ + 1); at < last; at += 2 * kPointLanes) cover(at);
      cover(last);
    }
    float corners[2][2 * kPointLanes];
    store(low, corners[0]);
    store(high, corners[1]);
    for (int i = 0; i < 2 * kPointLanes; i += 4) {
      low_ = min(load<F32x4>(corners[0] + i), low_);
      high_ = max(load<F32x4>(corners[1] + i), high_);
    }
  }

  const float* data_;
  std::ptrdiff_t pitch_;
  F32x4 t_, beyond_;  // of the edges: in [0, 1] from their cells; outside the grid, an offset being that of the border
  int left_, top_, right_, bottom_;  // cells
  F32x4 low_, high_;                 // x, y, x, y
};

void follow_boxes(const Pairs& first, std::ptrdiff_t plane, int n, const std::int32_t* planes, float slack,
                  float (*boxes)[4]) {
  constexpr float kFar = 4 * kFarthest;
  const F32x4 wider{-slack, -slack, slack, slack};
  for (int i = 0; i < n; ++i) {
    BoxStep step(first, first.data + planes[i] * plane, load<F32x4>(boxes[i]));
    store(step.spreads() ? F32x4{-kFar, -kFar, kFar, kFar} : step.result() + wider, boxes[i]);
  }
}

float greater(float a, float b) { return a > b ? a : b; }

void bound_one(const Boxes& boxes, const Targets& targets, DistanceBounds& bounds) {
  for (int k = 0; k < kKeypointGroup; ++k) {
    const float left = boxes.x0[k] - targets.x[k], right = targets.x[k] - boxes.x1[k];
    const float above = boxes.y0[k] - targets.y[k], below = targets.y[k] - boxes.y1[k];
    const float near_x = greater(greater(left, right), 0.0F), near_y = greater(greater(above, below), 0.0F);
    const float far_x = greater(-left, -right), far_y = greater(-above, -below);
    bounds.lower[k] = targets.weight[k] * sqrtf(near_x * near_x + near_y * near_y);
    bounds.upper[k] = targets.weight[k] * sqrtf(far_x * far_x + far_y * far_y);
  }
}

float total(const float* values) {
  const F32x4 halves = load<F32x4>(values) + load<F32x4>(values + 4), quarters = halves + swap_halves(halves);
  return quarters[0] + quarters[1];
}

void bound_distances(const Boxes& boxes, const Targets* targets, std::size_t pitch, int n, const std::int32_t* listed,
                     DistanceBounds* bounds, float* lower, float* upper) {
  static_assert(kKeypointGroup == 8, "halves are four floats");
  for (int i = 0; i < n; ++i) {
    const auto j = static_cast<std::size_t>(listed[i]);
    DistanceBounds& own = bounds[j * pitch];
    bound_one(boxes, targets[j * pitch], own);
    lower[j] += total(own.lower);
    upper[j] += total(own.upper);
  }
}

bool add_distances(const Target& target, int n, const float* points, float low, float high, float* sums,
                   std::int32_t* open) {
  const float x = target.x, y = target.y, weight = target.weight;
  std::int32_t any = 0;
  for (int i = 0; i < n; ++i) {
    const float dx = points[2 * i] - x, dy = points[2 * i + 1] - y;
    const float sum = sums[i] + (weight == 0.0F ? 0.0F : weight * sqrtf(dx * dx + dy * dy));
    sums[i] = sum;
    const std::int32_t undecided = (sum > low ? -1 : 0) & (sum <= high ? -1 : 0);
    open[i] |= undecided;
    any |= undecided;
  }
  return any != 0;
}

bool read_person_probabilities(const float* upper, const float* lower, float t, int n, std::uint32_t* probability) {
  const Floats s = broadcast<Floats>(1.0F - t), below = broadcast<Floats>(t), zero = broadcast<Floats>(0.0F);
  Floats nothing = zero;  // stays 0 while all logits are finite
  for (int i = 0; i < n; i += kLanes) {
    const Floats logit = s * load<Floats>(upper + i) + below * load<Floats>(lower + i);
    nothing = nothing + (logit - logit);
    std::int32_t whole[kLanes];
    store(to_int(sigmoid(logit) * broadcast<Floats>(kPersonUnit)), whole);
    for (int j = 0; j < kLanes; ++j) probability[i + j] = static_cast<std::uint32_t>(whole[j]);
  }
  return all(cmp_ge(nothing, zero));
}

void sum_masked(const std::uint8_t* mask, const std::uint32_t* values, int n, std::uint64_t& total,
                std::uint64_t& count) {
  constexpr int kMax = 128;  // values whose sum fits into 32 bits
  for (int first = 0; first < n; first += kMax) {
    const int last = n - first < kMax ? n : first + kMax;
    std::uint32_t sum = 0, number = 0;
    for (int i = first; i < last; ++i) {
      const std::uint32_t held = mask[i] != 0 ? 1 : 0;
      sum += values[i] & (0U - held);
      number += held;
    }
    total += sum;
    count += number;
  }
}

}  // namespace
}  // namespace PERSONLAB_KERNELS
}  // namespace personlab

// The kernels of mask association: points and boxes that follow offsets. Part of kernels.cpp, and compiled with it.
#pragma once

#include <math.h>

#include <cstddef>
#include <cstdint>

#include "simd/float4.hpp"
#include "methods/personlab/kernels.hpp"
#include "base/sampling.hpp"
#include "simd/wide_floats.hpp"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace personlab {
namespace PERSONLAB_KERNELS {
namespace {

// A register of points (x, y), two in each quarter of four floats, and what `follow` does with it. A "row" is the 4 floats
// dx, dy of a cell and dx, dy of the next one; rows(p) are those of the first (0) or second (1) point of every quarter.
// AVX-512 gains nothing here: what takes the time is fetching single cells.
// quarters repeats four floats; store_index writes the place of each point's cell among the pairs to every other integer.
#if defined(__AVX2__)

struct Lanes {
  using Floats = __m256;
  using Ints = __m256i;
  static constexpr int kPoints = 4;
  static Floats load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(Floats v, float* to) { _mm256_storeu_ps(to, v); }
  static Floats all(float v) { return _mm256_set1_ps(v); }
  static Floats quarters(const float* from) { return _mm256_broadcast_ps(reinterpret_cast<const __m128*>(from)); }
  static Floats pairs(float x, float y) { return _mm256_setr_ps(x, y, x, y, x, y, x, y); }
  static Floats least(Floats a, Floats b) { return _mm256_min_ps(a, b); }
  static Floats most(Floats a, Floats b) { return _mm256_max_ps(a, b); }
  static Ints truncate(Floats v) { return _mm256_cvttps_epi32(v); }
  static Floats to_float(Ints v) { return _mm256_cvtepi32_ps(v); }
  static void store_index(Ints cell, std::int32_t pitch, std::int32_t* to) {
    const __m256i parts = _mm256_mullo_epi32(cell, _mm256_setr_epi32(2, pitch, 2, pitch, 2, pitch, 2, pitch));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_add_epi32(parts, _mm256_srli_epi64(parts, 32)));
  }
  static Floats rows(const float* const* from, std::ptrdiff_t further) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from[0] + further)),
                                _mm_loadu_ps(from[2] + further), 1);
  }
  template <int kOrder>
  static Floats shuffle(Floats a, Floats b) {
    return _mm256_shuffle_ps(a, b, kOrder);
  }
};

#else

struct Lanes {
  using Floats = Float4;
  using Ints = Int4;
  static constexpr int kPoints = 2;
  static Floats load(const float* from) { return load4(from); }
  static void store(Floats v, float* to) { store4(v, to); }
  static Floats all(float v) { return all4(v); }
  static Floats quarters(const float* from) { return load4(from); }
  static Floats pairs(float x, float y) { return Float4{x, y, x, y}; }
  static Floats least(Floats a, Floats b) { return at_most(a, b); }
  static Floats most(Floats a, Floats b) { return at_least(a, b); }
  static Ints truncate(Floats v) { return personlab::truncate(v); }
  static Floats to_float(Ints v) { return personlab::to_float(v); }
  static void store_index(Ints cell, std::int32_t pitch, std::int32_t* to) {
    to[0] = cell[1] * pitch + 2 * cell[0];
    to[2] = cell[3] * pitch + 2 * cell[2];
  }
  static Floats rows(const float* const* from, std::ptrdiff_t further) { return load4(from[0] + further); }
  template <int kOrder>
  static Floats shuffle(Floats a, Floats b) {
    return Float4{a[kOrder & 3], a[kOrder >> 2 & 3], b[kOrder >> 4 & 3], b[kOrder >> 6 & 3]};
  }
};

#endif

static_assert(kPointGroup % Lanes::kPoints == 0);

// Which floats of a quarter to take: two of the first register, then two of the second.
constexpr int order(int a, int b, int c, int d) { return a | b << 2 | c << 4 | d << 6; }

void follow(const Pairs& pairs, int n, float* points) {
  const std::ptrdiff_t pitch = static_cast<std::ptrdiff_t>(pairs.w) * 2;
  const auto w = static_cast<float>(pairs.w), h = static_cast<float>(pairs.h);
  const auto stride = Lanes::all(pairs.stride), inverse = Lanes::all(pairs.inverse_stride);
  const auto zero = Lanes::all(0.0F), one = Lanes::all(1.0F);
  const auto last = Lanes::pairs(w - 1, h - 1), last_cell = Lanes::pairs(w - 2, h - 2);
  for (int i = 0; i < n; i += Lanes::kPoints, points += 2 * Lanes::kPoints) {
    const auto at = Lanes::load(points);
    const auto c = Lanes::least(Lanes::most(at * inverse, zero), last);
    const auto cell = Lanes::truncate(Lanes::least(c, last_cell));
    const auto t = c - Lanes::to_float(cell), s = one - t;
    const auto beyond = at - c * stride;  // outside the grid an offset is that of the border
    std::int32_t index[2 * Lanes::kPoints];
    Lanes::store_index(cell, static_cast<std::int32_t>(pitch), index);
    const float* row[Lanes::kPoints];
    for (int p = 0; p < Lanes::kPoints; ++p) row[p] = pairs.data + index[2 * p];
    // First points of the quarters, then second ones: the cells above and below made one, then left and right weighed.
    const auto first = (Lanes::shuffle<order(1, 1, 1, 1)>(s, s) * Lanes::rows(row, 0) +
                        Lanes::shuffle<order(1, 1, 1, 1)>(t, t) * Lanes::rows(row, pitch)) *
                       Lanes::shuffle<order(0, 0, 0, 0)>(s, t);
    const auto second = (Lanes::shuffle<order(3, 3, 3, 3)>(s, s) * Lanes::rows(row + 1, 0) +
                         Lanes::shuffle<order(3, 3, 3, 3)>(t, t) * Lanes::rows(row + 1, pitch)) *
                        Lanes::shuffle<order(2, 2, 2, 2)>(s, t);
    Lanes::store(beyond + (Lanes::shuffle<order(0, 1, 0, 1)>(first, second) +
                           Lanes::shuffle<order(2, 3, 2, 3)>(first, second)),
                 points);
  }
}

void follow_inside(const Pairs& pairs, int column, int row, int n, const float* t, float* points) {
  const std::ptrdiff_t pitch = static_cast<std::ptrdiff_t>(pairs.w) * 2;
  const float* cell = pairs.data + row * pitch + 2 * column;
  const auto upper = Lanes::quarters(cell), lower = Lanes::quarters(cell + pitch), one = Lanes::all(1.0F);
  const auto upper_left = Lanes::shuffle<order(0, 1, 0, 1)>(upper, upper);
  const auto upper_right = Lanes::shuffle<order(2, 3, 2, 3)>(upper, upper);
  const auto lower_left = Lanes::shuffle<order(0, 1, 0, 1)>(lower, lower);
  const auto lower_right = Lanes::shuffle<order(2, 3, 2, 3)>(lower, lower);
  for (int i = 0; i < 2 * n; i += 2 * Lanes::kPoints) {
    const auto at = Lanes::load(t + i);
    const auto x = Lanes::shuffle<order(0, 0, 2, 2)>(at, at), y = Lanes::shuffle<order(1, 1, 3, 3)>(at, at);
    const auto left = (one - y) * upper_left + y * lower_left, right = (one - y) * upper_right + y * lower_right;
    Lanes::store((one - x) * left + x * right, points + i);
  }
}

// One step for all points in a box (x0, y0, x1, y1). Between four cells an offset field is bilinear, hence so is where it
// points, which takes its extremes over a rectangle at the corners: the box is cut along rows and columns of cells, and the
// corners of the pieces are looked at.
class BoxStep {
 public:
  BoxStep(const Pairs& pairs, const float* data, Float4 box)
      : data_(data), pitch_(static_cast<std::ptrdiff_t>(pairs.w) * 2) {
    const auto w = static_cast<float>(pairs.w), h = static_cast<float>(pairs.h);
    const Float4 in_cells = box * all4(pairs.inverse_stride);
    const Float4 inside = at_most(at_least(in_cells, all4(0.0F)), Float4{w - 1, h - 1, w - 1, h - 1});
    const Int4 cell = truncate(at_most(inside, Float4{w - 2, h - 2, w - 2, h - 2}));
    t_ = inside - to_float(cell);
    beyond_ = box - inside * all4(pairs.stride);
    left_ = cell[0];
    top_ = cell[1];
    right_ = cell[2];
    bottom_ = cell[3];
  }

  bool spreads() const { return (right_ - left_ + 1) * (bottom_ - top_ + 1) > kMostPieces; }

  Float4 result() {
    columns();
    if (right_ - left_ < Lanes::kPoints) {
      for (int i = top_ + 1; i <= bottom_; ++i) row(data_ + i * pitch_);
    } else if (top_ < bottom_) {
      long_rows();
    }
    const Float4 low = at_most(low_, swap_pairs(low_)), high = at_least(high_, swap_pairs(high_));
    return first_pairs(low, high) + beyond_;
  }

 private:
  static constexpr int kMostPieces = 512;

  static Float4 between(Float4 a, Float4 b, Float4 t) { return a + (b - a) * t; }

  void include(Float4 corners) {
    low_ = at_most(corners, low_);
    high_ = at_least(corners, high_);
  }

  // Corners on the upper and lower edge, from left to right.
  void columns() {
    const float *upper = data_ + top_ * pitch_, *lower = data_ + bottom_ * pitch_;
    const Float4 t{t_[1], t_[1], t_[3], t_[3]};
    const auto column = [&](std::ptrdiff_t j) {
      const float *u = upper + 2 * j, *l = lower + 2 * j;
      return between(load_pairs(u, l), load_pairs(u + pitch_, l + pitch_), t);
    };
    Float4 here = column(left_), next = column(left_ + 1);
    low_ = high_ = between(here, next, all4(t_[0]));
    for (int j = left_ + 2; j <= right_ + 1; ++j) {
      include(next);
      here = next;
      next = column(j);
    }
    include(between(here, next, all4(t_[2])));
  }

  // Corners on a row of cells between the edges.
  void row(const float* cells) {
    const float *left = cells + 2 * left_, *right = cells + 2 * right_;
    ends(left, right);
    if (left == right) return;
    for (left += 2; left < right; left += 4) include(load4(left));
    if (left == right) include(load_pairs(right, right));
  }

  // Where a row of cells meets the left and right edge.
  void ends(const float* left, const float* right) {
    include(between(load_pairs(left, right), load_pairs(left + 2, right + 2), Float4{t_[0], t_[0], t_[2], t_[2]}));
  }

  // Corners on all these rows, where the cells of each fill a register. The last cells of a row may be seen twice.
  void long_rows() {
    auto low = Lanes::load(data_ + (top_ + 1) * pitch_ + 2 * (left_ + 1)), high = low;
    const auto cover = [&](const float* cells) {
      const auto corners = Lanes::load(cells);
      low = Lanes::least(corners, low);
      high = Lanes::most(corners, high);
    };
    for (int i = top_ + 1; i <= bottom_; ++i) {
      const float* cells = data_ + i * pitch_;
      ends(cells + 2 * left_, cells + 2 * right_);
      const float* last = cells + 2 * (right_ + 1 - Lanes::kPoints);
      for (const float* at = cells + 2 * (left_ + 1); at < last; at += 2 * Lanes::kPoints) cover(at);
      cover(last);
    }
    float found[2][2 * Lanes::kPoints];
    Lanes::store(low, found[0]);
    Lanes::store(high, found[1]);
    for (int i = 0; i < 2 * Lanes::kPoints; i += 4) {
      low_ = at_most(load4(found[0] + i), low_);
      high_ = at_least(load4(found[1] + i), high_);
    }
  }

  const float* data_;
  std::ptrdiff_t pitch_;
  Float4 t_, beyond_;  // of the edges: in [0, 1] from their cells; outside the grid, an offset being that of the border
  int left_, top_, right_, bottom_;  // cells
  Float4 low_, high_;                // x, y, x, y
};

void follow_boxes(const Pairs& first, std::ptrdiff_t plane, int n, const std::int32_t* planes, float slack,
                  float (*boxes)[4]) {
  constexpr float kFar = 4 * kFarthest;
  const Float4 wider{-slack, -slack, slack, slack};
  for (int i = 0; i < n; ++i) {
    BoxStep step(first, first.data + planes[i] * plane, load4(boxes[i]));
    store4(step.spreads() ? Float4{-kFar, -kFar, kFar, kFar} : step.result() + wider, boxes[i]);
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
  const Float4 halves = load4(values) + load4(values + 4), quarters = halves + swap_pairs(halves);
  return quarters[0] + quarters[1];
}

void bound(const Boxes& boxes, const Targets* targets, std::size_t pitch, int n, const std::int32_t* listed,
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

bool measure(const Target& target, int n, const float* points, float low, float high, float* sums, std::int32_t* open) {
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

bool read_person(const float* upper, const float* lower, float t, int n, std::uint32_t* probability) {
  const Floats s = Wide::all(1.0F - t), below = Wide::all(t), zero = Wide::all(0.0F);
  constexpr unsigned kAll = (1U << Wide::kLanes) - 1U;
  unsigned finite = kAll;
  for (int i = 0; i < n; i += Wide::kLanes) {
    const Floats logit = s * Wide::load(upper + i) + below * Wide::load(lower + i);
    finite &= Wide::at_least(logit - logit, zero);
    std::int32_t whole[Wide::kLanes];
    Wide::store_integers(sigmoid_wide(logit) * Wide::all(kPersonUnit), whole);
    for (int j = 0; j < Wide::kLanes; ++j) probability[i + j] = static_cast<std::uint32_t>(whole[j]);
  }
  return finite == kAll;
}

void sum_marked(const std::uint8_t* marks, const std::uint32_t* values, int n, std::uint64_t& total,
                std::uint64_t& count) {
  constexpr int kMost = 128;  // values whose sum fits into 32 bits
  for (int first = 0; first < n; first += kMost) {
    const int last = n - first < kMost ? n : first + kMost;
    std::uint32_t sum = 0, marked = 0;
    for (int i = first; i < last; ++i) {
      const std::uint32_t mark = marks[i] != 0 ? 1 : 0;
      sum += values[i] & (0U - mark);
      marked += mark;
    }
    total += sum;
    count += marked;
  }
}

}  // namespace
}  // namespace PERSONLAB_KERNELS
}  // namespace personlab

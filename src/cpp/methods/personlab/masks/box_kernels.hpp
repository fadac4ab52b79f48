// The kernels of mask association: boxes that follow offsets, and bounds of distances. Part of kernels_isa.cpp, and
// compiled with it.
#pragma once

#include <math.h>

#include <cstddef>
#include <cstdint>

#include "methods/personlab/masks/kernels.hpp"

namespace personlab {
namespace PERSONLAB_KERNELS {
namespace {

// Edges of a group's boxes on the grid: x0, y0, x1, y1.
struct alignas(64) BoxEdges {
  float t[4][kKeypointGroup];       // in [0, 1] from their cells
  float beyond[4][kKeypointGroup];  // outside the grid, an offset being that of the border
  std::int32_t cell[4][kKeypointGroup];
};

template <typename V>
PERSONLAB_INLINE V between(V a, V b, V t) {
  return a + (b - a) * t;
}

// One step for all points in a box. Between four cells an offset field is bilinear, hence so is the position that it
// leads to, which has its extremes over a rectangle at the corners: the box is cut along rows and columns of cells, and
// the corners of the pieces are read.
class BoxStep {
 public:
  BoxStep(const float* data, std::ptrdiff_t pitch, const BoxEdges& edges, int lane)
      : data_(data),
        pitch_(pitch),
        t_{edges.t[0][lane], edges.t[1][lane], edges.t[2][lane], edges.t[3][lane]},
        beyond_{edges.beyond[0][lane], edges.beyond[1][lane], edges.beyond[2][lane], edges.beyond[3][lane]},
        left_(edges.cell[0][lane]),
        top_(edges.cell[1][lane]),
        right_(edges.cell[2][lane]),
        bottom_(edges.cell[3][lane]) {}

  bool spreads() const { return (right_ - left_ + 1) * (bottom_ - top_ + 1) > kMaxPieces; }

  F32x4 result() {
    const float *upper = data_ + top_ * pitch_, *lower = data_ + bottom_ * pitch_;
    low_ = high_ = ends(upper, t_[1]);
    include(ends(lower, t_[3]));
    const int columns = right_ - left_;  // between the left and the right edge
    if (columns >= kPairLanes) {
      long_rows(upper, lower);
    } else {
      short_rows(upper, lower);
    }
    const F32x4 low = min(low_, swap_halves(low_)), high = max(high_, swap_halves(high_));
    return low_halves(low, high) + beyond_;
  }

 private:
  static constexpr int kMaxPieces = 512;
  static constexpr int kPairLanes = kPointLanes / 2;

  void include(F32x4 corners) {
    low_ = min(corners, low_);
    high_ = max(corners, high_);
  }

  // Corners on the left and right edge, on a row of cells or t of the way to the next one.
  F32x4 ends(const float* cells) const {
    return edges(load<F32x4>(cells + 2 * left_), load<F32x4>(cells + 2 * right_));
  }
  F32x4 ends(const float* cells, float t) const {
    const auto of_next = broadcast<F32x4>(t);
    const auto two = [&](const float* at) { return between(load<F32x4>(at), load<F32x4>(at + pitch_), of_next); };
    return edges(two(cells + 2 * left_), two(cells + 2 * right_));
  }
  F32x4 edges(F32x4 left, F32x4 right) const {
    return between(low_halves(left, right), high_halves(left, right), F32x4{t_[0], t_[0], t_[2], t_[2]});
  }

  // All other corners: on the upper and lower edge, and on the rows of cells between them.
  void short_rows(const float* upper, const float* lower) {
    const F32x4 t{t_[1], t_[1], t_[3], t_[3]};
    for (int j = 2 * left_ + 2; j <= 2 * right_; j += 2) {
      const float *u = upper + j, *l = lower + j;
      include(between(load_halves(u, l), load_halves(u + pitch_, l + pitch_), t));
    }
    for (int i = top_ + 1; i <= bottom_; ++i) {
      const float *cells = data_ + i * pitch_, *left = cells + 2 * left_ + 2, *right = cells + 2 * right_;
      include(ends(cells));
      for (; left < right; left += 4) include(load<F32x4>(left));
      if (left == right) include(load_halves(right, right));
    }
  }

  // The same where the cells of a row fill a register. The last cells of a row may be read twice.
  void long_rows(const float* upper, const float* lower) {
    const auto t_upper = broadcast<Points>(t_[1]), t_lower = broadcast<Points>(t_[3]);
    auto low = between(load<Points>(upper + 2 * left_ + 2), load<Points>(upper + pitch_ + 2 * left_ + 2), t_upper);
    auto high = low;
    const auto cover = [&](Points corners) {
      low = min(corners, low);
      high = max(corners, high);
    };
    const auto cover_row = [&](const auto& at) {
      const int last = 2 * (right_ + 1 - kPairLanes);
      for (int j = 2 * left_ + 2; j < last; j += 2 * kPairLanes) at(j);
      at(last);
    };
    cover_row([&](int j) {
      cover(between(load<Points>(upper + j), load<Points>(upper + pitch_ + j), t_upper));
      cover(between(load<Points>(lower + j), load<Points>(lower + pitch_ + j), t_lower));
    });
    for (int i = top_ + 1; i <= bottom_; ++i) {
      const float* cells = data_ + i * pitch_;
      include(ends(cells));
      cover_row([&](int j) { cover(load<Points>(cells + j)); });
    }
    float corners[2][2 * kPairLanes];
    store(low, corners[0]);
    store(high, corners[1]);
    for (int i = 0; i < 2 * kPairLanes; i += 4) {
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

PERSONLAB_INLINE CellPairs between(const CellPairs& a, const CellPairs& b, Points t) {
  return {between(a.x, b.x, t), between(a.y, b.y, t), between(a.right_x, b.right_x, t),
          between(a.right_y, b.right_y, t)};
}

// Boxes around points.
struct PointRange {
  Points x0, y0, x1, y1;

  PERSONLAB_INLINE_MEMBER void include(Points x, Points y) {
    x0 = min(x, x0);
    y0 = min(y, y0);
    x1 = max(x, x1);
    y1 = max(y, y1);
  }
};

// One step for a register of boxes over up to three cells each way, without a branch: the corners on their edges, and
// on the borders between cells or, where there are fewer, some of them again.
class FewCells {
 public:
  FewCells(const float* const* data, const Pairs& pairs, const BoxEdges& edges, int lane)
      : data_(data + lane),
        pitch_(2 * std::ptrdiff_t{pairs.w}),
        tx0_(load<Points>(edges.t[0] + lane)),
        ty0_(load<Points>(edges.t[1] + lane)),
        tx1_(load<Points>(edges.t[2] + lane)),
        ty1_(load<Points>(edges.t[3] + lane)) {
    const auto side = [&edges, lane](int i) { return load<PointCells>(edges.cell[i] + lane); };
    const PointCells left = side(0), top = side(1), right = side(2), bottom = side(3);
    columns_ = to_float(right) - to_float(left);
    rows_ = to_float(bottom) - to_float(top);
    store(top * pairs.w + left, upper_);
    store(bottom * pairs.w + left, lower_);
    store(right, right_);
    left_ = edges.cell[0] + lane;
  }

  // Bits of boxes over more than one cell, and of those over more than three, in any way.
  unsigned several() const { return mask_bits(cmp_gt(max(columns_, rows_), broadcast<Points>(0.0F))); }
  unsigned many() const { return mask_bits(cmp_gt(max(columns_, rows_), broadcast<Points>(2.0F))); }

  PointRange single_cells() const {
    const CellPairs upper = load_pairs([this](int i) { return at(upper_, i); });
    const CellPairs lower = load_pairs([this](int i) { return at(upper_, i) + pitch_; });
    const CellPairs top = between(upper, lower, ty0_), bottom = between(upper, lower, ty1_);
    const auto x = between(top.x, top.right_x, tx0_), y = between(top.y, top.right_y, tx0_);
    PointRange range{x, y, x, y};
    range.include(between(top.x, top.right_x, tx1_), between(top.y, top.right_y, tx1_));
    range.include(between(bottom.x, bottom.right_x, tx0_), between(bottom.y, bottom.right_y, tx0_));
    range.include(between(bottom.x, bottom.right_x, tx1_), between(bottom.y, bottom.right_y, tx1_));
    return range;
  }

  PointRange few_cells() const {
    const auto zero = broadcast<Points>(0.0F), one = broadcast<Points>(1.0F);
    const auto more_columns = cmp_gt(columns_, one);
    const auto border_x = select(cmp_gt(columns_, zero), zero, tx1_);
    const Lines left = lines([this](const std::int32_t* cells, int i) { return at(cells, i); });
    const auto x = between(left.line[0].x, left.line[0].right_x, tx0_);
    const auto y = between(left.line[0].y, left.line[0].right_y, tx0_);
    PointRange range{x, y, x, y};
    for (const CellPairs& line : left.line) {
      const auto edge_x = between(line.x, line.right_x, tx0_), edge_y = between(line.y, line.right_y, tx0_);
      range.include(edge_x, edge_y);
      range.include(select(more_columns, line.right_x, edge_x), select(more_columns, line.right_y, edge_y));
    }
    const Lines right = lines([this](const std::int32_t* cells, int i) { return right_of(cells, i); });
    for (const CellPairs& line : right.line) {
      range.include(between(line.x, line.right_x, border_x), between(line.y, line.right_y, border_x));
      range.include(between(line.x, line.right_x, tx1_), between(line.y, line.right_y, tx1_));
    }
    return range;
  }

 private:
  // What cells and their right neighbours make of the upper edge, the borders between cells and the lower edge.
  struct Lines {
    CellPairs line[4];
  };

  template <typename At>
  PERSONLAB_INLINE_MEMBER Lines lines(const At& place) const {
    const auto zero = broadcast<Points>(0.0F);
    const auto more_rows = cmp_gt(rows_, broadcast<Points>(1.0F));
    const auto border_y = select(cmp_gt(rows_, zero), zero, ty1_);
    const CellPairs upper = load_pairs([&](int i) { return place(upper_, i); });
    const CellPairs next = load_pairs([&](int i) { return place(upper_, i) + pitch_; });
    const CellPairs lower = load_pairs([&](int i) { return place(lower_, i); });
    const CellPairs last = load_pairs([&](int i) { return place(lower_, i) + pitch_; });
    const CellPairs top = between(upper, next, ty0_);
    const CellPairs border{select(more_rows, next.x, top.x), select(more_rows, next.y, top.y),
                           select(more_rows, next.right_x, top.right_x), select(more_rows, next.right_y, top.right_y)};
    return {{top, border, between(lower, last, border_y), between(lower, last, ty1_)}};
  }

  const float* at(const std::int32_t* cells, int i) const { return data_[i] + 2 * std::ptrdiff_t{cells[i]}; }
  const float* right_of(const std::int32_t* cells, int i) const {
    return at(cells, i) + 2 * std::ptrdiff_t{right_[i] - left_[i]};
  }

  const float* const* data_;
  std::ptrdiff_t pitch_;
  Points tx0_, ty0_, tx1_, ty1_;
  Points columns_, rows_;            // borders of cells inside
  std::int32_t upper_[kPointLanes];  // cells at the upper left
  std::int32_t lower_[kPointLanes];  // and at the lower left
  std::int32_t right_[kPointLanes];
  const std::int32_t* left_;
};

// One step for a register of a group's boxes from `first` on, of which n count.
void follow_box_register(const Pairs& pairs, const float* const* data, int first, int n, float slack, BoxEdges& edges,
                         Boxes& boxes) {
  constexpr float kFar = 4 * kFarthest;
  const auto w = static_cast<float>(pairs.w), h = static_cast<float>(pairs.h);
  float* const sides[4] = {boxes.x0, boxes.y0, boxes.x1, boxes.y1};
  for (int side = 0; side < 4; ++side) {
    const auto cell = place(load<Points>(sides[side] + first), side % 2 == 0 ? w : h, pairs, edges.t[side] + first,
                            edges.beyond[side] + first);
    store(cell, edges.cell[side] + first);
  }
  const FewCells few(data, pairs, edges, first);
  const unsigned used = n < kPointLanes ? (1U << n) - 1 : (1U << kPointLanes) - 1, many = few.many() & used;
  if (many != used) {
    const auto wider = broadcast<Points>(slack);
    const PointRange range = (few.several() & used) == 0 ? few.single_cells() : few.few_cells();
    store(range.x0 + load<Points>(edges.beyond[0] + first) - wider, boxes.x0 + first);
    store(range.y0 + load<Points>(edges.beyond[1] + first) - wider, boxes.y0 + first);
    store(range.x1 + load<Points>(edges.beyond[2] + first) + wider, boxes.x1 + first);
    store(range.y1 + load<Points>(edges.beyond[3] + first) + wider, boxes.y1 + first);
  }
  for (int lane = first; many >> (lane - first) != 0; ++lane) {
    if ((many >> (lane - first) & 1) == 0) continue;
    BoxStep step(data[lane], 2 * std::ptrdiff_t{pairs.w}, edges, lane);
    const F32x4 box =
        step.spreads() ? F32x4{-kFar, -kFar, kFar, kFar} : step.result() + F32x4{-slack, -slack, slack, slack};
    for (int side = 0; side < 4; ++side) sides[side][lane] = box[side];
  }
}

void follow_boxes(const Pairs& first, std::ptrdiff_t plane, int n, const std::int32_t* planes, float slack,
                  Boxes* boxes) {
  const Pairs pairs = first;
  BoxEdges edges;
  for (; n > 0; n -= kKeypointGroup, planes += kKeypointGroup, ++boxes) {
    const float* data[kKeypointGroup];
    for (int i = 0; i < kKeypointGroup; ++i) data[i] = pairs.data + planes[i < n ? i : 0] * plane;
    for (int i = 0; i < kKeypointGroup && i < n; i += kPointLanes)
      follow_box_register(pairs, data, i, n - i, slack, edges, *boxes);
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

}  // namespace
}  // namespace PERSONLAB_KERNELS
}  // namespace personlab

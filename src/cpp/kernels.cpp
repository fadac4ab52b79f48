// The kernels, compiled once for each instruction set under a namespace of its own.
//
// Nothing here may leave a function that the linker could share with code for other processors: hence no standard containers,
// and sampling.hpp with internal linkage.
#define PERSONLAB_HD static inline
#include "kernels.hpp"

#include <math.h>

#include <cstddef>
#include <limits>

#include "float4.hpp"
#include "sampling.hpp"
#include "wide_floats.hpp"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace personlab {
namespace PERSONLAB_KERNELS {
namespace {

// Bits of 64 values that are at least `lowest`.
std::uint64_t find64(const float* values, float lowest) {
  std::uint64_t bits = 0;
  for (int i = 0; i < 64; i += Wide::kLanes)
    bits |= static_cast<std::uint64_t>(Wide::at_least(Wide::load(values + i), Wide::all(lowest))) << i;
  return bits;
}

bool find(const float* values, std::size_t n, float lowest, std::uint64_t* bits) {
  std::uint64_t any = 0;
  std::size_t i = 0;
  for (; i + 64 <= n; i += 64) any |= *bits++ = find64(values + i, lowest);
  if (i < n) {
    std::uint64_t last = 0;
    for (std::size_t j = i; j < n; ++j) last |= static_cast<std::uint64_t>(values[j] >= lowest) << (j - i);
    any |= *bits = last;
  }
  return any != 0;
}

// Those of 64 cells of a plane w wide, given as bits, that have a larger neighbour, wherever rows begin and end; maybe others.
std::uint64_t beaten64(const float* values, std::ptrdiff_t w, std::uint64_t cells) {
  constexpr std::uint64_t kLanes = (std::uint64_t{1} << Wide::kLanes) - 1;
  std::uint64_t bits = 0;
  for (int i = 0; i < 64; i += Wide::kLanes) {
    if ((cells >> i & kLanes) == 0) continue;
    const float* at = values + i;
    const Floats own = Wide::load(at);
    unsigned beaten = Wide::above(Wide::load(at - 1), own) | Wide::above(Wide::load(at + 1), own);
    for (const float* row = at - w; row <= at + w; row += 2 * w)
      beaten |= Wide::above(Wide::load(row - 1), own) | Wide::above(Wide::load(row), own) |
                Wide::above(Wide::load(row + 1), own);
    bits |= static_cast<std::uint64_t>(beaten) << i;
  }
  return bits;
}

void thin(const float* values, int h, int w, std::uint64_t* bits) {
  const std::ptrdiff_t cells = static_cast<std::ptrdiff_t>(h) * w;
  for (std::ptrdiff_t i = 0; i + 64 + w + 1 <= cells; i += 64, ++bits) {
    if (*bits == 0 || i < w + 1) continue;
    std::uint64_t border = 0;  // cells of the first and the last column
    for (std::ptrdiff_t row = (i / w) * w; row <= i + 64; row += w) {
      if (row >= i && row < i + 64) border |= std::uint64_t{1} << (row - i);
      if (row > i) border |= std::uint64_t{1} << (row - 1 - i);
    }
    *bits &= ~beaten64(values + i, w, *bits) | border;
  }
}

// Four cells of a plane, each in all lanes.
struct Corners {
  Floats a, b, c, d;
  Corners(const float* cell, std::ptrdiff_t right, std::ptrdiff_t below)
      : a(Wide::all(cell[0])), b(Wide::all(cell[right])), c(Wide::all(cell[below])), d(Wide::all(cell[below + right])) {}
  Floats read(const CellPoints& points, int i) const {
    return (Wide::load(points.weight[0] + i) * a + Wide::load(points.weight[1] + i) * b) +
           (Wide::load(points.weight[2] + i) * c + Wide::load(points.weight[3] + i) * d);
  }
};

bool sample(const float* const cells[3], std::ptrdiff_t right, std::ptrdiff_t below, const CellPoints& points,
            std::int32_t column, std::int32_t row, float lowest, Ballots& ballots) {
  const Corners logits(cells[0], right, below), xs(cells[1], right, below), ys(cells[2], right, below);
  const Floats low = Wide::all(lowest);
  Floats nothing = Wide::all(0.0F);  // stays 0 while all that was read is finite
  int count = ballots.count;
  for (int i = 0; i < points.count; i += Wide::kLanes) {
    const Floats logit = logits.read(points, i);
    nothing = nothing + (logit - logit);
    if (Wide::at_least(logit, low) == 0) continue;
    const Floats dx = xs.read(points, i), dy = ys.read(points, i);
    nothing = nothing + ((dx - dx) + (dy - dy));
    Wide::store(logit, ballots.logit + count);
    Wide::store(dx, ballots.dx + count);
    Wide::store(dy, ballots.dy + count);
    for (int j = 0; j < Wide::kLanes; ++j) {
      ballots.column[count + j] = points.column[i + j] + column;
      ballots.row[count + j] = points.row[i + j] + row;
    }
    count += Wide::kLanes < points.count - i ? Wide::kLanes : points.count - i;
  }
  constexpr unsigned kAll = (1U << Wide::kLanes) - 1;
  if (Wide::at_least(nothing, Wide::all(0.0F)) != kAll) return false;
  ballots.count = count;
  return true;
}

// The whole number below an offset in lattice points, and what is left of it. What is not finite or absurdly far will end up
// outside the lattice.
Floats split(Floats offset, std::int32_t* whole) {
  const Floats far = Wide::all(1048576.0F);
  const Floats bounded = Wide::least(Wide::most(offset, Wide::all(0.0F) - far), far), below = Wide::floor(bounded);
  Wide::store_integers(below, whole);
  return bounded - below;
}

// Rounds votes.
void store_votes(Floats votes, std::int32_t* to) { Wide::store_integers(votes + Wide::all(0.5F), to); }

// Where votes fall, relative to the voter: as precise at the far corner of a large picture as at the near one; and what each of
// the four points gets.
void aim(Ballots& ballots, float inverse_g, float unit) {
  const Floats one = Wide::all(1.0F);
  for (int i = 0; i < ballots.count; i += Wide::kLanes) {
    const Floats fx = split(Wide::load(ballots.dx + i) * Wide::all(inverse_g), ballots.left + i);
    const Floats fy = split(Wide::load(ballots.dy + i) * Wide::all(inverse_g), ballots.top + i);
    const Floats weight = sigmoid_wide(Wide::load(ballots.logit + i)) * Wide::all(unit);
    const Floats upper = weight * (one - fy), lower = weight * fy;
    store_votes(upper * (one - fx), ballots.vote[0] + i);
    store_votes(upper * fx, ballots.vote[1] + i);
    store_votes(lower * (one - fx), ballots.vote[2] + i);
    store_votes(lower * fx, ballots.vote[3] + i);
  }
}

std::uint32_t work_out(Ballots& ballots, const VotingLattice& lattice) {
  constexpr int kShift = VotingLattice::kTileShift;
  constexpr std::int32_t kInside = (1 << kShift) - 1;
  const VotingLattice to = lattice;
  std::uint32_t total = 0;
  for (; ballots.count % Wide::kLanes != 0; ++ballots.count)  // a whole register, of which the rest does not vote
    ballots.logit[ballots.count] = -std::numeric_limits<float>::infinity();
  aim(ballots, to.inverse_g, to.unit);
  const int count = ballots.count;
  for (int i = 0; i < count; ++i) {
    const std::int32_t column = ballots.column[i] + ballots.left[i] + 1, row = ballots.row[i] + ballots.top[i] + 1;
    std::int32_t out = ballots.logit[i] >= to.lowest ? 0 : -1;
    out |= column | row | (to.columns - column) | (to.rows - row);  // negative where anything is
    const std::int32_t counts = ~(out >> 31);
    const std::int32_t tile = (row >> kShift) * to.tile_columns + (column >> kShift);
    const std::int32_t place = ((row & kInside) << kShift) + (column & kInside);
    ballots.at[i] = counts != 0 ? (tile << 2 * kShift) + place : to.nowhere + i;
    const auto a = static_cast<std::uint32_t>(ballots.vote[0][i] & counts);
    const auto b = static_cast<std::uint32_t>(ballots.vote[1][i] & counts);
    const auto c = static_cast<std::uint32_t>(ballots.vote[2][i] & counts);
    const auto d = static_cast<std::uint32_t>(ballots.vote[3][i] & counts);
    ballots.upper[i] = a | static_cast<std::uint64_t>(b) << 32;
    ballots.lower[i] = c | static_cast<std::uint64_t>(d) << 32;
    total += a + b + c + d;
  }
  return total;
}

TileTotal gather(const TileSums& sums, float scale, float* scores) {
  constexpr int kTile = 1 << VotingLattice::kTileShift, kPoints = kTile * kTile;
  const auto left = [](std::uint64_t sum) { return static_cast<std::uint32_t>(sum); };
  const auto right = [](std::uint64_t sum) { return static_cast<std::uint32_t>(sum >> 32); };
  std::uint32_t points[kPoints];  // modulo 2^32
  points[0] = left(sums.own[0]);
  for (int p = 1; p < kPoints; ++p) points[p] = left(sums.own[p]) + right(sums.own[p - 1]);
  for (int p = kTile; p < kPoints; p += kTile) points[p] -= right(sums.own[p - 1]);  // that was the end of the row above
  for (int p = 0; p < kPoints; p += kTile) points[p] += right(sums.left[p + kTile - 1]);
  for (int p = 0; p < kTile; ++p) points[p] += left(sums.above[kPoints + p]);
  for (int p = 1; p < kTile; ++p) points[p] += right(sums.above[kPoints + p - 1]);
  points[0] += right(sums.corner[kPoints + kTile - 1]);

  Floats total = Wide::all(0.0F), highest = Wide::all(0.0F);
  for (int p = 0; p < kPoints; p += Wide::kLanes) {
    const Floats sum = Wide::load_integers(points + p), score = sum * Wide::all(scale);
    total = total + sum;
    highest = Wide::most(highest, score);
    Wide::store(score, scores + p);
  }
  float lanes[2][Wide::kLanes];
  Wide::store(total, lanes[0]);
  Wide::store(highest, lanes[1]);
  TileTotal result{0.0F, 0.0};
  for (int j = 0; j < Wide::kLanes; ++j) {
    result.sum += static_cast<double>(lanes[0][j]);
    result.highest = lanes[1][j] > result.highest ? lanes[1][j] : result.highest;
  }
  return result;
}

void lay_out(double start, int step, int n, float inverse, float* oks, float* distance2) {
  const auto first = static_cast<float>(start);
  for (int i = 0; i < n; ++i) {
    const float d = first + static_cast<float>(i * step);
    distance2[i] = d * d;
  }
  for (int i = 0; i < n; i += Wide::kLanes)
    Wide::store(exp_wide(Wide::all(0.0F) - Wide::load(distance2 + i) * Wide::all(inverse)), oks + i);
}

void sum_disc(const float* scores, int n, DiscAxis rows, DiscAxis columns, float radius2, DiscSums& sums) {
  constexpr int kTile = 1 << VotingLattice::kTileShift;
  float weight[kTile], oks[kTile];
  for (int j = 0; j < kTile; j += Wide::kLanes) {
    const Floats distance2 = Wide::load(columns.distance2 + j), column_oks = Wide::load(columns.oks + j);
    Floats weight_sum = Wide::all(0.0F), oks_sum = Wide::all(0.0F);
    for (int i = 0; i < n; ++i) {
      const Floats h =
          Wide::where(distance2, Wide::all(radius2 - rows.distance2[i]), Wide::load(scores + i * kTile + j));
      weight_sum = weight_sum + h;
      oks_sum = oks_sum + h * Wide::all(rows.oks[i]);
    }
    Wide::store(weight_sum, weight + j);
    Wide::store(oks_sum * column_oks, oks + j);
  }
  for (int j = 0; j < kTile; ++j) {
    sums.weight[j] += static_cast<double>(weight[j]);
    sums.oks[j] += static_cast<double>(oks[j]);
  }
}

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
    for (int i = top_ + 1; i <= bottom_; ++i) row(data_ + i * pitch_);
    const Float4 low = at_most(low_, swap_pairs(low_)), high = at_least(high_, swap_pairs(high_));
    return first_pairs(low, high) + beyond_;
  }

 private:
  static constexpr int kMostPieces = 256;

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
    include(between(load_pairs(left, right), load_pairs(left + 2, right + 2), Float4{t_[0], t_[0], t_[2], t_[2]}));
    if (left == right) return;
    for (left += 2; left < right; left += 4) include(load4(left));
    if (left == right) include(load_pairs(right, right));
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

void bound(const Boxes& boxes, const Targets& targets, DistanceBounds& bounds) {
  for (int k = 0; k < kKeypointGroup; ++k) {
    const float left = boxes.x0[k] - targets.x[k], right = targets.x[k] - boxes.x1[k];
    const float above = boxes.y0[k] - targets.y[k], below = targets.y[k] - boxes.y1[k];
    const float near_x = greater(greater(left, right), 0.0F), near_y = greater(greater(above, below), 0.0F);
    const float far_x = greater(-left, -right), far_y = greater(-above, -below);
    bounds.lower[k] = targets.weight[k] * sqrtf(near_x * near_x + near_y * near_y);
    bounds.upper[k] = targets.weight[k] * sqrtf(far_x * far_x + far_y * far_y);
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

#define PERSONLAB_TEXT_(x) #x
#define PERSONLAB_TEXT(x) PERSONLAB_TEXT_(x)

}  // namespace

extern const Kernels kKernels;
const Kernels kKernels{PERSONLAB_TEXT(PERSONLAB_KERNELS),
                       &find,
                       &thin,
                       &sample,
                       &work_out,
                       &gather,
                       &lay_out,
                       &sum_disc,
                       &follow,
                       &follow_inside,
                       &follow_boxes,
                       &bound,
                       &measure};

}  // namespace PERSONLAB_KERNELS
}  // namespace personlab

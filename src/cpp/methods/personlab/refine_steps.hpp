// Points that take refinement steps side by side, and what gradients become on the way back.
//
// All maths is in double: single precision resolves 1e-4 pixels only on small images, and steep offsets magnify that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi"  // how registers of 32 bytes are passed: no function here is ever called
#endif

// Everything here becomes part of the function that calls it, and so is compiled for that function's instruction set.
#if defined(__GNUC__) || defined(__clang__)
#define PERSONLAB_INSIDE static inline __attribute__((always_inline))
#else
#define PERSONLAB_INSIDE static inline
#endif

namespace personlab {

// Two doubles: x and y.
#if defined(__GNUC__) || defined(__clang__)

typedef double Pair __attribute__((vector_size(16)));

PERSONLAB_INSIDE Pair at_least(Pair v, Pair low) { return v > low ? v : low; }
PERSONLAB_INSIDE Pair at_most(Pair v, Pair high) { return v < high ? v : high; }
PERSONLAB_INSIDE Pair where_between(Pair v, Pair low, Pair high, Pair value) {
  return v > low ? (v < high ? value : Pair{}) : Pair{};
}

#else

struct Pair {
  double lane[2];
  double operator[](int i) const { return lane[i]; }
};
PERSONLAB_INSIDE Pair operator+(Pair a, Pair b) { return {{a[0] + b[0], a[1] + b[1]}}; }
PERSONLAB_INSIDE Pair operator-(Pair a, Pair b) { return {{a[0] - b[0], a[1] - b[1]}}; }
PERSONLAB_INSIDE Pair operator*(Pair a, Pair b) { return {{a[0] * b[0], a[1] * b[1]}}; }
PERSONLAB_INSIDE Pair at_least(Pair v, Pair low) {
  return {{v[0] > low[0] ? v[0] : low[0], v[1] > low[1] ? v[1] : low[1]}};
}
PERSONLAB_INSIDE Pair at_most(Pair v, Pair high) {
  return {{v[0] < high[0] ? v[0] : high[0], v[1] < high[1] ? v[1] : high[1]}};
}
PERSONLAB_INSIDE Pair where_between(Pair v, Pair low, Pair high, Pair value) {
  return {{v[0] > low[0] && v[0] < high[0] ? value[0] : 0.0, v[1] > low[1] && v[1] < high[1] ? value[1] : 0.0}};
}

#endif

PERSONLAB_INSIDE Pair both(double v) { return Pair{v, v}; }

// Two pairs where registers hold one.
struct TwoPairs {
  Pair first, second;
};

template <typename Vector>
PERSONLAB_INSIDE Vector load(const double* from) {
  if constexpr (std::is_same_v<Vector, TwoPairs>) {
    return {load<Pair>(from), load<Pair>(from + 2)};
  } else {
    Vector v;
    std::memcpy(&v, from, sizeof v);
    return v;
  }
}

template <typename Vector>
PERSONLAB_INSIDE void store(const Vector& v, double* to) {
  if constexpr (std::is_same_v<Vector, TwoPairs>) {
    store(v.first, to);
    store(v.second, to + 2);
  } else {
    std::memcpy(to, &v, sizeof v);
  }
}

template <typename Two>
PERSONLAB_INSIDE Two twice(double x, double y) {
  if constexpr (std::is_same_v<Two, TwoPairs>)
    return {Pair{x, y}, Pair{x, y}};
  else
    return Two{x, y, x, y};
}

PERSONLAB_INSIDE TwoPairs operator+(const TwoPairs& a, const TwoPairs& b) {
  return {a.first + b.first, a.second + b.second};
}
PERSONLAB_INSIDE TwoPairs operator-(const TwoPairs& a, const TwoPairs& b) {
  return {a.first - b.first, a.second - b.second};
}
PERSONLAB_INSIDE TwoPairs operator*(const TwoPairs& a, const TwoPairs& b) {
  return {a.first * b.first, a.second * b.second};
}
PERSONLAB_INSIDE TwoPairs at_least(const TwoPairs& v, const TwoPairs& low) {
  return {at_least(v.first, low.first), at_least(v.second, low.second)};
}
PERSONLAB_INSIDE TwoPairs at_most(const TwoPairs& v, const TwoPairs& high) {
  return {at_most(v.first, high.first), at_most(v.second, high.second)};
}
PERSONLAB_INSIDE TwoPairs where_between(const TwoPairs& v, const TwoPairs& low, const TwoPairs& high,
                                        const TwoPairs& value) {
  return {where_between(v.first, low.first, high.first, value.first),
          where_between(v.second, low.second, high.second, value.second)};
}
PERSONLAB_INSIDE Pair first(const TwoPairs& v) { return v.first; }
PERSONLAB_INSIDE Pair second(const TwoPairs& v) { return v.second; }

// Splits points (x, y) into whole cells, whose places among pairs go to every other integer at `at`, and the rest.
PERSONLAB_INSIDE Pair split(const Pair& point, std::int32_t pitch, std::int32_t* at) {
  const auto column = static_cast<std::int32_t>(point[0]), row = static_cast<std::int32_t>(point[1]);
  *at = row * pitch + 2 * column;
  return point - Pair{static_cast<double>(column), static_cast<double>(row)};
}
PERSONLAB_INSIDE TwoPairs split(const TwoPairs& points, std::int32_t pitch, std::int32_t* at) {
  return {split(points.first, pitch, at), split(points.second, pitch, at + 2)};
}

#ifdef PERSONLAB_X86_KERNELS

// Two pairs in one register, for functions that are compiled for AVX2.
typedef double WidePairs __attribute__((vector_size(32)));
typedef std::int32_t Int4 __attribute__((vector_size(16)));

PERSONLAB_INSIDE WidePairs at_least(const WidePairs& v, const WidePairs& low) { return v > low ? v : low; }
PERSONLAB_INSIDE WidePairs at_most(const WidePairs& v, const WidePairs& high) { return v < high ? v : high; }
PERSONLAB_INSIDE WidePairs where_between(const WidePairs& v, const WidePairs& low, const WidePairs& high,
                                         const WidePairs& value) {
  return v > low ? (v < high ? value : WidePairs{}) : WidePairs{};
}
PERSONLAB_INSIDE Pair first(const WidePairs& v) { return Pair{v[0], v[1]}; }
PERSONLAB_INSIDE Pair second(const WidePairs& v) { return Pair{v[2], v[3]}; }

PERSONLAB_INSIDE WidePairs split(const WidePairs& points, std::int32_t pitch, std::int32_t* at) {
  const Int4 cells = __builtin_convertvector(points, Int4);
  const Int4 parts = cells * Int4{2, pitch, 2, pitch};
  const Int4 sums = parts + Int4{parts[1], parts[0], parts[3], parts[2]};
  std::memcpy(at, &sums, sizeof sums);
  return points - __builtin_convertvector(cells, WidePairs);
}

#endif

// Offsets of a grid of cells as pairs of dx and dy, in rows of w + 1 and a row more: the last column and row come
// twice, so that every cell has one to its right and one below.
struct OffsetGrid {
  int height, width;     // without what comes twice
  double cells_per_pixel;
  std::ptrdiff_t pitch;  // numbers from row to row

  OffsetGrid(int h, int w, int stride)
      : height(h), width(w), cells_per_pixel(1.0 / stride), pitch(2 * (static_cast<std::ptrdiff_t>(w) + 1)) {}
  std::ptrdiff_t numbers() const { return (static_cast<std::ptrdiff_t>(height) + 1) * pitch; }
};

// Points that take their steps side by side.
struct Batch {
  static constexpr int kMost = 64;  // even

  int count;
  std::int32_t cell[kMost];    // which of those that were looked at,
  double home[2 * kMost];      // where each started: x, y in cells,
  double offset[2 * kMost];    // dx, dy from there to where it is, input pixels,
  double gradient[2 * kMost];  // and by that offset, of what is minimised
};

// Where a batch stood before a step, and what the step does to gradients.
struct Footing {
  std::int32_t at[2 * Batch::kMost];  // of the pair at the top left, at every other place
  double t[2 * Batch::kMost];         // in [0, 1) from the left column, from the top row
  double slope[2 * Batch::kMost];     // cells per input pixel; 0 where the border of the grid holds the point
  double by_dx[2 * Batch::kMost];     // the change of what is read at the point: its dx by the offset's x and y,
  double by_dy[2 * Batch::kMost];     // and its dy
};

template <typename Two, bool kSlopes>
PERSONLAB_INSIDE void locate(const OffsetGrid& grid, const Batch& batch, Footing& footing) {
  const Two zero = twice<Two>(0.0, 0.0), last = twice<Two>(grid.width - 1.0, grid.height - 1.0);
  const Two scale = twice<Two>(grid.cells_per_pixel, grid.cells_per_pixel);
  const auto pitch = static_cast<std::int32_t>(grid.pitch);
  const int count = batch.count;
  for (int k = 0; k < count; k += 2) {
    const Two to = load<Two>(batch.home + 2 * k) + load<Two>(batch.offset + 2 * k) * scale;
    const Two point = at_most(at_least(to, zero), last);  // NaN becomes 0 here, and stays NaN in the offset
    store(split(point, pitch, footing.at + 2 * k), footing.t + 2 * k);
    if (kSlopes) store(where_between(to, zero, last, scale), footing.slope + 2 * k);
  }
}

// One step of every point: its offset gains the one read where it points, unless nobody asks for it.
template <typename Two, bool kSlopes, bool kMoves = true>
PERSONLAB_INSIDE void advance(const OffsetGrid& grid, const double* pairs, Batch& batch, Footing& footing) {
  locate<Two, kSlopes>(grid, batch, footing);
  const std::ptrdiff_t pitch = grid.pitch;
  const int count = batch.count;
  for (int k = 0; k < count; ++k) {
    const double* at = pairs + footing.at[2 * k];
    const double tx = footing.t[2 * k], ty = footing.t[2 * k + 1];
    const Two top = load<Two>(at), fall = load<Two>(at + pitch) - top;  // of the left column and the right one
    const Two row = top + twice<Two>(ty, ty) * fall;
    const Pair rise = second(row) - first(row);
    if (kMoves) store(load<Pair>(batch.offset + 2 * k) + (first(row) + both(tx) * rise), batch.offset + 2 * k);
    if (kSlopes) {
      const Pair down = first(fall) + both(tx) * (second(fall) - first(fall));
      const Pair slope = load<Pair>(footing.slope + 2 * k);
      store(Pair{rise[0], down[0]} * slope, footing.by_dx + 2 * k);
      store(Pair{rise[1], down[1]} * slope, footing.by_dy + 2 * k);
    }
  }
}

PERSONLAB_INSIDE void add(const Pair& v, double* to) { store(load<Pair>(to) + v, to); }

// The way back over one step: the gradients by the offsets after it become those by the offsets before; those by the
// grid's pairs are added to `sums`.
template <bool kSums>
PERSONLAB_INSIDE void retreat(const OffsetGrid& grid, const Footing& footing, Batch& batch, double* sums) {
  const std::ptrdiff_t pitch = grid.pitch;
  const int count = batch.count;
  for (int k = 0; k < count; ++k) {
    const Pair g = load<Pair>(batch.gradient + 2 * k);
    const double gx = batch.gradient[2 * k], gy = batch.gradient[2 * k + 1];
    if (kSums) {
      double *upper = sums + footing.at[2 * k], *lower = upper + pitch;
      const Pair tx = both(footing.t[2 * k]), below = g * both(footing.t[2 * k + 1]), above = g - below;
      const Pair right_above = above * tx, right_below = below * tx;
      add(above - right_above, upper);
      add(right_above, upper + 2);
      add(below - right_below, lower);
      add(right_below, lower + 2);
    }
    store(g + (load<Pair>(footing.by_dx + 2 * k) * both(gx) + load<Pair>(footing.by_dy + 2 * k) * both(gy)),
          batch.gradient + 2 * k);
  }
}

}  // namespace personlab

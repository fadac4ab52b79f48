// Steps of dense refinement on a GPU: points, and one component of a field around them.
//
// All maths is in double, step by step as in refine_steps.hpp of src/cpp, so that refined offsets and their gradients
// are the CPU's to the last bit: single precision resolves 1e-4 pixels only on small images, and steep offsets magnify
// that.
#pragma once

#include <cstddef>

#include "methods/personlab/follow.hpp"
#include "methods/personlab/stages.cuh"

namespace personlab {
namespace cuda {

// A plane of numbers, read as double.
template <typename Real>
struct Numbers {
  const Real* data;
  __device__ double operator[](int i) const { return static_cast<double>(data[i]); }
};
// The cells of a field, and where they lie.
struct CellGrid {
  int height, width;
  double cells_per_pixel;

  __device__ CellGrid(int h, int w, int stride) : height(h), width(w), cells_per_pixel(1.0 / stride) {}
  __device__ std::size_t cells() const { return static_cast<std::size_t>(height) * static_cast<std::size_t>(width); }
  __device__ Point<double> home(int cell) const {
    return {static_cast<double>(cell % width), static_cast<double>(cell / width)};
  }
};

// A point before a step.
struct StepSite {
  int top_left, right, below;  // cell in the plane, and the ways to its neighbours
  double tx, ty;               // in [0, 1) from the left column, from the top row
  double slope_x, slope_y;     // cells per input pixel; 0 where the border of the grid holds the point

  // `home` in cells, the offset from it in input pixels.
  __device__ StepSite(const CellGrid& grid, Point<double> home, Point<double> offset) {
    const double scale = grid.cells_per_pixel, last_x = grid.width - 1.0, last_y = grid.height - 1.0;
    const double to_x = home.x + offset.x * scale, to_y = home.y + offset.y * scale;
    const double x = within(to_x, last_x), y = within(to_y, last_y);
    const int column = static_cast<int>(x), row = static_cast<int>(y);
    top_left = row * grid.width + column;
    right = column + 1 < grid.width ? 1 : 0;
    below = row + 1 < grid.height ? grid.width : 0;
    tx = x - static_cast<double>(column);
    ty = y - static_cast<double>(row);
    slope_x = to_x > 0.0 && to_x < last_x ? scale : 0.0;
    slope_y = to_y > 0.0 && to_y < last_y ? scale : 0.0;
  }

 private:
  // NaN becomes 0 here, and stays NaN in the offset.
  static __device__ double within(double v, double last) {
    v = v > 0.0 ? v : 0.0;
    return v < last ? v : last;
  }
};

// One component of a field around a site.
struct Surface {
  double value;       // at the point
  double by_x, by_y;  // its change from cell to cell

  template <typename Source>
  __device__ Surface(const Source& plane, const StepSite& at) {
    const double left = plane[at.top_left], right = plane[at.top_left + at.right];
    const double fall_left = plane[at.top_left + at.below] - left;
    const double fall_right = plane[at.top_left + at.below + at.right] - right;
    const double row_left = left + at.ty * fall_left, row_right = right + at.ty * fall_right;
    by_x = row_right - row_left;
    by_y = fall_left + at.tx * (fall_right - fall_left);
    value = row_left + at.tx * by_x;
  }
};

template <typename Source>
struct Planes {
  Source x, y;
};

// One step: the offset gains the one read where it points.
template <typename Source>
__device__ void advance(const CellGrid& grid, const Planes<Source>& by, Point<double> home, Point<double>& offset) {
  const StepSite at(grid, home, offset);
  offset.x += Surface(by.x, at).value;
  offset.y += Surface(by.y, at).value;
}

// A channel of a batch, and the field that refines it.
template <typename Real>
struct Channel {
  std::size_t cells, first;  // where it begins in an array (N, C, 2, h, w)
  int field;                 // of the batch, 0 .. N * L - 1; -1 where the channel is no field

  __device__ Channel(const OffsetBatch<Real>& batch, int p)
      : cells(static_cast<std::size_t>(batch.height) * static_cast<std::size_t>(batch.width)),
        first(2 * static_cast<std::size_t>(p) * cells) {
    const int own = batch.channels[p % batch.count];
    field = own >= 0 && own < batch.fields ? p / batch.count * batch.fields + own : -1;
  }
  __device__ std::size_t source() const { return 2 * static_cast<std::size_t>(field) * cells; }
  __device__ Planes<Numbers<Real>> by(const OffsetBatch<Real>& batch) const {
    return {{batch.by + source()}, {batch.by + source() + cells}};
  }
};

template <typename Real>
__device__ Real not_a_number() {
  return static_cast<Real>(__int_as_float(0x7fc00000));
}

inline unsigned channel_rows(int images, int channels) {
  return grid_rows(static_cast<std::size_t>(images) * static_cast<std::size_t>(channels));
}

}  // namespace cuda
}  // namespace personlab

// Dense refinement of whole offset fields, as the network does it inside itself, and its gradient.
//
// All maths is in double, step by step as in ../cpp/refine_steps.hpp, so that refined offsets and their gradients are
// the CPU's to the last bit: single precision resolves 1e-4 pixels only on small images, and steep offsets magnify
// that. What many points add to the gradient by one cell of a field is summed up in 64-bit fixed point, in any order: a
// first pass finds the largest contribution to each field, which places the point. With n contributions to a field at
// most, each is rounded by at most n * 2^-60 of the largest.
#include "methods/personlab/stages.cuh"

namespace personlab {
namespace cuda {
namespace {

constexpr int kStored = 8;  // steps whose positions a thread remembers on the way back

// A plane of numbers, read as double.
template <typename Real>
struct Numbers {
  const Real* data;
  __device__ double operator[](int i) const { return static_cast<double>(data[i]); }
};
struct Wide {
  Plane plane;
  __device__ double operator[](int i) const { return static_cast<double>(plane[i]); }
};

struct Vector {
  double x, y;
};

struct Grid {
  int height, width;
  double cells_per_pixel;

  __device__ Grid(int h, int w, int stride) : height(h), width(w), cells_per_pixel(1.0 / stride) {}
  __device__ std::size_t cells() const { return static_cast<std::size_t>(height) * static_cast<std::size_t>(width); }
  __device__ Vector home(int cell) const {
    return {static_cast<double>(cell % width), static_cast<double>(cell / width)};
  }
};

// Where a point stands before a step: x and y in cells.
struct Footing {
  int top_left, right, below;  // place in the plane, and the ways from there
  double tx, ty;               // in [0, 1) from the left column, from the top row
  double slope_x, slope_y;     // cells per input pixel; 0 where the border of the grid holds the point

  // `home` in cells, the offset from there in input pixels.
  __device__ Footing(const Grid& grid, Vector home, Vector offset) {
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

// One component of a field around a footing.
struct Surface {
  double value;       // at the point
  double by_x, by_y;  // its change from cell to cell

  template <typename Source>
  __device__ Surface(const Source& plane, const Footing& at) {
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

template <typename Source>
__device__ void advance(const Grid& grid, const Planes<Source>& by, Vector home, Vector& offset) {
  const Footing at(grid, home, offset);
  offset.x += Surface(by.x, at).value;
  offset.y += Surface(by.y, at).value;
}

// The same where an offset that is not finite counts as (0, 0).
__device__ void advance_checked(const Grid& grid, const Planes<Wide>& by, Vector home, Vector& offset) {
  const Footing at(grid, home, offset);
  double dx = Surface(by.x, at).value, dy = Surface(by.y, at).value;
  if (!is_finite(dx) || !is_finite(dy)) {
    const int a = at.top_left, b = a + at.right, c = a + at.below, d = c + at.right;
    dx = lerp2(by.x[a], by.x[b], by.x[c], by.x[d], at.tx, at.ty);
    dy = lerp2(by.y[a], by.y[b], by.y[c], by.y[d], at.tx, at.ty);
    if (!is_finite(dx) || !is_finite(dy)) return;
  }
  offset.x += dx;
  offset.y += dy;
}

__global__ void refine_checked(Field offsets, Field by, const int* channels, int steps, float* refined) {
  const Grid grid(offsets.height, offsets.width, offsets.stride);
  const std::size_t cells = grid.cells(), i = static_cast<std::size_t>(blockIdx.x) * kBlock + threadIdx.x;
  if (i >= cells) return;
  const int cell = static_cast<int>(i), count = offsets.planes / 2;
  const Vector home = grid.home(cell);
  for (int p = static_cast<int>(blockIdx.y); p < offsets.images * count; p += static_cast<int>(gridDim.y)) {
    const int image = p / count, c = p % count, field = channels[c];
    const Planes<Wide> source{{by.plane(image, 2 * field)}, {by.plane(image, 2 * field + 1)}};
    Vector offset{static_cast<double>(offsets.plane(image, 2 * c)[cell]),
                  static_cast<double>(offsets.plane(image, 2 * c + 1)[cell])};
    if (!is_finite(offset.x) || !is_finite(offset.y)) offset = {0.0, 0.0};
    for (int step = 0; step < steps; ++step) advance_checked(grid, source, home, offset);
    float* to = refined + 2 * static_cast<std::size_t>(p) * cells;
    const auto x = static_cast<float>(offset.x), y = static_cast<float>(offset.y);
    const bool fits = is_finite(x) && is_finite(y);
    to[cell] = fits ? x : 0.0F;
    to[cells + i] = fits ? y : 0.0F;
  }
}

// A channel of a batch, and the field that refines it.
template <typename Real>
struct Channel {
  std::size_t cells, first;  // where it begins in an array (N, C, 2, h, w)
  int field;                 // of the batch, 0 .. N * L - 1; -1 where the channel says none

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

template <typename Real>
__global__ void refine_kept(OffsetBatch<Real> batch, Real* refined) {
  const Grid grid(batch.height, batch.width, batch.stride);
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kBlock + threadIdx.x;
  if (i >= grid.cells()) return;
  const Vector home = grid.home(static_cast<int>(i));
  for (int p = static_cast<int>(blockIdx.y); p < batch.images * batch.count; p += static_cast<int>(gridDim.y)) {
    const Channel<Real> channel(batch, p);
    const std::size_t x = channel.first + i, y = x + channel.cells;
    if (channel.field < 0) {
      refined[x] = refined[y] = not_a_number<Real>();
      continue;
    }
    const Planes<Numbers<Real>> source = channel.by(batch);
    Vector offset{static_cast<double>(batch.offsets[x]), static_cast<double>(batch.offsets[y])};
    for (int step = 0; step < batch.steps; ++step) advance(grid, source, home, offset);
    refined[x] = static_cast<Real>(offset.x);
    refined[y] = static_cast<Real>(offset.y);
  }
}

// --- the way back ----------------------------------------------------------------------------------------------------

// Follows one point and takes the gradient by where it ends back to where it began; visit(footing, gradient) at every
// step. Of many steps, the first ones are taken again and again rather than remembered.
template <typename Source, typename Visit>
__device__ void walk_back(const Grid& grid, const Planes<Source>& by, Vector home, Vector start, int steps,
                          Vector& gradient, const Visit& visit) {
  Vector before[kStored];
  for (int end = steps; end > 0;) {
    const int begin = (end - 1) / kStored * kStored;
    Vector offset = start;
    for (int step = 0; step < begin; ++step) advance(grid, by, home, offset);
    for (int step = begin; step < end; ++step) {
      before[step - begin] = offset;
      if (step + 1 < end) advance(grid, by, home, offset);
    }
    for (int step = end; step-- > begin;) {
      const Footing at(grid, home, before[step - begin]);
      visit(at, gradient);
      const Surface dx(by.x, at), dy(by.y, at);
      const double gx = gradient.x, gy = gradient.y;
      gradient.x = gx + (dx.by_x * at.slope_x * gx + dy.by_x * at.slope_x * gy);
      gradient.y = gy + (dx.by_y * at.slope_y * gx + dy.by_y * at.slope_y * gy);
    }
    end = begin;
  }
}

__device__ unsigned long long magnitude_bits(double v) {
  return static_cast<unsigned long long>(__double_as_longlong(v)) & 0x7fffffffffffffffULL;
}

constexpr unsigned long long kInfiniteBits = 0x7ff0000000000000ULL;

// The gradient by the offsets, and the largest magnitude of what will be added to each field. A point whose gradient is
// 0 is left out: it would stay 0.
template <typename Real>
__global__ void back_to_offsets(OffsetBatch<Real> batch, const Real* refined, Real* offsets,
                                unsigned long long* largest) {
  const Grid grid(batch.height, batch.width, batch.stride);
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kBlock + threadIdx.x;
  const Vector home = grid.home(static_cast<int>(i));
  for (int p = static_cast<int>(blockIdx.y); p < batch.images * batch.count; p += static_cast<int>(gridDim.y)) {
    const Channel<Real> channel(batch, p);
    unsigned long long most = 0;
    if (i < grid.cells()) {
      const std::size_t x = channel.first + i, y = x + channel.cells;
      Vector gradient{static_cast<double>(refined[x]), static_cast<double>(refined[y])};
      if (channel.field < 0) {
        gradient.x = gradient.y = not_a_number<double>();
      } else if (!(gradient.x == 0.0 && gradient.y == 0.0)) {
        const Vector start{static_cast<double>(batch.offsets[x]), static_cast<double>(batch.offsets[y])};
        walk_back(grid, channel.by(batch), home, start, batch.steps, gradient, [&](const Footing&, const Vector& g) {
          const unsigned long long of_x = magnitude_bits(g.x), of_y = magnitude_bits(g.y);
          most = most > of_x ? most : of_x;
          most = most > of_y ? most : of_y;
        });
      }
      if (offsets != nullptr) {
        offsets[x] = static_cast<Real>(gradient.x);
        offsets[y] = static_cast<Real>(gradient.y);
      }
    }
    if (largest == nullptr) continue;
    for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
      const unsigned long long other = __shfl_xor_sync(~0U, most, lanes);
      most = most > other ? most : other;
    }
    if (threadIdx.x % kWarp == 0 && most > 0 && channel.field >= 0) atomicMax(largest + channel.field, most);
  }
}

// 2^exponent, for exponents of normal numbers.
__device__ double power_of_two(int exponent) {
  return __longlong_as_double(static_cast<long long>(exponent + 1023) << 52);
}

// The exponent of the fixed-point 1 for contributions of up to 2^room that are added up, given the largest one: sums
// stay below 2^62. Where all are less than 2^-900 or so, the least of them get lost.
__device__ int unit_exponent(unsigned long long largest, int room) {
  const int exponent = 60 - room - (static_cast<int>(largest >> 52) - 1023);
  return exponent < 1000 ? exponent : 1000;
}

__device__ void add(double v, unsigned long long* to) {
  const long long whole = static_cast<long long>(v + (v < 0.0 ? -0.5 : 0.5));
  if (whole != 0) atomicAdd(to, static_cast<unsigned long long>(whole));
}

// The same walk, which adds to the fields' gradients what each point has read of each cell.
template <typename Real>
__global__ void back_to_fields(OffsetBatch<Real> batch, const Real* refined, int room, RefineScratch scratch) {
  const Grid grid(batch.height, batch.width, batch.stride);
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kBlock + threadIdx.x;
  if (i >= grid.cells()) return;
  const Vector home = grid.home(static_cast<int>(i));
  for (int p = static_cast<int>(blockIdx.y); p < batch.images * batch.count; p += static_cast<int>(gridDim.y)) {
    const Channel<Real> channel(batch, p);
    if (channel.field < 0) continue;
    const unsigned long long largest = scratch.largest[channel.field];
    if (largest == 0 || largest >= kInfiniteBits) continue;
    const std::size_t x = channel.first + i, y = x + channel.cells;
    Vector gradient{static_cast<double>(refined[x]), static_cast<double>(refined[y])};
    if (gradient.x == 0.0 && gradient.y == 0.0) continue;
    const double unit = power_of_two(unit_exponent(largest, room));
    unsigned long long *const sums_x = scratch.sums + channel.source(), *const sums_y = sums_x + channel.cells;
    const Vector start{static_cast<double>(batch.offsets[x]), static_cast<double>(batch.offsets[y])};
    walk_back(grid, channel.by(batch), home, start, batch.steps, gradient, [&](const Footing& at, const Vector& g) {
      const int a = at.top_left, b = a + at.right, c = a + at.below, d = c + at.right;
      const auto scatter = [&](double v, unsigned long long* sums) {
        const double lower = v * at.ty, upper = v - lower, upper_right = upper * at.tx, lower_right = lower * at.tx;
        add(upper - upper_right, sums + a);
        add(upper_right, sums + b);
        add(lower - lower_right, sums + c);
        add(lower_right, sums + d);
      };
      scatter(g.x * unit, sums_x);
      scatter(g.y * unit, sums_y);
    });
  }
}

template <typename Real>
__global__ void finish_fields(std::size_t count, std::size_t per_field, int room, RefineScratch scratch, Real* by) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kBlock + threadIdx.x;
  if (i >= count) return;
  const unsigned long long largest = scratch.largest[i / per_field];
  const double sum = static_cast<double>(static_cast<long long>(scratch.sums[i]));
  by[i] = largest >= kInfiniteBits ? not_a_number<Real>()
                                   : static_cast<Real>(sum * power_of_two(-unit_exponent(largest, room)));
}

unsigned rows_of(int images, int channels) {
  const std::size_t rows = static_cast<std::size_t>(images) * static_cast<std::size_t>(channels);
  return static_cast<unsigned>(rows < kMostRows ? rows : kMostRows);
}

// The least b for which count <= 2^b.
int bits_of(double count) {
  int bits = 0;
  for (double power = 1.0; power < count; power *= 2.0) ++bits;
  return bits;
}

}  // namespace

void refine_offsets(const Field& offsets, const Field& by, const int* channels, int steps, cudaStream_t stream,
                    float* refined) {
  if (offsets.cells() == 0) return;
  launch(refine_checked, dim3(blocks_for(offsets.cells()), rows_of(offsets.images, offsets.planes / 2)), dim3(kBlock),
         stream, offsets, by, channels, steps, refined);
}

template <typename Real>
void refine_offset_batch(const OffsetBatch<Real>& batch, cudaStream_t stream, Real* refined) {
  const std::size_t cells = static_cast<std::size_t>(batch.height) * static_cast<std::size_t>(batch.width);
  if (cells == 0) return;
  launch(refine_kept<Real>, dim3(blocks_for(cells), rows_of(batch.images, batch.count)), dim3(kBlock), stream, batch,
         refined);
}

RefineScratch::RefineScratch(Arena& arena, int images, int fields, int height, int width) {
  const std::size_t planes = static_cast<std::size_t>(images) * static_cast<std::size_t>(fields);
  largest = arena.take<unsigned long long>(planes);
  sums =
      arena.take<unsigned long long>(2 * planes * static_cast<std::size_t>(height) * static_cast<std::size_t>(width));
}

template <typename Real>
void refine_offset_batch_backward(const OffsetBatch<Real>& batch, const OffsetGradients<Real>& gradients, Arena& arena,
                                  cudaStream_t stream) {
  const std::size_t cells = static_cast<std::size_t>(batch.height) * static_cast<std::size_t>(batch.width);
  if (cells == 0) return;
  const dim3 grid(blocks_for(cells), rows_of(batch.images, batch.count)), block(kBlock);
  if (gradients.by == nullptr) {
    launch<Threads::kTogether>(back_to_offsets<Real>, grid, block, stream, batch, gradients.refined, gradients.offsets,
                               nullptr);
    return;
  }
  const RefineScratch scratch(arena, batch.images, batch.fields, batch.height, batch.width);
  const std::size_t planes = static_cast<std::size_t>(batch.images) * static_cast<std::size_t>(batch.fields);
  const std::size_t per_field = 2 * cells, numbers = planes * per_field;
  if (numbers == 0) return;
  check(cudaMemsetAsync(scratch.largest, 0, planes * sizeof *scratch.largest, stream), "clearing largest gradients");
  check(cudaMemsetAsync(scratch.sums, 0, numbers * sizeof *scratch.sums, stream), "clearing gradients");
  const int room = bits_of(static_cast<double>(cells) * batch.count * batch.steps);
  launch<Threads::kTogether>(back_to_offsets<Real>, grid, block, stream, batch, gradients.refined, gradients.offsets,
                             scratch.largest);
  launch(back_to_fields<Real>, grid, block, stream, batch, gradients.refined, room, scratch);
  launch(finish_fields<Real>, dim3(blocks_for(numbers)), block, stream, numbers, per_field, room, scratch,
         gradients.by);
}

template void refine_offset_batch(const OffsetBatch<float>&, cudaStream_t, float*);
template void refine_offset_batch(const OffsetBatch<double>&, cudaStream_t, double*);
template void refine_offset_batch_backward(const OffsetBatch<float>&, const OffsetGradients<float>&, Arena&,
                                           cudaStream_t);
template void refine_offset_batch_backward(const OffsetBatch<double>&, const OffsetGradients<double>&, Arena&,
                                           cudaStream_t);

}  // namespace cuda
}  // namespace personlab

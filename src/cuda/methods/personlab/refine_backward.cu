// The gradient of dense refinement.
//
// Contributions of many points to one cell of a field are summed up in 64-bit fixed point, in any order: a first pass
// finds the largest contribution to each field, which places the point. With n contributions to a field at most, each
// is rounded by at most n * 2^-60 of the largest.
#include "methods/personlab/refine_steps.cuh"

namespace personlab {
namespace cuda {
namespace {

constexpr int kStored = 8;  // steps whose positions a thread stores on the way back

// Follows one point, then turns the gradient by its end into that by its start; calls visit(site, gradient) at every
// step on the way back. Only kStored steps are stored: earlier ones are repeated.
template <typename Source, typename Visit>
__device__ void walk_back(const CellGrid& grid, const Planes<Source>& by, Point<double> home, Point<double> start,
                          int steps, Point<double>& gradient, const Visit& visit) {
  Point<double> before[kStored];
  for (int end = steps; end > 0;) {
    const int begin = (end - 1) / kStored * kStored;
    Point<double> offset = start;
    for (int step = 0; step < begin; ++step) advance(grid, by, home, offset);
    for (int step = begin; step < end; ++step) {
      before[step - begin] = offset;
      if (step + 1 < end) advance(grid, by, home, offset);
    }
    for (int step = end; step-- > begin;) {
      const StepSite at(grid, home, before[step - begin]);
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

// The gradient by the offsets, and the largest magnitude of the contributions to each field. A point whose gradient is
// 0 is left out: it would stay 0.
template <typename Real>
__global__ void back_to_offsets(OffsetBatch<Real> batch, const Real* refined, Real* offsets,
                                unsigned long long* largest) {
  const CellGrid grid(batch.height, batch.width, batch.stride);
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kBlock + threadIdx.x;
  const Point<double> home = grid.home(static_cast<int>(i));
  for (int p = static_cast<int>(blockIdx.y); p < batch.images * batch.count; p += static_cast<int>(gridDim.y)) {
    const Channel<Real> channel(batch, p);
    unsigned long long own_largest = 0;
    if (i < grid.cells()) {
      const std::size_t x = channel.first + i, y = x + channel.cells;
      Point<double> gradient{static_cast<double>(refined[x]), static_cast<double>(refined[y])};
      if (channel.field < 0) {
        gradient.x = gradient.y = not_a_number<double>();
      } else if (!(gradient.x == 0.0 && gradient.y == 0.0)) {
        const Point<double> start{static_cast<double>(batch.offsets[x]), static_cast<double>(batch.offsets[y])};
        walk_back(grid, channel.by(batch), home, start, batch.steps, gradient,
                  [&](const StepSite&, const Point<double>& g) {
                    const unsigned long long of_x = magnitude_bits(g.x), of_y = magnitude_bits(g.y);
                    own_largest = own_largest > of_x ? own_largest : of_x;
                    own_largest = own_largest > of_y ? own_largest : of_y;
                  });
      }
      if (offsets != nullptr) {
        offsets[x] = static_cast<Real>(gradient.x);
        offsets[y] = static_cast<Real>(gradient.y);
      }
    }
    if (largest == nullptr) continue;
    for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
      const unsigned long long other = __shfl_xor_sync(kAllLanes, own_largest, lanes);
      own_largest = own_largest > other ? own_largest : other;
    }
    if (threadIdx.x % kWarp == 0 && own_largest > 0 && channel.field >= 0)
      atomicMax(largest + channel.field, own_largest);
  }
}

// 2^exponent, for exponents of normal numbers.
__device__ double power_of_two(int exponent) {
  return __longlong_as_double(static_cast<long long>(exponent + 1023) << 52);
}

// The exponent of the fixed-point 1 for up to 2^room contributions, of which this is the largest: sums stay below 2^62.
// Where all are less than 2^-900 or so, the smallest become 0.
__device__ int unit_exponent(unsigned long long largest, int room) {
  const int exponent = 60 - room - (static_cast<int>(largest >> 52) - 1023);
  return exponent < 1000 ? exponent : 1000;
}

__device__ void add(double v, unsigned long long* to) {
  const long long whole = static_cast<long long>(v + (v < 0.0 ? -0.5 : 0.5));
  if (whole != 0) atomicAdd(to, static_cast<unsigned long long>(whole));
}

// The same walk, which adds each point's contribution to the gradients by the cells that it read.
template <typename Real>
__global__ void back_to_fields(OffsetBatch<Real> batch, const Real* refined, int room, RefineScratch scratch) {
  const CellGrid grid(batch.height, batch.width, batch.stride);
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kBlock + threadIdx.x;
  if (i >= grid.cells()) return;
  const Point<double> home = grid.home(static_cast<int>(i));
  for (int p = static_cast<int>(blockIdx.y); p < batch.images * batch.count; p += static_cast<int>(gridDim.y)) {
    const Channel<Real> channel(batch, p);
    if (channel.field < 0) continue;
    const unsigned long long largest = scratch.largest[channel.field];
    if (largest == 0 || largest >= kInfiniteBits) continue;
    const std::size_t x = channel.first + i, y = x + channel.cells;
    Point<double> gradient{static_cast<double>(refined[x]), static_cast<double>(refined[y])};
    if (gradient.x == 0.0 && gradient.y == 0.0) continue;
    const double unit = power_of_two(unit_exponent(largest, room));
    unsigned long long *const sums_x = scratch.sums + channel.source(), *const sums_y = sums_x + channel.cells;
    const Point<double> start{static_cast<double>(batch.offsets[x]), static_cast<double>(batch.offsets[y])};
    walk_back(
        grid, channel.by(batch), home, start, batch.steps, gradient, [&](const StepSite& at, const Point<double>& g) {
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

// The smallest b for which count <= 2^b.
int bits_of(double count) {
  int bits = 0;
  for (double power = 1.0; power < count; power *= 2.0) ++bits;
  return bits;
}

}  // namespace

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
  const dim3 grid(blocks_for(cells), channel_rows(batch.images, batch.count)), block(kBlock);
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

template void refine_offset_batch_backward(const OffsetBatch<float>&, const OffsetGradients<float>&, Arena&,
                                           cudaStream_t);
template void refine_offset_batch_backward(const OffsetBatch<double>&, const OffsetGradients<double>&, Arena&,
                                           cudaStream_t);

}  // namespace cuda
}  // namespace personlab

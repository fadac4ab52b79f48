// Dense refinement of whole offset fields, as the network does it inside itself.
#include "methods/personlab/refine_steps.cuh"

namespace personlab {
namespace cuda {
namespace {

// A plane of a field, read as double.
struct FieldPlane {
  Plane plane;
  __device__ double operator[](int i) const { return static_cast<double>(plane[i]); }
};

// A step where an offset that is not finite counts as (0, 0).
__device__ void advance_checked(const CellGrid& grid, const Planes<FieldPlane>& by, Point<double> home,
                                Point<double>& offset) {
  const StepSite at(grid, home, offset);
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

__global__ void refine_checked(DeviceField offsets, DeviceField by, const int* channels, int steps, float* refined) {
  const CellGrid grid(offsets.height, offsets.width, offsets.stride);
  const std::size_t cells = grid.cells(), i = static_cast<std::size_t>(blockIdx.x) * kBlock + threadIdx.x;
  if (i >= cells) return;
  const int cell = static_cast<int>(i), count = offsets.planes / 2;
  const Point<double> home = grid.home(cell);
  for (int p = static_cast<int>(blockIdx.y); p < offsets.images * count; p += static_cast<int>(gridDim.y)) {
    const int image = p / count, c = p % count, field = channels[c];
    const Planes<FieldPlane> source{{by.plane(image, 2 * field)}, {by.plane(image, 2 * field + 1)}};
    Point<double> offset{static_cast<double>(offsets.plane(image, 2 * c)[cell]),
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

template <typename Real>
__global__ void refine_kept(OffsetBatch<Real> batch, Real* refined) {
  const CellGrid grid(batch.height, batch.width, batch.stride);
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kBlock + threadIdx.x;
  if (i >= grid.cells()) return;
  const Point<double> home = grid.home(static_cast<int>(i));
  for (int p = static_cast<int>(blockIdx.y); p < batch.images * batch.count; p += static_cast<int>(gridDim.y)) {
    const Channel<Real> channel(batch, p);
    const std::size_t x = channel.first + i, y = x + channel.cells;
    if (channel.field < 0) {
      refined[x] = refined[y] = not_a_number<Real>();
      continue;
    }
    const Planes<Numbers<Real>> source = channel.by(batch);
    Point<double> offset{static_cast<double>(batch.offsets[x]), static_cast<double>(batch.offsets[y])};
    for (int step = 0; step < batch.steps; ++step) advance(grid, source, home, offset);
    refined[x] = static_cast<Real>(offset.x);
    refined[y] = static_cast<Real>(offset.y);
  }
}

}  // namespace

void refine_offsets(const DeviceField& offsets, const DeviceField& by, const int* channels, int steps,
                    cudaStream_t stream, float* refined) {
  if (offsets.cells() == 0) return;
  launch(refine_checked, dim3(blocks_for(offsets.cells()), channel_rows(offsets.images, offsets.planes / 2)),
         dim3(kBlock), stream, offsets, by, channels, steps, refined);
}

template <typename Real>
void refine_offset_batch(const OffsetBatch<Real>& batch, cudaStream_t stream, Real* refined) {
  const std::size_t cells = static_cast<std::size_t>(batch.height) * static_cast<std::size_t>(batch.width);
  if (cells == 0) return;
  launch(refine_kept<Real>, dim3(blocks_for(cells), channel_rows(batch.images, batch.count)), dim3(kBlock), stream,
         batch, refined);
}

template void refine_offset_batch(const OffsetBatch<float>&, cudaStream_t, float*);
template void refine_offset_batch(const OffsetBatch<double>&, cudaStream_t, double*);

}  // namespace cuda
}  // namespace personlab

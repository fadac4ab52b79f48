// Dense refinement of whole offset fields, section 3.1.2, and its gradient.
#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/parallel.hpp"
#include "base/sampling.hpp"
#include "methods/personlab/refine_steps.hpp"
#include "methods/personlab/stages.hpp"
#include "simd/dispatch.hpp"

namespace personlab {
namespace {

// Working memory of one thread.
struct Scratch {
  std::vector<double> pairs, sums;  // (h + 1, w + 1, 2)
  std::vector<StepState> states;    // (steps)
  Batch batch;
};

// The channels of one image that one field refines.
template <typename Real>
struct Group {
  const OffsetBatch<Real>& all;
  int image, field;

  std::ptrdiff_t cells() const { return static_cast<std::ptrdiff_t>(all.height) * all.width; }
  // Index of channel c in an array (N, C, 2, h, w), and of this field in one (N, L, 2, h, w).
  std::ptrdiff_t channel(int c) const { return (static_cast<std::ptrdiff_t>(image) * all.count + c) * 2 * cells(); }
  std::ptrdiff_t source() const { return (static_cast<std::ptrdiff_t>(image) * all.fields + field) * 2 * cells(); }
};

PERSONLAB_INLINE bool all_finite(const float* values, std::ptrdiff_t count) {
  int others = 0;
  for (std::ptrdiff_t i = 0; i < count; ++i) others |= is_finite(values[i]) ? 0 : 1;
  return others == 0;
}

// Interleaves two planes, and back.
template <typename Real>
PERSONLAB_INLINE void interleave(int n, const Real* x, const Real* y, double* pairs) {
  for (int k = 0; k < n; ++k) {
    pairs[2 * k] = static_cast<double>(x[k]);
    pairs[2 * k + 1] = static_cast<double>(y[k]);
  }
}

template <typename Real>
PERSONLAB_INLINE void deinterleave(int n, const double* pairs, Real* x, Real* y) {
  for (int k = 0; k < n; ++k) {
    x[k] = static_cast<Real>(pairs[2 * k]);
    y[k] = static_cast<Real>(pairs[2 * k + 1]);
  }
}

// Fills the grid's pairs from a field (2, h, w).
template <typename Real>
PERSONLAB_INLINE void fill(const OffsetGrid& grid, const Real* field, std::vector<double>& pairs) {
  const std::ptrdiff_t w = grid.width, cells = grid.height * w;
  double* to = pairs.data();
  for (std::ptrdiff_t i = 0; i <= grid.height; ++i, to += grid.pitch) {
    const Real* from = field + std::min<std::ptrdiff_t>(i, grid.height - 1) * w;
    interleave(grid.width, from, from + cells, to);
    std::memcpy(to + 2 * w, to + 2 * w - 2, sizeof(F64x2));
  }
}

// Writes x, y of n cells of a plane, from `cell` on.
PERSONLAB_INLINE void place(const OffsetGrid& grid, std::ptrdiff_t cell, int n, double* home) {
  int i = static_cast<int>(cell / grid.width), j = static_cast<int>(cell % grid.width);
  for (int k = 0; k < n; ++i, j = 0) {
    const int end = std::min(n, k + grid.width - j);
    for (; k < end; ++k, ++j) {
      home[2 * k] = j;
      home[2 * k + 1] = i;
    }
  }
}

// Replaces offsets that are not finite, or overflow float32, by (0, 0).
PERSONLAB_INLINE void drop_nonfinite(int n, float* x, float* y) {
  for (int k = 0; k < n; ++k) {
    const bool finite = is_finite(x[k]) && is_finite(y[k]);
    x[k] = finite ? x[k] : 0.0F;
    y[k] = finite ? y[k] : 0.0F;
  }
}

// Refines one channel point by point: an offset that is not finite counts as (0, 0).
void forward_checked(const Group<float>& group, int c, float* refined) {
  const OffsetBatch<float>& all = group.all;
  const float *by_x = all.by + group.source(), *by_y = by_x + group.cells();
  const float *from_x = all.offsets + group.channel(c), *from_y = from_x + group.cells();
  float *to_x = refined + group.channel(c), *to_y = to_x + group.cells();
  for (std::ptrdiff_t cell = 0; cell < group.cells(); ++cell) {
    const int i = static_cast<int>(cell / all.width), j = static_cast<int>(cell % all.width);
    double mx = static_cast<double>(from_x[cell]), my = static_cast<double>(from_y[cell]);
    if (!is_finite(mx) || !is_finite(my)) mx = my = 0.0;
    for (int step = 0; step < all.steps; ++step) {
      const Offset<double> offset =
          read_offset(by_x, by_y, site_at(j * all.stride + mx, i * all.stride + my, all.height, all.width, all.stride));
      mx += offset.dx;
      my += offset.dy;
    }
    to_x[cell] = static_cast<float>(mx);
    to_y[cell] = static_cast<float>(my);
    drop_nonfinite(1, to_x + cell, to_y + cell);
  }
}

// Refines all channels of a group; Two is a type of four doubles.
template <typename Two, NonFinite kNonFinite, typename Real>
PERSONLAB_INLINE void forward(const Group<Real>& group, Scratch& scratch, Real* refined) {
  const OffsetBatch<Real>& all = group.all;
  const OffsetGrid grid(all.height, all.width, all.stride);
  fill(grid, all.by + group.source(), scratch.pairs);
  Batch& batch = scratch.batch;
  const std::ptrdiff_t cells = group.cells();
  bool finite = true;
  if constexpr (kNonFinite == NonFinite::kZero) finite = all_finite(all.by + group.source(), 2 * cells);
  for (int c = 0; c < all.count; ++c) {
    if (all.channels[c] != group.field) continue;
    if constexpr (kNonFinite == NonFinite::kZero) {
      if (!finite || !all_finite(all.offsets + group.channel(c), 2 * cells)) {
        forward_checked(group, c, refined);
        continue;
      }
    }
    const Real *from_x = all.offsets + group.channel(c), *from_y = from_x + cells;
    Real *to_x = refined + group.channel(c), *to_y = to_x + cells;
    for (std::ptrdiff_t cell = 0; cell < cells; cell += batch.count) {
      batch.count = static_cast<int>(std::min<std::ptrdiff_t>(Batch::kMax, cells - cell));
      place(grid, cell, batch.count, batch.home);
      interleave(batch.count, from_x + cell, from_y + cell, batch.offset);
      for (int step = 0; step < all.steps; ++step)
        step_forward<Two, false>(grid, scratch.pairs.data(), batch, scratch.states[0]);
      deinterleave(batch.count, batch.offset, to_x + cell, to_y + cell);
      if constexpr (kNonFinite == NonFinite::kZero) drop_nonfinite(batch.count, to_x + cell, to_y + cell);
    }
  }
}

// How many of n points have a gradient other than 0.
template <typename Real>
PERSONLAB_INLINE int count_moving(int n, const Real* gx, const Real* gy) {
  int moving = 0;
  for (int k = 0; k < n; ++k) moving += (gx[k] != Real(0)) | (gy[k] != Real(0)) ? 1 : 0;
  return moving;
}

// Removes the points of a batch whose gradient is 0: it stays 0.
PERSONLAB_INLINE void compact(Batch& batch) {
  int left = 0;
  for (int k = 0; k < batch.count; ++k) {
    batch.cell[left] = k;
    store(load<F64x2>(batch.home + 2 * k), batch.home + 2 * left);
    store(load<F64x2>(batch.offset + 2 * k), batch.offset + 2 * left);
    const double gx = batch.gradient[2 * k], gy = batch.gradient[2 * k + 1];
    batch.gradient[2 * left] = gx;
    batch.gradient[2 * left + 1] = gy;
    left += (gx != 0.0) | (gy != 0.0) ? 1 : 0;
  }
  batch.count = left;
}

// Takes all steps of a batch of points, and propagates its gradients back.
template <typename Two, bool kSums>
PERSONLAB_INLINE void propagate(const OffsetGrid& grid, Scratch& scratch) {
  const std::size_t steps = scratch.states.size();
  for (std::size_t step = 0; step < steps; ++step) {
    if (step + 1 < steps)
      step_forward<Two, true>(grid, scratch.pairs.data(), scratch.batch, scratch.states[step]);
    else
      step_forward<Two, true, false>(grid, scratch.pairs.data(), scratch.batch, scratch.states[step]);
  }
  for (std::size_t step = steps; step-- > 0;)
    step_backward<kSums>(grid, scratch.states[step], scratch.batch, scratch.sums.data());
}

// Gradients of all channels of a group.
template <typename Two, typename Real>
PERSONLAB_INLINE void backward(const Group<Real>& group, Scratch& scratch, const OffsetGradients<Real>& gradients) {
  const OffsetBatch<Real>& all = group.all;
  const OffsetGrid grid(all.height, all.width, all.stride);
  fill(grid, all.by + group.source(), scratch.pairs);
  if (gradients.by != nullptr) std::fill(scratch.sums.begin(), scratch.sums.end(), 0.0);
  Batch& batch = scratch.batch;
  const std::ptrdiff_t cells = group.cells();
  for (int c = 0; c < all.count; ++c) {
    if (all.channels[c] != group.field) continue;
    const std::ptrdiff_t channel = group.channel(c);
    if (gradients.offsets != nullptr)  // those of removed points
      std::copy_n(gradients.refined + channel, 2 * cells, gradients.offsets + channel);
    int n = 0;
    for (std::ptrdiff_t cell = 0; cell < cells; cell += n) {
      n = static_cast<int>(std::min<std::ptrdiff_t>(Batch::kMax, cells - cell));
      const Real *gx = gradients.refined + channel + cell, *gy = gx + cells;
      const int moving = count_moving(n, gx, gy);
      if (moving == 0) continue;
      batch.count = n;
      place(grid, cell, n, batch.home);
      interleave(n, all.offsets + channel + cell, all.offsets + channel + cells + cell, batch.offset);
      interleave(n, gx, gy, batch.gradient);
      if (moving < n) compact(batch);
      if (gradients.by != nullptr)
        propagate<Two, true>(grid, scratch);
      else
        propagate<Two, false>(grid, scratch);
      if (gradients.offsets == nullptr) continue;
      Real *to_x = gradients.offsets + channel + cell, *to_y = to_x + cells;
      if (moving == n)
        deinterleave(n, batch.gradient, to_x, to_y);
      else
        for (int k = 0; k < moving; ++k)
          deinterleave(1, batch.gradient + 2 * k, to_x + batch.cell[k], to_y + batch.cell[k]);
    }
  }
  if (gradients.by == nullptr) return;
  Real* to = gradients.by + group.source();
  for (std::ptrdiff_t i = 0; i < all.height; ++i, to += all.width)
    deinterleave(all.width, scratch.sums.data() + i * grid.pitch, to, to + cells);
}

// The same code for every instruction set, so the same results; with AVX2 a register holds two pairs.
template <NonFinite kNonFinite, typename Real>
void forward_baseline(const Group<Real>& group, Scratch& scratch, Real* refined) {
  forward<F64x2x2, kNonFinite>(group, scratch, refined);
}

template <typename Real>
void backward_baseline(const Group<Real>& group, Scratch& scratch, const OffsetGradients<Real>& gradients) {
  backward<F64x2x2>(group, scratch, gradients);
}

#ifdef PERSONLAB_X86_KERNELS

template <NonFinite kNonFinite, typename Real>
__attribute__((target("avx2"))) void forward_avx2(const Group<Real>& group, Scratch& scratch, Real* refined) {
  forward<F64x4, kNonFinite>(group, scratch, refined);
}

template <typename Real>
__attribute__((target("avx2"))) void backward_avx2(const Group<Real>& group, Scratch& scratch,
                                                   const OffsetGradients<Real>& gradients) {
  backward<F64x4>(group, scratch, gradients);
}

bool has_avx2() { return isa() >= Isa::kAvx2; }

#else

template <NonFinite kNonFinite, typename Real>
constexpr auto forward_avx2 = forward_baseline<kNonFinite, Real>;
template <typename Real>
constexpr auto backward_avx2 = backward_baseline<Real>;
bool has_avx2() { return false; }

#endif

// Calls work(group, scratch) for every field of every image; no two groups write to the same place, so that threads
// need not wait for each other and their number changes nothing.
template <typename Real, typename Work>
void for_each_group(const OffsetBatch<Real>& batch, int threads, bool backwards, const Work& work) {
  if (batch.height == 0 || batch.width == 0) return;
  const int groups = batch.images * batch.fields;
  const OffsetGrid grid(batch.height, batch.width, batch.stride);
  if (grid.size() > std::numeric_limits<std::int32_t>::max())
    throw std::invalid_argument("offsets: expected fewer than 2^30 cells, got " + std::to_string(batch.height) + " x " +
                                std::to_string(batch.width));
  const auto size = static_cast<std::size_t>(grid.size());
  std::vector<Scratch> scratch(static_cast<std::size_t>(std::max(1, std::min(groups, threads))));
  parallel_for(groups, threads, [&](int piece, int worker) {
    Scratch& mine = scratch[static_cast<std::size_t>(worker)];
    mine.pairs.resize(size);
    mine.sums.resize(backwards ? size : 0);
    mine.states.resize(backwards ? static_cast<std::size_t>(batch.steps) : 1);
    work(Group<Real>{batch, piece / batch.fields, piece % batch.fields}, mine);
  });
}

}  // namespace

template <NonFinite kNonFinite, typename Real>
void refine_offset_batch(const OffsetBatch<Real>& batch, int threads, Real* refined) {
  const auto work = has_avx2() ? forward_avx2<kNonFinite, Real> : forward_baseline<kNonFinite, Real>;
  for_each_group(batch, threads, false,
                 [&](const Group<Real>& group, Scratch& scratch) { work(group, scratch, refined); });
}

template <typename Real>
void refine_offset_batch_backward(const OffsetBatch<Real>& batch, int threads, const OffsetGradients<Real>& gradients) {
  const auto work = has_avx2() ? backward_avx2<Real> : backward_baseline<Real>;
  for_each_group(batch, threads, true,
                 [&](const Group<Real>& group, Scratch& scratch) { work(group, scratch, gradients); });
}

template void refine_offset_batch<NonFinite::kZero>(const OffsetBatch<float>&, int, float*);
template void refine_offset_batch<NonFinite::kKept>(const OffsetBatch<float>&, int, float*);
template void refine_offset_batch<NonFinite::kKept>(const OffsetBatch<double>&, int, double*);
template void refine_offset_batch_backward(const OffsetBatch<float>&, int, const OffsetGradients<float>&);
template void refine_offset_batch_backward(const OffsetBatch<double>&, int, const OffsetGradients<double>&);

}  // namespace personlab

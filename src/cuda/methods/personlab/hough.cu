// Hough voting: every lattice point inside a keypoint's disc adds its vote to four others, in fixed point, in any
// order.
#include "methods/personlab/stages.cuh"
#include "methods/personlab/vote_unit.hpp"

namespace personlab {
namespace cuda {
namespace {

constexpr int kAcross = 32, kDown = 8;  // lattice points of a block

// A lattice line between two lines of cells.
struct LinePlace {
  int cell;
  float t;  // in [0, 1] from that cell to the next

  __device__ LinePlace(int point, int g, int cells, int stride) {
    const int pixel = point * g, blocks = cells > 1 ? cells - 1 : 1;
    cell = pixel / stride < blocks ? pixel / stride : blocks - 1;
    t = static_cast<float>(pixel - cell * stride) / static_cast<float>(stride);
  }
};

// A weighted mean of four cells, rounded as the CPU core's votes are; a value of weight zero is left out where not all
// are finite.
struct CellMean {
  int cell[4];
  float weight[4];

  __device__ explicit CellMean(const Site<float>& site)
      : cell{site.top_left, site.top_right, site.bottom_left, site.bottom_right} {
    const float sx = 1.0F - site.tx, sy = 1.0F - site.ty;
    weight[0] = sy * sx, weight[1] = sy * site.tx, weight[2] = site.ty * sx, weight[3] = site.ty * site.tx;
  }

  __device__ float read(const Plane& plane) const {
    float part[4];
    for (int i = 0; i < 4; ++i) part[i] = weight[i] * plane[cell[i]];
    const float value = (part[0] + part[1]) + (part[2] + part[3]);
    if (is_finite(value)) return value;
    for (int i = 0; i < 4; ++i) part[i] = weight[i] > 0.0F ? part[i] : 0.0F;
    return (part[0] + part[1]) + (part[2] + part[3]);
  }
};

__global__ void cast_votes(DeviceField heatmaps, DeviceField short_offsets, Lattice lattice, unsigned long long* sums) {
  const unsigned blocks_across = blocks_for(lattice.columns, kAcross);
  const int column = static_cast<int>(blockIdx.x % blocks_across * kAcross + threadIdx.x);
  const int row = static_cast<int>(blockIdx.x / blocks_across * kDown + threadIdx.y);
  if (column >= lattice.columns || row >= lattice.rows) return;
  const LinePlace x(column, lattice.stride, heatmaps.width, heatmaps.stride);
  const LinePlace y(row, lattice.stride, heatmaps.height, heatmaps.stride);
  const CellMean mean(site_between(heatmaps, x, y));
  const int planes = heatmaps.images * heatmaps.planes;
  for (int p = static_cast<int>(blockIdx.y); p < planes; p += static_cast<int>(gridDim.y)) {
    const int image = p / heatmaps.planes, k = p % heatmaps.planes;
    const float logit = mean.read(heatmaps.plane(image, k));
    if (!(logit >= lattice.min_logit)) continue;
    const float dx = mean.read(short_offsets.plane(image, 2 * k));
    const float dy = mean.read(short_offsets.plane(image, 2 * k + 1));
    const Vote vote = vote_of(logit, dx, dy, lattice.inverse, lattice.unit);
    unsigned long long* const plane = sums + static_cast<std::size_t>(p) * lattice.points();
    for (int i = 0; i < 4; ++i) {
      const int to_row = row + vote.top + i / 2, to_column = column + vote.left + i % 2;
      if (to_row < 0 || to_row >= lattice.rows || to_column < 0 || to_column >= lattice.columns) continue;
      if (vote.amount[i] != 0)
        atomicAdd(plane + static_cast<std::size_t>(to_row) * lattice.columns + to_column,
                  static_cast<unsigned long long>(vote.amount[i]));
    }
  }
}

__global__ void score_sums(const unsigned long long* sums, std::size_t count, Lattice lattice, float* scores) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kBlock + threadIdx.x;
  if (i < count) scores[i] = lattice.score(sums[i]);
}

}  // namespace

Lattice::Lattice(const DeviceField& heatmaps, const DecodeOptions& options) : stride(options.hough_stride) {
  if (heatmaps.cells() > 0) {
    rows = heatmaps.last_y() / stride + 1;
    columns = heatmaps.last_x() / stride + 1;
  }
  const VoteUnit worth(options);
  wide = worth.wide;
  min_logit = logit_of(options.vote_threshold);
  inverse = 1.0F / static_cast<float>(stride);
  unit = static_cast<float>(wide ? VoteUnit::kWide : worth.packed);
  scale = vote_scale(options) / (wide ? VoteUnit::kWide : worth.packed);
}

void hough_vote(const DeviceField& heatmaps, const DeviceField& short_offsets, const Lattice& lattice,
                cudaStream_t stream, unsigned long long* sums) {
  const std::size_t planes = static_cast<std::size_t>(heatmaps.images) * heatmaps.planes;
  if (planes == 0 || lattice.points() == 0) return;
  check(cudaMemsetAsync(sums, 0, planes * lattice.points() * sizeof *sums, stream), "clearing votes");
  const dim3 grid(blocks_for(lattice.columns, kAcross) * blocks_for(lattice.rows, kDown), grid_rows(planes));
  launch(cast_votes, grid, dim3(kAcross, kDown), stream, heatmaps, short_offsets, lattice, sums);
}

void hough_scores(const unsigned long long* sums, std::size_t count, const Lattice& lattice, cudaStream_t stream,
                  float* scores) {
  launch(score_sums, dim3(blocks_for(count)), dim3(kBlock), stream, sums, count, lattice, scores);
}

}  // namespace cuda
}  // namespace personlab

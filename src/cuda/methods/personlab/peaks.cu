// Peaks: every lattice point, or cell, that no neighbour exceeds joins its image's list; then the lists are sorted.
#include "base/sort.cuh"
#include "methods/personlab/stages.cuh"
#include "methods/personlab/vote_unit.hpp"

namespace personlab {
namespace cuda {
namespace {

constexpr int kEach = 4;  // points of a thread, for several reads to be under way

// A lattice point greater than its 8 neighbours that precede it in raster order and not smaller than those that
// follow; outside the lattice all is 0.
template <typename Scores>
struct LatticeRule {
  Scores scores;
  float min_score;
  float step;  // input pixels from point to point

  __host__ __device__ int rows() const { return scores.rows(); }
  __host__ __device__ int columns() const { return scores.columns(); }
  __device__ float at(int p, int i) const { return scores.at(p, i); }
  __device__ bool holds(int p, int row, int column, float value) const {
    for (int n = 0; n < 9; ++n) {
      const int i = row + n / 3 - 1, j = column + n % 3 - 1;
      if (n == 4) continue;
      const bool inside = i >= 0 && i < rows() && j >= 0 && j < columns();
      const float other = inside ? at(p, i * columns() + j) : 0.0F;
      if (n < 4 ? !(value > other) : !(value >= other)) return false;
    }
    return true;
  }
};

// A cell whose logit none of its neighbours exceeds.
struct CellRule {
  DeviceField heatmaps;
  float min_score;
  float step = 1.0F;

  __host__ __device__ int rows() const { return heatmaps.height; }
  __host__ __device__ int columns() const { return heatmaps.width; }
  __device__ Plane plane(int p) const { return heatmaps.plane(p / heatmaps.planes, p % heatmaps.planes); }
  __device__ float at(int p, int i) const { return plane(p)[i]; }
  __device__ bool holds(int p, int row, int column, float value) const {
    const Plane logits = plane(p);
    for (int i = row > 0 ? row - 1 : 0; i <= row + 1 && i < rows(); ++i)
      for (int j = column > 0 ? column - 1 : 0; j <= column + 1 && j < columns(); ++j)
        if (logits[i * columns() + j] > value) return false;
    return true;
  }
};

template <typename Rule>
__global__ void search(Rule rule, int images, int n_keypoints, Peaks peaks) {
  const int columns = rule.columns(), points = rule.rows() * columns;
  const int first = static_cast<int>(blockIdx.x) * (kBlock * kEach) + static_cast<int>(threadIdx.x);
  for (int p = static_cast<int>(blockIdx.y); p < images * n_keypoints; p += static_cast<int>(gridDim.y)) {
    float values[kEach];
    for (int n = 0; n < kEach; ++n) {
      const int i = first + n * kBlock;
      values[n] = i < points ? rule.at(p, i) : -kInfinity;
    }
    for (int n = 0; n < kEach; ++n) {
      const int i = first + n * kBlock;
      if (i >= points || !(values[n] >= rule.min_score)) continue;
      const int row = i / columns, column = i % columns;
      if (!rule.holds(p, row, column, values[n])) continue;
      const int image = p / n_keypoints, place = atomicAdd(peaks.counts + image, 1);
      if (place < peaks.capacity)
        peaks.of(image)[place] = {values[n], p % n_keypoints, static_cast<float>(column) * rule.step,
                                  static_cast<float>(row) * rule.step};
    }
  }
}

// Lists the points by a rule, and sorts them.
template <typename Rule>
void search_all(const Rule& rule, int images, int n_keypoints, cudaStream_t stream, const Peaks& unordered,
                const Peaks& peaks) {
  if (images == 0) return;
  check(cudaMemsetAsync(unordered.counts, 0, static_cast<std::size_t>(images) * sizeof *unordered.counts, stream),
        "clearing counts");
  const std::size_t points = static_cast<std::size_t>(rule.rows()) * rule.columns();
  const std::size_t planes = static_cast<std::size_t>(images) * n_keypoints;
  const dim3 grid(blocks_for(points, kBlock * kEach), grid_rows(planes));
  launch(search<Rule>, grid, dim3(kBlock), stream, rule, images, n_keypoints, unordered);
  sort_peaks(unordered, images, stream, peaks);
}

}  // namespace

template <typename Scores>
void find_peaks(const Scores& hough, int images, int n_keypoints, const DecodeOptions& options, cudaStream_t stream,
                const Peaks& unordered, const Peaks& peaks) {
  const LatticeRule<Scores> rule{hough, options.peak_threshold, static_cast<float>(options.hough_stride)};
  search_all(rule, images, n_keypoints, stream, unordered, peaks);
}

template void find_peaks<VoteScores>(const VoteScores&, int, int, const DecodeOptions&, cudaStream_t, const Peaks&,
                                     const Peaks&);
template void find_peaks<FieldScores>(const FieldScores&, int, int, const DecodeOptions&, cudaStream_t, const Peaks&,
                                      const Peaks&);

void find_seeds(const DeviceField& heatmaps, const DecodeOptions& options, cudaStream_t stream, const Peaks& unordered,
                const Peaks& seeds) {
  search_all(CellRule{heatmaps, seed_logit(options)}, heatmaps.images, heatmaps.planes, stream, unordered, seeds);
}

void sort_peaks(const Peaks& unordered, int images, cudaStream_t stream, const Peaks& peaks) {
  sort(unordered, images, stream, peaks);
}

}  // namespace cuda
}  // namespace personlab

// Targets for training, section 4, the inverse of decoding: the fields that a perfect network returns for people.
#include <cmath>

#include "methods/personlab/stages.cuh"

namespace personlab {
namespace cuda {
namespace {

struct TargetGrid {
  int h, w, stride;

  __host__ __device__ std::size_t cells() const { return static_cast<std::size_t>(h) * static_cast<std::size_t>(w); }
};

// The annotated people: their keypoints, and the stand-ins of those without a label.
struct LabelledPeople {
  const float* keypoints;  // (P, K, 3)
  const int* stand_in;     // (P, K) written by `find_stand_ins`
  int count, n_keypoints;

  __device__ const float* at(int person, int k) const {
    return keypoints + (static_cast<std::ptrdiff_t>(person) * n_keypoints + k) * 3;
  }
  __device__ bool is_labelled(int person, int k) const {
    const float* keypoint = at(person, k);
    return keypoint[2] > 0.0F && is_finite(keypoint[0]) && is_finite(keypoint[1]) && is_finite(keypoint[2]);
  }
  __device__ bool has_labels(int person) const {
    for (int k = 0; k < n_keypoints; ++k)
      if (is_labelled(person, k)) return true;
    return false;
  }
  __device__ int stand_in_of(int person, int k) const {
    return stand_in[static_cast<std::ptrdiff_t>(person) * n_keypoints + k];
  }
};

// The stand-in of each keypoint of a person: the nearest labelled one along the edges, breadth first.
__device__ void find_stand_ins(const LabelledPeople& people, const SkeletonView& skeleton, int person, int* stand_in,
                               int* reached) {
  int count = 0;
  for (int k = 0; k < people.n_keypoints; ++k) {
    stand_in[k] = people.is_labelled(person, k) ? k : -1;
    if (stand_in[k] == k) reached[count++] = k;
  }
  for (int r = 0; r < count; ++r) {
    const int k = reached[r];
    for (int e = skeleton.first[k]; e < skeleton.first[k + 1]; ++e) {
      const int target = skeleton.edges[e].target;
      if (stand_in[target] >= 0) continue;
      stand_in[target] = stand_in[k];
      reached[count++] = target;
    }
  }
}

// Targets of a cell by the masks.
__device__ void read_masks(const Annotations& a, const LabelledPeople& people, const TargetGrid& grid, int cell,
                           const TargetScratch& scratch, const TargetViews& targets) {
  const std::size_t pixel = static_cast<std::size_t>(cell / grid.w) * grid.stride * a.width +
                            static_cast<std::size_t>(cell % grid.w) * grid.stride;
  const std::size_t area = static_cast<std::size_t>(a.height) * static_cast<std::size_t>(a.width);
  const bool crowd = a.crowd != nullptr && a.crowd[pixel] != 0;
  int covering = 0, person = -1;
  bool unlabelled = false;
  for (int j = 0; a.has_masks && j < a.n_people; ++j) {
    if (a.masks[static_cast<std::size_t>(j) * area + pixel] == 0) continue;
    ++covering;
    person = j;
    unlabelled = unlabelled || !people.has_labels(j);
  }
  targets.segmentation[cell] = covering > 0 ? 1.0F : 0.0F;
  targets.segmentation_valid[cell] = a.has_masks && !crowd ? 1 : 0;
  targets.heatmap_valid[cell] = !crowd && !unlabelled ? 1 : 0;
  scratch.alone[cell] = covering == 1 ? person : -1;
  scratch.counts[cell] = crowd ? 0 : 1;
}

// Threads for people first, then for cells.
__global__ void read_annotations(Annotations annotations, LabelledPeople people, SkeletonView skeleton, TargetGrid grid,
                                 TargetScratch scratch, TargetViews targets) {
  std::size_t i = static_cast<std::size_t>(blockIdx.x) * kBlock + threadIdx.x;
  const auto count = static_cast<std::size_t>(people.count);
  if (i < count) {
    const std::size_t first = i * static_cast<std::size_t>(people.n_keypoints);
    find_stand_ins(people, skeleton, static_cast<int>(i), scratch.stand_in + first, scratch.reached + first);
    return;
  }
  i -= count;
  if (i < grid.cells()) read_masks(annotations, people, grid, static_cast<int>(i), scratch, targets);
}

// The person who owns a cell for one keypoint type.
struct Owner {
  int person = -1;
  bool labelled = false;
  double distance2 = static_cast<double>(kInfinity);  // input pixels squared
};

// The nearest keypoint within `reach` owns a cell, labelled ones first; ties go to the first person.
__device__ Owner owner_of(const LabelledPeople& people, const TargetGrid& grid, int k, int row, int column,
                          double reach) {
  Owner owner;
  const double s = grid.stride;
  for (int pass = 0; pass < 2; ++pass) {
    for (int p = 0; p < people.count; ++p) {
      const int stand_in = people.stand_in_of(p, k);
      if (stand_in < 0 || (stand_in == k) != (pass == 0)) continue;
      const float* place = people.at(p, stand_in);
      const auto x = static_cast<double>(place[0]), y = static_cast<double>(place[1]);
      const double dx = column * s - x, dy = row * s - y, d2 = dx * dx + dy * dy;
      if (d2 > reach * reach || d2 >= owner.distance2) continue;
      // On the rim rounding decides, here as on the CPU.
      if (row < ceil((y - reach) / s) || row > floor((y + reach) / s) || column < ceil((x - reach) / s) ||
          column > floor((x + reach) / s))
        continue;
      owner = {p, pass == 0, d2};
    }
    if (owner.person >= 0) break;
  }
  return owner;
}

// Writes offsets at one cell, to planes (h, w) of dx and dy.
struct OffsetWriter {
  float x, y;  // the cell, input pixels
  std::size_t cell, cells;

  __device__ void write(const float* place, float* planes) const {
    planes[cell] = place == nullptr ? 0.0F : static_cast<float>(static_cast<double>(place[0]) - static_cast<double>(x));
    planes[cells + cell] =
        place == nullptr ? 0.0F : static_cast<float>(static_cast<double>(place[1]) - static_cast<double>(y));
  }
};

__global__ void write_keypoints(LabelledPeople people, SkeletonView skeleton, TargetGrid grid, double radius,
                                double reach, TargetScratch scratch, TargetViews targets) {
  const std::size_t cells = grid.cells(), cell = static_cast<std::size_t>(blockIdx.x) * kBlock + threadIdx.x;
  if (cell >= cells) return;
  const int row = static_cast<int>(cell) / grid.w, column = static_cast<int>(cell) % grid.w;
  const OffsetWriter to{static_cast<float>(column * grid.stride), static_cast<float>(row * grid.stride), cell, cells};
  const int alone = scratch.alone[cell];
  const std::uint8_t counts = scratch.counts[cell];
  for (int k = static_cast<int>(blockIdx.y); k < people.n_keypoints; k += static_cast<int>(gridDim.y)) {
    const std::size_t plane = static_cast<std::size_t>(k) * cells;
    const Owner owner = owner_of(people, grid, k, row, column, reach);
    const bool on_disc = owner.labelled && owner.distance2 <= radius * radius;
    targets.heatmaps[plane + cell] = on_disc ? 1.0F : 0.0F;
    targets.short_valid[plane + cell] = on_disc ? counts : 0;
    to.write(owner.person < 0 ? nullptr : people.at(owner.person, people.stand_in_of(owner.person, k)),
             targets.short_offsets + 2 * plane);
    for (int e = skeleton.first[k]; e < skeleton.first[k + 1]; ++e) {
      const std::size_t channel = static_cast<std::size_t>(skeleton.edges[e].channel) * cells;
      const int target = skeleton.edges[e].target,
                end = owner.person < 0 ? -1 : people.stand_in_of(owner.person, target);
      to.write(end < 0 ? nullptr : people.at(owner.person, end), targets.mid_offsets + 2 * channel);
      targets.mid_valid[channel + cell] = on_disc && end == target ? counts : 0;
    }
    const bool is_labelled = alone >= 0 && people.is_labelled(alone, k);
    to.write(is_labelled ? people.at(alone, k) : nullptr, targets.long_offsets + 2 * plane);
    targets.long_valid[plane + cell] = is_labelled ? counts : 0;
  }
}

}  // namespace

TargetScratch::TargetScratch(Arena& arena, int n_people, int n_keypoints, std::size_t cells) {
  const std::size_t places = static_cast<std::size_t>(n_people) * static_cast<std::size_t>(n_keypoints);
  stand_in = arena.take<int>(places);
  reached = arena.take<int>(places);
  alone = arena.take<int>(cells);
  counts = arena.take<std::uint8_t>(cells);
}

void encode_targets(const Annotations& annotations, const SkeletonView& skeleton, int stride, float disk_radius,
                    Arena& arena, cudaStream_t stream, const TargetViews& targets) {
  const TargetGrid grid{(annotations.height - 1) / stride + 1, (annotations.width - 1) / stride + 1, stride};
  const TargetScratch scratch(arena, annotations.n_people, skeleton.n_keypoints, grid.cells());
  const LabelledPeople people{annotations.keypoints, scratch.stand_in, annotations.n_people, skeleton.n_keypoints};
  const double radius = static_cast<double>(disk_radius);
  // Offsets are written one cell's diagonal beyond a disc, so that reading between cells inside it meets no gap.
  const double reach = radius + std::sqrt(2.0) * stride;
  launch(read_annotations, dim3(blocks_for(static_cast<std::size_t>(people.count) + grid.cells())), dim3(kBlock),
         stream, annotations, people, skeleton, grid, scratch, targets);
  const dim3 blocks(blocks_for(grid.cells()), grid_rows(static_cast<std::size_t>(people.n_keypoints)));
  launch(write_keypoints, blocks, dim3(kBlock), stream, people, skeleton, grid, radius, reach, scratch, targets);
}

}  // namespace cuda
}  // namespace personlab

// Mask scores: the mean person probability over the pixels of each mask.
//
// Probabilities are added up in fixed point, as on the CPU: the same sum in any order.
#include "methods/personlab/masks/mask_sum.hpp"
#include "methods/personlab/stages.cuh"

namespace personlab {
namespace cuda {
namespace {

constexpr int kEach = 16;  // pixels of a thread

__global__ void prepare_sums(DeviceField segmentation, MaskScoreScratch scratch, int rows, int height, int width) {
  const int i = static_cast<int>(blockIdx.x * kBlock + threadIdx.x);
  if (i < width + height) scratch.places[i] = place_on(segmentation, height, width, i);
  if (i < rows) scratch.total[i] = scratch.pixels[i] = 0;
}

// Blocks for each mask: block row i is pose i % max_poses of image i / max_poses.
__global__ void sum_masks(PoseBatch poses, const std::uint8_t* masks, DeviceField segmentation,
                          MaskScoreScratch scratch, int slots, int height, int width) {
  const std::size_t area = static_cast<std::size_t>(height) * width;
  const std::size_t first = static_cast<std::size_t>(blockIdx.x) * (kBlock * kEach) + threadIdx.x;
  for (int i = static_cast<int>(blockIdx.y); i < slots; i += static_cast<int>(gridDim.y)) {
    const int image = i / poses.max_poses, j = i % poses.max_poses;
    if (j >= poses.count(image)) continue;
    const std::size_t row = poses.first_row(image) + static_cast<std::size_t>(j);
    const Plane logits = segmentation.plane(image, 0);
    unsigned long long total = 0, pixels = 0;
    for (int n = 0; n < kEach; ++n) {
      const std::size_t pixel = first + static_cast<std::size_t>(n) * kBlock;
      if (pixel >= area || masks[row * area + pixel] == 0) continue;
      const PixelPlace x = scratch.places[pixel % width], y = scratch.places[width + pixel / width];
      total +=
          static_cast<unsigned long long>(read_probability(logits, site_between(segmentation, x, y)) * kPersonUnit);
      ++pixels;
    }
    total = sum_warp(total);
    pixels = sum_warp(pixels);
    if (threadIdx.x % kWarp != 0 || pixels == 0) continue;
    atomicAdd(scratch.total + row, total);
    atomicAdd(scratch.pixels + row, pixels);
  }
}

__global__ void finish_scores(PoseBatch poses, MaskScoreScratch scratch, int slots, float power, float* scores) {
  const int i = static_cast<int>(blockIdx.x * kBlock + threadIdx.x);
  if (i >= slots) return;
  const int image = i / poses.max_poses, j = i % poses.max_poses;
  const std::size_t row = poses.first_row(image) + static_cast<std::size_t>(j);
  if (j >= poses.count(image)) {
    if (poses.first == nullptr) scores[row] = 0.0F;
    return;
  }
  scores[row] = mask_score(poses.scores[row], {scratch.total[row], scratch.pixels[row]}, power);
}

}  // namespace

MaskScoreScratch::MaskScoreScratch(Arena& arena, int rows, int height, int width)
    : places(arena.take<PixelPlace>(static_cast<std::size_t>(height) + static_cast<std::size_t>(width))),
      total(arena.take<unsigned long long>(static_cast<std::size_t>(rows))),
      pixels(arena.take<unsigned long long>(static_cast<std::size_t>(rows))) {}

void score_masks(const PoseBatch& poses, const std::uint8_t* masks, const DeviceField& segmentation, int height,
                 int width, const MaskOptions& options, Arena& arena, cudaStream_t stream, float* mask_scores) {
  if (poses.rows == 0) return;
  const std::size_t area = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  const MaskScoreScratch scratch(arena, poses.rows, height, width);
  const int slots = segmentation.images * poses.max_poses, pixels = height + width;
  const int items = pixels > poses.rows ? pixels : poses.rows;
  launch(prepare_sums, dim3(blocks_for(items)), dim3(kBlock), stream, segmentation, scratch, poses.rows, height, width);
  if (segmentation.cells() > 0) {
    const dim3 grid(blocks_for(area, kBlock * kEach), grid_rows(static_cast<std::size_t>(slots)));
    launch<Threads::kTogether>(sum_masks, grid, dim3(kBlock), stream, poses, masks, segmentation, scratch, slots,
                               height, width);
  }
  launch(finish_scores, dim3(blocks_for(slots)), dim3(kBlock), stream, poses, scratch, slots, options.score_power,
         mask_scores);
}

}  // namespace cuda
}  // namespace personlab

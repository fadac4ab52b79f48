// Mask scores: how sure the network is that a person is there, over all pixels of a mask.
//
// Probabilities are added up in fixed point, as on the CPU: the same sum in any order.
#include <cmath>

#include "methods/personlab/places.cuh"

namespace personlab {
namespace cuda {
namespace {

constexpr int kEach = 16;  // pixels that a thread looks at

__global__ void prepare_sums(Field segmentation, MaskScoreScratch scratch, int rows, int height, int width) {
  const int i = static_cast<int>(blockIdx.x * kBlock + threadIdx.x);
  if (i < width + height) scratch.places[i] = place_on(segmentation, height, width, i);
  if (i < rows) scratch.total[i] = scratch.pixels[i] = 0;
}

// Blocks for each mask, whose places in the batch are rows of blocks.
__global__ void sum_masks(PoseBatch poses, const std::uint8_t* masks, Field segmentation, MaskScoreScratch scratch,
                          int places, int height, int width) {
  const std::size_t area = static_cast<std::size_t>(height) * width;
  const std::size_t first = static_cast<std::size_t>(blockIdx.x) * (kBlock * kEach) + threadIdx.x;
  for (int i = static_cast<int>(blockIdx.y); i < places; i += static_cast<int>(gridDim.y)) {
    const int image = i / poses.most, j = i % poses.most;
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
    for (int apart = kWarp / 2; apart > 0; apart /= 2) {
      total += __shfl_xor_sync(~0U, total, apart);
      pixels += __shfl_xor_sync(~0U, pixels, apart);
    }
    if (threadIdx.x % kWarp != 0 || pixels == 0) continue;
    atomicAdd(scratch.total + row, total);
    atomicAdd(scratch.pixels + row, pixels);
  }
}

__global__ void finish_scores(PoseBatch poses, MaskScoreScratch scratch, int places, float power, float* scores) {
  const int i = static_cast<int>(blockIdx.x * kBlock + threadIdx.x);
  if (i >= places) return;
  const int image = i / poses.most, j = i % poses.most;
  const std::size_t row = poses.first_row(image) + static_cast<std::size_t>(j);
  if (j >= poses.count(image)) {
    if (poses.first == nullptr) scores[row] = 0.0F;
    return;
  }
  const unsigned long long pixels = scratch.pixels[row];
  const double unit = static_cast<double>(kPersonUnit), score = static_cast<double>(poses.scores[row]);
  const double mean = pixels > 0 ? static_cast<double>(scratch.total[row]) / (unit * static_cast<double>(pixels)) : 0.0;
  scores[row] =
      pixels > 0 && is_finite(score) ? static_cast<float>(score * pow(mean, static_cast<double>(power))) : 0.0F;
}

}  // namespace

MaskScoreScratch::MaskScoreScratch(Arena& arena, int rows, int height, int width)
    : places(arena.take<PixelPlace>(static_cast<std::size_t>(height) + static_cast<std::size_t>(width))),
      total(arena.take<unsigned long long>(static_cast<std::size_t>(rows))),
      pixels(arena.take<unsigned long long>(static_cast<std::size_t>(rows))) {}

void score_masks(const PoseBatch& poses, const std::uint8_t* masks, const Field& segmentation, int height, int width,
                 float power, Arena& arena, cudaStream_t stream, float* scores) {
  if (poses.rows == 0) return;
  const std::size_t area = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  const MaskScoreScratch scratch(arena, poses.rows, height, width);
  const int places = segmentation.images * poses.most, pixels = height + width;
  const int most = pixels > poses.rows ? pixels : poses.rows;
  launch(prepare_sums, dim3(blocks_for(most)), dim3(kBlock), stream, segmentation, scratch, poses.rows, height, width);
  if (segmentation.cells() > 0) {
    const dim3 grid(blocks_for(area, kBlock * kEach), static_cast<unsigned>(places) < kMostRows ? places : kMostRows);
    launch<Threads::kTogether>(sum_masks, grid, dim3(kBlock), stream, poses, masks, segmentation, scratch, places,
                               height, width);
  }
  launch(finish_scores, dim3(blocks_for(places)), dim3(kBlock), stream, poses, scratch, places, power, scores);
}

}  // namespace cuda
}  // namespace personlab

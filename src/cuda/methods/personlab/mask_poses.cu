// Mask association, first part: poses become targets, and offsets pairs, as pixels read them.
#include <cstddef>

#include "base/pose_size.hpp"
#include "methods/personlab/stages.cuh"

namespace personlab {
namespace cuda {
namespace {

// Interleaves dx and dy of one cell.
__device__ void interleave(const DeviceField& field, std::size_t i, OffsetPair* pairs) {
  const std::size_t cells = field.cells(), plane = i / cells;
  const int channels = field.planes / 2, cell = static_cast<int>(i % cells);
  const int image = static_cast<int>(plane / channels), k = static_cast<int>(plane % channels);
  pairs[i] = {field.plane(image, 2 * k)[cell], field.plane(image, 2 * k + 1)[cell]};
}

// Targets of one pose, and how far it reaches; a pose with a keypoint that is nowhere, or without weight, owns no
// pixel.
__device__ void prepare_pose(const float* keypoints, const float* weights, int n_keypoints, float threshold,
                             MaskTarget* targets, float* unit) {
  double total = 0.0;
  float largest = 0.0F;
  int is_sound = 1;
  PoseBox<float> box(keypoints[0], keypoints[1]);
  for (int k = 0; k < n_keypoints; ++k) {  // no branches: the reads of one keypoint do not wait for the one before
    const float x = keypoints[2 * k], y = keypoints[2 * k + 1], weight = weights[k];
    total += static_cast<double>(weight);
    is_sound &= static_cast<int>(weight >= 0.0F) & static_cast<int>(x >= -kFarthest) &
                static_cast<int>(x <= kFarthest) & static_cast<int>(y >= -kFarthest) & static_cast<int>(y <= kFarthest);
    box.add(x, y);
    largest = weight > largest ? weight : largest;
  }
  const double scale = weight_scale(largest), size = box.size() * total * scale;
  const bool owns = is_sound != 0 && total > 0.0 && is_finite(total);
  const float reach = owns ? static_cast<float>(size * static_cast<double>(threshold)) : -1.0F;
  for (int k = 0; k < n_keypoints; ++k) {
    // Without weight a pose that owns nothing is at distance 0 of every pixel, past its reach.
    const auto weight = owns ? static_cast<float>(static_cast<double>(weights[k]) * scale) : 0.0F;
    targets[k] = {keypoints[2 * k], keypoints[2 * k + 1], weight, reach};
  }
  *unit = static_cast<float>(size);
}

// The place of a pose among those of its image, highest score first, NaN last, ties in their order.
__device__ int rank_of(int j, const float* scores, int count) {
  const float own = scores[j];
  int ahead = 0;
  for (int other = 0; other < count; ++other) {
    const float score = scores[other];
    const bool is_tied = score == own || (score != score && own != own);
    ahead += score > own || (own != own && score == score) || (is_tied && other < j) ? 1 : 0;
  }
  return ahead;
}

// Threads for poses first, which take longest; then for places, then for pairs.
__global__ void prepare(DeviceField long_offsets, DeviceField short_offsets, PoseBatch poses, DeviceMaskScratch scratch,
                        int pose_slots, int places, std::size_t pairs, int height, int width, float threshold,
                        bool exclusive) {
  std::size_t i = static_cast<std::size_t>(blockIdx.x) * kBlock + threadIdx.x;
  if (i < static_cast<std::size_t>(pose_slots)) {
    const int image = static_cast<int>(i) / poses.max_poses, j = static_cast<int>(i) % poses.max_poses;
    if (j >= poses.count(image)) return;
    const std::size_t first = poses.first_row(image), row = first + static_cast<std::size_t>(j);
    const std::size_t k = static_cast<std::size_t>(poses.n_keypoints);
    const int place = exclusive ? rank_of(j, poses.scores + first, poses.count(image)) : j;
    const std::size_t to = first + static_cast<std::size_t>(place);
    prepare_pose(poses.keypoints + row * 2 * k, poses.weights + row * k, poses.n_keypoints, threshold,
                 scratch.targets + to * k, scratch.unit + to);
    scratch.order[to] = j;
    scratch.scores[to] = poses.scores[row];
    return;
  }
  i -= static_cast<std::size_t>(pose_slots);
  if (i < static_cast<std::size_t>(places)) {
    const int p = static_cast<int>(i);
    scratch.places[p] = place_on(long_offsets, height, width, p);
    return;
  }
  i -= static_cast<std::size_t>(places);
  if (i >= pairs) return;
  interleave(long_offsets, i, scratch.long_pairs);
  if (scratch.short_pairs != nullptr) interleave(short_offsets, i, scratch.short_pairs);
}

}  // namespace

void prepare_masks(const DeviceField& long_offsets, const DeviceField& short_offsets, const PoseBatch& poses,
                   int n_images, int height, int width, const MaskOptions& options, cudaStream_t stream,
                   const DeviceMaskScratch& scratch) {
  const std::size_t pairs = static_cast<std::size_t>(long_offsets.images) *
                            static_cast<std::size_t>(poses.n_keypoints) * long_offsets.cells();
  const int places = n_images > 0 ? height + width : 0, slots = n_images * poses.max_poses;
  const std::size_t items = pairs + static_cast<std::size_t>(places) + static_cast<std::size_t>(slots);
  launch(prepare, dim3(blocks_for(items)), dim3(kBlock), stream, long_offsets, short_offsets, poses, scratch, slots,
         places, pairs, height, width, options.distance_threshold, options.exclusive);
}

}  // namespace cuda
}  // namespace personlab

// What mask association and mask scores work on, for a batch of N images in device memory.
#pragma once

#include <cstddef>

#include "base/field.cuh"
#include "methods/personlab/masks/points.hpp"
#include "personlab/options.hpp"

namespace personlab {
namespace cuda {

// Poses of a batch in the rows of one array; the host need not know `counts`.
struct PoseBatch {
  const float* keypoints;  // (rows, K, 2) input pixels
  const float* weights;    // (rows, K) p_jk
  const float* scores;     // (rows) instance scores
  const int* first;        // (N) row of each image's first pose; null where image n has the rows from n * max_poses on
  const int* counts;       // (N) poses; those past `max_poses` have no rows
  int rows;
  int max_poses;  // of an image
  int n_keypoints;

  __device__ int count(int image) const { return counts[image] < max_poses ? counts[image] : max_poses; }
  __device__ std::size_t first_row(int image) const {
    return first != nullptr ? static_cast<std::size_t>(first[image])
                            : static_cast<std::size_t>(image) * static_cast<std::size_t>(max_poses);
  }
};

// An offset, dx and dy in one read.
struct alignas(8) OffsetPair {
  float dx, dy;  // input pixels
};

// A keypoint of a pose as pixels need it, in one read.
struct alignas(16) MaskTarget {
  float x, y;    // input pixels
  float weight;  // p_jk
  float reach;   // of the pose: the weighted sum of distances up to which a pixel belongs; -1 for no pixel
};

// The place of pixel p on a field, of the W + H pixels of both axes, along x first.
inline __device__ PixelPlace place_on(const DeviceField& field, int height, int width, int p) {
  return p < width ? place_pixel(p, width, field.width, field.stride)
                   : place_pixel(p - width, height, field.height, field.stride);
}

struct DeviceMaskScratch {
  int at_once;                           // images whose offsets fit
  OffsetPair *long_pairs, *short_pairs;  // (at_once, K, h, w)
  int* order;                            // (rows) poses of each image; where they exclude each other, by their scores
  MaskTarget* targets;                   // (rows, K) in this order, as the next two
  float* unit;                           // (rows) lambda_j sum_k p_jk
  float* scores;                         // (rows)
  PixelPlace* places;                    // (W + H) along x, then along y

  DeviceMaskScratch(Arena& arena, const PoseBatch& poses, const DeviceField& long_offsets, bool with_short, int height,
                    int width);
};

// Queues what pixels read: the interleaved offsets of a round of images and, in the first round, targets of the poses
// of all images and places of pixels.
void prepare_masks(const DeviceField& long_offsets,   // of the round
                   const DeviceField& short_offsets,  // likewise, or empty
                   const PoseBatch& poses,
                   int n_images,           // N in the first round, else 0
                   int height, int width,  // of the images
                   const MaskOptions& options, cudaStream_t stream, const DeviceMaskScratch& scratch);

struct MaskScoreScratch {
  PixelPlace* places;                  // (W + H) along x, then along y
  unsigned long long *total, *pixels;  // (rows) person probability of each mask in fixed point, and its size

  MaskScoreScratch(Arena& arena, int rows, int height, int width);
};

}  // namespace cuda
}  // namespace personlab

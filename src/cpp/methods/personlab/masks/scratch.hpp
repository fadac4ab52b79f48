// Memory that mask association works in: owned by the caller, kept from call to call.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "methods/personlab/kernels.hpp"
#include "methods/personlab/masks/mask_sum.hpp"

namespace personlab {

// Pixels of an image, or none.
struct PixelBox {
  int x0 = 0, y0 = 0, x1 = 0, y1 = 0;  // half-open

  bool empty() const { return x0 >= x1 || y0 >= y1; }
  PixelBox with(const PixelBox& other) const {  // the smallest that holds both, neither empty
    return {std::min(x0, other.x0), std::min(y0, other.y0), std::max(x1, other.x1), std::max(y1, other.y1)};
  }
};

// Rows of person probabilities: logits between the columns of two rows of cells, and the probabilities of pixels
// between them.
struct PersonRows {
  std::vector<float> upper, lower;         // (W, in whole registers)
  std::vector<std::uint32_t> probability;  // likewise, in units of 2^-24
};

// Working memory of one thread of mask association: blocks of pixels between four cells, in strips from left to right.
struct MaskScratch {
  int row0, y0;                          // first block row and first pixel row of the strip
  std::vector<std::uint8_t> foreground;  // (strip's pixel rows, W)
  std::vector<PixelBox> extents;         // (strip's block rows, blocks) of the foreground in each block
  std::vector<std::int32_t> poses;       // lists of those that may reach a region; the current one is last
  std::vector<float> lower, upper;       // (P) bounds of the weighted distance of all pixels of the region
  std::vector<DistanceBounds> bounds;    // (P, groups) the same for each keypoint
  std::vector<float> gap;                // (groups, lanes) between these bounds, of the poses left
  std::vector<std::int32_t> wide;        // keypoints that are bounded again in a part of a region

  // Bounds of a region, which hold in each of its parts.
  struct Level {
    std::vector<Boxes> boxes;         // (groups) of G_k
    std::vector<std::int32_t> loose;  // keypoints whose boxes leave the poses open
  };
  std::vector<Level> levels;  // one for each size of regions, largest first

  // Boxes of some keypoints on their way from a region's pixels.
  struct MovingBoxes {
    std::vector<std::int32_t> keypoints;
    std::vector<Boxes> boxes;
  };
  MovingBoxes moving;

  // For a block and its m poses.
  std::vector<std::int32_t> rank;   // (K) bits of gaps
  std::vector<std::int32_t> order;  // (K) of keypoints, largest gap between the bounds first
  std::vector<Target> targets;      // (K, m) in that order

  // For a chunk of the block's undecided foreground pixels.
  std::size_t pixel[kPointChunk];  // index in the image
  PointChunk start{}, points{};    // in [0, 1] of the block, and G_k in input pixels
  std::vector<PointSums> sums;     // (m) weighted distances
  std::vector<PointBits> bits;     // (m)
  std::vector<std::int32_t> open;  // poses that some pixels are undecided for

  std::vector<PixelBox> claims;  // (P) the pixels of the strip that may be assigned to each pose

  // For mask scores.
  PersonRows person;
  std::vector<MaskSum> mask_sums;  // (P) of all strips so far
};

// An image's pixels along one axis, placed over the grid.
struct PixelAxis {
  std::vector<std::int32_t> first;  // (blocks + 1): pixels from cell b to cell b + 1
  std::vector<float> t;             // (pixels) in [0, 1] from cell b
  std::vector<float> position;      // (pixels) in input pixels
};

struct MaskBuffers {
  PixelAxis x, y;
  std::vector<float> long_pairs, short_pairs;  // (K, h, w, 2) dx and dy side by side
  std::vector<float> segmentation;             // (h, w) where it is not float32
  std::vector<MaskScratch> workers;
};

}  // namespace personlab

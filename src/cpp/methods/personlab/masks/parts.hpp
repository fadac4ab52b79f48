// Data that the parts of mask association share: fields and poses in the form that kernels read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/types.hpp"
#include "methods/personlab/kernels.hpp"
#include "methods/personlab/stages.hpp"

namespace personlab {

constexpr float kMaskMargin = 1e-3F;  // relative: bounds decide only where no rounding could differ

// Positions that the offsets of cells lead to, input pixels: x + dx, y + dy as pairs, so that one cell is one read. A
// grid one cell wide or high is doubled, so that every site has four cells.
struct PairGrid {
  Pairs first;    // those of keypoint 0, the others behind it
  float largest;  // magnitude of an offset; NaN or infinite where any is
  const Field* field;

  // Whether all offsets are finite, and no point can overflow float32 in as many steps as options allow.
  bool is_bounded() const { return largest <= 1e34F; }
  std::ptrdiff_t plane_size() const { return static_cast<std::ptrdiff_t>(first.h) * first.w * 2; }
  Pairs plane(int k) const {
    Pairs pairs = first;
    pairs.data += k * plane_size();
    return pairs;
  }
};

PairGrid make_pairs(const Field& field, int threads, std::vector<float>& pairs);

// Poses as kernels read them, and their reach.
struct MaskPoses {
  int count, n_keypoints, groups;
  const float* scores;           // (P)
  std::vector<Targets> targets;  // (P, groups)
  std::vector<float> unit;       // (P) lambda_j sum_k p_jk
  std::vector<float> radius;     // (P) their mean up to which a pixel belongs, input pixels
  std::vector<float> reach;      // (P) the weighted sum of distances up to which a pixel belongs; -1 for no pixel

  MaskPoses(const PoseArrays& poses, float threshold);
};

// Places the pixels of an image's axis over a grid, corner pixel on corner pixel.
void place_pixels(int pixels, int cells, int stride, PixelAxis& axis);

// A field of float32 elements: itself, or converted into `room`.
Field as_floats(const Field& field, std::vector<float>& room);

// Adds to the sums (P) the person probability of those pixels of the masks (P, H, W) that lie in the boxes `claims`
// (P).
void add_probabilities(const Field& segmentation,  // float32
                       const PixelAxis& x, const PixelAxis& y, const std::uint8_t* masks,
                       const std::vector<PixelBox>& claims, PersonRows& rows, std::vector<MaskSum>& sums);

// Sets the sums of all workers to 0.
void start_sums(int n_poses, std::vector<MaskScratch>& workers);

// Mask scores (P) from the sums of all workers.
void finish_scores(const std::vector<MaskScratch>& workers, const float* scores, int n_poses, float power,
                   float* mask_scores);

// The masks of one image.
struct MaskTask {
  const MaskPoses& poses;
  const PairGrid& long_pairs;
  const PairGrid* short_pairs;  // or null
  const MaskOptions& options;
  const PixelAxis& x;
  const PixelAxis& y;
  std::uint8_t* masks;  // (P, H, W)
  bool clear;           // whether they are zero on entry
  bool scored;          // whether mask scores are wanted

  std::size_t width() const { return x.t.size(); }
  std::size_t area() const { return x.t.size() * y.t.size(); }
  std::size_t groups() const { return static_cast<std::size_t>(poses.groups); }
};

// Assigns the foreground `box` of the block at (row, column) to the poses listed from `from` on, pixel by pixel, from
// the bounds and gaps of these poses.
void follow_pixels(const MaskTask& task, const PixelBox& box, int row, int column, std::size_t from,
                   MaskScratch& scratch);

}  // namespace personlab

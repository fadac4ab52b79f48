// Mask scores: instance score times the mean person probability over the mask to a power.
//
// Pixels read the segmentation exactly as the foreground is decided: the mean of a mask is that of the probabilities
// that were compared with the mask threshold.
#include <algorithm>

#include "base/parallel.hpp"
#include "base/sampling.hpp"
#include "methods/personlab/masks/parts.hpp"

namespace personlab {
namespace {

constexpr int kRows = 64;  // pixel rows of masks that are scored at a time

// The block between two cells in which a pixel lies.
int block_of(const PixelAxis& axis, int pixel) {
  return static_cast<int>(std::upper_bound(axis.first.begin(), axis.first.end(), pixel) - axis.first.begin()) - 1;
}

// Calls work(column, first, last) for each block that some of the pixels from x0 to x1 lie in, with these pixels.
template <typename Work>
void for_each_block(const PixelAxis& x, int x0, int x1, const Work& work) {
  for (int pixel = x0, column = block_of(x, x0); pixel < x1; ++column) {
    const int last = std::min(x.first[static_cast<std::size_t>(column) + 1], x1);
    if (pixel < last) work(column, pixel, last);
    pixel = std::max(pixel, last);
  }
}

// Person probabilities of one row of blocks, row by row of pixels.
class PersonBlocks {
 public:
  PersonBlocks(const Field& segmentation, const PixelAxis& x, int row, int x0, int x1, PersonRows& rows)
      : x_(x), x0_(x0), x1_(x1), right_(segmentation.width > 1 ? 1 : 0), rows_(rows) {
    upper_ = segmentation.plane(0) + static_cast<std::ptrdiff_t>(row) * segmentation.width;
    lower_ = upper_ + (segmentation.height > 1 ? segmentation.width : 0);
    stretch(upper_, rows.upper.data());
    stretch(lower_, rows.lower.data());
  }

  // Probabilities in fixed point at the pixels from x0 to x1, t of the way from the upper to the lower cells.
  const std::uint32_t* read(float t) const {
    std::uint32_t* to = rows_.probability.data();
    const int n = (x1_ - x0_ + kMaxLanes - 1) / kMaxLanes * kMaxLanes;
    if (!kernels().read_person_probabilities(rows_.upper.data() + x0_, rows_.lower.data() + x0_, t, n, to + x0_))
      read_nonfinite(t, to);
    return to;
  }

 private:
  void stretch(const float* cells, float* to) const {
    for_each_block(x_, x0_, x1_, [&](int column, int first, int last) {
      const float left = cells[column], right = cells[column + right_];
      for (int x = first; x < last; ++x) {
        const float t = x_.t[static_cast<std::size_t>(x)];
        to[x] = (1.0F - t) * left + t * right;
      }
    });
  }

  // The same where logits are not finite; NaN reads as probability 0.
  void read_nonfinite(float t, std::uint32_t* to) const {
    for_each_block(x_, x0_, x1_, [&](int column, int first, int last) {
      for (int x = first; x < last; ++x) {
        const float logit = lerp2(upper_[column], upper_[column + right_], lower_[column], lower_[column + right_],
                                  x_.t[static_cast<std::size_t>(x)], t);
        to[x] = logit == logit ? static_cast<std::uint32_t>(sigmoid(logit) * kPersonUnit) : 0;
      }
    });
  }

  const PixelAxis& x_;
  int x0_, x1_, right_;
  const float *upper_, *lower_;  // rows of cells
  PersonRows& rows_;
};

}  // namespace

void add_probabilities(const Field& segmentation, const PixelAxis& x, const PixelAxis& y, const std::uint8_t* masks,
                       const std::vector<PixelBox>& claims, PersonRows& rows, std::vector<MaskSum>& sums) {
  PixelBox all;
  for (const PixelBox& box : claims)
    if (!box.empty()) all = all.empty() ? box : all.with(box);
  if (all.empty()) return;
  const std::size_t width = x.t.size(), height = y.t.size(), room = width + kMaxLanes;
  rows.upper.resize(room);
  rows.lower.resize(room);
  rows.probability.resize(room);
  for (int row = block_of(y, all.y0), pixel_row = all.y0; pixel_row < all.y1; ++row) {
    const int last = std::min(y.first[static_cast<std::size_t>(row) + 1], all.y1);
    if (pixel_row >= last) continue;
    const PersonBlocks blocks(segmentation, x, row, all.x0, all.x1, rows);
    for (; pixel_row < last; ++pixel_row) {
      const auto line = static_cast<std::size_t>(pixel_row);
      const std::uint32_t* probability = blocks.read(y.t[line]);
      for (std::size_t j = 0; j < claims.size(); ++j) {
        const PixelBox& box = claims[j];
        if (pixel_row < box.y0 || pixel_row >= box.y1) continue;
        const std::uint8_t* mask = masks + (j * height + line) * width;
        kernels().sum_masked(mask + box.x0, probability + box.x0, box.x1 - box.x0, sums[j].total, sums[j].pixels);
      }
    }
  }
}

void start_sums(int n_poses, std::vector<MaskScratch>& workers) {
  for (MaskScratch& worker : workers) worker.mask_sums.assign(static_cast<std::size_t>(n_poses), MaskSum{});
}

void finish_scores(const std::vector<MaskScratch>& workers, const float* scores, int n_poses, float power,
                   float* mask_scores) {
  for (std::size_t j = 0; j < static_cast<std::size_t>(n_poses); ++j) {
    MaskSum all;
    for (const MaskScratch& worker : workers) {
      all.total += worker.mask_sums[j].total;
      all.pixels += worker.mask_sums[j].pixels;
    }
    mask_scores[j] = mask_score(scores[j], all, power);
  }
}

void score_masks(const std::uint8_t* masks, const float* scores, int n_poses, const Field& segmentation, int height,
                 int width, const MaskOptions& options, float* mask_scores, MaskBuffers& scratch) {
  std::fill_n(mask_scores, n_poses, 0.0F);
  if (n_poses == 0 || segmentation.cells() == 0 || height == 0 || width == 0) return;
  place_pixels(width, segmentation.width, segmentation.stride, scratch.x);
  place_pixels(height, segmentation.height, segmentation.stride, scratch.y);
  const Field field = as_floats(segmentation, scratch.segmentation);
  const int pieces = (height + kRows - 1) / kRows;
  scratch.workers.resize(static_cast<std::size_t>(std::max(1, std::min(options.threads, pieces))));
  start_sums(n_poses, scratch.workers);
  parallel_for(pieces, options.threads, [&](int piece, int worker) {
    MaskScratch& own = scratch.workers[static_cast<std::size_t>(worker)];
    const PixelBox rows{0, piece * kRows, width, std::min((piece + 1) * kRows, height)};
    own.claims.assign(static_cast<std::size_t>(n_poses), rows);
    add_probabilities(field, scratch.x, scratch.y, masks, own.claims, own.person, own.mask_sums);
  });
  finish_scores(scratch.workers, scores, n_poses, options.score_power, mask_scores);
}

}  // namespace personlab

// Mask association: each foreground pixel goes to the poses whose keypoints its refined long offsets point at.
//
// The picture is walked in blocks, the pixels between four neighbouring cells. Background is passed over by looking at four
// logits; a block's points are followed together, and the box they end up in decides most poses for all of its pixels.
#include <algorithm>
#include <cmath>
#include <limits>

#include "float4.hpp"
#include "kernels.hpp"
#include "parallel.hpp"
#include "sampling.hpp"
#include "stages.hpp"

namespace personlab {
namespace {

constexpr float kFarthest = 1048576.0F;  // input pixels: farther than any picture reaches
constexpr float kMargin = 1e-3F;  // relative: bounds decide only where no rounding could differ

// Two offset planes as pairs, so that one cell is one read; a grid one cell wide or high is doubled, so that every site has
// four cells.
struct PairGrid {
  const float* pairs;  // (K, h, w, 2)
  int h, w, stride;
  bool finite;  // no non-finite value anywhere
  const Field* field;

  const float* plane(int k) const { return pairs + static_cast<std::ptrdiff_t>(k) * h * w * 2; }
};

PairGrid make_pairs(const Field& field, int threads, std::vector<float>& pairs) {
  const int h = std::max(field.height, 2), w = std::max(field.width, 2), count = field.planes / 2;
  pairs.resize(static_cast<std::size_t>(count) * static_cast<std::size_t>(h) * static_cast<std::size_t>(w) * 2);
  std::vector<std::uint8_t> finite(static_cast<std::size_t>(count), 1);
  parallel_for(count, threads, [&](int k, int) {
    const float* dx = field.plane(2 * k);
    const float* dy = field.plane(2 * k + 1);
    float* out = pairs.data() + static_cast<std::ptrdiff_t>(k) * h * w * 2;
    float nothing = 0.0F;  // stays 0 while all values are finite
    for (int i = 0; i < h; ++i) {
      const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(std::min(i, field.height - 1)) * field.width;
      for (int j = 0; j < w; ++j, out += 2) {
        const std::ptrdiff_t cell = row + std::min(j, field.width - 1);
        out[0] = dx[cell];
        out[1] = dy[cell];
        nothing += (out[0] - out[0]) + (out[1] - out[1]);
      }
    }
    finite[static_cast<std::size_t>(k)] = nothing == 0.0F ? 1 : 0;
  });
  const bool all = std::find(finite.begin(), finite.end(), 0) == finite.end();
  return {pairs.data(), h, w, field.stride, all, &field};
}

// G += field(G) for n points (x, y), whole groups of them.
void follow(const PairGrid& grid, int k, int n, float* points) {
  if (grid.finite) {
    kernels().follow({grid.plane(k), grid.h, grid.w, 1.0F / static_cast<float>(grid.stride)}, n, points);
    return;
  }
  const Field& field = *grid.field;
  for (int i = 0; i < n; ++i, points += 2) {
    const Offset<float> offset =
        read_offset(field.plane(2 * k), field.plane(2 * k + 1),
                    site_at(points[0], points[1], field.height, field.width, field.stride));
    points[0] += offset.dx;
    points[1] += offset.dy;
  }
}

// The box of n points (x, y), n even.
MaskScratch::Box bounds(int n, const float* points) {
  Float4 low = load4(points), high = low;
  for (int i = 2; i < n; i += 2) {
    const Float4 at = load4(points + static_cast<std::ptrdiff_t>(2) * i);
    low = at_most(at, low);
    high = at_least(at, high);
  }
  return {std::min(low[0], low[2]), std::min(low[1], low[3]), std::max(high[0], high[2]), std::max(high[1], high[3])};
}

void place_pixels(int pixels, int cells, int stride, PixelAxis& axis) {
  const int blocks = std::max(cells - 1, 1);
  axis.first.assign(static_cast<std::size_t>(blocks) + 1, pixels);
  axis.t.resize(static_cast<std::size_t>(pixels));
  axis.position.resize(static_cast<std::size_t>(pixels));
  const double extent = static_cast<double>((cells - 1) * stride);
  int block = -1;
  for (int p = 0; p < pixels; ++p) {
    const double position = p * extent / std::max(pixels - 1, 1);
    const int b = std::min(static_cast<int>(position / stride), blocks - 1);
    while (block < b) axis.first[static_cast<std::size_t>(++block)] = p;
    axis.t[static_cast<std::size_t>(p)] = static_cast<float>(position / stride - b);
    axis.position[static_cast<std::size_t>(p)] = static_cast<float>(position);
  }
}

// A distance times its weight; one of weight zero has no say, be it infinite.
float weighed(float weight, float dx, float dy) { return weight == 0.0F ? 0.0F : weight * std::sqrt(dx * dx + dy * dy); }

class Associator {
 public:
  Associator(const float* keypoints, const float* weights, int n_poses, int n_keypoints, const Field& segmentation,
             const PairGrid& long_pairs, const PairGrid* short_pairs, const MaskOptions& options)
      : keypoints_(keypoints),
        weights_(weights),
        n_poses_(n_poses),
        n_keypoints_(n_keypoints),
        segmentation_(segmentation),
        long_(long_pairs),
        short_(short_pairs),
        options_(options) {
    const double t = options.mask_threshold;
    lowest_ = static_cast<float>(std::log(t) - std::log1p(-t));
    for (int j = 0; j < n_poses; ++j) {
      double total = 0.0;
      bool sound = true;
      for (int k = 0; k < n_keypoints; ++k) {
        total += static_cast<double>(weight(j, k));
        sound = sound && weight(j, k) >= 0.0F && std::abs(pose(j)[2 * k]) <= kFarthest &&
                std::abs(pose(j)[2 * k + 1]) <= kFarthest;
      }
      const double unit = pose_size(pose(j), n_keypoints) * total;
      unit_.push_back(static_cast<float>(unit));
      // A pose that lies nowhere, or has no weight, owns nothing.
      sound = sound && total > 0.0 && is_finite(total);
      reach_.push_back(sound ? static_cast<float>(unit * static_cast<double>(options.distance_threshold)) : -1.0F);
    }
  }

  // The pixels that lie between the cells of one block.
  void block(int block_row, int block_column, const PixelAxis& x, const PixelAxis& y, std::uint8_t* masks,
             MaskScratch& scratch) const {
    find_foreground(block_row, block_column, x, y, scratch);
    if (scratch.pixel.empty()) return;
    follow_all(scratch);
    const std::size_t area = x.t.size() * y.t.size();
    // A pose alone in reach, and in reach of every pixel, needs no distances.
    const bool alone = !options_.exclusive || scratch.possible.size() == 1;
    std::size_t open = 0;
    for (const std::int32_t j : scratch.possible) {
      if (alone && owns_all(j, scratch)) {
        for (const std::size_t pixel : scratch.pixel) masks[static_cast<std::size_t>(j) * area + pixel] = 1;
      } else {
        scratch.possible[open++] = j;
      }
    }
    scratch.possible.resize(open);
    measure(scratch);
    for (std::size_t i = 0; i < scratch.pixel.size() && open > 0; ++i) give(i, area, masks, scratch);
  }

 private:
  const float* pose(int j) const { return keypoints_ + static_cast<std::ptrdiff_t>(j) * 2 * n_keypoints_; }
  float weight(int j, int k) const { return weights_[static_cast<std::ptrdiff_t>(j) * n_keypoints_ + k]; }

  // Lists the block's foreground pixels.
  void find_foreground(int block_row, int block_column, const PixelAxis& x, const PixelAxis& y,
                       MaskScratch& scratch) const {
    scratch.pixel.clear();
    scratch.start.clear();
    const auto bx = static_cast<std::size_t>(block_column), by = static_cast<std::size_t>(block_row);
    const int w = segmentation_.width, right = w > 1 ? 1 : 0, below = segmentation_.height > 1 ? w : 0;
    const float* corner = segmentation_.data + static_cast<std::ptrdiff_t>(block_row) * w + block_column;
    const float a = corner[0], b = corner[right], c = corner[below], d = corner[below + right];
    if (!(a >= lowest_ || b >= lowest_ || c >= lowest_ || d >= lowest_)) return;
    for (auto row = static_cast<std::size_t>(y.first[by]); row < static_cast<std::size_t>(y.first[by + 1]); ++row) {
      for (auto column = static_cast<std::size_t>(x.first[bx]); column < static_cast<std::size_t>(x.first[bx + 1]);
           ++column) {
        if (!(lerp2(a, b, c, d, x.t[column], y.t[row]) >= lowest_)) continue;
        scratch.pixel.push_back(row * x.t.size() + column);
        scratch.start.push_back(x.position[column]);
        scratch.start.push_back(y.position[row]);
      }
    }
    while (scratch.start.size() % (2 * kPointGroup) != 0)  // the last point again and again
      scratch.start.push_back(*(scratch.start.end() - 2));
  }

  // Follows the offsets of the listed pixels for one keypoint after another, until no pose can be reached by any of them.
  void follow_all(MaskScratch& scratch) const {
    const std::size_t values = scratch.start.size();
    if (scratch.points.size() < values * static_cast<std::size_t>(n_keypoints_))
      scratch.points.resize(values * static_cast<std::size_t>(n_keypoints_));
    scratch.boxes.resize(static_cast<std::size_t>(n_keypoints_));
    scratch.possible.clear();
    scratch.nearest.assign(static_cast<std::size_t>(n_poses_), 0.0F);
    for (int j = 0; j < n_poses_; ++j)
      if (reach_[static_cast<std::size_t>(j)] >= 0.0F) scratch.possible.push_back(j);
    const int n = static_cast<int>(values / 2);
    for (int k = 0; k < n_keypoints_ && !scratch.possible.empty(); ++k) {
      float* points = scratch.points.data() + static_cast<std::size_t>(k) * values;
      std::copy(scratch.start.begin(), scratch.start.end(), points);
      for (int step = 0; step <= options_.long_refine_steps; ++step) follow(long_, k, n, points);
      if (short_ != nullptr)
        for (int step = 0; step < options_.short_refine_steps; ++step) follow(*short_, k, n, points);
      drop_unreachable(k, bounds(n, points), scratch);
    }
  }

  // Adds to each pose's bound its distance to the box of the points for keypoint k, which no point is nearer than, and
  // drops the poses whose bound is out of reach for all pixels.
  void drop_unreachable(int k, const MaskScratch::Box& box, MaskScratch& scratch) const {
    scratch.boxes[static_cast<std::size_t>(k)] = box;
    std::size_t kept = 0;
    for (const std::int32_t j : scratch.possible) {
      const float x = pose(j)[2 * k], y = pose(j)[2 * k + 1];
      const float dx = x < box.x0 ? box.x0 - x : (x > box.x1 ? x - box.x1 : 0.0F);
      const float dy = y < box.y0 ? box.y0 - y : (y > box.y1 ? y - box.y1 : 0.0F);
      float& bound = scratch.nearest[static_cast<std::size_t>(j)];
      bound += weighed(weight(j, k), dx, dy);
      if (!(bound * (1.0F - kMargin) > reach_[static_cast<std::size_t>(j)])) scratch.possible[kept++] = j;
    }
    scratch.possible.resize(kept);
  }

  // Whether even points at the far corners of all boxes would belong to pose j.
  bool owns_all(int j, const MaskScratch& scratch) const {
    float bound = 0.0F;
    for (int k = 0; k < n_keypoints_; ++k) {
      const MaskScratch::Box& box = scratch.boxes[static_cast<std::size_t>(k)];
      const float x = pose(j)[2 * k], y = pose(j)[2 * k + 1];
      const float dx = std::max(std::abs(x - box.x0), std::abs(x - box.x1));
      const float dy = std::max(std::abs(y - box.y0), std::abs(y - box.y1));
      bound += weighed(weight(j, k), dx, dy);
    }
    return bound * (1.0F + kMargin) <= reach_[static_cast<std::size_t>(j)];
  }

  // Sums the weighted distances of the listed pixels to the poses left.
  void measure(MaskScratch& scratch) const {
    const std::size_t n = scratch.pixel.size(), values = scratch.start.size();
    scratch.distance.assign(scratch.possible.size() * n, 0.0F);
    for (std::size_t a = 0; a < scratch.possible.size(); ++a) {
      const int j = scratch.possible[a];
      float* __restrict distance = scratch.distance.data() + a * n;
      for (int k = 0; k < n_keypoints_; ++k) {
        const float* points = scratch.points.data() + static_cast<std::size_t>(k) * values;
        const float x = pose(j)[2 * k], y = pose(j)[2 * k + 1], p = weight(j, k);
        if (p == 0.0F) continue;
        for (std::size_t i = 0; i < n; ++i) {
          const float dx = points[2 * i] - x, dy = points[2 * i + 1] - y;
          distance[i] += p * std::sqrt(dx * dx + dy * dy);
        }
      }
    }
  }

  // Gives one listed pixel to the poses left that it belongs to.
  void give(std::size_t i, std::size_t area, std::uint8_t* masks, const MaskScratch& scratch) const {
    int owner = -1;
    float least = std::numeric_limits<float>::infinity();
    for (std::size_t a = 0; a < scratch.possible.size(); ++a) {
      const auto j = static_cast<std::size_t>(scratch.possible[a]);
      const float distance = scratch.distance[a * scratch.pixel.size() + i];
      if (!(distance <= reach_[j])) continue;
      if (!options_.exclusive) {
        masks[j * area + scratch.pixel[i]] = 1;
      } else if (owner < 0 || distance / unit_[j] < least) {
        owner = static_cast<int>(j);
        least = distance / unit_[j];
      }
    }
    if (owner >= 0) masks[static_cast<std::size_t>(owner) * area + scratch.pixel[i]] = 1;
  }

  const float* keypoints_;
  const float* weights_;
  int n_poses_, n_keypoints_;
  const Field& segmentation_;
  const PairGrid& long_;
  const PairGrid* short_;
  const MaskOptions& options_;
  float lowest_;               // logit of the mask threshold
  std::vector<float> unit_;   // (P) lambda_j sum_k p_jk
  std::vector<float> reach_;  // (P) the weighted sum of distances up to which a pixel belongs; -1 for no pixel
};

}  // namespace

void associate_pixels(const float* keypoints, const float* weights, int n_poses, int n_keypoints,
                      const Field& segmentation, const Field& long_offsets, const Field* short_offsets, int height,
                      int width, const MaskOptions& options, std::uint8_t* masks, MaskBuffers& scratch) {
  if (n_poses == 0 || n_keypoints == 0 || segmentation.cells() == 0 || height == 0 || width == 0) return;
  const PairGrid long_pairs = make_pairs(long_offsets, options.threads, scratch.long_pairs);
  PairGrid short_pairs{};
  const bool refine_short = short_offsets != nullptr && options.short_refine_steps > 0;
  if (refine_short) short_pairs = make_pairs(*short_offsets, options.threads, scratch.short_pairs);
  place_pixels(width, segmentation.width, segmentation.stride, scratch.x);
  place_pixels(height, segmentation.height, segmentation.stride, scratch.y);
  const Associator associate(keypoints, weights, n_poses, n_keypoints, segmentation, long_pairs,
                             refine_short ? &short_pairs : nullptr, options);
  const int block_rows = std::max(segmentation.height - 1, 1), block_columns = std::max(segmentation.width - 1, 1);
  scratch.workers.resize(static_cast<std::size_t>(std::max(1, std::min(options.threads, block_rows))));
  parallel_for(block_rows, options.threads, [&](int row, int worker) {
    for (int column = 0; column < block_columns; ++column)
      associate.block(row, column, scratch.x, scratch.y, masks, scratch.workers[static_cast<std::size_t>(worker)]);
  });
}

}  // namespace personlab

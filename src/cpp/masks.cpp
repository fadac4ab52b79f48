// Mask association: each foreground pixel goes to the poses whose keypoints its refined long offsets point at.
//
// The picture is walked in blocks, the pixels between four neighbouring cells, so that background is passed over by looking
// at four logits, and a pose that can no longer reach any pixel of a block is dropped for that block.
#include <algorithm>
#include <cmath>
#include <limits>

#include "parallel.hpp"
#include "sampling.hpp"
#include "stages.hpp"

namespace personlab {
namespace {

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

// G += field(G) for n points.
void follow(const PairGrid& grid, int k, int n, float* gx, float* gy) {
  if (!grid.finite) {
    const Field& field = *grid.field;
    for (int i = 0; i < n; ++i) {
      const Offset<float> offset =
          read_offset(field.plane(2 * k), field.plane(2 * k + 1),
                      site_at(gx[i], gy[i], field.height, field.width, field.stride));
      gx[i] += offset.dx;
      gy[i] += offset.dy;
    }
    return;
  }
  const float* plane = grid.plane(k);
  const auto inverse = 1.0F / static_cast<float>(grid.stride);
  const auto last_column = static_cast<float>(grid.w - 1), last_row = static_cast<float>(grid.h - 1);
  for (int i = 0; i < n; ++i) {
    const float cx = clamp(gx[i] * inverse, 0.0F, last_column), cy = clamp(gy[i] * inverse, 0.0F, last_row);
    const int column = std::min(static_cast<int>(cx), grid.w - 2), row = std::min(static_cast<int>(cy), grid.h - 2);
    const float tx = cx - static_cast<float>(column), ty = cy - static_cast<float>(row);
    const float* top = plane + (static_cast<std::ptrdiff_t>(row) * grid.w + column) * 2;
    const float* bottom = top + static_cast<std::ptrdiff_t>(grid.w) * 2;
    float mixed[4];  // dx, dy of the left column, dx, dy of the right one
    for (int c = 0; c < 4; ++c) mixed[c] = (1.0F - ty) * top[c] + ty * bottom[c];
    gx[i] += (1.0F - tx) * mixed[0] + tx * mixed[2];
    gy[i] += (1.0F - tx) * mixed[1] + tx * mixed[3];
  }
}

void place_pixels(int pixels, int cells, int stride, PixelAxis& axis) {
  const int blocks = std::max(cells - 1, 1);
  axis.first.assign(static_cast<std::size_t>(blocks) + 1, pixels);
  axis.t.resize(static_cast<std::size_t>(pixels));
  axis.position.resize(static_cast<std::size_t>(pixels));
  const double step = pixels > 1 ? static_cast<double>((cells - 1) * stride) / (pixels - 1) : 0.0;
  int block = -1;
  for (int p = 0; p < pixels; ++p) {
    const double position = p * step;
    const int b = std::min(static_cast<int>(position / stride), blocks - 1);
    while (block < b) axis.first[static_cast<std::size_t>(++block)] = p;
    axis.t[static_cast<std::size_t>(p)] = static_cast<float>(position / stride - b);
    axis.position[static_cast<std::size_t>(p)] = static_cast<float>(position);
  }
}

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
      for (int k = 0; k < n_keypoints; ++k) total += static_cast<double>(weight(j, k));
      const double unit = pose_size(pose(j), n_keypoints) * total;
      unit_.push_back(static_cast<float>(unit));
      // A pose without weight owns nothing.
      reach_.push_back(total > 0.0 ? static_cast<float>(unit * static_cast<double>(options.distance_threshold)) : -1.0F);
    }
  }

  // Pixels columns [c0, c1) of rows [r0, r1), which lie between the cells of one block.
  void block(int block_row, int block_column, const PixelAxis& x, const PixelAxis& y, int width, std::size_t area,
             std::uint8_t* masks, MaskScratch& scratch) const {
    const int n = find_foreground(block_row, block_column, x, y, scratch);
    if (n == 0) return;
    measure(n, scratch);
    if (scratch.possible.empty()) return;
    for (int i = 0; i < n; ++i) {
      const std::size_t pixel = static_cast<std::size_t>(scratch.rows[static_cast<std::size_t>(i)]) * width +
                                static_cast<std::size_t>(scratch.columns[static_cast<std::size_t>(i)]);
      int nearest = -1;
      float nearest_distance = std::numeric_limits<float>::infinity();
      for (std::size_t a = 0; a < scratch.possible.size(); ++a) {
        const auto j = static_cast<std::size_t>(scratch.possible[a]);
        const float distance = scratch.distance[a * static_cast<std::size_t>(n) + static_cast<std::size_t>(i)];
        if (!(distance <= reach_[j])) continue;
        if (!options_.exclusive) {
          masks[j * area + pixel] = 1;
        } else if (nearest < 0 || distance / unit_[j] < nearest_distance) {
          nearest = static_cast<int>(j);
          nearest_distance = distance / unit_[j];
        }
      }
      if (nearest >= 0) masks[static_cast<std::size_t>(nearest) * area + pixel] = 1;
    }
  }

 private:
  const float* pose(int j) const { return keypoints_ + static_cast<std::ptrdiff_t>(j) * 2 * n_keypoints_; }
  float weight(int j, int k) const { return weights_[static_cast<std::ptrdiff_t>(j) * n_keypoints_ + k]; }

  // Lists the block's foreground pixels; returns their number.
  int find_foreground(int block_row, int block_column, const PixelAxis& x, const PixelAxis& y,
                      MaskScratch& scratch) const {
    const auto bx = static_cast<std::size_t>(block_column), by = static_cast<std::size_t>(block_row);
    const int c0 = x.first[bx], c1 = x.first[bx + 1], r0 = y.first[by], r1 = y.first[by + 1];
    if (c0 >= c1 || r0 >= r1) return 0;
    const int w = segmentation_.width, right = w > 1 ? 1 : 0, below = segmentation_.height > 1 ? w : 0;
    const float* corner = segmentation_.data + static_cast<std::ptrdiff_t>(block_row) * w + block_column;
    const float a = corner[0], b = corner[right], c = corner[below], d = corner[below + right];
    if (!(a >= lowest_ || b >= lowest_ || c >= lowest_ || d >= lowest_)) return 0;
    const auto most = static_cast<std::size_t>(c1 - c0) * static_cast<std::size_t>(r1 - r0);
    if (scratch.rows.size() < most) {
      scratch.rows.resize(most);
      scratch.columns.resize(most);
      scratch.pixels.resize(4 * most);
    }
    int n = 0;
    for (int row = r0; row < r1; ++row) {
      const float ty = y.t[static_cast<std::size_t>(row)];
      for (int column = c0; column < c1; ++column) {
        scratch.rows[static_cast<std::size_t>(n)] = row;
        scratch.columns[static_cast<std::size_t>(n)] = column;
        n += static_cast<int>(lerp2(a, b, c, d, x.t[static_cast<std::size_t>(column)], ty) >= lowest_);
      }
    }
    float* px = scratch.pixels.data();
    float* py = px + n;
    for (int i = 0; i < n; ++i) {
      px[i] = x.position[static_cast<std::size_t>(scratch.columns[static_cast<std::size_t>(i)])];
      py[i] = y.position[static_cast<std::size_t>(scratch.rows[static_cast<std::size_t>(i)])];
    }
    return n;
  }

  // Sums the weighted distances of n listed pixels to the poses that may still reach one of them.
  void measure(int n, MaskScratch& scratch) const {
    const auto count = static_cast<std::size_t>(n);
    const float* start = scratch.pixels.data();  // (2, n) x, y
    float* gx = scratch.pixels.data() + 2 * count;
    float* gy = gx + n;
    scratch.possible.clear();
    for (int j = 0; j < n_poses_; ++j)
      if (reach_[static_cast<std::size_t>(j)] >= 0.0F) scratch.possible.push_back(j);
    scratch.distance.assign(scratch.possible.size() * count, 0.0F);
    for (int k = 0; k < n_keypoints_ && !scratch.possible.empty(); ++k) {
      std::copy(start, start + 2 * count, gx);
      for (int step = 0; step <= options_.long_refine_steps; ++step) follow(long_, k, n, gx, gy);
      if (short_ != nullptr)
        for (int step = 0; step < options_.short_refine_steps; ++step) follow(*short_, k, n, gx, gy);
      std::size_t kept = 0;
      for (std::size_t a = 0; a < scratch.possible.size(); ++a) {
        const int j = scratch.possible[a];
        const float x = pose(j)[2 * k], y = pose(j)[2 * k + 1], p = weight(j, k);
        const float* from = scratch.distance.data() + a * count;
        float* to = scratch.distance.data() + kept * count;
        float least = std::numeric_limits<float>::infinity();
        for (int i = 0; i < n; ++i) {
          const float dx = gx[i] - x, dy = gy[i] - y;
          const float distance = from[i] + p * std::sqrt(dx * dx + dy * dy);
          to[i] = distance;
          least = distance < least ? distance : least;
        }
        // Distances only grow, so a pose out of reach everywhere stays out of reach.
        if (least <= reach_[static_cast<std::size_t>(j)]) scratch.possible[kept++] = j;
      }
      scratch.possible.resize(kept);
    }
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
  const std::size_t area = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  scratch.workers.resize(static_cast<std::size_t>(std::max(1, std::min(options.threads, block_rows))));
  parallel_for(block_rows, options.threads, [&](int row, int worker) {
    for (int column = 0; column < block_columns; ++column)
      associate.block(row, column, scratch.x, scratch.y, width, area, masks,
                      scratch.workers[static_cast<std::size_t>(worker)]);
  });
}

}  // namespace personlab

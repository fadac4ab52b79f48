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

// Along one axis of a grid, the cell before each of n points, input pixels, and how far beyond it the point lies.
void place(int n, const float* __restrict points, float inverse_stride, int cells, std::int32_t* __restrict cell,
           float* __restrict t) {
  const auto last = static_cast<float>(cells - 1), last_cell = static_cast<float>(cells - 2);
  for (int i = 0; i < n; ++i) {
    float c = points[i] * inverse_stride;
    c = c > 0.0F ? c : 0.0F;
    c = c < last ? c : last;
    cell[i] = static_cast<std::int32_t>(c < last_cell ? c : last_cell);
    t[i] = c - static_cast<float>(cell[i]);
  }
}

constexpr int kGroup = 32;  // points that are read together where they can be

// G += field(G) for n points.
void follow(const PairGrid& grid, int k, int n, float* __restrict gx, float* __restrict gy, MaskScratch::Sites& sites) {
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
  // First where to read, apart from the reads, so that compilers vectorise it.
  float* __restrict tx = sites.tx.data();
  float* __restrict ty = sites.ty.data();
  std::int32_t* __restrict column = sites.column.data();
  std::int32_t* __restrict row = sites.row.data();
  const float inverse = 1.0F / static_cast<float>(grid.stride);
  place(n, gx, inverse, grid.w, column, tx);
  place(n, gy, inverse, grid.h, row, ty);
  const float* plane = grid.plane(k);
  const std::ptrdiff_t below = static_cast<std::ptrdiff_t>(grid.w) * 2;
  for (int from = 0; from < n; from += kGroup) {
    const int to = std::min(from + kGroup, n);
    // Points gather around the keypoint, so those of a group mostly lie between the same four cells.
    std::int32_t elsewhere = 0;
    for (int i = from; i < to; ++i) elsewhere |= (column[i] ^ column[from]) | (row[i] ^ row[from]);
    if (elsewhere == 0) {
      const float* a = plane + (static_cast<std::ptrdiff_t>(row[from]) * grid.w + column[from]) * 2;
      const float* b = a + below;
      const float ax = a[0], ay = a[1], bx = a[2], by = a[3], cx = b[0], cy = b[1], dx = b[2], dy = b[3];
      for (int i = from; i < to; ++i) {
        const float sx = 1.0F - tx[i], sy = 1.0F - ty[i];
        gx[i] += sy * (sx * ax + tx[i] * bx) + ty[i] * (sx * cx + tx[i] * dx);
        gy[i] += sy * (sx * ay + tx[i] * by) + ty[i] * (sx * cy + tx[i] * dy);
      }
      continue;
    }
    for (int i = from; i < to; ++i) {
      const float sx = 1.0F - tx[i], sy = 1.0F - ty[i];
      const float* a = plane + (static_cast<std::ptrdiff_t>(row[i]) * grid.w + column[i]) * 2;
      const float* b = a + below;
      gx[i] += sy * (sx * a[0] + tx[i] * a[2]) + ty[i] * (sx * b[0] + tx[i] * b[2]);
      gy[i] += sy * (sx * a[1] + tx[i] * a[3]) + ty[i] * (sx * b[1] + tx[i] * b[3]);
    }
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
      scratch.pixels.resize(2 * most);
      scratch.sites.resize(most);
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

  // Sums the weighted distances of n listed pixels to the poses that may reach one of them.
  void measure(int n, MaskScratch& scratch) const {
    const auto count = static_cast<std::size_t>(n);
    const auto points = static_cast<std::size_t>(n_keypoints_) * 2 * count;
    if (scratch.points.size() < points) scratch.points.resize(points);
    scratch.possible.clear();
    scratch.nearest.assign(static_cast<std::size_t>(n_poses_), 0.0F);
    for (int j = 0; j < n_poses_; ++j)
      if (reach_[static_cast<std::size_t>(j)] >= 0.0F) scratch.possible.push_back(j);
    for (int k = 0; k < n_keypoints_ && !scratch.possible.empty(); ++k) {
      float* gx = scratch.points.data() + static_cast<std::size_t>(k) * 2 * count;
      float* gy = gx + n;
      std::copy(scratch.pixels.begin(), scratch.pixels.begin() + 2 * n, gx);
      for (int step = 0; step <= options_.long_refine_steps; ++step) follow(long_, k, n, gx, gy, scratch.sites);
      if (short_ != nullptr)
        for (int step = 0; step < options_.short_refine_steps; ++step) follow(*short_, k, n, gx, gy, scratch.sites);
      drop_unreachable(k, n, gx, gy, scratch);
    }
    scratch.distance.assign(scratch.possible.size() * count, 0.0F);
    for (std::size_t a = 0; a < scratch.possible.size(); ++a) {
      const int j = scratch.possible[a];
      float* distance = scratch.distance.data() + a * count;
      for (int k = 0; k < n_keypoints_; ++k) {
        const float* gx = scratch.points.data() + static_cast<std::size_t>(k) * 2 * count;
        const float* gy = gx + n;
        const float x = pose(j)[2 * k], y = pose(j)[2 * k + 1], p = weight(j, k);
        for (int i = 0; i < n; ++i) {
          const float dx = gx[i] - x, dy = gy[i] - y;
          distance[i] += p * std::sqrt(dx * dx + dy * dy);
        }
      }
    }
  }

  // Adds to each pose's bound its distance to the box of the points for keypoint k, which no point is nearer than, and
  // drops the poses whose bound is out of reach for all pixels.
  void drop_unreachable(int k, int n, const float* gx, const float* gy, MaskScratch& scratch) const {
    float x0 = gx[0], x1 = gx[0], y0 = gy[0], y1 = gy[0];
    for (int i = 1; i < n; ++i) {
      x0 = gx[i] < x0 ? gx[i] : x0;
      x1 = gx[i] > x1 ? gx[i] : x1;
      y0 = gy[i] < y0 ? gy[i] : y0;
      y1 = gy[i] > y1 ? gy[i] : y1;
    }
    std::size_t kept = 0;
    for (const std::int32_t j : scratch.possible) {
      const float x = pose(j)[2 * k], y = pose(j)[2 * k + 1];
      const float dx = x < x0 ? x0 - x : (x > x1 ? x - x1 : 0.0F), dy = y < y0 ? y0 - y : (y > y1 ? y - y1 : 0.0F);
      float& bound = scratch.nearest[static_cast<std::size_t>(j)];
      bound += weight(j, k) * std::sqrt(dx * dx + dy * dy);
      // The margin is wider than all rounding, here and in the distances themselves.
      if (bound <= reach_[static_cast<std::size_t>(j)] * 1.001F) scratch.possible[kept++] = j;
    }
    scratch.possible.resize(kept);
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

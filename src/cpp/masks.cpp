// Mask association: each foreground pixel goes to the poses whose keypoints its refined long offsets point at.
//
// The picture is walked in blocks, the pixels between four neighbouring cells, several of them at once where that will do.
// Boxes that hold the refined offsets of all pixels of a region bound its distances, and so decide most poses for all of
// it. Pixels are followed one by one only in blocks that are left open, and only for the keypoints that decide.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels.hpp"
#include "parallel.hpp"
#include "sampling.hpp"
#include "stages.hpp"

namespace personlab {
namespace {

constexpr int kLevels = 3;  // sizes of regions
constexpr int kPatch = 1 << (kLevels - 1);         // blocks each way of the largest regions
constexpr int kLoose = 2;  // a keypoint leaves much open that leaves half as much open as the average
constexpr float kMargin = 1e-3F;  // relative: bounds decide only where no rounding could differ
constexpr float kUnknown = 8 * kFarthest;

// Where the offsets of cells point, input pixels: position plus offset as pairs, so that one cell is one read. A grid one
// cell wide or high is doubled, so that every site has four cells.
struct PairGrid {
  const float* pairs;  // (K, h, w, 2)
  int h, w, stride;
  float largest;  // magnitude of an offset; NaN or infinite where any is
  const Field* field;

  std::ptrdiff_t plane_size() const { return static_cast<std::ptrdiff_t>(h) * w * 2; }
  Pairs plane(int k) const {
    return {pairs + k * plane_size(), h, w, static_cast<float>(stride), 1.0F / static_cast<float>(stride)};
  }
};

std::int32_t magnitude_bits(float v) {
  std::int32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  return bits & 0x7fffffff;  // in the order of the magnitudes, then infinity, then NaN
}

// Writes one row of pairs; returns the bits of the largest magnitude.
std::int32_t point(const float* dx, const float* dy, int w, int stride, int y, float* out) {
  std::int32_t largest = 0;
  for (int j = 0; j < w; ++j) {
    largest = std::max(largest, std::max(magnitude_bits(dx[j]), magnitude_bits(dy[j])));
    out[2 * j] = static_cast<float>(j * stride) + dx[j];
    out[2 * j + 1] = static_cast<float>(y) + dy[j];
  }
  return largest;
}

PairGrid make_pairs(const Field& field, int threads, std::vector<float>& pairs) {
  const int h = std::max(field.height, 2), w = std::max(field.width, 2), count = field.planes / 2;
  pairs.resize(static_cast<std::size_t>(count) * static_cast<std::size_t>(h) * static_cast<std::size_t>(w) * 2);
  std::vector<std::int32_t> largest(static_cast<std::size_t>(count));
  parallel_for(count, threads, [&](int k, int) {
    float* out = pairs.data() + static_cast<std::ptrdiff_t>(k) * h * w * 2;
    std::int32_t most = 0;
    for (int i = 0; i < h; ++i, out += static_cast<std::ptrdiff_t>(w) * 2) {
      const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(std::min(i, field.height - 1)) * field.width;
      most = std::max(most, point(field.plane(2 * k) + row, field.plane(2 * k + 1) + row, field.width, field.stride,
                                  i * field.stride, out));
      if (field.width < w) {
        out[2] = out[0] + static_cast<float>(field.stride);
        out[3] = out[1];
      }
    }
    largest[static_cast<std::size_t>(k)] = most;
  });
  float most;
  std::memcpy(&most, &*std::max_element(largest.begin(), largest.end()), sizeof most);
  return {pairs.data(), h, w, field.stride, most, &field};
}

// G += field(G) for n points (x, y), whole groups of them.
void follow(const PairGrid& grid, int k, int n, float* points) {
  if (is_finite(grid.largest)) {
    kernels().follow(grid.plane(k), n, points);
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

// The first step for n pixels between the four cells from (column, row) on, given in [0, 1] from that cell.
void follow_inside(const PairGrid& grid, int k, int column, int row, int n, const float* t, float* points) {
  if (is_finite(grid.largest)) {
    kernels().follow_inside(grid.plane(k), column, row, n, t, points);
    return;
  }
  const auto stride = static_cast<float>(grid.stride);
  for (int i = 0; i < n; ++i) {
    points[2 * i] = (static_cast<float>(column) + t[2 * i]) * stride;
    points[2 * i + 1] = (static_cast<float>(row) + t[2 * i + 1]) * stride;
  }
  follow(grid, k, n, points);
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

// Poses as the kernels want them, and how far they reach.
struct MaskPoses {
  int count, n_keypoints, groups;
  std::vector<Targets> targets;  // (P, groups)
  std::vector<float> unit;       // (P) lambda_j sum_k p_jk
  std::vector<float> reach;      // (P) the weighted sum of distances up to which a pixel belongs; -1 for no pixel

  MaskPoses(const float* keypoints, const float* weights, int n_poses, int k_count, float threshold)
      : count(n_poses), n_keypoints(k_count), groups((k_count + kKeypointGroup - 1) / kKeypointGroup) {
    targets.resize(static_cast<std::size_t>(count) * static_cast<std::size_t>(groups), Targets{});
    for (int j = 0; j < count; ++j, keypoints += 2 * k_count, weights += k_count) {
      double total = 0.0;
      bool sound = true;
      for (int k = 0; k < k_count; ++k) {
        total += static_cast<double>(weights[k]);
        sound = sound && weights[k] >= 0.0F && std::abs(keypoints[2 * k]) <= kFarthest &&
                std::abs(keypoints[2 * k + 1]) <= kFarthest;
        Targets& group = targets[static_cast<std::size_t>(j * groups + k / kKeypointGroup)];
        group.x[k % kKeypointGroup] = keypoints[2 * k];
        group.y[k % kKeypointGroup] = keypoints[2 * k + 1];
        group.weight[k % kKeypointGroup] = weights[k];
      }
      const double size = pose_size(keypoints, k_count) * total;
      unit.push_back(static_cast<float>(size));
      // A pose that lies nowhere, or has no weight, owns nothing.
      sound = sound && total > 0.0 && is_finite(total);
      reach.push_back(sound ? static_cast<float>(size * static_cast<double>(threshold)) : -1.0F);
    }
  }

  const Targets& group(std::int32_t j, int g) const { return targets[static_cast<std::size_t>(j * groups + g)]; }
};

float sum(const float* values) {
  static_assert(kKeypointGroup == 8);
  return ((values[0] + values[4]) + (values[2] + values[6])) + ((values[1] + values[5]) + (values[3] + values[7]));
}

class Associator {
 public:
  Associator(const MaskPoses& poses, const Field& segmentation, const PairGrid& long_pairs, const PairGrid* short_pairs,
             const MaskOptions& options, const PixelAxis& x, const PixelAxis& y, std::uint8_t* masks)
      : poses_(poses),
        segmentation_(segmentation),
        long_(long_pairs),
        short_(short_pairs),
        options_(options),
        x_(x),
        y_(y),
        width_(x.t.size()),
        area_(x.t.size() * y.t.size()),
        masks_(masks) {
    const double t = options.mask_threshold;
    lowest_ = static_cast<float>(std::log(t) - std::log1p(-t));
    const auto extent = static_cast<float>(std::max(segmentation.last_x(), segmentation.last_y()));
    const float largest = long_pairs.largest + (short_pairs != nullptr ? short_pairs->largest : 0.0F);
    const auto steps = static_cast<float>(1 + options.long_refine_steps + options.short_refine_steps);
    const float farthest = extent + steps * largest;
    bounded_ = farthest <= kFarthest;
    // A few roundings of a point, and of where it lies between cells times how much they can differ.
    const float cells = extent / static_cast<float>(segmentation.stride);
    slack_ = 0x1p-20F * farthest + 0x1p-22F * cells * (static_cast<float>(segmentation.stride) + 2.0F * largest);
    for (std::int32_t k = 0; k < poses.n_keypoints; ++k) all_.push_back(k);
  }

  int block_rows() const { return static_cast<int>(y_.first.size()) - 1; }
  int block_columns() const { return static_cast<int>(x_.first.size()) - 1; }
  int strips() const { return (block_rows() + kPatch - 1) / kPatch; }

  // The pixels of kPatch rows of blocks.
  void strip(int number, MaskScratch& scratch) const {
    const int first = number * kPatch, last = std::min(first + kPatch, block_rows());
    find_foreground(first, last, scratch);
    scratch.poses.clear();
    for (std::int32_t j = 0; j < poses_.count; ++j)
      if (poses_.reach[static_cast<std::size_t>(j)] >= 0.0F) scratch.poses.push_back(j);
    scratch.lower.resize(static_cast<std::size_t>(poses_.count));
    scratch.upper.resize(static_cast<std::size_t>(poses_.count));
    scratch.bounds.resize(poses_.targets.size());
    scratch.levels.resize(kLevels);
    for (Level& level : scratch.levels) level.boxes.resize(static_cast<std::size_t>(poses_.groups), Boxes{});
    for (int column = 0; column < block_columns(); column += kPatch) settle({0, column, 0}, 0, nullptr, scratch);
  }

 private:
  using Level = MaskScratch::Level;

  // A square of blocks of a strip.
  struct Region {
    int row, column, level;

    int size() const { return kPatch >> level; }
  };

  // Marks the foreground of the block rows from first to last.
  void find_foreground(int first, int last, MaskScratch& scratch) const {
    scratch.row0 = first;
    scratch.y0 = y_.first[static_cast<std::size_t>(first)];
    const int rows = y_.first[static_cast<std::size_t>(last)] - scratch.y0;
    scratch.foreground.assign(static_cast<std::size_t>(rows) * width_, 0);
    scratch.extents.assign(static_cast<std::size_t>(kPatch) * static_cast<std::size_t>(block_columns()), PixelBox{});
    const int w = segmentation_.width, right = w > 1 ? 1 : 0, below = segmentation_.height > 1 ? w : 0;
    auto extent = scratch.extents.begin();
    for (int row = first; row < last; ++row) {
      const float* corner = segmentation_.data + static_cast<std::ptrdiff_t>(row) * w;
      for (int column = 0; column < block_columns(); ++column, ++corner, ++extent) {
        const float logits[4] = {corner[0], corner[right], corner[below], corner[below + right]};
        int cells = 0;
        for (const float logit : logits) cells += logit >= lowest_ ? 1 : 0;
        if (cells > 0) *extent = mark(row, column, logits, cells == 4, scratch);
      }
    }
  }

  // Marks the foreground of one block, all of it or what is; returns its extent.
  PixelBox mark(int row, int column, const float* logits, bool all, MaskScratch& scratch) const {
    const PixelBox block{x_.first[static_cast<std::size_t>(column)], y_.first[static_cast<std::size_t>(row)],
                         x_.first[static_cast<std::size_t>(column) + 1], y_.first[static_cast<std::size_t>(row) + 1]};
    PixelBox found{block.x1, block.y1, block.x0, block.y0};
    for (int y = block.y0; y < block.y1; ++y) {
      std::uint8_t* marks = scratch.foreground.data() + static_cast<std::size_t>(y - scratch.y0) * width_;
      if (all) {
        std::memset(marks + block.x0, 1, static_cast<std::size_t>(block.x1 - block.x0));
        continue;
      }
      for (int x = block.x0; x < block.x1; ++x) {
        if (!(lerp2(logits[0], logits[1], logits[2], logits[3], x_.t[static_cast<std::size_t>(x)],
                    y_.t[static_cast<std::size_t>(y)]) >= lowest_))
          continue;
        marks[x] = 1;
        found = {std::min(found.x0, x), std::min(found.y0, y), std::max(found.x1, x + 1), y + 1};
      }
    }
    return all ? block : found;
  }

  // Gives the pixels of a region to those of the poses listed from `from` on that they belong to.
  void settle(const Region& region, std::size_t from, const Level* around, MaskScratch& scratch) const {
    const std::size_t end = scratch.poses.size();
    int blocks = 0;
    const PixelBox box = extent(region, blocks, scratch);
    if (blocks == 0 || from == end) return;
    const bool divisible = region.size() > 1;
    if (divisible && (blocks == 1 || !bounded_)) {
      divide(region, from, around, scratch);
      return;
    }
    scratch.poses.insert(scratch.poses.end(), scratch.poses.begin() + static_cast<std::ptrdiff_t>(from),
                         scratch.poses.begin() + static_cast<std::ptrdiff_t>(end));
    Level& own = scratch.levels[static_cast<std::size_t>(region.level)];
    if (bounded_) {
      survey(box, end, around, own, scratch);
      take_whole(box, end, scratch);
    } else {
      know_nothing(scratch);
    }
    if (scratch.poses.size() > end) {
      find_gaps(end, scratch);
      if (divisible) {
        find_loose(scratch, own);
        divide(region, end, &own, scratch);
      } else {
        follow_pixels(box, scratch.row0 + region.row, region.column, end, scratch);
      }
    }
    scratch.poses.resize(end);
  }

  void divide(const Region& region, std::size_t from, const Level* around, MaskScratch& scratch) const {
    const int half = region.size() / 2;
    for (int row = region.row; row < region.row + region.size(); row += half)
      for (int column = region.column; column < region.column + region.size(); column += half)
        settle({row, column, region.level + 1}, from, around, scratch);
  }

  // The extent of a region's foreground, and how many blocks have some.
  PixelBox extent(const Region& region, int& blocks, const MaskScratch& scratch) const {
    PixelBox all{std::numeric_limits<int>::max(), std::numeric_limits<int>::max(), 0, 0};
    const int columns = block_columns();
    for (int row = region.row; row < region.row + region.size(); ++row) {
      for (int column = region.column; column < std::min(region.column + region.size(), columns); ++column) {
        const PixelBox& one = scratch.extents[static_cast<std::size_t>(row) * columns + column];
        if (one.empty()) continue;
        ++blocks;
        all = {std::min(all.x0, one.x0), std::min(all.y0, one.y0), std::max(all.x1, one.x1), std::max(all.y1, one.y1)};
      }
    }
    return all;
  }

  // Bounds the weighted distances of all pixels in a box to the poses listed from `from` on, and drops those out of reach.
  // Where something is known of a region around the box, only what is loose there is looked at again.
  void survey(const PixelBox& box, std::size_t from, const Level* around, Level& own, MaskScratch& scratch) const {
    for (std::size_t i = from; i < scratch.poses.size(); ++i) {
      const auto j = static_cast<std::size_t>(scratch.poses[i]);
      scratch.lower[j] = scratch.upper[j] = 0.0F;
    }
    if (around != nullptr) {
      own.boxes = around->boxes;
      for (std::size_t i = 0; i < around->loose.size(); i += kKeypointGroup)
        refine(box, around->loose.data() + i, std::min<std::size_t>(kKeypointGroup, around->loose.size() - i), own);
    }
    const auto lanes = static_cast<std::size_t>(kKeypointGroup);
    for (std::size_t g = 0; g < own.boxes.size() && scratch.poses.size() > from; ++g) {
      if (around == nullptr) refine(box, all_.data() + g * lanes, std::min(lanes, all_.size() - g * lanes), own);
      std::size_t kept = from;
      for (std::size_t i = from; i < scratch.poses.size(); ++i) {
        const auto j = static_cast<std::size_t>(scratch.poses[i]);
        DistanceBounds& bounds = scratch.bounds[j * own.boxes.size() + g];
        kernels().bound(own.boxes[g], poses_.targets[j * own.boxes.size() + g], bounds);
        scratch.lower[j] += sum(bounds.lower);
        scratch.upper[j] += sum(bounds.upper);
        if (!(scratch.lower[j] * (1.0F - kMargin) > poses_.reach[j])) scratch.poses[kept++] = scratch.poses[i];
      }
      scratch.poses.resize(kept);
    }
  }

  // Finds boxes of G_k of all pixels in a box, for up to a group of keypoints.
  void refine(const PixelBox& box, const std::int32_t* keypoints, std::size_t count, Level& own) const {
    const int n = static_cast<int>(count);
    float corners[kKeypointGroup][4];
    for (float* corner : corners) {
      corner[0] = x_.position[static_cast<std::size_t>(box.x0)];
      corner[1] = y_.position[static_cast<std::size_t>(box.y0)];
      corner[2] = x_.position[static_cast<std::size_t>(box.x1) - 1];
      corner[3] = y_.position[static_cast<std::size_t>(box.y1) - 1];
    }
    for (int step = 0; step <= options_.long_refine_steps; ++step)
      kernels().follow_boxes(long_.plane(0), long_.plane_size(), n, keypoints, slack_, corners);
    for (int step = 0; short_ != nullptr && step < options_.short_refine_steps; ++step)
      kernels().follow_boxes(short_->plane(0), short_->plane_size(), n, keypoints, slack_, corners);
    for (int i = 0; i < n; ++i) {
      Boxes& boxes = own.boxes[static_cast<std::size_t>(keypoints[i] / kKeypointGroup)];
      const int lane = keypoints[i] % kKeypointGroup;
      boxes.x0[lane] = corners[i][0];
      boxes.y0[lane] = corners[i][1];
      boxes.x1[lane] = corners[i][2];
      boxes.y1[lane] = corners[i][3];
    }
  }

  static void know_nothing(MaskScratch& scratch) {
    for (DistanceBounds& bounds : scratch.bounds) {
      std::fill(std::begin(bounds.lower), std::end(bounds.lower), 0.0F);
      std::fill(std::begin(bounds.upper), std::end(bounds.upper), kUnknown);
    }
  }

  // How much each keypoint leaves open about the poses listed from `from` on.
  void find_gaps(std::size_t from, MaskScratch& scratch) const {
    scratch.gap.assign(all_.size(), 0.0F);
    for (std::size_t i = from; i < scratch.poses.size(); ++i) {
      const auto j = static_cast<std::size_t>(scratch.poses[i]);
      const float scale = 1.0F / poses_.unit[j];
      for (std::size_t k = 0; k < all_.size(); ++k) {
        const DistanceBounds& bounds = bounds_of(scratch, j, k);
        scratch.gap[k] += (bounds.upper[k % kKeypointGroup] - bounds.lower[k % kKeypointGroup]) * scale;
      }
    }
  }

  const DistanceBounds& bounds_of(const MaskScratch& scratch, std::size_t j, std::size_t k) const {
    return scratch.bounds[j * static_cast<std::size_t>(poses_.groups) + k / kKeypointGroup];
  }

  // Lists the keypoints that leave much open, compared with the others.
  void find_loose(const MaskScratch& scratch, Level& own) const {
    float total = 0.0F;
    for (const float gap : scratch.gap) total += gap;
    const float least = total / static_cast<float>(kLoose * poses_.n_keypoints);
    own.loose.clear();
    for (const std::int32_t k : all_)
      if (scratch.gap[static_cast<std::size_t>(k)] >= least) own.loose.push_back(k);
  }

  // Gives all foreground in a box to the poses listed from `from` on that reach all of it, and drops these. Of poses that
  // exclude each other only one alone can have everything.
  void take_whole(const PixelBox& box, std::size_t from, MaskScratch& scratch) const {
    if (options_.exclusive && scratch.poses.size() > from + 1) return;
    std::size_t kept = from;
    for (std::size_t i = from; i < scratch.poses.size(); ++i) {
      const auto j = static_cast<std::size_t>(scratch.poses[i]);
      if (!(scratch.upper[j] * (1.0F + kMargin) <= poses_.reach[j])) {
        scratch.poses[kept++] = scratch.poses[i];
        continue;
      }
      const std::uint8_t* marks = scratch.foreground.data() + static_cast<std::size_t>(box.y0 - scratch.y0) * width_ + box.x0;
      std::uint8_t* mask = masks_ + j * area_ + static_cast<std::size_t>(box.y0) * width_ + box.x0;
      for (int y = box.y0; y < box.y1; ++y, marks += width_, mask += width_)
        std::memcpy(mask, marks, static_cast<std::size_t>(box.x1 - box.x0));
    }
    scratch.poses.resize(kept);
  }

  // Gives the foreground of one block to the poses listed from `from` on, pixel by pixel, keypoint by keypoint.
  void follow_pixels(const PixelBox& box, int row, int column, std::size_t from, MaskScratch& scratch) const {
    list_pixels(box, scratch);
    order_keypoints(from, scratch);
    const std::size_t poses = scratch.poses.size() - from, pitch = scratch.start.size() / 2;
    scratch.sums.assign(poses * pitch, 0.0F);
    scratch.low.resize(poses);
    std::size_t left = poses;
    for (std::size_t i = 0; i < scratch.order.size() && left > 0 && !scratch.pixel.empty(); ++i) {
      refine_points(scratch.order[i], row, column, scratch);
      scratch.open.assign(scratch.start.size() / 2, 0);
      for (std::size_t a = 0; a < poses; ++a) {
        if (scratch.poses[from + a] < 0 || measure(from, a, i, pitch, scratch)) continue;
        give(from, a, pitch, [](std::size_t) { return true; }, scratch);
        scratch.poses[from + a] = -1;
        --left;
      }
      drop_pixels(from, pitch, scratch);
    }
    if (options_.exclusive) {
      give_to_nearest(from, pitch, scratch);
      return;
    }
    for (std::size_t a = 0; a < poses; ++a) {
      if (scratch.poses[from + a] < 0) continue;
      scratch.low[a] = poses_.reach[static_cast<std::size_t>(scratch.poses[from + a])];
      give(from, a, pitch, [](std::size_t) { return true; }, scratch);
    }
  }

  // Adds the distances for the i-th keypoint to the sums of the a-th pose; returns whether any pixel is undecided.
  bool measure(std::size_t from, std::size_t a, std::size_t i, std::size_t pitch, MaskScratch& scratch) const {
    const std::int32_t pose = scratch.poses[from + a], k = scratch.order[i];
    const Targets& group = poses_.group(pose, k / kKeypointGroup);
    const int lane = k % kKeypointGroup;
    const float reach = poses_.reach[static_cast<std::size_t>(pose)];
    // A sum that is up to `low` can only end up within reach, and one above `high` only out of it.
    const std::size_t rest = a * (scratch.order.size() + 1) + i + 1;
    const float high = reach / (1.0F - kMargin) - scratch.rest_lower[rest];
    scratch.low[a] = options_.exclusive ? -1.0F : reach / (1.0F + kMargin) - scratch.rest_upper[rest];
    return kernels().measure({group.x[lane], group.y[lane], group.weight[lane]}, static_cast<int>(scratch.open.size()),
                             scratch.points.data(), scratch.low[a], high, scratch.sums.data() + a * pitch,
                             scratch.open.data());
  }

  // Gives the a-th pose those of the listed pixels that it is sure of.
  template <typename Which>
  void give(std::size_t from, std::size_t a, std::size_t pitch, const Which& which, const MaskScratch& scratch) const {
    std::uint8_t* mask = masks_ + static_cast<std::size_t>(scratch.poses[from + a]) * area_;
    const float* sums = scratch.sums.data() + a * pitch;
    const std::size_t* pixel = scratch.pixel.data();
    const float low = scratch.low[a];
    const std::size_t n = scratch.pixel.size();
    for (std::size_t i = 0; i < n; ++i) mask[pixel[i]] |= static_cast<std::uint8_t>(which(i) & (sums[i] <= low));
  }

  // Settles the pixels about which no pose is undecided, where that leaves fewer groups of them.
  void drop_pixels(std::size_t from, std::size_t pitch, MaskScratch& scratch) const {
    const std::size_t n = scratch.pixel.size(), poses = scratch.poses.size() - from;
    std::size_t open = 0;
    for (std::size_t i = 0; i < n; ++i) open += scratch.open[i] != 0 ? 1 : 0;
    if (open + kPointGroup > scratch.open.size()) return;
    for (std::size_t a = 0; a < poses; ++a) {
      if (scratch.poses[from + a] < 0) continue;
      give(from, a, pitch, [flags = scratch.open.data()](std::size_t i) { return flags[i] == 0; }, scratch);
      float* sums = scratch.sums.data() + a * pitch;
      keep_open<1>(n, scratch.open.data(), sums);
      if (open > 0) std::fill(sums + open, sums + (open + kPointGroup - 1) / kPointGroup * kPointGroup, sums[open - 1]);
    }
    keep_open<2>(n, scratch.open.data(), scratch.start.data());
    keep_open<1>(n, scratch.open.data(), scratch.pixel.data());
    scratch.pixel.resize(open);
    scratch.start.resize(2 * open);
    fill_group(scratch.start);
  }

  // Moves those of n entries of kWidth values that are open to the front.
  template <int kWidth, typename Value>
  static void keep_open(std::size_t n, const std::int32_t* open, Value* values) {
    Value* to = values;
    for (std::size_t i = 0; i < n; ++i) {
      for (int c = 0; c < kWidth; ++c) to[c] = values[i * kWidth + static_cast<std::size_t>(c)];
      to += open[i] != 0 ? kWidth : 0;
    }
  }

  void list_pixels(const PixelBox& box, MaskScratch& scratch) const {
    const auto most = static_cast<std::size_t>((box.y1 - box.y0) * (box.x1 - box.x0));
    scratch.pixel.resize(most);
    scratch.start.resize(2 * most);
    std::size_t* pixel = scratch.pixel.data();
    float* start = scratch.start.data();
    std::size_t n = 0;
    for (auto y = static_cast<std::size_t>(box.y0); y < static_cast<std::size_t>(box.y1); ++y) {
      const std::uint8_t* marks = scratch.foreground.data() + (y - static_cast<std::size_t>(scratch.y0)) * width_;
      for (auto x = static_cast<std::size_t>(box.x0); x < static_cast<std::size_t>(box.x1); ++x) {
        pixel[n] = y * width_ + x;
        start[2 * n] = x_.t[x];
        start[2 * n + 1] = y_.t[y];
        n += marks[x];
      }
    }
    scratch.pixel.resize(n);
    scratch.start.resize(2 * n);
    fill_group(scratch.start);
  }

  // Makes points whole groups: the last one again and again.
  static void fill_group(std::vector<float>& points) {
    while (points.size() % (2 * kPointGroup) != 0) points.push_back(*(points.end() - 2));
  }

  // Orders the keypoints by how much they leave open, and bounds what those from each on will add to the sums.
  void order_keypoints(std::size_t from, MaskScratch& scratch) const {
    const std::size_t k_count = all_.size(), poses = scratch.poses.size() - from;
    scratch.order.clear();
    for (const std::int32_t k : all_) {  // insertion: few of them, and equal ones stay in place
      std::size_t at = scratch.order.size();
      scratch.order.push_back(k);
      for (; at > 0 && scratch.gap[static_cast<std::size_t>(k)] > scratch.gap[static_cast<std::size_t>(scratch.order[at - 1])]; --at)
        scratch.order[at] = scratch.order[at - 1];
      scratch.order[at] = k;
    }
    scratch.rest_lower.resize(poses * (k_count + 1));
    scratch.rest_upper.resize(poses * (k_count + 1));
    for (std::size_t a = 0; a < poses; ++a) {
      float lower = 0.0F, upper = 0.0F;
      for (std::size_t i = k_count + 1; i-- > 0;) {
        scratch.rest_lower[a * (k_count + 1) + i] = lower;
        scratch.rest_upper[a * (k_count + 1) + i] = upper;
        if (i == 0) break;
        const auto k = static_cast<std::size_t>(scratch.order[i - 1]);
        const DistanceBounds& bounds = bounds_of(scratch, static_cast<std::size_t>(scratch.poses[from + a]), k);
        lower += bounds.lower[k % kKeypointGroup];
        upper += bounds.upper[k % kKeypointGroup];
      }
    }
  }

  void refine_points(int k, int row, int column, MaskScratch& scratch) const {
    scratch.points.resize(scratch.start.size());
    const int n = static_cast<int>(scratch.points.size() / 2);
    float* points = scratch.points.data();
    follow_inside(long_, k, column, row, n, scratch.start.data(), points);
    for (int step = 0; step < options_.long_refine_steps; ++step) follow(long_, k, n, points);
    for (int step = 0; short_ != nullptr && step < options_.short_refine_steps; ++step) follow(*short_, k, n, points);
  }

  // Gives each listed pixel to the nearest of the poses left that reach it.
  void give_to_nearest(std::size_t from, std::size_t pitch, const MaskScratch& scratch) const {
    for (std::size_t i = 0; i < scratch.pixel.size(); ++i) {
      std::int32_t owner = -1;
      float least = std::numeric_limits<float>::infinity();
      for (std::size_t a = 0; from + a < scratch.poses.size(); ++a) {
        const std::int32_t pose = scratch.poses[from + a];
        if (pose < 0) continue;
        const auto j = static_cast<std::size_t>(pose);
        const float distance = scratch.sums[a * pitch + i];
        if (!(distance <= poses_.reach[j]) || (owner >= 0 && !(distance / poses_.unit[j] < least))) continue;
        owner = pose;
        least = distance / poses_.unit[j];
      }
      if (owner >= 0) masks_[static_cast<std::size_t>(owner) * area_ + scratch.pixel[i]] = 1;
    }
  }

  const MaskPoses& poses_;
  const Field& segmentation_;
  const PairGrid& long_;
  const PairGrid* short_;
  const MaskOptions& options_;
  const PixelAxis& x_;
  const PixelAxis& y_;
  std::size_t width_, area_;  // of the picture
  std::uint8_t* masks_;
  float lowest_;   // logit of the mask threshold
  bool bounded_;  // whether no point can get farther than bounds are good for
  std::vector<std::int32_t> all_;  // keypoints
  float slack_;   // input pixels: more than rounding does to a point in a step
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
  const MaskPoses poses(keypoints, weights, n_poses, n_keypoints, options.distance_threshold);
  const Associator associate(poses, segmentation, long_pairs, refine_short ? &short_pairs : nullptr, options, scratch.x,
                             scratch.y, masks);
  scratch.workers.resize(static_cast<std::size_t>(std::max(1, std::min(options.threads, associate.strips()))));
  parallel_for(associate.strips(), options.threads,
               [&](int strip, int worker) { associate.strip(strip, scratch.workers[static_cast<std::size_t>(worker)]); });
}

}  // namespace personlab

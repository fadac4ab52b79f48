// Mask association: each foreground pixel goes to the poses whose keypoints its refined long offsets point at.
//
// The image is a grid of blocks, the pixels between four neighbouring cells, several of them at once where that
// suffices. Boxes that hold the refined offsets of all pixels of a region bound its distances, and so decide most poses
// for all of it. Pixels are followed one by one only in blocks that are left open, and only for the keypoints that
// decide.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>

#include "base/clear.hpp"
#include "base/interrupt.hpp"
#include "base/parallel.hpp"
#include "base/sampling.hpp"
#include "methods/personlab/masks/parts.hpp"
#include "methods/personlab/stages.hpp"
#include "methods/personlab/vote_unit.hpp"

namespace personlab {
namespace {

constexpr int kLevels = 2;  // sizes of regions: kPatch blocks each way, and one
constexpr int kPatch = 4;
constexpr int kFewPixels = 100;  // up to so many are faster followed one by one than in a wide box
constexpr int kIsLoose = -1;     // in a list of keypoints
constexpr int kLoose = 2;        // a keypoint is loose that leaves half as much open as the average
constexpr std::size_t kLarge = std::size_t{8} << 20;  // bytes of masks: more than what a core has to itself of caches
constexpr float kAnyWidth = std::numeric_limits<float>::infinity();  // of boxes

class Associator {
 public:
  Associator(const MaskTask& task, const Field& segmentation) : task_(task), segmentation_(segmentation) {
    lowest_ = logit_of(task.options.mask_threshold);
    const auto extent = static_cast<float>(std::max(segmentation.last_x(), segmentation.last_y()));
    const float largest = task.long_pairs.largest + (task.short_pairs != nullptr ? task.short_pairs->largest : 0.0F);
    const auto steps = static_cast<float>(1 + task.options.long_refine_steps + task.options.short_refine_steps);
    const float farthest = extent + steps * largest;
    bounded_ = farthest <= kFarthest;
    // A few roundings of a point, and of where it lies between cells times how much they can differ.
    const float cells = extent / static_cast<float>(segmentation.stride);
    slack_ = 0x1p-20F * farthest + 0x1p-22F * cells * (static_cast<float>(segmentation.stride) + 2.0F * largest);
    large_ = static_cast<std::size_t>(task.poses.count) * task.area() >= kLarge;
    for (std::int32_t k = 0; k < task.poses.n_keypoints; ++k) all_.push_back(k);
  }

  int block_rows() const { return static_cast<int>(task_.y.first.size()) - 1; }
  int block_columns() const { return static_cast<int>(task_.x.first.size()) - 1; }
  int strips() const { return (block_rows() + kPatch - 1) / kPatch; }

  // Makes the masks of the pixels of kPatch rows of blocks.
  void strip(int number, MaskScratch& scratch) const {
    const int first = number * kPatch, last = std::min(first + kPatch, block_rows());
    find_foreground(first, last, scratch);
    scratch.poses.clear();
    for (std::int32_t j = 0; j < task_.poses.count; ++j)
      if (task_.poses.reach[static_cast<std::size_t>(j)] >= 0.0F) scratch.poses.push_back(j);
    scratch.lower.resize(static_cast<std::size_t>(task_.poses.count));
    scratch.upper.resize(static_cast<std::size_t>(task_.poses.count));
    scratch.bounds.resize(task_.poses.targets.size());
    scratch.levels.resize(kLevels);
    for (Level& level : scratch.levels) level.boxes.resize(static_cast<std::size_t>(task_.poses.groups), Boxes{});
    scratch.claims.assign(static_cast<std::size_t>(task_.poses.count), PixelBox{});
    for (int column = 0; column < block_columns(); column += kPatch) assign({0, column, 0}, 0, nullptr, scratch);
    if (!task_.clear) clear_unclaimed(scratch);
    if (task_.scored)
      add_probabilities(segmentation_, task_.x, task_.y, task_.masks, scratch.claims, scratch.person,
                        scratch.mask_sums);
  }

 private:
  using Level = MaskScratch::Level;
  using MovingBoxes = MaskScratch::MovingBoxes;

  // A square of blocks of a strip.
  struct Region {
    int row, column, level;

    int size() const { return level == 0 ? kPatch : 1; }
  };

  // The strip's rows of a pose's mask, and their bytes.
  std::uint8_t* rows_of(std::size_t pose, const MaskScratch& scratch) const {
    return task_.masks + pose * task_.area() + static_cast<std::size_t>(scratch.y0) * task_.width();
  }

  // Makes the strip's rows of the masks of those poses zero that claim none of its pixels.
  void clear_unclaimed(const MaskScratch& scratch) const {
    for (std::size_t j = 0; j < scratch.claims.size(); ++j) {
      if (!scratch.claims[j].empty()) continue;
      if (large_) {
        clear_past_caches(rows_of(j, scratch), scratch.foreground.size());
      } else {
        std::memset(rows_of(j, scratch), 0, scratch.foreground.size());
      }
    }
    finish_clearing();
  }

  // Marks the foreground of the block rows from first to last.
  void find_foreground(int first, int last, MaskScratch& scratch) const {
    scratch.row0 = first;
    scratch.y0 = task_.y.first[static_cast<std::size_t>(first)];
    const int rows = task_.y.first[static_cast<std::size_t>(last)] - scratch.y0;
    scratch.foreground.assign(static_cast<std::size_t>(rows) * task_.width(), 0);
    scratch.extents.assign(static_cast<std::size_t>(kPatch) * static_cast<std::size_t>(block_columns()), PixelBox{});
    const int w = segmentation_.width, right = w > 1 ? 1 : 0, below = segmentation_.height > 1 ? w : 0;
    auto extent = scratch.extents.begin();
    for (int row = first; row < last; ++row) {
      const float* corner = segmentation_.plane(0) + static_cast<std::ptrdiff_t>(row) * w;
      for (int column = 0; column < block_columns(); ++column, ++corner, ++extent) {
        const float logits[4] = {corner[0], corner[right], corner[below], corner[below + right]};
        int cells = 0;
        for (const float logit : logits) cells += logit >= lowest_ ? 1 : 0;
        if (cells > 0) *extent = mark(row, column, logits, cells == 4, scratch);
      }
    }
  }

  // Marks the foreground of one block, `all` of it where all four cells are foreground; returns its extent.
  PixelBox mark(int row, int column, const float* logits, bool all, MaskScratch& scratch) const {
    const std::int32_t *x_first = task_.x.first.data() + column, *y_first = task_.y.first.data() + row;
    const PixelBox block{x_first[0], y_first[0], x_first[1], y_first[1]};
    PixelBox extent{block.x1, block.y1, block.x0, block.y0};
    for (int y = block.y0; y < block.y1; ++y) {
      std::uint8_t* marks = scratch.foreground.data() + static_cast<std::size_t>(y - scratch.y0) * task_.width();
      if (all) {
        std::memset(marks + block.x0, 1, static_cast<std::size_t>(block.x1 - block.x0));
        continue;
      }
      for (int x = block.x0; x < block.x1; ++x) {
        if (!(lerp2(logits[0], logits[1], logits[2], logits[3], task_.x.t[static_cast<std::size_t>(x)],
                    task_.y.t[static_cast<std::size_t>(y)]) >= lowest_))
          continue;
        marks[x] = 1;
        extent = {std::min(extent.x0, x), std::min(extent.y0, y), std::max(extent.x1, x + 1), y + 1};
      }
    }
    return all ? block : extent;
  }

  // Assigns the pixels of a region to the poses listed from `from` on.
  void assign(const Region& region, std::size_t from, const Level* around, MaskScratch& scratch) const {
    const std::size_t end = scratch.poses.size();
    int blocks = 0;
    const PixelBox box = extent(region, blocks, scratch);
    if (blocks == 0 || from == end) return;
    poll(task_.options.interrupt);
    const bool divisible = region.size() > 1;
    if (divisible && (blocks == 1 || !bounded_)) {
      divide(region, from, around, scratch);
      return;
    }
    scratch.poses.insert(scratch.poses.end(), scratch.poses.begin() + static_cast<std::ptrdiff_t>(from),
                         scratch.poses.begin() + static_cast<std::ptrdiff_t>(end));
    Level& own = scratch.levels[static_cast<std::size_t>(region.level)];
    if (bounded_) {
      bound_region(box, end, around, own, scratch);
      assign_whole(box, end, scratch);
    } else {
      reset_bounds(scratch);
    }
    if (scratch.poses.size() > end) {
      find_gaps(end, scratch);
      if (divisible) {
        find_loose(scratch, own);
        divide(region, end, &own, scratch);
      } else {
        for (std::size_t i = end; i < scratch.poses.size(); ++i) claim(scratch.poses[i], box, scratch);
        follow_pixels(task_, box, scratch.row0 + region.row, region.column, end, scratch);
      }
    }
    scratch.poses.resize(end);
  }

  void divide(const Region& region, std::size_t from, const Level* around, MaskScratch& scratch) const {
    for (int row = region.row; row < region.row + kPatch; ++row)
      for (int column = region.column; column < region.column + kPatch; ++column)
        assign({row, column, region.level + 1}, from, around, scratch);
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
        all = all.with(one);
      }
    }
    return all;
  }

  // Bounds the weighted distances of all pixels in a box to the poses listed from `from` on, and drops poses out of
  // reach. Inside a bounded region only its loose keypoints are bounded again; for a few pixels those with wide boxes
  // too, if their boxes become narrow: to follow a wide one takes longer than to follow the pixels.
  void bound_region(const PixelBox& box, std::size_t from, const Level* around, Level& own,
                    MaskScratch& scratch) const {
    for (std::size_t i = from; i < scratch.poses.size(); ++i) {
      const auto j = static_cast<std::size_t>(scratch.poses[i]);
      scratch.lower[j] = scratch.upper[j] = 0.0F;
    }
    if (around != nullptr) {
      own.boxes = around->boxes;
      const bool few = std::int64_t{box.x1 - box.x0} * (box.y1 - box.y0) <= kFewPixels;
      const float max_width = few ? mean_radius(from, scratch) : kAnyWidth;
      const std::vector<std::int32_t>& again = few ? find_wide(*around, max_width, scratch) : around->loose;
      refine(box, again.data(), again.size(), max_width, own, scratch.moving);
    }
    const auto lanes = static_cast<std::size_t>(kKeypointGroup);
    for (std::size_t g = 0; g < own.boxes.size() && scratch.poses.size() > from; ++g) {
      if (around == nullptr)
        refine(box, all_.data() + g * lanes, std::min(lanes, all_.size() - g * lanes), kAnyWidth, own, scratch.moving);
      kernels().bound_distances(own.boxes[g], task_.poses.targets.data() + g, own.boxes.size(),
                                static_cast<int>(scratch.poses.size() - from), scratch.poses.data() + from,
                                scratch.bounds.data() + g, scratch.lower.data(), scratch.upper.data());
      std::size_t kept = from;
      for (std::size_t i = from; i < scratch.poses.size(); ++i) {
        const auto j = static_cast<std::size_t>(scratch.poses[i]);
        if (scratch.lower[j] * (1.0F - kMaskMargin) > task_.poses.reach[j]) continue;
        scratch.poses[kept++] = scratch.poses[i];
      }
      scratch.poses.resize(kept);
    }
  }

  // Keypoints that are loose in a region, or whose boxes there are wider than `max_width`.
  const std::vector<std::int32_t>& find_wide(const Level& around, float max_width, MaskScratch& scratch) const {
    scratch.wide.assign(all_.begin(), all_.end());
    for (const std::int32_t k : around.loose) scratch.wide[static_cast<std::size_t>(k)] = kIsLoose;
    std::size_t count = 0;
    for (const std::int32_t k : all_) {  // without a branch: which ones are wide is as good as random
      const Boxes& boxes = around.boxes[static_cast<std::size_t>(k / kKeypointGroup)];
      const int lane = k % kKeypointGroup;
      const bool is_loose = scratch.wide[static_cast<std::size_t>(k)] == kIsLoose;
      const bool is_wide = boxes.x1[lane] - boxes.x0[lane] > max_width;
      const bool is_high = boxes.y1[lane] - boxes.y0[lane] > max_width;
      scratch.wide[count] = k;
      count += is_loose | is_wide | is_high ? 1 : 0;
    }
    scratch.wide.resize(count);
    return scratch.wide;
  }

  // The mean distance up to which pixels belong to the poses listed from `from` on, at least one.
  float mean_radius(std::size_t from, const MaskScratch& scratch) const {
    float total = 0.0F;
    for (std::size_t i = from; i < scratch.poses.size(); ++i)
      total += task_.poses.radius[static_cast<std::size_t>(scratch.poses[i])];
    return total / static_cast<float>(scratch.poses.size() - from);
  }

  // Computes boxes of G_k of all pixels in a box, for those of the keypoints listed whose boxes are no wider than
  // `max_width` after the first step.
  void refine(const PixelBox& box, const std::int32_t* listed, std::size_t count, float max_width, Level& own,
              MovingBoxes& moving) const {
    moving.keypoints.assign(listed, listed + count);
    moving.boxes.resize(std::max(moving.boxes.size(), (count + kKeypointGroup - 1) / kKeypointGroup));
    for (std::size_t i = 0; i < count; i += kKeypointGroup) {
      Boxes& boxes = moving.boxes[i / kKeypointGroup];
      std::fill_n(boxes.x0, kKeypointGroup, task_.x.position[static_cast<std::size_t>(box.x0)]);
      std::fill_n(boxes.y0, kKeypointGroup, task_.y.position[static_cast<std::size_t>(box.y0)]);
      std::fill_n(boxes.x1, kKeypointGroup, task_.x.position[static_cast<std::size_t>(box.x1) - 1]);
      std::fill_n(boxes.y1, kKeypointGroup, task_.y.position[static_cast<std::size_t>(box.y1) - 1]);
    }
    const auto follow = [&](const PairGrid& grid) {
      kernels().follow_boxes(grid.first, grid.plane_size(), static_cast<int>(moving.keypoints.size()),
                             moving.keypoints.data(), slack_, moving.boxes.data());
    };
    follow(task_.long_pairs);
    if (max_width < kAnyWidth) keep_narrow(max_width, moving);
    for (int step = 0; step < task_.options.long_refine_steps; ++step) follow(task_.long_pairs);
    for (int step = 0; task_.short_pairs != nullptr && step < task_.options.short_refine_steps; ++step)
      follow(*task_.short_pairs);
    for (std::size_t i = 0; i < moving.keypoints.size(); ++i)
      copy_box(moving.boxes, i, own.boxes, static_cast<std::size_t>(moving.keypoints[i]));
  }

  static void copy_box(const std::vector<Boxes>& from, std::size_t i, std::vector<Boxes>& to, std::size_t j) {
    const Boxes& source = from[i / kKeypointGroup];
    Boxes& target = to[j / kKeypointGroup];
    i %= kKeypointGroup;
    j %= kKeypointGroup;
    target.x0[j] = source.x0[i];
    target.y0[j] = source.y0[i];
    target.x1[j] = source.x1[i];
    target.y1[j] = source.y1[i];
  }

  // Drops keypoints whose boxes are wider or higher than that.
  static void keep_narrow(float max_width, MovingBoxes& moving) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < moving.keypoints.size(); ++i) {
      const Boxes& boxes = moving.boxes[i / kKeypointGroup];
      const std::size_t lane = i % kKeypointGroup;
      const bool is_narrow = boxes.x1[lane] - boxes.x0[lane] <= max_width;
      const bool is_low = boxes.y1[lane] - boxes.y0[lane] <= max_width;
      moving.keypoints[kept] = moving.keypoints[i];
      copy_box(moving.boxes, i, moving.boxes, kept);
      kept += is_narrow & is_low ? 1 : 0;
    }
    moving.keypoints.resize(kept);
  }

  // Sets bounds that hold for any points.
  static void reset_bounds(MaskScratch& scratch) {
    for (DistanceBounds& bounds : scratch.bounds) {
      std::fill(std::begin(bounds.lower), std::end(bounds.lower), 0.0F);
      std::fill(std::begin(bounds.upper), std::end(bounds.upper), std::numeric_limits<float>::infinity());
    }
  }

  // Sums for each keypoint the gaps between its bounds, over the poses listed from `from` on.
  void find_gaps(std::size_t from, MaskScratch& scratch) const {
    scratch.gap.assign(task_.groups() * kKeypointGroup, 0.0F);
    for (std::size_t i = from; i < scratch.poses.size(); ++i) {
      const auto j = static_cast<std::size_t>(scratch.poses[i]);
      const float scale = 1.0F / task_.poses.unit[j];
      const DistanceBounds* bounds = scratch.bounds.data() + j * task_.groups();
      for (float* gap = scratch.gap.data(); gap < scratch.gap.data() + scratch.gap.size();
           gap += kKeypointGroup, ++bounds)
        for (int lane = 0; lane < kKeypointGroup; ++lane)
          gap[lane] += (bounds->upper[lane] - bounds->lower[lane]) * scale;
    }
  }

  // Lists the loose keypoints: those with large gaps, compared with the others.
  void find_loose(const MaskScratch& scratch, Level& own) const {
    float total = 0.0F;
    for (const std::int32_t k : all_) total += scratch.gap[static_cast<std::size_t>(k)];
    const float min_gap = total / static_cast<float>(kLoose * task_.poses.n_keypoints);
    own.loose.clear();
    for (const std::int32_t k : all_)
      if (scratch.gap[static_cast<std::size_t>(k)] >= min_gap) own.loose.push_back(k);
  }

  // Records that pixels of a box may be assigned to a pose. The first time in a strip its rows are made zero.
  void claim(std::int32_t pose, const PixelBox& box, MaskScratch& scratch) const {
    const auto j = static_cast<std::size_t>(pose);
    PixelBox& all = scratch.claims[j];
    if (all.empty() && !task_.clear) std::memset(rows_of(j, scratch), 0, scratch.foreground.size());
    all = all.empty() ? box : all.with(box);
  }

  // Assigns all foreground in a box to the poses listed from `from` on that reach all of it, and drops these. Where
  // poses exclude each other, only a single one can have all.
  void assign_whole(const PixelBox& box, std::size_t from, MaskScratch& scratch) const {
    if (task_.options.exclusive && scratch.poses.size() > from + 1) return;
    std::size_t kept = from;
    for (std::size_t i = from; i < scratch.poses.size(); ++i) {
      const auto j = static_cast<std::size_t>(scratch.poses[i]);
      if (!(scratch.upper[j] * (1.0F + kMaskMargin) <= task_.poses.reach[j])) {
        scratch.poses[kept++] = scratch.poses[i];
        continue;
      }
      claim(scratch.poses[i], box, scratch);
      const auto width = static_cast<std::ptrdiff_t>(task_.width());
      const std::uint8_t* marks = scratch.foreground.data() + (box.y0 - scratch.y0) * width + box.x0;
      std::uint8_t* mask = task_.masks + j * task_.area() + box.y0 * width + box.x0;
      for (int y = box.y0; y < box.y1; ++y, marks += width, mask += width)
        std::memcpy(mask, marks, static_cast<std::size_t>(box.x1 - box.x0));
    }
    scratch.poses.resize(kept);
  }

  const MaskTask& task_;
  Field segmentation_;             // float32
  float lowest_;                   // logit of the mask threshold
  bool bounded_;                   // whether all offsets are finite, and no point gets beyond kFarthest
  float slack_;                    // input pixels: more than the rounding of a point in a step
  bool large_;                     // whether caches cannot hold all masks
  std::vector<std::int32_t> all_;  // keypoints
};

}  // namespace

void associate_pixels(const PoseArrays& arrays, const Field& segmentation, const Field& long_offsets,
                      const Field* short_offsets, int height, int width, const MaskOptions& options,
                      std::uint8_t* masks, bool clear, float* mask_scores, MaskBuffers& scratch) {
  if (mask_scores != nullptr) std::fill_n(mask_scores, arrays.count, 0.0F);
  if (arrays.count == 0 || height == 0 || width == 0) return;
  if (arrays.n_keypoints == 0 || segmentation.cells() == 0) {
    if (!clear) std::memset(masks, 0, static_cast<std::size_t>(arrays.count) * height * width);
    return;
  }
  const PairGrid long_pairs = make_pairs(long_offsets, options.threads, scratch.long_pairs);
  PairGrid short_pairs{};
  const bool refine_short = short_offsets != nullptr && options.short_refine_steps > 0;
  if (refine_short) short_pairs = make_pairs(*short_offsets, options.threads, scratch.short_pairs);
  place_pixels(width, segmentation.width, segmentation.stride, scratch.x);
  place_pixels(height, segmentation.height, segmentation.stride, scratch.y);
  const MaskPoses poses(arrays, options.distance_threshold);
  const MaskTask task{poses,   long_pairs, refine_short ? &short_pairs : nullptr,
                      options, scratch.x,  scratch.y,
                      masks,   clear,      mask_scores != nullptr};
  const Associator associate(task, as_floats(segmentation, scratch.segmentation));
  scratch.workers.resize(static_cast<std::size_t>(std::max(1, std::min(options.threads, associate.strips()))));
  if (task.scored) start_sums(arrays.count, scratch.workers);
  parallel_for(associate.strips(), options.threads, options.interrupt, [&](int strip, int worker) {
    associate.strip(strip, scratch.workers[static_cast<std::size_t>(worker)]);
  });
  if (task.scored) finish_scores(scratch.workers, arrays.scores, arrays.count, options.score_power, mask_scores);
}

}  // namespace personlab

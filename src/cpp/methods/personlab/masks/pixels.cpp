// Follows the offsets of single pixels, in blocks that bounds do not decide.
//
// The keypoints with the largest gaps between bounds come first; a pixel is finished once the bounds of the others
// decide.
#include <algorithm>

#include "base/sampling.hpp"
#include "methods/personlab/masks/parts.hpp"

namespace personlab {
namespace {

// G += offsets(G) for n points (x, y), whole groups of them. An offset that is not finite, or leads too far for
// float32, counts as (0, 0).
void follow(const PairGrid& grid, int k, int n, float* points) {
  if (grid.is_bounded()) {
    kernels().follow_points(grid.plane(k), n, points);
    return;
  }
  const Field& field = *grid.field;
  with_elements(field, [&](auto of) {
    using T = decltype(of);
    for (int i = 0; i < n; ++i, points += 2) {
      const double x = static_cast<double>(points[0]), y = static_cast<double>(points[1]);
      const Offset<double> offset = read_offset(field.plane<T>(2 * k), field.plane<T>(2 * k + 1),
                                                site_at(x, y, field.height, field.width, field.stride));
      const auto to_x = static_cast<float>(x + offset.dx), to_y = static_cast<float>(y + offset.dy);
      if (!is_finite(to_x) || !is_finite(to_y)) continue;
      points[0] = to_x;
      points[1] = to_y;
    }
  });
}

// The first step, for n pixels between the four cells from (column, row) on, with t in [0, 1] from that cell.
void follow_in_cell(const PairGrid& grid, int k, int column, int row, int n, const float* t, float* points) {
  if (grid.is_bounded()) {
    kernels().follow_in_cell(grid.plane(k), column, row, n, t, points);
    return;
  }
  const float stride = grid.first.stride;
  for (int i = 0; i < n; ++i) {
    points[2 * i] = (static_cast<float>(column) + t[2 * i]) * stride;
    points[2 * i + 1] = (static_cast<float>(row) + t[2 * i + 1]) * stride;
  }
  follow(grid, k, n, points);
}

// Repeats the last point to make whole groups.
void fill_group(std::vector<float>& points) {
  while (points.size() % (2 * kPointGroup) != 0) points.push_back(*(points.end() - 2));
}

// Moves those of n entries of kWidth values that are open to the front.
template <int kWidth, typename Value>
void keep_open(std::size_t n, const std::int32_t* open, Value* values) {
  Value* to = values;
  for (std::size_t i = 0; i < n; ++i) {
    for (int c = 0; c < kWidth; ++c) to[c] = values[i * kWidth + static_cast<std::size_t>(c)];
    to += open[i] != 0 ? kWidth : 0;
  }
}

class PixelFollower {
 public:
  PixelFollower(const MaskTask& task, int row, int column, std::size_t from, MaskScratch& scratch)
      : task_(task),
        row_(row),
        column_(column),
        listed_(scratch.poses.data() + from),
        poses_(scratch.poses.size() - from),
        rivals_(task.options.exclusive && poses_ > 1),
        keypoints_(static_cast<std::size_t>(task.poses.n_keypoints)),
        scratch_(scratch) {}

  void operator()(const PixelBox& box) {
    list_pixels(box);
    order_keypoints();
    bound_rests();
    scratch_.sums.assign(poses_ * pitch_, 0.0F);
    scratch_.low.resize(poses_);
    std::size_t left = poses_;
    for (std::size_t i = 0; i < keypoints_ && left > 0 && !scratch_.pixel.empty(); ++i) {
      refine(scratch_.order[i]);
      scratch_.open.assign(scratch_.start.size() / 2, 0);
      for (std::size_t a = 0; a < poses_; ++a) {
        if (listed_[a] < 0 || measure(a, i)) continue;
        assign(a, [](std::size_t) { return true; });
        listed_[a] = -1;
        --left;
      }
      remove_decided();
    }
    if (rivals_) {
      assign_exclusively();
      return;
    }
    for (std::size_t a = 0; a < poses_; ++a) {
      if (listed_[a] < 0) continue;
      scratch_.low[a] = reach(a);
      assign(a, [](std::size_t) { return true; });
    }
  }

 private:
  std::size_t pose(std::size_t a) const { return static_cast<std::size_t>(listed_[a]); }
  float reach(std::size_t a) const { return task_.poses.reach[pose(a)]; }
  float* sums(std::size_t a) const { return scratch_.sums.data() + a * pitch_; }

  void list_pixels(const PixelBox& box) {
    const auto size = static_cast<std::size_t>(box.y1 - box.y0) * static_cast<std::size_t>(box.x1 - box.x0);
    scratch_.pixel.resize(size);
    scratch_.start.resize(2 * size);
    std::size_t* pixel = scratch_.pixel.data();
    float* start = scratch_.start.data();
    std::size_t n = 0;
    const std::size_t width = task_.width();
    for (auto y = static_cast<std::size_t>(box.y0); y < static_cast<std::size_t>(box.y1); ++y) {
      const std::uint8_t* marks = scratch_.foreground.data() + (y - static_cast<std::size_t>(scratch_.y0)) * width;
      for (auto x = static_cast<std::size_t>(box.x0); x < static_cast<std::size_t>(box.x1); ++x) {
        pixel[n] = y * width + x;
        start[2 * n] = task_.x.t[x];
        start[2 * n + 1] = task_.y.t[y];
        n += marks[x];
      }
    }
    scratch_.pixel.resize(n);
    scratch_.start.resize(2 * n);
    fill_group(scratch_.start);
    pitch_ = scratch_.start.size() / 2;
  }

  // Insertion sort: they are few, and equal ones keep their order.
  void order_keypoints() {
    const auto gap = [this](std::int32_t k) { return scratch_.gap[static_cast<std::size_t>(k)]; };
    scratch_.order.resize(keypoints_);
    for (std::size_t i = 0; i < keypoints_; ++i) {
      const auto k = static_cast<std::int32_t>(i);
      std::size_t at = i;
      for (; at > 0 && gap(k) > gap(scratch_.order[at - 1]); --at) scratch_.order[at] = scratch_.order[at - 1];
      scratch_.order[at] = k;
    }
  }

  // Bounds the sums over the keypoints from each on.
  void bound_rests() {
    const std::size_t n = keypoints_ + 1;
    scratch_.rest_lower.resize(poses_ * n);
    scratch_.rest_upper.resize(poses_ * n);
    for (std::size_t a = 0; a < poses_; ++a) {
      float *lower = scratch_.rest_lower.data() + a * n, *upper = scratch_.rest_upper.data() + a * n;
      lower[keypoints_] = upper[keypoints_] = 0.0F;
      for (std::size_t i = keypoints_; i-- > 0;) {
        const auto k = static_cast<std::size_t>(scratch_.order[i]);
        const DistanceBounds& bounds = scratch_.bounds[pose(a) * task_.groups() + k / kKeypointGroup];
        lower[i] = lower[i + 1] + bounds.lower[k % kKeypointGroup];
        upper[i] = upper[i + 1] + bounds.upper[k % kKeypointGroup];
      }
    }
  }

  // Computes G_k of the listed pixels.
  void refine(int k) {
    scratch_.points.resize(scratch_.start.size());
    const int n = static_cast<int>(scratch_.points.size() / 2);
    float* points = scratch_.points.data();
    follow_in_cell(task_.long_pairs, k, column_, row_, n, scratch_.start.data(), points);
    for (int step = 0; step < task_.options.long_refine_steps; ++step) follow(task_.long_pairs, k, n, points);
    if (task_.short_pairs == nullptr) return;
    for (int step = 0; step < task_.options.short_refine_steps; ++step) follow(*task_.short_pairs, k, n, points);
  }

  // Adds the distances for the i-th keypoint to the sums of the a-th pose; returns whether any pixel is undecided.
  bool measure(std::size_t a, std::size_t i) {
    const int k = scratch_.order[i], lane = k % kKeypointGroup;
    const Targets& group = task_.poses.targets[pose(a) * task_.groups() + static_cast<std::size_t>(k / kKeypointGroup)];
    // A sum that is up to `low` can only end up within reach, and one above `high` only out of it. To tell which of
    // several poses is nearer takes the whole sum.
    const std::size_t rest = a * (keypoints_ + 1) + i + 1;
    const float rest_max = scratch_.rest_upper[rest],
                high = reach(a) / (1.0F - kMaskMargin) - scratch_.rest_lower[rest];
    const bool open_end = rivals_ || !is_finite(rest_max);
    scratch_.low[a] = open_end ? -1.0F : reach(a) / (1.0F + kMaskMargin) - rest_max;
    return kernels().add_distances({group.x[lane], group.y[lane], group.weight[lane]},
                                   static_cast<int>(scratch_.open.size()), scratch_.points.data(), scratch_.low[a],
                                   high, sums(a), scratch_.open.data());
  }

  // Assigns to the a-th pose those of the listed pixels i that are within reach whatever follows, if which(i). For a
  // pose without such pixels the mask's memory is not touched.
  template <typename Which>
  void assign(std::size_t a, const Which& which) {
    const float *sum = sums(a), low = scratch_.low[a];
    const std::size_t n = scratch_.pixel.size();
    std::int32_t sure = 0;
    for (std::size_t i = 0; i < n; ++i) sure |= sum[i] <= low ? 1 : 0;
    if (sure == 0) return;
    std::uint8_t* mask = task_.masks + pose(a) * task_.area();
    const std::size_t* pixel = scratch_.pixel.data();
    for (std::size_t i = 0; i < n; ++i)
      mask[pixel[i]] |= static_cast<std::uint8_t>(static_cast<int>(which(i)) & static_cast<int>(sum[i] <= low));
  }

  // Removes the pixels that are decided for every pose, where that leaves fewer groups.
  void remove_decided() {
    const std::int32_t* flags = scratch_.open.data();
    const std::size_t n = scratch_.pixel.size();
    std::int32_t flagged = 0;  // a flag is 0 or -1
    for (std::size_t i = 0; i < n; ++i) flagged -= flags[i];
    const auto open = static_cast<std::size_t>(flagged);
    if (open + kPointGroup > scratch_.open.size()) return;
    for (std::size_t a = 0; a < poses_; ++a) {
      if (listed_[a] < 0) continue;
      assign(a, [flags](std::size_t i) { return flags[i] == 0; });
      float* sum = sums(a);
      keep_open<1>(n, flags, sum);
      if (open > 0) std::fill(sum + open, sum + (open + kPointGroup - 1) / kPointGroup * kPointGroup, sum[open - 1]);
    }
    keep_open<2>(n, flags, scratch_.start.data());
    keep_open<1>(n, flags, scratch_.pixel.data());
    scratch_.pixel.resize(open);
    scratch_.start.resize(2 * open);
    fill_group(scratch_.start);
  }

  // Assigns each listed pixel to the poses that reach it and do not yield it to one of a higher score that is nearer.
  void assign_exclusively() {
    for (std::size_t i = 0; i < scratch_.pixel.size(); ++i) {
      for (std::size_t a = 0; a < poses_; ++a)
        if (reaches(a, i) && !yields(a, i)) task_.masks[pose(a) * task_.area() + scratch_.pixel[i]] = 1;
    }
  }

  bool reaches(std::size_t a, std::size_t i) const { return listed_[a] >= 0 && sums(a)[i] <= reach(a); }
  float distance(std::size_t a, std::size_t i) const { return sums(a)[i] / task_.poses.unit[pose(a)]; }

  bool yields(std::size_t a, std::size_t i) const {
    const float* scores = task_.poses.scores;
    for (std::size_t b = 0; b < poses_; ++b)
      if (reaches(b, i) && scores[pose(b)] > scores[pose(a)] && distance(b, i) < distance(a, i)) return true;
    return false;
  }

  const MaskTask& task_;
  int row_, column_;      // of the block
  std::int32_t* listed_;  // (poses) -1 once finished
  std::size_t poses_;
  bool rivals_;  // whether poses may have to yield pixels to each other
  std::size_t keypoints_;
  std::size_t pitch_ = 0;  // of the sums
  MaskScratch& scratch_;
};

}  // namespace

void follow_pixels(const MaskTask& task, const PixelBox& box, int row, int column, std::size_t from,
                   MaskScratch& scratch) {
  PixelFollower(task, row, column, from, scratch)(box);
}

}  // namespace personlab

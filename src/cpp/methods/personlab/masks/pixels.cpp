// Follows the offsets of single pixels, in blocks that bounds do not decide.
//
// The keypoints with the largest gaps between bounds come first; a pixel is finished once the bounds of the others
// decide.
#include <algorithm>
#include <cstring>

#include "base/sampling.hpp"
#include "base/types.hpp"
#include "methods/personlab/masks/parts.hpp"

namespace personlab {
namespace {

// G += offsets(G) for n points, so many times. An offset that is not finite, or leads too far for float32, counts as
// (0, 0).
void follow(const PairGrid& grid, int k, int steps, int n, PointChunk& points) {
  if (grid.is_bounded()) {
    kernels().follow_points(grid.plane(k), steps, n, points);
    return;
  }
  const Field& field = *grid.field;
  with_elements(field, [&](auto of) {
    using T = decltype(of);
    for (int i = 0; i < n; ++i) {
      for (int step = 0; step < steps; ++step) {
        const double x = static_cast<double>(points.x[i]), y = static_cast<double>(points.y[i]);
        const Offset<double> offset = read_offset(field.plane<T>(2 * k), field.plane<T>(2 * k + 1),
                                                  site_at(x, y, field.height, field.width, field.stride));
        const auto to_x = static_cast<float>(x + offset.dx), to_y = static_cast<float>(y + offset.dy);
        if (!is_finite(to_x) || !is_finite(to_y)) continue;
        points.x[i] = to_x;
        points.y[i] = to_y;
      }
    }
  });
}

// The first step, for n pixels between the four cells from (column, row) on, with t in [0, 1] from that cell.
void follow_in_cell(const PairGrid& grid, int k, int column, int row, int n, const PointChunk& t, PointChunk& points) {
  if (grid.is_bounded()) {
    kernels().follow_in_cell(grid.plane(k), column, row, n, t, points);
    return;
  }
  const float stride = grid.first.stride;
  for (int i = 0; i < n; ++i) {
    points.x[i] = (static_cast<float>(column) + t.x[i]) * stride;
    points.y[i] = (static_cast<float>(row) + t.y[i]) * stride;
  }
  follow(grid, k, 1, n, points);
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
    order_keypoints();
    list_targets();
    scratch_.sums.resize(std::max(scratch_.sums.size(), poses_));
    scratch_.bits.resize(poses_);
    for (int y = box.y0; y < box.y1; ++y) {
      const auto line = static_cast<std::size_t>(y), width = task_.width();
      const std::uint8_t* marks = scratch_.foreground.data() + (line - static_cast<std::size_t>(scratch_.y0)) * width;
      for (int x = box.x0; x < box.x1;) {
        const int end = std::min(box.x1, x + kPointChunk - n_);
        for (; x < end; ++x) {
          const auto column = static_cast<std::size_t>(x);
          scratch_.pixel[n_] = line * width + column;
          scratch_.start.x[n_] = task_.x.t[column];
          scratch_.start.y[n_] = task_.y.t[line];
          n_ += marks[x];
        }
        if (n_ == kPointChunk) follow_chunk();
      }
    }
    if (n_ > 0) follow_chunk();
  }

 private:
  std::size_t pose(std::size_t a) const { return static_cast<std::size_t>(listed_[a]); }
  float reach(std::size_t a) const { return task_.poses.reach[pose(a)]; }
  const float* sums(std::size_t a) const { return scratch_.sums[a].of; }
  std::uint64_t all() const { return ~std::uint64_t{0} >> (kPointChunk - n_); }  // listed pixels

  // Each goes to the place that the number of those before it gives, without a branch on the gaps. Equal ones keep
  // their order. The bits of a gap, which is not negative, are in the order of the gaps.
  void order_keypoints() {
    const auto n = static_cast<std::int32_t>(keypoints_);
    scratch_.rank.resize(keypoints_);
    std::int32_t* rank = scratch_.rank.data();
    std::memcpy(rank, scratch_.gap.data(), keypoints_ * sizeof *rank);
    scratch_.order.resize(keypoints_);
    for (std::int32_t k = 0; k < n; ++k) {
      const std::int32_t own = rank[k];
      std::int32_t before = 0;
      for (std::int32_t i = 0; i < n; ++i) before += (rank[i] > own) | ((rank[i] == own) & (i < k));
      scratch_.order[static_cast<std::size_t>(before)] = k;
    }
  }

  // Lists the targets of the poses keypoint by keypoint, from bounds of the sums over those that follow.
  void list_targets() {
    scratch_.targets.resize(keypoints_ * poses_);
    for (std::size_t a = 0; a < poses_; ++a) {
      const Targets* groups = task_.poses.targets.data() + pose(a) * task_.groups();
      const DistanceBounds* all_bounds = scratch_.bounds.data() + pose(a) * task_.groups();
      const float low = reach(a) / (1.0F + kMaskMargin), high = reach(a) / (1.0F - kMaskMargin);
      float rest_lower = 0.0F, rest_upper = 0.0F;
      for (std::size_t i = keypoints_; i-- > 0;) {
        const auto k = static_cast<std::size_t>(scratch_.order[i]), lane = k % kKeypointGroup;
        const Targets& group = groups[k / kKeypointGroup];
        const DistanceBounds& bounds = all_bounds[k / kKeypointGroup];
        // To tell which of several poses is nearer takes the whole sum.
        const bool open_end = rivals_ || !is_finite(rest_upper);
        scratch_.targets[i * poses_ + a] = {group.x[lane], group.y[lane], group.weight[lane],
                                            open_end ? -1.0F : low - rest_upper, high - rest_lower};
        rest_lower += bounds.lower[lane];
        rest_upper += bounds.upper[lane];
      }
    }
  }

  // Follows the listed pixels until all are assigned.
  void follow_chunk() {
    scratch_.open.resize(poses_);
    const auto groups = static_cast<std::size_t>((n_ + kPointGroup - 1) / kPointGroup);
    const std::size_t used = groups * kPointGroup * sizeof(float);
    for (std::size_t a = 0; a < poses_; ++a) {
      scratch_.open[a] = static_cast<std::int32_t>(a);
      std::memset(scratch_.sums[a].of, 0, used);
    }
    for (std::size_t i = 0; i < keypoints_ && n_ > 0 && !scratch_.open.empty(); ++i) {
      refine(scratch_.order[i]);
      kernels().add_distances(scratch_.targets.data() + i * poses_, static_cast<int>(scratch_.open.size()),
                              scratch_.open.data(), n_, scratch_.points, scratch_.sums.data(), scratch_.bits.data());
      remove_decided(close_poses());
    }
    if (rivals_) {
      assign_exclusively();
    } else {
      for (const std::int32_t listed : scratch_.open) {
        const auto a = static_cast<std::size_t>(listed);
        std::uint64_t within = 0;
        for (int i = 0; i < n_; ++i) within |= std::uint64_t{sums(a)[i] <= reach(a)} << i;
        assign(a, within);
      }
    }
    n_ = 0;
  }

  // Computes G_k of the listed pixels.
  void refine(int k) {
    const MaskOptions& options = task_.options;
    follow_in_cell(task_.long_pairs, k, column_, row_, n_, scratch_.start, scratch_.points);
    follow(task_.long_pairs, k, options.long_refine_steps, n_, scratch_.points);
    if (task_.short_pairs != nullptr) follow(*task_.short_pairs, k, options.short_refine_steps, n_, scratch_.points);
  }

  // Assigns to the a-th pose those of the listed pixels whose bits are set. For a pose without such pixels the mask's
  // memory is not touched.
  void assign(std::size_t a, std::uint64_t which) {
    std::uint8_t* mask = task_.masks + pose(a) * task_.area();
    for (; which != 0; which &= which - 1) mask[scratch_.pixel[lowest_bit(which)]] = 1;
  }

  // Takes poses that no pixel is undecided for off the list, with their pixels assigned; returns bits of the pixels
  // that are undecided for the others.
  std::uint64_t close_poses() {
    std::uint64_t undecided = 0;
    std::size_t kept = 0;
    for (const std::int32_t listed : scratch_.open) {
      const auto a = static_cast<std::size_t>(listed);
      const PointBits& bits = scratch_.bits[a];
      if ((bits.open & all()) == 0) {
        assign(a, bits.within & all());
        continue;
      }
      undecided |= bits.open & all();
      scratch_.open[kept++] = listed;
    }
    scratch_.open.resize(kept);
    return undecided;
  }

  // Removes the pixels that are decided for every pose, where that leaves fewer groups.
  void remove_decided(std::uint64_t undecided) {
    const int left = count_bits(undecided);
    if ((left + kPointGroup - 1) / kPointGroup == (n_ + kPointGroup - 1) / kPointGroup) return;
    for (const std::int32_t listed : scratch_.open) {
      const auto a = static_cast<std::size_t>(listed);
      assign(a, scratch_.bits[a].within & all() & ~undecided);
      kernels().keep_points(undecided, scratch_.sums[a].of);
    }
    kernels().keep_points(undecided, scratch_.start.x);
    kernels().keep_points(undecided, scratch_.start.y);
    n_ = 0;
    for (; undecided != 0; undecided &= undecided - 1) scratch_.pixel[n_++] = scratch_.pixel[lowest_bit(undecided)];
  }

  // Assigns each listed pixel to the poses that reach it and do not yield it to one of a higher score that is nearer.
  void assign_exclusively() {
    for (int i = 0; i < n_; ++i) {
      for (const std::int32_t listed : scratch_.open) {
        const auto a = static_cast<std::size_t>(listed);
        if (reaches(a, i) && !yields(a, i)) assign(a, std::uint64_t{1} << i);
      }
    }
  }

  bool reaches(std::size_t a, int i) const { return sums(a)[i] <= reach(a); }
  float distance(std::size_t a, int i) const { return sums(a)[i] / task_.poses.unit[pose(a)]; }

  bool yields(std::size_t a, int i) const {
    const float* scores = task_.poses.scores;
    for (const std::int32_t listed : scratch_.open) {
      const auto b = static_cast<std::size_t>(listed);
      if (reaches(b, i) && scores[pose(b)] > scores[pose(a)] && distance(b, i) < distance(a, i)) return true;
    }
    return false;
  }

  const MaskTask& task_;
  int row_, column_;            // of the block
  const std::int32_t* listed_;  // (poses)
  std::size_t poses_;
  bool rivals_;  // whether poses may have to yield pixels to each other
  std::size_t keypoints_;
  int n_ = 0;  // pixels listed
  MaskScratch& scratch_;
};

}  // namespace

void follow_pixels(const MaskTask& task, const PixelBox& box, int row, int column, std::size_t from,
                   MaskScratch& scratch) {
  PixelFollower(task, row, column, from, scratch)(box);
}

}  // namespace personlab

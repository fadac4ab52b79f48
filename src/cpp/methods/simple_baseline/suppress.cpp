// Non-maximum suppression of poses by their similarity, and of boxes by their overlap.
#include <algorithm>
#include <cmath>

#include "base/sampling.hpp"
#include "methods/simple_baseline/stages.hpp"

namespace personlab::simple_baseline {
namespace {

constexpr double kTiny = 2.220446049250313e-16;  // added to an area that is divided by
constexpr double kFar = 9.0;  // errors from which a keypoint counts 0.1 at most, in units of `spread`
constexpr double kFarLoss = 0.9;
constexpr double kSlack = 1e-9;  // of sums that bounds are compared with

// Numbers of all with a finite score, best first; of equal ones the first, or the last.
std::vector<int> order_of(const double* scores, int count, bool last_first) {
  std::vector<int> order;
  for (int n = 0; n < count; ++n)
    if (is_finite(scores[n])) order.push_back(n);
  if (last_first) std::reverse(order.begin(), order.end());
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return scores[a] > scores[b]; });
  return order;
}

// The error of keypoint k of two poses: d^2 / (2 sigma)^2 / area / 2, not finite where one of the two is not.
double error_of(const double* a, const double* b, double sigma, double area) {
  const double dx = b[0] - a[0], dy = b[1] - a[1], spread = 2.0 * sigma;
  return (dx * dx + dy * dy) / (spread * spread) / area / 2.0;
}

// Poses in their order, as float32 by keypoint and axis, to be passed over quickly.
class Columns {
 public:
  Columns(const PoseList& poses, const std::vector<int>& order)
      : count_(order.size()), values_(order.size() * 2 * static_cast<std::size_t>(poses.n_keypoints)) {
    for (std::size_t n = 0; n < count_; ++n)
      for (std::size_t c = 0; c < 2 * static_cast<std::size_t>(poses.n_keypoints); ++c) {
        const std::size_t at = static_cast<std::size_t>(order[n]) * static_cast<std::size_t>(poses.n_keypoints) * 3;
        values_[c * count_ + n] = static_cast<float>(poses.keypoints[at + c / 2 * 3 + c % 2]);
      }
  }
  const float* column(int k, int axis) const {
    return values_.data() + static_cast<std::size_t>(2 * k + axis) * count_;
  }

 private:
  std::size_t count_;
  std::vector<float> values_;
};

// Whether two poses are more similar than the threshold. Sums of bounds on 1 - exp(-e) decide where they can.
bool is_similar(const PoseList& poses, int i, int j, const double* sigmas, const OksOptions& options) {
  if (!options.visible_alone) {
    const int k = poses.n_keypoints;
    const double* a = poses.keypoints + static_cast<std::ptrdiff_t>(i) * k * 3;
    const double* b = poses.keypoints + static_cast<std::ptrdiff_t>(j) * k * 3;
    const double area = (poses.areas[i] + poses.areas[j]) / 2.0 + kTiny, limit = (1.0 - options.threshold) * k;
    double low = 0.0, high = 0.0;
    for (int p = 0; p < k; ++p) {
      const double e = error_of(a + 3 * p, b + 3 * p, sigmas[p], area);
      if (!is_finite(e)) {
        low += 1.0, high += 1.0;
      } else {
        const double both = e + 0.5 * e * e;  // exp(e) >= 1 + both
        low += both / (1.0 + both), high += e;
      }
      if (low > limit + kSlack) return false;
    }
    if (high < limit - kSlack) return true;
  }
  return similarity(poses, i, j, sigmas, options) > options.threshold;
}

}  // namespace

double similarity(const PoseList& poses, int i, int j, const double* sigmas, const OksOptions& options) {
  const int k = poses.n_keypoints;
  const double* a = poses.keypoints + static_cast<std::ptrdiff_t>(i) * k * 3;
  const double* b = poses.keypoints + static_cast<std::ptrdiff_t>(j) * k * 3;
  const double area = (poses.areas[i] + poses.areas[j]) / 2.0 + kTiny;
  double sum = 0.0;
  int count = 0;
  for (int p = 0; p < k; ++p) {
    if (options.visible_alone) {
      const bool first = options.original || a[3 * p + 2] > options.visible_threshold;
      if (!first || !(b[3 * p + 2] > options.visible_threshold)) continue;
    }
    ++count;
    const double e = error_of(a + 3 * p, b + 3 * p, sigmas[p], area);
    if (is_finite(e)) sum += std::exp(-e);
  }
  return count == 0 ? 0.0 : sum / count;
}

std::vector<int> suppress_poses(const PoseList& poses, const double* sigmas, const OksOptions& options) {
  std::vector<int> order = order_of(poses.scores, poses.count, options.original), kept;
  const std::size_t count = order.size();
  const Columns columns(poses, order);
  std::vector<float> areas(count), reach(static_cast<std::size_t>(poses.n_keypoints));
  for (std::size_t n = 0; n < count; ++n) areas[n] = static_cast<float>(poses.areas[order[n]]);
  for (std::size_t p = 0; p < reach.size(); ++p)
    reach[p] = static_cast<float>(kFar * 4.0 * sigmas[p] * sigmas[p]);  // error kFar at d^2 = reach (a1 + a2)
  // So many far keypoints are enough to keep a pose.
  const double needed = std::floor((1.0 - options.threshold) * poses.n_keypoints / kFarLoss + 0.01) + 1.0;
  const int probes = options.visible_alone || needed > poses.n_keypoints ? 0 : static_cast<int>(needed);
  std::vector<std::uint8_t> dropped(count, 0);
  std::vector<int> far(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (dropped[i] != 0) continue;
    poll(options.interrupt);
    kept.push_back(order[i]);
    std::fill(far.begin() + static_cast<std::ptrdiff_t>(i), far.end(), 0);
    for (int p = 0; p < probes; ++p) {
      const float *x = columns.column(p, 0), *y = columns.column(p, 1);
      const float own_x = x[i], own_y = y[i], own_area = areas[i], own_reach = reach[static_cast<std::size_t>(p)];
      for (std::size_t j = i + 1; j < count; ++j) {
        const float dx = x[j] - own_x, dy = y[j] - own_y;
        far[j] += static_cast<int>(dx * dx + dy * dy > own_reach * (areas[j] + own_area));
      }
    }
    for (std::size_t j = i + 1; j < count; ++j)
      if (dropped[j] == 0 && !(probes > 0 && far[j] >= probes) &&
          is_similar(poses, order[i], order[j], sigmas, options))
        dropped[j] = 1;
  }
  return kept;
}

std::vector<int> suppress_boxes(const double* boxes, const double* scores, int count, double threshold, BoxRules rules,
                                Interrupt* interrupt) {
  const double more = rules == BoxRules::kDefault ? 0.0 : 1.0;  // pixels
  const std::vector<int> order = order_of(scores, count, rules != BoxRules::kDefault);
  const auto area = [more](double x0, double y0, double x1, double y1) {
    return std::max(0.0, x1 - x0 + more) * std::max(0.0, y1 - y0 + more);
  };
  const auto overlaps = [&](const double* a, const double* b) {
    const double both = area(std::max(a[0], b[0]), std::max(a[1], b[1]), std::min(a[2], b[2]), std::min(a[3], b[3]));
    const double all = area(a[0], a[1], a[2], a[3]) + area(b[0], b[1], b[2], b[3]) - both;
    const double ratio = all > 0.0 ? both / all : 0.0;
    return rules == BoxRules::kCython ? ratio >= threshold : ratio > threshold;
  };
  std::vector<int> kept;
  for (const int n : order) {
    poll(interrupt);
    const double* own = boxes + 4 * static_cast<std::ptrdiff_t>(n);
    const auto is_near = [&](int better) { return overlaps(boxes + 4 * static_cast<std::ptrdiff_t>(better), own); };
    if (std::none_of(kept.begin(), kept.end(), is_near)) kept.push_back(n);
  }
  return kept;
}

}  // namespace personlab::simple_baseline

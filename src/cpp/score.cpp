// Scoring: Expected-OKS of each keypoint from the Hough scores around it, then soft non-maximum suppression.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "parallel.hpp"
#include "sampling.hpp"
#include "stages.hpp"

namespace personlab {
namespace {

constexpr int kTile = HoughPlane::kTile;

// Where along one axis the lattice points lie whose distance from a keypoint is at most R, counted with the margin; none where
// first > last. One more may be in it at the first end.
struct Span {
  int first, last;
  Span(double centre, double radius, int g, int points)
      : first(static_cast<int>(clamp((centre - radius) / g, -1.0, static_cast<double>(points)) + 1.0)),
        last(static_cast<int>(clamp((centre + radius) / g, -1.0, static_cast<double>(points)) + 1.0)) {}
  int first_tile() const { return first / kTile; }
  int last_tile() const { return last / kTile; }
  int tile_points() const { return (last_tile() - first_tile() + 1) * kTile; }
};

class DiscScorer {
 public:
  DiscScorer(int g, double radius) : g_(g), radius_(radius), radius2_(static_cast<float>(radius * radius)) {}

  // Expected OKS of a keypoint at (x, y), 0 where no vote fell on its disc; `inverse` is 1 / (2 lambda^2 kappa^2).
  double operator()(const HoughPlane& plane, double x, double y, float inverse) {
    const Span rows(y, radius_, g_, plane.rows), columns(x, radius_, g_, plane.columns);
    DiscSums sums{};
    bool ready = false;
    for (int i = rows.first_tile(); i <= rows.last_tile(); ++i) {
      const int skipped = std::max(rows.first - i * kTile, 0), count = std::min(rows.last - i * kTile, kTile - 1) + 1 - skipped;
      for (int j = columns.first_tile(); j <= columns.last_tile(); ++j) {
        const std::int32_t slot = plane.slot[static_cast<std::size_t>(i) * plane.tile_columns + j];
        if (slot < 0) continue;
        if (!ready) {
          lay_out(rows, y, inverse, rows_);
          lay_out(columns, x, inverse, columns_);
          ready = true;
        }
        const float* scores = plane.scores.data() + static_cast<std::ptrdiff_t>(slot) * HoughPlane::kTilePoints;
        kernels_.sum_disc(scores + skipped * kTile, count, from(rows_, (i - rows.first_tile()) * kTile + skipped),
                          from(columns_, (j - columns.first_tile()) * kTile), radius2_, sums);
      }
    }
    double weight = 0.0, oks = 0.0;
    for (int j = 0; j < kTile; ++j) {
      weight += sums.weight[j];
      oks += sums.oks[j];
    }
    return weight > 0.0 ? oks / weight : 0.0;
  }

 private:
  struct Axis {
    std::vector<float> oks, distance2;  // of the points of all tiles across the disc
  };

  void lay_out(const Span& span, double centre, float inverse, Axis& axis) const {
    const auto n = static_cast<std::size_t>(span.tile_points());
    if (axis.oks.size() < n) {
      axis.oks.resize(n);
      axis.distance2.resize(n);
    }
    const double start = static_cast<double>(span.first_tile() * kTile - 1) * g_ - centre;
    kernels_.lay_out(start, g_, span.tile_points(), inverse, axis.oks.data(), axis.distance2.data());
  }

  static DiscAxis from(const Axis& axis, int point) { return {axis.oks.data() + point, axis.distance2.data() + point}; }

  int g_;
  double radius_;
  float radius2_;
  Axis rows_, columns_;
  const Kernels& kernels_ = kernels();
};

}  // namespace

template <typename Real>
double pose_size(const Real* keypoints, int n_keypoints) {
  double low[2] = {static_cast<double>(keypoints[0]), static_cast<double>(keypoints[1])};
  double high[2] = {low[0], low[1]};
  for (int k = 1; k < n_keypoints; ++k) {
    for (int a = 0; a < 2; ++a) {
      low[a] = std::min(low[a], static_cast<double>(keypoints[2 * k + a]));
      high[a] = std::max(high[a], static_cast<double>(keypoints[2 * k + a]));
    }
  }
  return std::sqrt(std::max(1.0, (high[0] - low[0]) * (high[1] - low[1])));
}

template double pose_size<float>(const float*, int);
template double pose_size<double>(const double*, int);

void expected_oks(const PoseList& poses, const std::vector<HoughPlane>& hough, const Skeleton& skeleton,
                  const DecodeOptions& options, std::vector<float>& scores) {
  const int count = skeleton.n_keypoints;
  const auto workers = static_cast<std::size_t>(std::max(1, std::min(options.threads, poses.count)));
  std::vector<DiscScorer> scorers(workers, DiscScorer(options.hough_stride, options.disk_radius));
  scores.assign(static_cast<std::size_t>(poses.count) * static_cast<std::size_t>(count), 0.0F);
  parallel_for(poses.count, options.threads, [&](int j, int worker) {
    DiscScorer& score = scorers[static_cast<std::size_t>(worker)];
    const double size = pose_size(poses.pose(j), count);
    for (int k = 0; k < count; ++k) {
      const float p = poses.probability(j)[k];
      if (!(p > 0.0F)) continue;
      const double kappa = 2.0 * static_cast<double>(skeleton.sigmas[static_cast<std::size_t>(k)]);
      const double* at = poses.pose(j) + static_cast<std::ptrdiff_t>(2) * k;
      const double expected = score(hough[static_cast<std::size_t>(k)], at[0], at[1],
                                    static_cast<float>(1.0 / (2.0 * size * size * kappa * kappa)));
      scores[static_cast<std::size_t>(j) * count + k] = static_cast<float>(p * expected);
    }
  });
}

void rank_poses(const PoseList& poses, const std::vector<float>& keypoint_scores, const DecodeOptions& options,
                Ranking& ranking) {
  const int n = poses.count, count = poses.n_keypoints;
  const double radius2 = static_cast<double>(options.nms_radius) * static_cast<double>(options.nms_radius);
  const auto score = [&](int j) { return keypoint_scores.data() + static_cast<std::size_t>(j) * count; };
  std::vector<double> mean(static_cast<std::size_t>(n));
  for (int j = 0; j < n; ++j) mean[static_cast<std::size_t>(j)] = std::accumulate(score(j), score(j) + count, 0.0) / count;
  // What a pose keeps of its mean is no more than that: one below min_score is dropped, and stands behind all that are not.
  std::vector<int> order;
  for (int j = 0; j < n; ++j)
    if (!(mean[static_cast<std::size_t>(j)] < static_cast<double>(options.min_score))) order.push_back(j);
  const auto by = [](const std::vector<double>& values) {
    return [&values](int a, int b) { return values[static_cast<std::size_t>(a)] > values[static_cast<std::size_t>(b)]; };
  };
  std::stable_sort(order.begin(), order.end(), by(mean));

  const auto ranks = static_cast<int>(order.size());
  std::vector<double> instance(order.size(), 0.0);  // by rank
  for (int rank = 0; rank < ranks; ++rank) {
    const double* own = poses.pose(order[static_cast<std::size_t>(rank)]);
    const float* scores = score(order[static_cast<std::size_t>(rank)]);
    for (int k = 0; k < count; ++k) {
      bool free = scores[k] > 0.0F;  // else there is nothing to lose
      for (int ahead = 0; ahead < rank && free; ++ahead) {
        const double* other = poses.pose(order[static_cast<std::size_t>(ahead)]);
        const double dx = own[2 * k] - other[2 * k], dy = own[2 * k + 1] - other[2 * k + 1];
        free = dx * dx + dy * dy > radius2;
      }
      if (free) instance[static_cast<std::size_t>(rank)] += static_cast<double>(scores[k]);
    }
    instance[static_cast<std::size_t>(rank)] /= count;
  }

  std::vector<int> best(order.size());
  std::iota(best.begin(), best.end(), 0);
  std::stable_sort(best.begin(), best.end(), by(instance));
  ranking.index.clear();
  ranking.keypoint_scores.clear();
  ranking.scores.clear();
  for (const int rank : best) {
    const double value = instance[static_cast<std::size_t>(rank)];
    if (static_cast<int>(ranking.index.size()) == options.max_poses || value < static_cast<double>(options.min_score))
      break;
    const int j = order[static_cast<std::size_t>(rank)];
    ranking.index.push_back(j);
    ranking.keypoint_scores.insert(ranking.keypoint_scores.end(), score(j), score(j) + count);
    ranking.scores.push_back(static_cast<float>(value));
  }
}

}  // namespace personlab

// Scoring: Expected-OKS of each keypoint from the Hough scores around it, then soft non-maximum suppression.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>

#include "disc_tiles.hpp"
#include "parallel.hpp"
#include "stages.hpp"

namespace personlab {
namespace {

// Expected OKS of a keypoint at (x, y), 0 where no vote fell on its disc; `inverse` is 1 / (2 lambda^2 kappa^2).
double expected_oks_at(DiscTiles& disc, const HoughPlane& plane, double x, double y, float inverse) {
  DiscSums sums{};
  disc(plane, x, y, inverse, [&](const float* scores, int n, const DiscAxis& rows, const DiscAxis& columns) {
    kernels().sum_disc(scores, n, rows, columns, disc.radius2(), sums);
  });
  const double weight = std::accumulate(std::begin(sums.weight), std::end(sums.weight), 0.0);
  const double oks = std::accumulate(std::begin(sums.oks), std::end(sums.oks), 0.0);
  return weight > 0.0 ? oks / weight : 0.0;
}

// As float32; 0 where it is too large for that, as scores of a lattice with negative ones can be.
float finite_score(double score) {
  return std::abs(score) <= static_cast<double>(std::numeric_limits<float>::max()) ? static_cast<float>(score) : 0.0F;
}

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
  std::vector<DiscTiles> discs(workers, DiscTiles(options.hough_stride, options.disk_radius));
  scores.assign(static_cast<std::size_t>(poses.count) * static_cast<std::size_t>(count), 0.0F);
  parallel_for(poses.count, options.threads, [&](int j, int worker) {
    DiscTiles& disc = discs[static_cast<std::size_t>(worker)];
    const double size = pose_size(poses.pose(j), count);
    for (int k = 0; k < count; ++k) {
      const float p = poses.probability(j)[k];
      if (!(p > 0.0F)) continue;
      const double kappa = 2.0 * static_cast<double>(skeleton.sigmas[static_cast<std::size_t>(k)]);
      const double* at = poses.pose(j) + static_cast<std::ptrdiff_t>(2) * k;
      const double expected = expected_oks_at(disc, hough[static_cast<std::size_t>(k)], at[0], at[1],
                                              static_cast<float>(1.0 / (2.0 * size * size * kappa * kappa)));
      scores[static_cast<std::size_t>(j) * count + k] = finite_score(p * expected);
    }
  });
}

void rank_poses(const PoseList& poses, const std::vector<float>& keypoint_scores, const DecodeOptions& options,
                Ranking& ranking) {
  const int n = poses.count, count = poses.n_keypoints;
  const double radius2 = static_cast<double>(options.nms_radius) * static_cast<double>(options.nms_radius);
  const auto score = [&](int j) { return keypoint_scores.data() + static_cast<std::size_t>(j) * count; };
  const auto by = [](const std::vector<double>& values) {
    return [&values](int a, int b) { return values[static_cast<std::size_t>(a)] > values[static_cast<std::size_t>(b)]; };
  };
  std::vector<int> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  if (options.rank_by_mean) {
    std::vector<double> mean(static_cast<std::size_t>(n));
    for (int j = 0; j < n; ++j) mean[static_cast<std::size_t>(j)] = std::accumulate(score(j), score(j) + count, 0.0) / count;
    std::stable_sort(order.begin(), order.end(), by(mean));
  }

  const auto ranks = static_cast<int>(order.size());
  std::vector<double> instance(order.size(), 0.0);  // by rank
  for (int rank = 0; rank < ranks; ++rank) {
    const double* own = poses.pose(order[static_cast<std::size_t>(rank)]);
    const float* scores = score(order[static_cast<std::size_t>(rank)]);
    double sum = 0.0;
    for (int k = 0; k < count; ++k) {
      bool free = scores[k] > 0.0F;  // else there is nothing to lose
      for (int ahead = 0; ahead < rank && free; ++ahead) {
        const double* other = poses.pose(order[static_cast<std::size_t>(ahead)]);
        const double dx = own[2 * k] - other[2 * k], dy = own[2 * k + 1] - other[2 * k + 1];
        free = dx * dx + dy * dy > radius2;
      }
      const auto value = static_cast<double>(scores[k]);
      if (free) sum += options.mean_instance_score ? value : value * value;
    }
    instance[static_cast<std::size_t>(rank)] = options.mean_instance_score ? sum / count : std::sqrt(sum / count);
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

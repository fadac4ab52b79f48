// Scoring: Expected-OKS of each keypoint from the Hough scores around it, then soft non-maximum suppression.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "sampling.hpp"
#include "stages.hpp"

namespace personlab {
namespace {

constexpr int kTile = HoughPlane::kTile;

// Sums over the touched part of one keypoint's disc.
struct DiscSums {
  double weight = 0.0;  // of h
  double oks = 0.0;     // of h times OKS
};

// First and last lattice index whose distance from `centre` is at most `reach`, input pixels, within 0 .. points - 1.
struct Span {
  int first, last;
  Span(double centre, double reach, int g, int points)
      : first(static_cast<int>(clamp(std::ceil((centre - reach) / g), 0.0, static_cast<double>(points)))),
        last(static_cast<int>(clamp(std::floor((centre + reach) / g), -1.0, static_cast<double>(points - 1)))) {}
};

// exp(-d^2 / (2 lambda^2 kappa^2)) for the lattice points of a span: the OKS is the product of two of these.
void fill_oks(const Span& span, int g, double centre, float inverse, float* __restrict out) {
  const auto start = static_cast<float>(static_cast<double>(span.first) * g - centre);
  const int n = span.last - span.first + 1;
  for (int i = 0; i < n; ++i) {
    const float d = start + static_cast<float>(i * g);
    out[i] = exp_same(-d * d * inverse);
  }
}

class DiscScorer {
 public:
  DiscScorer(int g, double radius)
      : g_(g), radius_(radius), row_oks_(kTile), column_oks_(static_cast<std::size_t>(2.0 * radius / g) + 3 + 2 * kTile) {}

  // `inverse` is 1 / (2 lambda^2 kappa^2).
  DiscSums operator()(const HoughPlane& plane, double x, double y, float inverse) {
    DiscSums sums;
    const Span rows(y, radius_, g_, plane.rows), columns(x, radius_, g_, plane.columns);
    if (rows.first > rows.last || columns.first > columns.last) return sums;
    // Column values start at a tile's edge, so that whole tiles can be multiplied at once.
    const int left = (columns.first + 1) / kTile, right = (columns.last + 1) / kTile;
    const int origin = left * kTile - 1;
    bool ready = false;  // column_oks_ is filled once a touched tile asks for it
    for (int tile_row = (rows.first + 1) / kTile; tile_row <= (rows.last + 1) / kTile; ++tile_row) {
      const std::int32_t* slots = plane.slot.data() + static_cast<std::ptrdiff_t>(tile_row) * plane.tile_columns;
      if (std::all_of(slots + left, slots + right + 1, [](std::int32_t slot) { return slot < 0; })) continue;
      if (!ready) {
        std::fill(column_oks_.begin(), column_oks_.begin() + (right - left + 1) * kTile, 0.0F);
        fill_oks(columns, g_, x, inverse, column_oks_.data() + (columns.first - origin));
        ready = true;
      }
      Span some = rows;
      some.first = std::max(rows.first, tile_row * kTile - 1);
      some.last = std::min(rows.last, tile_row * kTile + kTile - 2);
      fill_oks(some, g_, y, inverse, row_oks_.data());
      for (int row = some.first; row <= some.last; ++row) {
        const double dy = static_cast<double>(row) * g_ - y;
        const Span chord(x, std::sqrt(std::max(0.0, radius_ * radius_ - dy * dy)), g_, plane.columns);
        first_[row - some.first] = chord.first - origin;
        last_[row - some.first] = chord.last - origin;
      }
      for (int tile_column = left; tile_column <= right; ++tile_column) {
        if (slots[tile_column] < 0) continue;
        const float* tile = plane.scores.data() + static_cast<std::ptrdiff_t>(slots[tile_column]) * HoughPlane::kTilePoints;
        add_rows(tile + (some.first + 1 - tile_row * kTile) * kTile, some.last - some.first + 1,
                 (tile_column - left) * kTile, sums);
      }
    }
    return sums;
  }

 private:
  // Adds n rows of one tile, whose columns start `offset` from the left tile's edge.
  void add_rows(const float* h, int n, int offset, DiscSums& sums) const {
    float weight[kTile] = {}, oks[kTile] = {};
    const float* column_oks = column_oks_.data() + offset;
    for (int r = 0; r < n; ++r, h += kTile) {
      const float factor = row_oks_[static_cast<std::size_t>(r)];
      const int first = first_[r] - offset, last = last_[r] - offset;
      if (first <= 0 && last >= kTile - 1) {
        for (int j = 0; j < kTile; ++j) {
          weight[j] += h[j];
          oks[j] += h[j] * factor * column_oks[j];
        }
      } else {
        for (int j = std::max(first, 0); j <= std::min(last, kTile - 1); ++j) {
          weight[j] += h[j];
          oks[j] += h[j] * factor * column_oks[j];
        }
      }
    }
    for (int j = 0; j < kTile; ++j) {
      sums.weight += static_cast<double>(weight[j]);
      sums.oks += static_cast<double>(oks[j]);
    }
  }

  int g_;
  double radius_;
  std::vector<float> row_oks_, column_oks_;  // of the rows of one tile; of the columns of all tiles across the disc
  int first_[kTile], last_[kTile];           // chord of the disc on each of those rows, from the left tile's edge
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
  DiscScorer score(options.hough_stride, options.disk_radius);
  scores.assign(static_cast<std::size_t>(poses.count) * static_cast<std::size_t>(count), 0.0F);
  for (int j = 0; j < poses.count; ++j) {
    const double size = pose_size(poses.pose(j), count);
    for (int k = 0; k < count; ++k) {
      const float p = poses.probability(j)[k];
      if (!(p > 0.0F)) continue;
      const double kappa = 2.0 * static_cast<double>(skeleton.sigmas[static_cast<std::size_t>(k)]);
      const double* at = poses.pose(j) + static_cast<std::ptrdiff_t>(2) * k;
      const DiscSums sums =
          score(hough[static_cast<std::size_t>(k)], at[0], at[1],
                static_cast<float>(1.0 / (2.0 * size * size * kappa * kappa)));
      if (sums.weight > 0.0)
        scores[static_cast<std::size_t>(j) * count + k] = static_cast<float>(p * (sums.oks / sums.weight));
    }
  }
}

void rank_poses(const PoseList& poses, const std::vector<float>& keypoint_scores, const DecodeOptions& options,
                Ranking& ranking) {
  const int n = poses.count, count = poses.n_keypoints;
  const double radius2 = static_cast<double>(options.nms_radius) * static_cast<double>(options.nms_radius);
  const auto score = [&](int j) { return keypoint_scores.data() + static_cast<std::size_t>(j) * count; };
  std::vector<double> mean(static_cast<std::size_t>(n));
  for (int j = 0; j < n; ++j) mean[static_cast<std::size_t>(j)] = std::accumulate(score(j), score(j) + count, 0.0) / count;
  std::vector<int> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  const auto by = [](const std::vector<double>& values) {
    return [&values](int a, int b) { return values[static_cast<std::size_t>(a)] > values[static_cast<std::size_t>(b)]; };
  };
  std::stable_sort(order.begin(), order.end(), by(mean));

  std::vector<double> instance(static_cast<std::size_t>(n), 0.0);  // by rank
  for (int rank = 0; rank < n; ++rank) {
    const double* own = poses.pose(order[static_cast<std::size_t>(rank)]);
    const float* scores = score(order[static_cast<std::size_t>(rank)]);
    for (int k = 0; k < count; ++k) {
      bool free = true;
      for (int ahead = 0; ahead < rank && free; ++ahead) {
        const double* other = poses.pose(order[static_cast<std::size_t>(ahead)]);
        const double dx = own[2 * k] - other[2 * k], dy = own[2 * k + 1] - other[2 * k + 1];
        free = dx * dx + dy * dy > radius2;
      }
      if (free) instance[static_cast<std::size_t>(rank)] += static_cast<double>(scores[k]);
    }
    instance[static_cast<std::size_t>(rank)] /= count;
  }

  std::vector<int> best(static_cast<std::size_t>(n));
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

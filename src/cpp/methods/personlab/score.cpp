// Scoring, section 3.1.3: Expected-OKS of keypoints from the Hough scores around them, and soft non-maximum
// suppression.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>

#include "base/parallel.hpp"
#include "base/pose_size.hpp"
#include "methods/personlab/disc_tiles.hpp"
#include "methods/personlab/stages.hpp"

namespace personlab {
namespace {

// Expected OKS of a keypoint at (x, y), 0 without votes on its disc; `inverse` is 1 / (2 lambda^2 kappa^2).
double expected_oks_at(DiscTiles& disc, const HoughPlane& plane, double x, double y, float inverse) {
  DiscSums sums{};
  disc(plane, x, y, inverse, [&](const float* scores, int n, const DiscAxis& rows, const DiscAxis& columns) {
    kernels().sum_disc(scores, n, rows, columns, disc.radius2(), sums);
  });
  const double weight = std::accumulate(std::begin(sums.weight), std::end(sums.weight), 0.0);
  const double oks = std::accumulate(std::begin(sums.oks), std::end(sums.oks), 0.0);
  return weight > 0.0 ? oks / weight : 0.0;
}

// Converts to float32; 0 on overflow, which takes negative Hough scores.
float finite_score(double score) {
  return std::abs(score) <= static_cast<double>(std::numeric_limits<float>::max()) ? static_cast<float>(score) : 0.0F;
}

using Candidate = ScoreScratch::Candidate;

// Orders of heaps with the best and the worst candidate on top.
bool best_on_top(const Candidate& a, const Candidate& b) { return ranks_before(b, a); }
bool worst_on_top(const Candidate& a, const Candidate& b) { return ranks_before(a, b); }

// Scores and ranks the poses of one image, the highest upper bound first, for as long as a pose may be kept.
class PoseScorer {
 public:
  PoseScorer(const PoseList& poses, const std::vector<HoughPlane>& hough, const Skeleton& skeleton,
             const DecodeOptions& options, bool bounded, ScoreScratch& scratch)
      : poses_(poses),
        hough_(hough),
        skeleton_(skeleton),
        options_(options),
        bounded_(bounded),
        min_score_(options.min_score),
        count_(static_cast<std::size_t>(poses.n_keypoints)),
        s_(scratch),
        discs_(static_cast<std::size_t>(std::max(1, std::min(options.threads, poses.count))),
               DiscTiles(options.hough_stride, options.disk_radius)) {
    s_.order.resize(static_cast<std::size_t>(poses.count));
    std::iota(s_.order.begin(), s_.order.end(), 0);
    s_.queue.clear();
    s_.best.clear();
    s_.rows.clear();
  }

  void rank_by_seed() {
    free_ = poses_.free.data();
    if (poses_.free.empty()) find_free();
    for (int j = 0; j < poses_.count; ++j) enqueue({0.0, j, -1}, poses_.probability(j));
  }

  void rank_by_mean() {
    // An instance score is at most the mean: a pose with a mean below min_score is dropped, and ranks behind all that
    // are not.
    std::vector<double>& means = s_.means;
    means.resize(static_cast<std::size_t>(poses_.count));
    const auto rank = [&](const auto& scores_of) {
      const auto dropped = [&](int j) {
        const float* scores = scores_of(j);
        double& mean = means[static_cast<std::size_t>(j)];
        mean = std::accumulate(scores, scores + count_, 0.0) / static_cast<double>(count_);
        return bounded_ && options_.scores_by_mean() && mean < min_score_;
      };
      s_.order.erase(std::remove_if(s_.order.begin(), s_.order.end(), dropped), s_.order.end());
    };
    rank([&](int j) { return poses_.probability(j); });
    s_.rows.resize(static_cast<std::size_t>(poses_.count) * count_);
    parallel_for(static_cast<int>(s_.order.size()), options_.threads, options_.interrupt, [&](int i, int worker) {
      const int j = s_.order[static_cast<std::size_t>(i)];
      score_keypoints(j, worker, row(j), [](std::size_t) { return true; });
    });
    rank([&](int j) { return row(j); });
    std::stable_sort(s_.order.begin(), s_.order.end(), [&](int a, int b) {
      return means[static_cast<std::size_t>(a)] > means[static_cast<std::size_t>(b)];
    });
    find_free();
    for (std::size_t i = 0; i < s_.order.size(); ++i)
      enqueue({0.0, static_cast<int>(i), s_.order[i]}, row(s_.order[i]));
  }

  // Scores queued poses for as long as the best of them may be kept.
  void select() {
    std::vector<Candidate>&queue = s_.queue, &batch = s_.batch;
    std::make_heap(queue.begin(), queue.end(), best_on_top);
    const std::size_t max_batch = options_.threads > 1 ? static_cast<std::size_t>(8 * options_.threads) : 1;
    while (!queue.empty() && !(queue.front().score < lowest_kept())) {
      for (batch.clear(); !queue.empty() && batch.size() < max_batch; queue.pop_back()) {
        std::pop_heap(queue.begin(), queue.end(), best_on_top);
        batch.push_back(queue.back());
        if (batch.back().row >= 0) continue;
        batch.back().row = static_cast<int>(s_.rows.size() / count_);
        s_.rows.resize(s_.rows.size() + count_);
      }
      parallel_for(static_cast<int>(batch.size()), options_.threads, options_.interrupt, [&](int i, int worker) {
        Candidate& one = batch[static_cast<std::size_t>(i)];
        const std::uint8_t* free = free_of(pose_of(one));
        if (options_.ranks_by_mean()) return;
        score_keypoints(pose_of(one), worker, row(one.row), [&](std::size_t k) { return free[k] != 0; });
        one.score = instance_score(row(one.row), free);
      });
      for (const Candidate& one : batch) keep(one);
    }
    std::sort(s_.best.begin(), s_.best.end(), ranks_before);
  }

  void write_to(Ranking& ranking) {
    parallel_for(static_cast<int>(s_.best.size()), options_.threads, options_.interrupt, [&](int i, int worker) {
      const Candidate& one = s_.best[static_cast<std::size_t>(i)];
      const std::uint8_t* free = free_of(pose_of(one));
      if (!options_.ranks_by_mean())
        score_keypoints(pose_of(one), worker, row(one.row), [&](std::size_t k) { return free[k] == 0; });
    });
    for (const Candidate& one : s_.best) {
      ranking.index.push_back(pose_of(one));
      ranking.keypoint_scores.insert(ranking.keypoint_scores.end(), row(one.row), row(one.row) + count_);
      ranking.scores.push_back(static_cast<float>(one.score));
    }
  }

 private:
  int pose_of(const Candidate& one) const { return s_.order[static_cast<std::size_t>(one.rank)]; }
  float* row(int i) { return s_.rows.data() + static_cast<std::size_t>(i) * count_; }
  const std::uint8_t* free_of(int j) const { return free_ + static_cast<std::size_t>(j) * count_; }

  // Finds the keypoints that no pose ahead has within nms_radius.
  void find_free() {
    s_.free.resize(static_cast<std::size_t>(poses_.count) * count_);
    s_.grid.reset(poses_.n_keypoints, options_.nms_radius);
    for (const int j : s_.order) {
      poll(options_.interrupt);
      admit(poses_, j, s_.grid, s_.free.data() + static_cast<std::size_t>(j) * count_);
    }
    free_ = s_.free.data();
  }

  // The instance score of keypoint scores (K), or its upper bound from theirs.
  double instance_score(const float* scores, const std::uint8_t* free) const {
    double sum = 0.0;
    for (std::size_t k = 0; k < count_; ++k) {
      const auto score = static_cast<double>(scores[k]);
      if (free[k] != 0 && score > 0.0) sum += options_.scores_by_mean() ? score : score * score;
    }
    const double mean = sum / static_cast<double>(count_);
    return options_.scores_by_mean() ? mean : std::sqrt(mean);
  }

  void enqueue(Candidate one, const float* scores) {
    const bool has_bound = bounded_ || one.row >= 0;
    one.score = has_bound ? instance_score(scores, free_of(pose_of(one))) : std::numeric_limits<double>::infinity();
    if (!(one.score < min_score_)) s_.queue.push_back(one);
  }

  bool is_full() const { return s_.best.size() == static_cast<std::size_t>(options_.max_poses); }

  // The instance score at which a pose is kept.
  double lowest_kept() const { return is_full() ? std::max(s_.best.front().score, min_score_) : min_score_; }

  void keep(const Candidate& one) {
    if (one.score < min_score_ || (is_full() && !ranks_before(one, s_.best.front()))) return;
    if (is_full()) {
      std::pop_heap(s_.best.begin(), s_.best.end(), worst_on_top);
      s_.best.pop_back();
    }
    s_.best.push_back(one);
    std::push_heap(s_.best.begin(), s_.best.end(), worst_on_top);
  }

  // Computes s_jk of those keypoints k for which wanted(k).
  template <typename Wanted>
  void score_keypoints(int j, int worker, float* scores, const Wanted& wanted) {
    DiscTiles& disc = discs_[static_cast<std::size_t>(worker)];
    const double size = options_.uses_oks() ? pose_size(poses_.pose(j), poses_.n_keypoints) : 1.0;
    for (std::size_t k = 0; k < count_; ++k) {
      if (!wanted(k)) continue;
      const float p = poses_.probability(j)[k];
      scores[k] = options_.uses_oks() ? 0.0F : p;
      if (!options_.uses_oks() || !(p > 0.0F)) continue;
      const double kappa = 2.0 * static_cast<double>(skeleton_.sigmas[k]);
      const double* at = poses_.pose(j) + 2 * k;
      const double expected =
          expected_oks_at(disc, hough_[k], at[0], at[1], static_cast<float>(1.0 / (2.0 * size * size * kappa * kappa)));
      scores[k] = finite_score(p * expected);
    }
  }

  const PoseList& poses_;
  const std::vector<HoughPlane>& hough_;
  const Skeleton& skeleton_;
  const DecodeOptions& options_;
  const bool bounded_;
  const double min_score_;
  const std::size_t count_;
  ScoreScratch& s_;
  std::vector<DiscTiles> discs_;        // by worker
  const std::uint8_t* free_ = nullptr;  // (P, K)
};

}  // namespace

void score_poses(const PoseList& poses, const std::vector<HoughPlane>& hough, const Skeleton& skeleton,
                 const DecodeOptions& options, bool bounded, ScoreScratch& scratch, Ranking& ranking) {
  ranking.index.clear();
  ranking.keypoint_scores.clear();
  ranking.scores.clear();
  if (poses.count == 0 || options.max_poses == 0) return;
  PoseScorer scorer(poses, hough, skeleton, options, bounded, scratch);
  options.ranks_by_mean() ? scorer.rank_by_mean() : scorer.rank_by_seed();
  scorer.select();
  scorer.write_to(ranking);
}

}  // namespace personlab

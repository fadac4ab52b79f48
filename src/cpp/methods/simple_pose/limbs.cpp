// Limbs: pairs of peaks scored along the line between them; by the originals' rules, matched one to one.
#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

#include "base/parallel.hpp"
#include "methods/simple_pose/samples.hpp"
#include "methods/simple_pose/stages.hpp"

namespace personlab::simple_pose {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr double kSure = 0.5;  // score of a limb beside which much longer ones are not tried

// The scale of a limb's peaks, and how pairs are read.
struct PairScale {
  double x, y;  // image pixels for each unit of the peaks
  int height;   // of the image, pixels
  int longest;  // no line on the image is as long, pixels
};

// Answers that every line may hold a limb.
struct NoLookAhead {
  bool misses(const MapPeak&, const MapPeak&, const Places&) const { return false; }
};

// The pairs of a limb's peaks, and its candidates. `ahead.misses` is true only for lines with more samples than allowed
// that do not support the limb.
template <typename Sampler, typename LookAhead>
class PairScorer {
 public:
  PairScorer(const Sampler& sampler, const LookAhead& ahead, int limb, const LimbSkeleton& skeleton,
             const MapPeaks& peaks, const PairScale& scale, const MapOptions& options,
             std::vector<Connection>& candidates)
      : sampler_(sampler),
        ahead_(ahead),
        limb_(limb),
        peaks_(peaks),
        scale_(scale),
        options_(options),
        candidates_(candidates) {
    const auto [first, second] = skeleton.limbs[static_cast<std::size_t>(limb)];
    const auto range = [&](int k) {
      return std::make_pair(peaks.first[static_cast<std::size_t>(k)], peaks.first[static_cast<std::size_t>(k) + 1]);
    };
    std::tie(a0, a1) = range(first);
    std::tie(b0, b1) = range(second);
    most_.set(options.max_samples, options);
  }

  int a0, a1, b0, b1;  // ids of the peaks at the first and the second end

  const MapPeak& peak(int id) const { return peaks_.all[static_cast<std::size_t>(id)]; }

  double squared_length(int a, int b) const {
    const double dx = (peak(b).x - peak(a).x) * scale_.x, dy = (peak(b).y - peak(a).y) * scale_.y;
    return dx * dx + dy * dy;
  }

  // Where a line of this squared length is sampled.
  const Places& places(double length2) {
    if (options_.rules != Rules::kPartA && length2 >= static_cast<double>(options_.max_samples) * options_.max_samples)
      return most_;
    few_.set(sample_count(std::sqrt(length2), scale_.longest, options_), options_);
    return few_;
  }

  // Whether a quick look tells that the line misses the limb.
  bool misses(int a, int b, double length2) {
    const Places& at = places(length2);
    if (&at == &most_ && ahead_.misses(peak(a), peak(b), at)) return true;
    return sampler_.misses_at_once(peak(a), peak(b), at, options_.limb_threshold);
  }

  // Appends the candidate of two peaks, unless longer than `max_length`, and returns its score; 0 where it is none.
  double try_pair(int a, int b, double length2, double max_length) {
    const double length = std::sqrt(length2);
    if (!(length > 0.0) || length > max_length) return 0.0;
    const Places& at = places(length2);
    if (&at == &most_ && ahead_.misses(peak(a), peak(b), at)) return 0.0;
    double total;
    if (!sampler_.add(peak(a), peak(b), at, options_.limb_threshold, total)) return 0.0;
    const double score = total / at.count + std::min(0.5 * scale_.height / length - 1.0, 0.0);
    if (!(score > 0.0)) return 0.0;
    const double rank = 0.5 * score + 0.25 * peak(a).score + 0.25 * peak(b).score;
    candidates_.push_back({limb_, a, b, a - a0, b - b0, score, length, rank});
    return score;
  }

  // Appends the candidates of a, near ones first, as the shortest sure one bounds the others.
  void try_all(int a) {
    const MapPeak& start = peak(a);
    const std::size_t own = candidates_.size();
    double sure = kInfinite, reach2 = kInfinite;  // lengths of limbs
    const auto try_one = [&](int b) {
      const double length2 = squared_length(a, b);
      if (length2 > reach2 || try_pair(a, b, length2, kInfinite) < kSure || candidates_.back().length >= sure) return;
      sure = candidates_.back().length;
      reach2 = squared_reach(sure);
    };
    // From the rows of the first end outwards: peaks come row by row of their anchors.
    const bool has_box = options_.position == Position::kCentroid || options_.position == Position::kSwappedCentroid;
    const double from_anchor = has_box ? options_.box_radius : 0.5;  // cells, at most
    const auto is_out = [&](int b) {
      const double rows = std::abs(peak(b).anchor_y - start.y) - from_anchor;
      return rows > 0.0 && rows * rows * scale_.y * scale_.y > reach2;
    };
    const auto from = std::lower_bound(peaks_.all.begin() + b0, peaks_.all.begin() + b1, start.anchor_y,
                                       [](const MapPeak& one, int y) { return one.anchor_y < y; });
    const int middle = static_cast<int>(from - peaks_.all.begin());
    bool up = true, down = true;
    for (int n = 0; up || down; ++n) {
      down = down && middle + n < b1 && !is_out(middle + n);
      if (down) try_one(middle + n);
      up = up && middle - 1 - n >= b0 && !is_out(middle - 1 - n);
      if (up) try_one(middle - 1 - n);
    }
    const double limit = reach(sure);
    candidates_.erase(std::remove_if(candidates_.begin() + static_cast<std::ptrdiff_t>(own), candidates_.end(),
                                     [&](const Connection& one) { return one.length > limit; }),
                      candidates_.end());
  }

  // The length of limbs that are tried beside a sure one, image pixels.
  double reach(double sure) const { return options_.max_reach * std::max(sure, scale_.height / 20.0); }
  double squared_reach(double sure) const {
    return reach(sure) * reach(sure) * 1.000001;  // rounding is left to the last look
  }

 private:
  const Sampler& sampler_;
  const LookAhead& ahead_;
  const int limb_;
  const MapPeaks& peaks_;
  const PairScale& scale_;
  const MapOptions& options_;
  std::vector<Connection>& candidates_;
  Places most_, few_;
};

// Appends the candidates of a limb by the originals' rules, pair by pair.
template <typename Scorer>
void score_in_turns(Scorer scorer, const MapOptions& options) {
  for (int a = scorer.a0; a < scorer.a1; ++a) {
    poll(options.interrupt);
    for (int b = scorer.b0; b < scorer.b1; ++b) scorer.try_pair(a, b, scorer.squared_length(a, b), kInfinite);
  }
}

// Appends the candidates of the peaks first .. last - 1 by the default rules, in steps that each do one thing to all
// pairs, which took less time than one pair after the other.
template <typename Scorer>
void score_in_steps(Scorer& scorer, int first, int last, std::vector<PeakPair>& scratch,
                    std::vector<Connection>& candidates) {
  const int many = scorer.b1 - scorer.b0;
  scratch.resize(static_cast<std::size_t>(last - first) * static_cast<std::size_t>(many));
  PeakPair *pairs = scratch.data(), *end = pairs;
  for (int a = first; a < last; ++a) {
    PeakPair nearest{a, scorer.b0, kInfinite, kInfinite};
    for (int n = 0; n < many; ++n) {
      const double length2 = scorer.squared_length(a, scorer.b0 + n), counted = length2 > 0.0 ? length2 : kInfinite;
      end[n] = {a, scorer.b0 + n, length2, kInfinite};
      nearest.b = counted < nearest.length2 ? scorer.b0 + n : nearest.b;
      nearest.length2 = counted < nearest.length2 ? counted : nearest.length2;
    }
    const double score = nearest.length2 < kInfinite ? scorer.try_pair(a, nearest.b, nearest.length2, kInfinite) : 0.0;
    if (score < kSure) {  // the nearest does not bound the others
      if (score > 0.0) candidates.pop_back();
      scorer.try_all(a);
      continue;
    }
    const double sure = candidates.back().length, reach2 = scorer.squared_reach(sure), limit = scorer.reach(sure);
    const PeakPair* row = end;
    for (int n = 0; n < many; ++n) {
      PeakPair one = row[n];
      one.limit = limit;
      *end = one;
      end += static_cast<int>(one.length2 <= reach2) & static_cast<int>(one.b != nearest.b);
    }
  }
  PeakPair* kept = pairs;
  for (const PeakPair* pair = pairs; pair < end; ++pair) {
    const PeakPair one = *pair;
    *kept = one;
    kept += static_cast<int>(!scorer.misses(one.a, one.b, one.length2));
  }
  for (const PeakPair* one = pairs; one < kept; ++one) scorer.try_pair(one->a, one->b, one->length2, one->limit);
}

// Appends the candidates of a limb by the default rules.
template <typename Scorer>
void score_near(Scorer scorer, const MapOptions& options, std::vector<PeakPair>& scratch,
                std::vector<Connection>& candidates) {
  constexpr int kPairs = 1024;  // whose memory is near the processor
  const int rows = std::max(1, kPairs / std::max(1, scorer.b1 - scorer.b0));
  for (int a = scorer.a0; a < scorer.a1; a += rows) {
    poll(options.interrupt);
    score_in_steps(scorer, a, std::min(a + rows, scorer.a1), scratch, candidates);
  }
}

std::int64_t count_pairs(int limb, const LimbSkeleton& skeleton, const MapPeaks& peaks) {
  const auto count = [&](int k) {
    return std::int64_t{peaks.first[static_cast<std::size_t>(k) + 1] - peaks.first[static_cast<std::size_t>(k)]};
  };
  const auto [a, b] = skeleton.limbs[static_cast<std::size_t>(limb)];
  return count(a) * count(b);
}

void sort_by_rank(std::vector<Connection>& candidates, const MapOptions& options) {
  unsigned compared = 0;
  std::sort(candidates.begin(), candidates.end(), [&](const Connection& one, const Connection& other) {
    if (++compared % 4096 == 0) poll(options.interrupt);
    if (one.rank != other.rank) return one.rank > other.rank;
    if (one.limb != other.limb) return one.limb < other.limb;
    return one.a != other.a ? one.a < other.a : one.b < other.b;
  });
}

// Greedily keeps candidates whose ends no better one has.
void match(std::vector<Connection>& candidates, std::size_t n_peaks) {
  std::vector<std::uint8_t> used(n_peaks, 0);  // no limb joins a type to itself
  std::size_t kept = 0;
  for (const Connection& one : candidates) {
    std::uint8_t &a = used[static_cast<std::size_t>(one.a)], &b = used[static_cast<std::size_t>(one.b)];
    if (a != 0 || b != 0) continue;
    a = b = 1;
    candidates[kept++] = one;
  }
  candidates.resize(kept);
}

}  // namespace

void score_limbs(const MapBatch& image, const LimbSkeleton& skeleton, const MapOptions& options, MapScratch& scratch) {
  const MapView& view = image.views.front();
  const bool original = options.is_original();
  // Pixels of the image from cell to cell.
  PairScale scale{1.0, 1.0, image.size.height, image.size.height + image.size.width};
  if (!original) {
    scale.x = static_cast<double>(view.limbs.stride) * image.size.width / view.inner.width;
    scale.y = static_cast<double>(view.limbs.stride) * image.size.height / view.inner.height;
  }
  const int count = skeleton.n_limbs();
  const auto workers = static_cast<std::size_t>(std::max(1, std::min(count, options.threads)));
  if (scratch.workers.size() < workers) scratch.workers.resize(workers);
  if (scratch.candidates.size() < static_cast<std::size_t>(count))
    scratch.candidates.resize(static_cast<std::size_t>(count));
  parallel_for(count, options.threads, options.interrupt, [&](int limb, int worker) {
    std::vector<Connection>& own = scratch.candidates[static_cast<std::size_t>(limb)];
    own.clear();
    MapScratch::Worker& mine = scratch.workers[static_cast<std::size_t>(worker)];
    const auto scorer = [&](const auto& sampler, const auto& ahead) {
      return PairScorer(sampler, ahead, limb, skeleton, scratch.peaks, scale, options, own);
    };
    with_elements(view.limbs, [&](auto element) {
      using T = decltype(element);
      const NoLookAhead nothing;
      if (original) {
        const PixelSampler<T> sampler(image, scratch.enlargements, limb);
        score_in_turns(scorer(sampler, nothing), options);
        return;
      }
      const CellSampler<T> sampler(view.limbs, limb);
      if (count_pairs(limb, skeleton, scratch.peaks) < Occupied::kMinPairs) {
        score_near(scorer(sampler, nothing), options, mine.pairs, own);
        return;
      }
      Occupied occupied(mine.bits);
      occupied.set(view.limbs.plane<T>(limb), view.limbs.height, view.limbs.width, options.limb_threshold);
      score_near(scorer(sampler, occupied), options, mine.pairs, own);
    });
    if (original) {
      sort_by_rank(own, options);
      match(own, scratch.peaks.all.size());
    }
  });
  scratch.connections.clear();
  for (int limb = 0; limb < count; ++limb) {
    const std::vector<Connection>& own = scratch.candidates[static_cast<std::size_t>(limb)];
    scratch.connections.insert(scratch.connections.end(), own.begin(), own.end());
  }
  if (!original) sort_by_rank(scratch.connections, options);
}

}  // namespace personlab::simple_pose

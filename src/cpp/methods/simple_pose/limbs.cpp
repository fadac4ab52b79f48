// Limbs: pairs of peaks scored along the line between them; by the originals' rules, matched one to one.
#include <algorithm>
#include <cmath>

#include "base/parallel.hpp"
#include "methods/simple_pose/stages.hpp"

namespace personlab::simple_pose {
namespace {

// Reads a limb's map at the pixel of the image nearest to a point, as the originals do.
template <typename T>
class PixelReader {
 public:
  PixelReader(const MapBatch& image, const std::vector<Enlargement>& enlargements, int limb)
      : image_(image), enlargements_(enlargements), limb_(limb) {}
  double operator()(double px, double py) const {
    const auto nearest = [](double v, int size) {
      return static_cast<int>(std::clamp(std::nearbyint(v), 0.0, static_cast<double>(size - 1)));
    };
    const int x = nearest(px, image_.size.width), y = nearest(py, image_.size.height);
    double total = 0.0;
    for (std::size_t v = 0; v < image_.views.size(); ++v) {
      const Field& field = image_.views[v].limbs;
      total += read_enlarged(field.plane<T>(limb_), field.width, enlargements_[v], x, y);
    }
    return total / static_cast<double>(image_.views.size());
  }

 private:
  const MapBatch& image_;
  const std::vector<Enlargement>& enlargements_;
  int limb_;
};

// Reads a limb's map bilinearly between cells, clamped to the grid; values outside 0 .. 1 are made 0 or 1.
template <typename T>
class CellReader {
 public:
  CellReader(const Field& field, int limb) : plane_(field.plane<T>(limb)), height_(field.height), width_(field.width) {}
  double operator()(double px, double py) const {
    const Site<double> site = site_at(px, py, height_, width_, 1);
    const auto value = [&](int cell) { return finite_value(plane_[cell]); };
    const double sx = 1.0 - site.tx, sy = 1.0 - site.ty;
    const double v = sy * (sx * value(site.top_left) + site.tx * value(site.top_right)) +
                     site.ty * (sx * value(site.bottom_left) + site.tx * value(site.bottom_right));
    return clamp(v, 0.0, 1.0);
  }

 private:
  const T* plane_;
  int height_, width_;
};

int sample_count(double length, const MapOptions& options) {
  if (options.rules == Rules::kPartA) return std::max(static_cast<int>(length), options.max_samples);
  return static_cast<int>(std::min(std::nearbyint(length + 1.0), static_cast<double>(options.max_samples)));
}

// Samples of a limb from a to b, from the middle outwards, so that a line that misses the limb is soon given up.
// Returns whether enough support it; `mean` is that of all samples.
template <typename Read>
bool is_supported(const Read& read, const MapPeak& a, const MapPeak& b, int count, const MapOptions& options,
                  double& mean) {
  const double least = options.min_support * count;
  const double step_x = count > 1 ? (b.x - a.x) / (count - 1) : 0.0;
  const double step_y = count > 1 ? (b.y - a.y) / (count - 1) : 0.0;
  int support = 0, left = count;
  double total = 0.0;
  for (int n = 0; n < count; ++n) {
    const int i = n % 2 == 0 ? count / 2 + n / 2 : count / 2 - 1 - n / 2;  // all of 0 .. count - 1
    const bool is_end = i == count - 1 && count > 1;
    const double v = read(is_end ? b.x : i * step_x + a.x, is_end ? b.y : i * step_y + a.y);
    total += v;
    support += v > options.limb_threshold ? 1 : 0;
    --left;
    if (support + left < least) return false;
  }
  mean = total / count;
  return options.rules == Rules::kDemo ? support > least : support >= least;
}

// Appends the candidates of a limb, in the order of a, then b.
template <typename Read>
void score_pairs(const Read& read, int limb, const LimbSkeleton& skeleton, const MapPeaks& peaks, double scale_x,
                 double scale_y, int height, const MapOptions& options, std::vector<Connection>& candidates) {
  const auto [first, second] = skeleton.limbs[static_cast<std::size_t>(limb)];
  const int a0 = peaks.first[static_cast<std::size_t>(first)], a1 = peaks.first[static_cast<std::size_t>(first) + 1];
  const int b0 = peaks.first[static_cast<std::size_t>(second)], b1 = peaks.first[static_cast<std::size_t>(second) + 1];
  for (int a = a0; a < a1; ++a) {
    poll(options.interrupt);
    const MapPeak& start = peaks.all[static_cast<std::size_t>(a)];
    for (int b = b0; b < b1; ++b) {
      const MapPeak& end = peaks.all[static_cast<std::size_t>(b)];
      const double dx = (end.x - start.x) * scale_x, dy = (end.y - start.y) * scale_y;
      const double length = std::sqrt(dx * dx + dy * dy);
      if (!(length > 0.0)) continue;
      double mean;
      if (!is_supported(read, start, end, sample_count(length, options), options, mean)) continue;
      const double score = mean + std::min(0.5 * height / length - 1.0, 0.0);
      if (!(score > 0.0)) continue;
      const double rank = 0.5 * score + 0.25 * start.score + 0.25 * end.score;
      candidates.push_back({limb, a, b, a - a0, b - b0, score, length, rank});
    }
  }
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
  const double scale_x = original ? 1.0 : static_cast<double>(view.limbs.stride) * image.size.width / view.inner.width;
  const double scale_y =
      original ? 1.0 : static_cast<double>(view.limbs.stride) * image.size.height / view.inner.height;
  const int count = skeleton.n_limbs();
  if (scratch.candidates.size() < static_cast<std::size_t>(count))
    scratch.candidates.resize(static_cast<std::size_t>(count));
  parallel_for(count, options.threads, options.interrupt, [&](int limb, int) {
    std::vector<Connection>& own = scratch.candidates[static_cast<std::size_t>(limb)];
    own.clear();
    with_elements(view.limbs, [&](auto element) {
      using T = decltype(element);
      if (original)
        score_pairs(PixelReader<T>(image, scratch.enlargements, limb), limb, skeleton, scratch.peaks, scale_x, scale_y,
                    image.size.height, options, own);
      else
        score_pairs(CellReader<T>(view.limbs, limb), limb, skeleton, scratch.peaks, scale_x, scale_y, image.size.height,
                    options, own);
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

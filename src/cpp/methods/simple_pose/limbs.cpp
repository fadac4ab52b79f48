// Limbs: pairs of peaks scored along the line between them; by the originals' rules, matched one to one.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/parallel.hpp"
#include "methods/simple_pose/kernels.hpp"
#include "methods/simple_pose/stages.hpp"

namespace personlab::simple_pose {
namespace {

// Reads a limb's map at the pixel of the image nearest to a point, as the originals do.
template <typename T>
class PixelReader {
 public:
  PixelReader(const MapBatch& image, const std::vector<Enlargement>& enlargements, int limb)
      : image_(image), enlargements_(enlargements), limb_(limb) {}
  // Points along the line from a to b, as NumPy's linspace places them: rounding to pixels hangs on the last bit.
  struct Line {
    const MapPeak &a, &b;
    double step_x, step_y;
    int last;
    Line(const MapPeak& from, const MapPeak& to, int count, double) : a(from), b(to), last(count - 1) {
      step_x = last > 0 ? (b.x - a.x) / last : 0.0;
      step_y = last > 0 ? (b.y - a.y) / last : 0.0;
    }
    double x(double i) const { return i == last && last > 0 ? b.x : i * step_x + a.x; }
    double y(double i) const { return i == last && last > 0 ? b.y : i * step_y + a.y; }
  };

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

// Points along the line from a to b, in cells; by rounding, one may lie outside the grid.
struct CellLine {
  double x0, y0, step_x, step_y;
  CellLine(const MapPeak& a, const MapPeak& b, int /*count*/, double share)
      : x0(a.x), y0(a.y), step_x((b.x - a.x) * share), step_y((b.y - a.y) * share) {}
  double x(double i) const { return i * step_x + x0; }
  double y(double i) const { return i * step_y + y0; }
};

// Reads a limb's map bilinearly between cells; values outside 0 .. 1 are made 0 or 1. Peaks lie on the grid, and so
// does what is between them.
template <typename T>
class CellReader {
 public:
  using Line = CellLine;

  CellReader(const Field& field, int limb)
      : plane_(field.plane<T>(limb)),
        height_(field.height),
        width_(field.width),
        last_x_(field.width - 1),
        last_y_(field.height - 1) {}
  double operator()(double x, double y) const {
    x = clamp(x, 0.0, last_x_), y = clamp(y, 0.0, last_y_);
    int j = static_cast<int>(x), i = static_cast<int>(y);
    j = j > width_ - 2 ? (width_ > 1 ? width_ - 2 : 0) : j;
    i = i > height_ - 2 ? (height_ > 1 ? height_ - 2 : 0) : i;
    const std::ptrdiff_t right = width_ > 1 ? 1 : 0, below = height_ > 1 ? width_ : 0;
    const T* cell = plane_ + static_cast<std::ptrdiff_t>(i) * width_ + j;
    const double tx = x - j, ty = y - i;
    const auto mix = [&](double p, double q, double r, double t) {
      return clamp((1.0 - ty) * ((1.0 - tx) * p + tx * q) + ty * ((1.0 - tx) * r + tx * t), 0.0, 1.0);
    };
    const auto value = [&](std::ptrdiff_t at) { return static_cast<double>(to_float32(cell[at])); };
    const double read = mix(value(0), value(right), value(below), value(below + right));
    if (is_finite(value(0) + value(right) + value(below) + value(below + right))) return read;
    return mix(finite_value(cell[0]), finite_value(cell[right]), finite_value(cell[below]),
               finite_value(cell[below + right]));
  }

 private:
  const T* plane_;
  int height_, width_;
  double last_x_, last_y_;
};

constexpr double kSure = 0.5;  // score of a limb beside which much longer ones are not tried

// No line on the image is as long as `longest`.
int sample_count(double length, int longest, const MapOptions& options) {
  if (options.rules == Rules::kPartA)
    return std::max(static_cast<int>(std::min<double>(length, longest)), options.max_samples);
  return static_cast<int>(std::min(std::nearbyint(length + 1.0), static_cast<double>(options.max_samples)));
}

// Places of samples along a line, from the middle outwards, so that a line that misses a limb is soon given up.
struct Places {
  int count = 0;
  int max_misses = 0;        // with more samples that do not support it, a limb is none
  double share = 0.0;        // of the line from place to place
  std::vector<double> from;  // (count) 0 at the first end .. count - 1 at the second

  void set(int samples, const MapOptions& options) {
    if (count == samples) return;
    count = samples;
    share = count > 1 ? 1.0 / (count - 1) : 0.0;
    const double least = options.min_support * count;
    for (max_misses = count; max_misses >= 0; --max_misses) {
      const int support = count - max_misses;
      if (options.rules == Rules::kDemo ? support > least : support >= least) break;
    }
    from.resize(static_cast<std::size_t>(count));
    for (int n = 0; n < count; ++n) {
      const int i = n % 2 == 0 ? count / 2 + n / 2 : count / 2 - 1 - n / 2;  // all of 0 .. count - 1
      from[static_cast<std::size_t>(n)] = i;
    }
  }
};

// Where the four cells that are read at a point may hold a value above the threshold: a bit for the upper left one.
// Most lines between far peaks miss all limbs: where there are many pairs, a few bits tell.
class Occupied {
 public:
  static constexpr int kMinPairs = 256;  // fewer are not worth a look at the whole map

  explicit Occupied(std::vector<std::uint64_t>& bits) : bits_(bits) {}

  template <typename T>
  void set(const T* plane, int height, int width, double threshold) {
    width_ = width;
    const std::size_t cells = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
    const std::size_t words = (cells + 63) / 64;
    bits_.assign(words + static_cast<std::size_t>(width) / 64 + 3, 0);
    map_kernels().of(T()).threshold(plane, cells, narrow(threshold), bits_.data());
    // Bits of a cell, of the next, and of the two below. Cells follow each other row by row: that the last of a row
    // sees the first of the next is harmless.
    const std::size_t whole = static_cast<std::size_t>(width) / 64, part = static_cast<std::size_t>(width) % 64;
    for (std::size_t n = 0; n < words; ++n) bits_[n] |= bits_[n] >> 1 | bits_[n + 1] << 63;
    for (std::size_t n = 0; n < words; ++n)
      bits_[n] |= part == 0 ? bits_[n + whole] : bits_[n + whole] >> part | bits_[n + whole + 1] << (64 - part);
  }
  bool misses(const MapPeak& a, const MapPeak& b, const Places& places) const {
    constexpr int kGroup = 4;
    const CellLine line(a, b, places.count, places.share);
    int left = places.max_misses;
    for (int n = 0; n < places.count; n += kGroup) {
      for (int m = n; m < std::min(n + kGroup, places.count); ++m) {  // no branch: they could not be foretold
        const double i = places.from[static_cast<std::size_t>(m)];
        left -= 1 - may_support(line.x(i), line.y(i));
      }
      if (left < 0) return true;
    }
    return false;
  }

 private:
  int may_support(double x, double y) const {  // 0 or 1
    const int cell = static_cast<int>(y) * width_ + static_cast<int>(x);
    return static_cast<int>(bits_[static_cast<std::size_t>(cell >> 6)] >> (cell & 63) & 1);
  }

  std::vector<std::uint64_t>& bits_;
  int width_ = 0;
};

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

// Appends the candidates of a limb, a after a; by the originals' rules also b after b. `ahead.misses` is true only for
// lines with more samples than allowed that do not support the limb.
template <typename Read, typename LookAhead>
void score_pairs(const Read& read, const LookAhead& ahead, int limb, const LimbSkeleton& skeleton,
                 const MapPeaks& peaks, const PairScale& scale, const MapOptions& options,
                 std::vector<Connection>& candidates) {
  const auto [first, second] = skeleton.limbs[static_cast<std::size_t>(limb)];
  const int a0 = peaks.first[static_cast<std::size_t>(first)], a1 = peaks.first[static_cast<std::size_t>(first) + 1];
  const int b0 = peaks.first[static_cast<std::size_t>(second)], b1 = peaks.first[static_cast<std::size_t>(second) + 1];
  const bool fixed_count = options.rules != Rules::kPartA;  // of samples, for limbs of `max_samples` pixels and more
  Places most, places;
  most.set(options.max_samples, options);
  for (int a = a0; a < a1; ++a) {
    poll(options.interrupt);
    const MapPeak& start = peaks.all[static_cast<std::size_t>(a)];
    const std::size_t own = candidates.size();
    double sure = std::numeric_limits<double>::infinity(), reach2 = sure;  // lengths of limbs
    const auto try_pair = [&](int b) {
      const MapPeak& end = peaks.all[static_cast<std::size_t>(b)];
      const double dx = (end.x - start.x) * scale.x, dy = (end.y - start.y) * scale.y, length2 = dx * dx + dy * dy;
      if (length2 > reach2) return;
      const bool is_long = fixed_count && length2 >= static_cast<double>(options.max_samples) * options.max_samples;
      if (is_long && ahead.misses(start, end, most)) return;
      const double length = std::sqrt(length2);
      if (!(length > 0.0)) return;
      if (!is_long) places.set(sample_count(length, scale.longest, options), options);
      const Places& at = is_long ? most : places;
      const typename Read::Line line(start, end, at.count, at.share);
      int left = at.max_misses;
      double total = 0.0;
      for (const double i : at.from) {
        const double v = read(line.x(i), line.y(i));
        total += v;
        if (!(v > options.limb_threshold) && --left < 0) return;
      }
      const double score = total / at.count + std::min(0.5 * scale.height / length - 1.0, 0.0);
      if (!(score > 0.0)) return;
      const double rank = 0.5 * score + 0.25 * start.score + 0.25 * end.score;
      candidates.push_back({limb, a, b, a - a0, b - b0, score, length, rank});
      if (options.is_original() || score < kSure || length >= sure) return;
      sure = length;
      const double reach = options.max_reach * std::max(sure, scale.height / 20.0);
      reach2 = reach * reach * 1.000001;  // rounding is left to the last look
    };
    if (options.is_original()) {
      for (int b = b0; b < b1; ++b) try_pair(b);
      continue;
    }
    // From the rows of the first end outwards: peaks come row by row of their anchors.
    const bool has_box = options.position == Position::kCentroid || options.position == Position::kSwappedCentroid;
    const double from_anchor = has_box ? options.box_radius : 0.5;  // cells, at most
    const auto is_out = [&](int b) {
      const double rows = std::abs(peaks.all[static_cast<std::size_t>(b)].anchor_y - start.y) - from_anchor;
      return rows > 0.0 && rows * rows * scale.y * scale.y > reach2;
    };
    const auto from = std::lower_bound(peaks.all.begin() + b0, peaks.all.begin() + b1, start.anchor_y,
                                       [](const MapPeak& peak, int y) { return peak.anchor_y < y; });
    const int middle = static_cast<int>(from - peaks.all.begin());
    bool up = true, down = true;
    for (int n = 0; up || down; ++n) {
      down = down && middle + n < b1 && !is_out(middle + n);
      if (down) try_pair(middle + n);
      up = up && middle - 1 - n >= b0 && !is_out(middle - 1 - n);
      if (up) try_pair(middle - 1 - n);
    }
    const double limit = options.max_reach * std::max(sure, scale.height / 20.0);
    candidates.erase(std::remove_if(candidates.begin() + static_cast<std::ptrdiff_t>(own), candidates.end(),
                                    [&](const Connection& one) { return one.length > limit; }),
                     candidates.end());
  }
}

// Whether a limb has pairs enough for a look at its whole map.
bool has_many_pairs(int limb, const LimbSkeleton& skeleton, const MapPeaks& peaks) {
  const auto count = [&](int k) {
    return std::int64_t{peaks.first[static_cast<std::size_t>(k) + 1] - peaks.first[static_cast<std::size_t>(k)]};
  };
  const auto [a, b] = skeleton.limbs[static_cast<std::size_t>(limb)];
  return count(a) * count(b) >= Occupied::kMinPairs;
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
    with_elements(view.limbs, [&](auto element) {
      using T = decltype(element);
      if (original) {
        const PixelReader<T> read(image, scratch.enlargements, limb);
        score_pairs(read, NoLookAhead(), limb, skeleton, scratch.peaks, scale, options, own);
        return;
      }
      const CellReader<T> read(view.limbs, limb);
      if (!has_many_pairs(limb, skeleton, scratch.peaks)) {
        score_pairs(read, NoLookAhead(), limb, skeleton, scratch.peaks, scale, options, own);
        return;
      }
      Occupied occupied(mine.bits);
      occupied.set(view.limbs.plane<T>(limb), view.limbs.height, view.limbs.width, options.limb_threshold);
      score_pairs(read, occupied, limb, skeleton, scratch.peaks, scale, options, own);
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

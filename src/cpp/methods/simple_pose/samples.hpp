// Sampling a limb's map along the line between two peaks: where, and how many samples tell.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "methods/simple_pose/enlarge.hpp"
#include "methods/simple_pose/kernels.hpp"

namespace personlab::simple_pose {

// No line on the image is as long as `longest`.
inline int sample_count(double length, int longest, const MapOptions& options) {
  if (options.rules == Rules::kPartA)
    return std::max(static_cast<int>(std::min<double>(length, longest)), options.max_samples);
  return static_cast<int>(std::min(std::nearbyint(length + 1.0), static_cast<double>(options.max_samples)));
}

// Places of samples along a line, from the middle outwards, so that a line that misses a limb is soon given up.
struct Places {
  int count = 0;
  int max_misses = 0;        // with more samples that do not support it, a limb is none
  int telling = 0;           // samples that tell most lines that miss the limb
  double share = 0.0;        // of the line from place to place
  std::vector<double> from;  // (count) 0 at the first end .. count - 1 at the second; then 0 to fill a group

  void set(int samples, const MapOptions& options) {
    if (count == samples) return;
    count = samples;
    share = count > 1 ? 1.0 / (count - 1) : 0.0;
    const double needed = options.min_support * count;
    for (max_misses = count; max_misses >= 0; --max_misses) {
      const int support = count - max_misses;
      if (options.rules == Rules::kDemo ? support > needed : support >= needed) break;
    }
    telling = std::min((max_misses + kSampleGroup) / kSampleGroup * kSampleGroup, count);
    from.assign(static_cast<std::size_t>((count + kSampleGroup - 1) / kSampleGroup * kSampleGroup), 0.0);
    for (int n = 0; n < count; ++n) {
      const int i = n % 2 == 0 ? count / 2 + n / 2 : count / 2 - 1 - n / 2;  // all of 0 .. count - 1
      from[static_cast<std::size_t>(n)] = i;
    }
  }
};

// Samples a limb's map at the pixels of the image nearest to points of a line, as the originals do.
template <typename T>
class PixelSampler {
 public:
  PixelSampler(const MapBatch& image, const std::vector<Enlargement>& enlargements, int limb)
      : image_(image), enlargements_(enlargements), limb_(limb) {}

  // Adds up samples until too many are not above the threshold; returns whether they were not.
  bool add(const MapPeak& a, const MapPeak& b, const Places& places, double threshold, double& total) const {
    const Line line(a, b, places.count);
    total = 0.0;
    int misses = 0;
    for (int n = 0; n < places.count; ++n) {
      const double i = places.from[static_cast<std::size_t>(n)], v = read(line.x(i), line.y(i));
      total += v;
      misses += static_cast<int>(!(v > threshold));
      if (misses > places.max_misses) return false;
    }
    return misses <= places.max_misses;
  }

 private:
  // Points along the line from a to b, as NumPy's linspace places them: rounding to pixels hangs on the last bit.
  struct Line {
    const MapPeak &a, &b;
    double step_x, step_y;
    int last;
    Line(const MapPeak& from, const MapPeak& to, int count) : a(from), b(to), last(count - 1) {
      step_x = last > 0 ? (b.x - a.x) / last : 0.0;
      step_y = last > 0 ? (b.y - a.y) / last : 0.0;
    }
    double x(double i) const { return i == last && last > 0 ? b.x : i * step_x + a.x; }
    double y(double i) const { return i == last && last > 0 ? b.y : i * step_y + a.y; }
  };

  double read(double px, double py) const {
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

  const MapBatch& image_;
  const std::vector<Enlargement>& enlargements_;
  int limb_;
};

// Points along the line from a to b, in cells; by rounding, one may lie outside the grid.
struct CellLine {
  double x0, y0, step_x, step_y;
  CellLine(const MapPeak& a, const MapPeak& b, double share)
      : x0(a.x), y0(a.y), step_x((b.x - a.x) * share), step_y((b.y - a.y) * share) {}
  double x(double i) const { return i * step_x + x0; }
  double y(double i) const { return i * step_y + y0; }
};

// Samples a limb's map bilinearly between cells. Peaks lie on the grid, and so does what is between them.
template <typename T>
class CellSampler {
 public:
  CellSampler(const Field& field, int limb)
      : plane_(field.plane<T>(limb)), height_(field.height), width_(field.width) {}

  // Adds up samples; returns whether enough are above the threshold.
  bool add(const MapPeak& a, const MapPeak& b, const Places& places, double threshold, double& total) const {
    total = 0.0;
    const int misses = count_misses(a, b, places, 0, places.telling, threshold, total);
    if (misses > places.max_misses) return false;
    return misses + count_misses(a, b, places, places.telling, places.count, threshold, total) <= places.max_misses;
  }

  // Whether the first samples tell that the line misses the limb.
  bool misses_at_once(const MapPeak& a, const MapPeak& b, const Places& places, double threshold) const {
    double total = 0.0;
    return count_misses(a, b, places, 0, places.telling, threshold, total) > places.max_misses;
  }

 private:
  // Adds up the samples at places first .. last - 1.
  int count_misses(const MapPeak& a, const MapPeak& b, const Places& places, int first, int last, double threshold,
                   double& total) const {
    const CellLine line(a, b, places.share);
    return add_samples_(
        {plane_, height_, width_, line.x0, line.y0, line.step_x, line.step_y, places.from.data() + first, last - first},
        threshold, &total);
  }

  const T* plane_;
  int height_, width_;
  int (*add_samples_)(const SampledLine<T>&, double, double*) = map_kernels().of(T()).add_samples;
};

// Where the four cells that are read at a point may hold a value above the threshold: a bit for the upper left one.
// Most lines between far peaks miss all limbs: where there are many pairs, a few bits tell.
class Occupied {
 public:
  static constexpr int kMinPairs = 1024;  // fewer are not worth a look at the whole map

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
    const CellLine line(a, b, places.share);
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

}  // namespace personlab::simple_pose

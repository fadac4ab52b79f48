// Peaks of keypoint maps: on the cells by default, on the pixels of the image by the rules of the originals.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "base/parabola.hpp"
#include "base/parallel.hpp"
#include "base/types.hpp"
#include "methods/simple_pose/kernels.hpp"
#include "methods/simple_pose/stages.hpp"

namespace personlab::simple_pose {
namespace {

// How far the maximum lies from the middle one of three cells: at most half a cell.
double vertex(double before, double at, double after) {
  return std::clamp(parabola_vertex(before, at, after), -0.5, 0.5);
}

// Position and score of a peak at (x, y) of a plane that `read` reads.
template <typename Read>
MapPeak locate(const Read& read, int x, int y, int height, int width, const MapOptions& options) {
  MapPeak peak{x, y, static_cast<double>(x), static_cast<double>(y), read(x, y)};
  if (options.position == Position::kCell) return peak;
  if (options.position == Position::kParabola) {
    if (x > 0 && x < width - 1) peak.x += vertex(read(x - 1, y), peak.score, read(x + 1, y));
    if (y > 0 && y < height - 1) peak.y += vertex(read(x, y - 1), peak.score, read(x, y + 1));
    return peak;
  }
  const int r = options.box_radius;
  if (x < r || y < r || x >= width - r || y >= height - r) return peak;
  double total = 0.0, right = 0.0, down = 0.0;
  for (int i = -r; i <= r; ++i)
    for (int j = -r; j <= r; ++j) {
      const double v = read(x + j, y + i);
      total += v, right += v * j, down += v * i;
    }
  right /= total, down /= total;
  if (!is_finite(right) || !is_finite(down)) return peak;
  if (options.position == Position::kSwappedCentroid) std::swap(right, down);  // as the original has it
  if (!options.is_original()) right = clamp<double>(right, -r, r), down = clamp<double>(down, -r, r);
  peak.x += right, peak.y += down;
  const int side = 2 * r + 1;
  peak.score = static_cast<double>(narrow(total / (side * side)));
  return peak;
}

template <typename Value>
Value as(double v) {
  if constexpr (std::is_same_v<Value, float>) return narrow(v);
  return v;
}

// Whether a cell is not smaller than its neighbours and, if strict, greater than those that precede it.
template <typename Value, typename Read>
bool is_peak(const Read& read, int x, int y, int height, int width, Value value, bool strict = true) {
  for (int i = y - 1; i <= y + 1; ++i) {
    if (i < 0 || i >= height) continue;
    for (int j = x - 1; j <= x + 1; ++j) {
      if (j < 0 || j >= width || (i == y && j == x)) continue;
      const Value other = as<Value>(read(j, i));
      const bool precedes = i < y || (i == y && j < x);
      if (strict && precedes ? !(value > other) : !(value >= other)) return false;
    }
  }
  return true;
}

// Peaks on the cells of a plane.
template <typename T>
void find_on_cells(const MapView& view, int part, const MapOptions& options, MapScratch::Worker& scratch,
                   std::vector<MapPeak>& peaks) {
  const T* plane = view.keypoints.plane<T>(part);
  const int width = view.keypoints.width, rows = view.rows(), columns = view.columns();
  const std::size_t cells = static_cast<std::size_t>(rows) * static_cast<std::size_t>(width);
  scratch.bits.resize((cells + 63) / 64);
  const float lowest = narrow(options.peak_threshold);
  if (!map_kernels().of(T()).mark_tops({plane, rows, columns, width}, lowest, scratch.bits.data())) return;
  const auto read = [&](int x, int y) {
    return finite_value(
        plane[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x)]);
  };
  int y = 0, row = 0;  // row of the cell, and its first cell
  for (std::size_t word = 0; word < scratch.bits.size(); ++word) {
    for (std::uint64_t bits = scratch.bits[word]; bits != 0; bits &= bits - 1) {
      const auto cell = static_cast<int>(word * 64) + lowest_bit(bits);
      for (; cell >= row + width; row += width) ++y;
      const int x = cell - row;
      const float value = to_float32(plane[cell]);
      if (x >= columns || !is_finite(value)) continue;
      if (is_peak<float>(read, x, y, rows, columns, value)) peaks.push_back(locate(read, x, y, rows, columns, options));
    }
  }
}

// The mean over the views of a plane at a pixel of the image.
template <typename T>
struct ImageReader {
  const MapBatch& image;
  const std::vector<Enlargement>& enlargements;
  int part;
  double operator()(int x, int y) const {
    double total = 0.0;
    for (std::size_t v = 0; v < image.views.size(); ++v) {
      const Field& field = image.views[v].keypoints;
      total += read_enlarged(field.plane<T>(part), field.width, enlargements[v], x, y);
    }
    return total / static_cast<double>(image.views.size());
  }
};

constexpr int kTile = 16;  // pixels

// Marks the tiles of the image with a pixel that may reach the threshold.
template <typename T>
void mark_tiles(const MapBatch& image, const std::vector<Enlargement>& enlargements, int part,
                const MapOptions& options, std::vector<std::uint8_t>& active) {
  const int across = (image.size.width + kTile - 1) / kTile, down = (image.size.height + kTile - 1) / kTile;
  active.assign(static_cast<std::size_t>(across) * static_cast<std::size_t>(down), 0);
  for (std::size_t v = 0; v < image.views.size(); ++v) {
    const Field& field = image.views[v].keypoints;
    const AxisTaps &rows = enlargements[v].rows, &columns = enlargements[v].columns;
    const double lowest = 0.99 * options.peak_threshold / (rows.gain() * columns.gain());
    const T* cell = field.plane<T>(part);
    for (int i = 0; i < field.height; ++i)
      for (int j = 0; j < field.width; ++j, ++cell) {
        if (std::abs(finite_value(*cell)) < lowest) continue;
        const auto [top, bottom] = rows.readers(i);
        const auto [left, right] = columns.readers(j);
        if (top > bottom || left > right) continue;
        for (int y = top / kTile; y <= bottom / kTile; ++y)
          for (int x = left / kTile; x <= right / kTile; ++x)
            active[static_cast<std::size_t>(y) * static_cast<std::size_t>(across) + static_cast<std::size_t>(x)] = 1;
      }
  }
}

// Peaks on the pixels of the image, in the tiles that may have any.
template <typename T>
void find_on_pixels(const MapBatch& image, const std::vector<Enlargement>& enlargements, int part,
                    const MapOptions& options, MapScratch::Worker& scratch, std::vector<MapPeak>& peaks) {
  const int height = image.size.height, width = image.size.width;
  mark_tiles<T>(image, enlargements, part, options, scratch.active);
  const ImageReader<T> read{image, enlargements, part};
  const float lowest = narrow(options.peak_threshold);
  const int across = (width + kTile - 1) / kTile;
  constexpr int kPatch = kTile + 2;
  double patch[kPatch * kPatch];
  for (std::size_t tile = 0; tile < scratch.active.size(); ++tile) {
    if (scratch.active[tile] == 0) continue;
    poll(options.interrupt);
    const int top = static_cast<int>(tile) / across * kTile, left = static_cast<int>(tile) % across * kTile;
    const int bottom = std::min(top + kTile, height), right = std::min(left + kTile, width);
    for (int y = std::max(top - 1, 0); y < std::min(bottom + 1, height); ++y)
      for (int x = std::max(left - 1, 0); x < std::min(right + 1, width); ++x)
        patch[(y - top + 1) * kPatch + x - left + 1] = read(x, y);
    const auto near = [&](int x, int y) { return patch[(y - top + 1) * kPatch + x - left + 1]; };
    for (int y = top; y < bottom; ++y)
      for (int x = left; x < right; ++x) {
        const float value = narrow(near(x, y));
        if (value >= lowest && is_peak<float>(near, x, y, height, width, value, false))
          peaks.push_back(locate(read, x, y, height, width, options));
      }
  }
  std::sort(peaks.begin(), peaks.end(), [](const MapPeak& a, const MapPeak& b) {
    return a.anchor_y != b.anchor_y ? a.anchor_y < b.anchor_y : a.anchor_x < b.anchor_x;
  });
}

constexpr int kRadius = 12;  // of the Gaussian filter of Part A, pixels: 4 sigma

// Weights of the pixels 0, 1 .. from the middle of a Gaussian of 3 pixels; those of both sides sum to 1.
struct GaussianWeights {
  double at[kRadius + 1];
  // exp(-d^2 / 18) by products of exp(-1 / 18) alone: a library's exponentials may differ in their last bit.
  GaussianWeights() : at{1.0} {
    constexpr double kRatio = 0.9459594689067654;  // exp(-1 / 18)
    double factor = kRatio, sides = 0.0;
    for (int d = 1; d <= kRadius; ++d) {
      at[d] = at[d - 1] * factor;
      factor *= kRatio * kRatio;
    }
    for (int d = kRadius; d > 0; --d) sides += at[d];
    const double total = 2.0 * sides + 1.0;
    for (double& weight : at) weight /= total;
  }
};

// Filters a plane (h, w) along an axis by a Gaussian cut at 4 sigma; borders mirrored with the edge repeated. Sums are
// SciPy's: the middle, and then the two pixels of each distance together, the farthest first.
void smooth_axis(std::vector<double>& plane, int lines, int line_step, int length, int step,
                 std::vector<double>& line) {
  const GaussianWeights weights;
  line.resize(static_cast<std::size_t>(length + 2 * kRadius));
  for (int n = 0; n < lines; ++n) {
    double* at = plane.data() + static_cast<std::ptrdiff_t>(n) * line_step;
    for (int i = 0; i < length + 2 * kRadius; ++i) {
      int from = (i - kRadius) % (2 * length);
      from = from < 0 ? from + 2 * length : from;
      line[static_cast<std::size_t>(i)] = at[static_cast<std::ptrdiff_t>(std::min(from, 2 * length - 1 - from)) * step];
    }
    for (int i = 0; i < length; ++i) {
      const double* middle = line.data() + i + kRadius;
      double sum = weights.at[0] * *middle;
      for (int d = kRadius; d > 0; --d) sum += (middle[-d] + middle[d]) * weights.at[d];
      at[static_cast<std::ptrdiff_t>(i) * step] = sum;
    }
  }
}

// Part A: maxima of the enlarged map, smoothed; scores are those of the map itself.
template <typename T>
void find_smoothed(const MapBatch& image, const std::vector<Enlargement>& enlargements, int part,
                   const MapOptions& options, MapScratch::Worker& scratch, std::vector<MapPeak>& peaks) {
  const int height = image.size.height, width = image.size.width;
  const ImageReader<T> read{image, enlargements, part};
  scratch.plane.resize(static_cast<std::size_t>(height) * static_cast<std::size_t>(width));
  double* to = scratch.plane.data();
  for (int y = 0; y < height; ++y) {
    poll(options.interrupt);
    for (int x = 0; x < width; ++x) *to++ = read(x, y);
  }
  smooth_axis(scratch.plane, width, 1, height, width, scratch.line);
  smooth_axis(scratch.plane, height, width, width, 1, scratch.line);
  const auto smoothed = [&](int x, int y) {
    return scratch.plane[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x)];
  };
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const double value = smoothed(x, y);
      if (value > options.peak_threshold && is_peak<double>(smoothed, x, y, height, width, value, false))
        peaks.push_back(locate(read, x, y, height, width, options));
    }
}

// Keeps the `count` highest, ties by place, in their order.
void keep_highest(std::vector<MapPeak>& peaks, int count) {
  if (peaks.size() <= static_cast<std::size_t>(count)) return;
  std::vector<std::size_t> order(peaks.size());
  for (std::size_t n = 0; n < order.size(); ++n) order[n] = n;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return peaks[a].score != peaks[b].score ? peaks[a].score > peaks[b].score : a < b;
  });
  order.resize(static_cast<std::size_t>(count));
  std::sort(order.begin(), order.end());
  for (std::size_t n = 0; n < order.size(); ++n) peaks[n] = peaks[order[n]];
  peaks.resize(order.size());
}

}  // namespace

void find_peaks(const MapBatch& image, const MapOptions& options, MapScratch& scratch) {
  const Field& first = image.views.front().keypoints;
  const int count = first.planes;
  const auto workers = static_cast<std::size_t>(std::max(1, std::min(count, options.threads)));
  if (scratch.workers.size() < workers) scratch.workers.resize(workers);
  if (scratch.peaks_of.size() < static_cast<std::size_t>(count))
    scratch.peaks_of.resize(static_cast<std::size_t>(count));
  const bool enlarged = options.is_original();
  parallel_for(count, options.threads, options.interrupt, [&](int k, int worker) {
    MapScratch::Worker& mine = scratch.workers[static_cast<std::size_t>(worker)];
    std::vector<MapPeak>& peaks = scratch.peaks_of[static_cast<std::size_t>(k)];
    peaks.clear();
    with_elements(first, [&](auto element) {
      using T = decltype(element);
      if (!enlarged)
        find_on_cells<T>(image.views.front(), k, options, mine, peaks);
      else if (options.rules == Rules::kPartA)
        find_smoothed<T>(image, scratch.enlargements, k, options, mine, peaks);
      else
        find_on_pixels<T>(image, scratch.enlargements, k, options, mine, peaks);
    });
    keep_highest(peaks, options.max_peaks);
  });
  MapPeaks& peaks = scratch.peaks;
  peaks.all.clear();
  peaks.first.assign(1, 0);
  for (int k = 0; k < count; ++k) {
    const std::vector<MapPeak>& own = scratch.peaks_of[static_cast<std::size_t>(k)];
    peaks.all.insert(peaks.all.end(), own.begin(), own.end());
    peaks.first.push_back(static_cast<int>(peaks.all.size()));
  }
}

}  // namespace personlab::simple_pose

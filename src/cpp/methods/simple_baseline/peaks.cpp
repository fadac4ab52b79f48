// Peaks of heatmaps of one person: the highest cell, and where between cells the maximum lies.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/parabola.hpp"
#include "base/parallel.hpp"
#include "base/sampling.hpp"
#include "base/types.hpp"
#include "methods/simple_baseline/kernels.hpp"
#include "methods/simple_baseline/stages.hpp"

namespace personlab::simple_baseline {
namespace {

// How far beyond a border a maximum may lie, cells: a keypoint outside of the crop is seen by the side of its Gaussian.
constexpr double kBeyond = 2.0;
constexpr double kSmallest = 1e-10;  // of what DARK takes the logarithm of

// A map (h, w) whose cells are read as float32; 0 where they are not finite.
template <typename T>
struct Plane {
  const T* cells;
  int height, width;
  double at(int x, int y) const {
    const float v =
        to_float32(cells[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x)]);
    return is_finite(v) ? static_cast<double>(v) : 0.0;
  }
};

// Where the parabola through the logarithms along an axis of n cells has its maximum near cell `at`. At a border it
// goes through the last three cells.
template <typename Read>
double along(const Read& read, int at, int n) {
  if (n < 3) return at;
  const int middle = std::clamp(at, 1, n - 2);
  const double shift = parabola_vertex(read(middle - 1), read(middle), read(middle + 1));
  if (shift == 0.0) return at;  // no parabola, or its maximum at a cell
  return clamp(middle + shift, at - (at == 0 ? kBeyond : 0.5), at + (at == n - 1 ? kBeyond : 0.5));
}

// DARK (Zhang et al., CVPR 2020): a Newton step on the logarithm of the map, smoothed by a Gaussian.
template <typename T>
class Dark {
 public:
  Dark(const Plane<T>& plane, double sigma) : plane_(plane), radius_(static_cast<int>(std::ceil(2.5 * sigma))) {
    double total = 0.0;
    for (int d = -radius_; d <= radius_; ++d) {
      weights_.push_back(std::exp(-0.5 * d * d / (sigma * sigma)));
      total += weights_.back();
    }
    for (double& weight : weights_) weight /= total;
  }

  void refine(int x, int y, double& to_x, double& to_y) const {
    const auto f = [&](int dx, int dy) { return log_same(std::max(smoothed(x + dx, y + dy), kSmallest)); };
    const double middle = f(0, 0), east = f(1, 0), west = f(-1, 0), south = f(0, 1), north = f(0, -1);
    const double gx = 0.5 * (east - west), gy = 0.5 * (south - north);
    const double xx = 0.25 * (f(2, 0) - 2.0 * middle + f(-2, 0)), yy = 0.25 * (f(0, 2) - 2.0 * middle + f(0, -2));
    const double xy = 0.25 * (f(1, 1) - f(1, -1) - f(-1, 1) + f(-1, -1));
    const double determinant = xx * yy - xy * xy;
    if (!(xx < 0.0 && determinant > 0.0)) return;  // no maximum
    to_x += clamp(-(yy * gx - xy * gy) / determinant, -1.0, 1.0);
    to_y += clamp(-(xx * gy - xy * gx) / determinant, -1.0, 1.0);
  }

 private:
  double smoothed(int x, int y) const {
    double sum = 0.0;
    for (int i = -radius_; i <= radius_; ++i) {
      if (y + i < 0 || y + i >= plane_.height) continue;
      double row = 0.0;
      for (int j = -radius_; j <= radius_; ++j)
        if (x + j >= 0 && x + j < plane_.width) row += weight(j) * plane_.at(x + j, y + i);
      sum += weight(i) * row;
    }
    return sum;
  }
  double weight(int d) const { return weights_[static_cast<std::size_t>(d + radius_)]; }

  const Plane<T>& plane_;
  const int radius_;
  std::vector<double> weights_;
};

double sign(double v) { return static_cast<double>(v > 0.0) - static_cast<double>(v < 0.0); }

// Moves a peak from its cell to where the maximum lies.
template <typename T>
void refine(const Plane<T>& plane, int x, int y, const BaselineOptions& options, MapPeak& peak) {
  const int width = plane.width, height = plane.height;
  const auto row = [&](int j) { return plane.at(j, y); };
  const auto column = [&](int i) { return plane.at(x, i); };
  const bool inner = x > 1 && y > 1 && x < width - 1 && y < height - 1;  // of the originals' quarter
  switch (options.position) {
    case Position::kCell:
      return;
    case Position::kQuarter:
      if (!inner) return;
      peak.x += 0.25 * sign(row(x + 1) - row(x - 1));
      peak.y += 0.25 * sign(column(y + 1) - column(y - 1));
      return;
    case Position::kDark:
      if (inner && x < width - 2 && y < height - 2) return Dark<T>(plane, options.blur).refine(x, y, peak.x, peak.y);
      [[fallthrough]];
    case Position::kParabola:
      peak.x = along(row, x, width);
      peak.y = along(column, y, height);
  }
}

// The peak of one map.
template <typename T>
MapPeak find_peak(const Plane<T>& plane, const BaselineOptions& options) {
  const std::size_t cells = static_cast<std::size_t>(plane.width) * static_cast<std::size_t>(plane.height);
  const TopCell top = baseline_kernels().of(T()).top(plane.cells, cells);
  if (top.cell == cells) return {0.0, 0.0, 0.0F};  // no cell is finite
  const bool absent = options.rules == Rules::kPyTorch && !(top.value > 0.0F);
  const auto cell = absent ? 0 : static_cast<int>(top.cell);
  const int x = cell % plane.width, y = cell / plane.width;
  MapPeak peak{static_cast<double>(x), static_cast<double>(y), top.value};
  refine(plane, x, y, options, peak);
  return peak;
}

}  // namespace

void find_peaks(const Field& maps, int people, const void* mirrored, const int* flip, const BaselineOptions& options,
                std::vector<PeakScratch>& scratch, MapPeak* peaks) {
  const int k = maps.planes, workers = std::max(1, std::min(people, options.threads));
  if (scratch.size() < static_cast<std::size_t>(workers)) scratch.resize(static_cast<std::size_t>(workers));
  parallel_for(people, options.threads, options.interrupt, [&](int n, int worker) {
    const Field own = maps.image(n);
    Field other = maps;
    other.data = mirrored;
    other = other.image(n);
    PeakScratch& mine = scratch[static_cast<std::size_t>(worker)];
    with_elements(maps, [&](auto element) {
      using T = decltype(element);
      for (int p = 0; p < k; ++p) {
        MapPeak& peak = peaks[static_cast<std::ptrdiff_t>(n) * k + p];
        if (maps.cells() == 0) {
          peak = {0.0, 0.0, 0.0F};
        } else if (mirrored == nullptr) {
          peak = find_peak(Plane<T>{own.plane<T>(p), maps.height, maps.width}, options);
        } else {
          mine.merged.resize(maps.cells());
          mine.line.resize(static_cast<std::size_t>(maps.width));
          baseline_kernels().of(T()).merge(own.plane<T>(p), other.plane<T>(flip[p]),
                                           {maps.height, maps.width, options.flip_shift}, mine.line.data(),
                                           mine.merged.data());
          peak = find_peak(Plane<float>{mine.merged.data(), maps.height, maps.width}, options);
        }
      }
    });
  });
}

}  // namespace personlab::simple_baseline

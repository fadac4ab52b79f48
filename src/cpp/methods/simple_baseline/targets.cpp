// Training targets, Simple Baselines section 2: a Gaussian around each keypoint of a crop.
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/parallel.hpp"
#include "base/sampling.hpp"
#include "methods/simple_baseline/stages.hpp"

namespace personlab::simple_baseline {
namespace {

constexpr double kReach = 3.0;  // sigmas from a keypoint at which its Gaussian counts as over

// Where a keypoint's Gaussian lies along an axis, and the cells first .. last that it covers.
struct Extent {
  double centre;
  int first, last;
  bool counts;

  Extent(double at, int cells, int pixels, int stride, const TargetOptions& options)
      : centre(at / stride), first(0), last(cells - 1), counts(at >= 0.0 && at < pixels) {
    if (options.rules == Rules::kDefault)
      counts = centre >= -kReach * options.sigma && centre <= last + kReach * options.sigma;
    if (options.rules == Rules::kDefault) return;
    const double nearest = centre + 0.5;  // too far for an int, it is too far for the window
    const int bounded = static_cast<int>(clamp(nearest, -1e9, 1e9));
    centre = options.rules == Rules::kTensorFlow ? std::floor(nearest) : bounded;
    if (options.rules == Rules::kTensorFlow) return;
    const int reach = static_cast<int>(kReach * options.sigma);
    counts = bounded - reach < cells && bounded + reach + 1 >= 0;
    first = std::max(bounded - reach, 0), last = std::min(bounded + reach, cells - 1);
  }
};

}  // namespace

void encode_targets(const double* keypoints, int count, const TargetGrid& grid, const TargetOptions& options,
                    float* maps, float* weights) {
  const std::size_t width = static_cast<std::size_t>(grid.width), cells = width * static_cast<std::size_t>(grid.height);
  const double scale = -0.5 / (options.sigma * options.sigma);
  parallel_for(count, options.threads, options.interrupt, [&](int n, int) {
    const double* point = keypoints + static_cast<std::ptrdiff_t>(n) * 3;
    float* map = maps + static_cast<std::size_t>(n) * cells;
    std::fill_n(map, cells, 0.0F);
    weights[n] = 0.0F;
    const bool labelled = point[2] > 0.0;
    if (!labelled && options.rules != Rules::kTensorFlow) return;
    if (!is_finite(point[0]) || !is_finite(point[1])) return;  // of no label
    const Extent across(point[0], grid.width, grid.width * grid.stride, grid.stride, options);
    const Extent down(point[1], grid.height, grid.height * grid.stride, grid.stride, options);
    const bool counts = labelled && across.counts && down.counts;
    weights[n] = counts ? 1.0F : 0.0F;
    if (!counts && options.rules != Rules::kTensorFlow) return;
    std::vector<double> row;
    for (int j = across.first; j <= across.last; ++j)
      row.push_back(std::exp((j - across.centre) * (j - across.centre) * scale));
    for (int i = down.first; i <= down.last; ++i) {
      const double factor = options.full_value * std::exp((i - down.centre) * (i - down.centre) * scale);
      float* to = map + static_cast<std::size_t>(i) * width + across.first;
      for (const double value : row) *to++ = static_cast<float>(factor * value);
    }
  });
}

}  // namespace personlab::simple_baseline

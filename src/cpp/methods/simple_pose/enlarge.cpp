// Weights of the originals' enlargement: OpenCV's cubic resize by the stride, a cut, and a cubic resize to the image.
#include "methods/simple_pose/enlarge.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace personlab::simple_pose {
namespace {

struct CubicTaps {
  int cell[4];
  double weight[4];
};

// Cubic convolution with a = -3/4 at a pixel of an axis of `cells` resized by 1 / step; cells outside repeat those of
// the border.
CubicTaps cubic_taps(int pixel, double step, int cells) {
  constexpr double a = -0.75;
  const auto position = static_cast<float>((pixel + 0.5) * step - 0.5);  // float32 as OpenCV's
  const float first = std::floor(position);
  const double t = static_cast<double>(position - first);
  const auto inner = [](double d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
  const auto outer = [](double d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
  CubicTaps taps{{}, {outer(1 + t), inner(t), inner(1 - t), outer(2 - t)}};
  for (int k = 0; k < 4; ++k) taps.cell[k] = std::clamp(static_cast<int>(first) + k - 1, 0, cells - 1);
  return taps;
}

}  // namespace

void AxisTaps::set(int cells, int stride, int inner, int size) {
  if (cells == cells_ && stride == stride_ && inner == inner_ && size == size_) return;
  cells_ = cells, stride_ = stride, inner_ = inner, size_ = size;
  taps_.resize(static_cast<std::size_t>(size));
  readers_.assign(static_cast<std::size_t>(cells), {size, -1});
  gain_ = 0.0;
  const double step = static_cast<double>(inner) / size, fine = 1.0 / stride;
  for (int pixel = 0; pixel < size; ++pixel) {
    const CubicTaps coarse = cubic_taps(pixel, step, inner);
    std::array<CubicTaps, 4> each{};
    int low = cells, high = -1;
    for (std::size_t k = 0; k < 4; ++k) {
      each[k] = cubic_taps(coarse.cell[k], fine, cells * stride == 0 ? 1 : cells);
      low = std::min(low, each[k].cell[0]);
      high = std::max(high, each[k].cell[3]);
    }
    std::array<double, 16> sums{};
    for (std::size_t k = 0; k < 4; ++k)
      for (std::size_t m = 0; m < 4; ++m)
        sums[static_cast<std::size_t>(each[k].cell[m] - low)] += coarse.weight[k] * each[k].weight[m];
    int count = high - low + 1;
    while (count > 1 && sums[static_cast<std::size_t>(count - 1)] == 0.0) --count;
    int skip = 0;
    while (skip < count - 1 && sums[static_cast<std::size_t>(skip)] == 0.0) ++skip;
    Taps& taps = taps_[static_cast<std::size_t>(pixel)];
    taps = {low + skip, count - skip, {}};
    double gain = 0.0;
    for (int k = 0; k < taps.count; ++k) {
      taps.weight[k] = sums[static_cast<std::size_t>(skip + k)];
      gain += std::abs(taps.weight[k]);
      std::pair<int, int>& readers = readers_[static_cast<std::size_t>(taps.first + k)];
      readers = {std::min(readers.first, pixel), std::max(readers.second, pixel)};
    }
    gain_ = std::max(gain_, gain);
  }
}

}  // namespace personlab::simple_pose

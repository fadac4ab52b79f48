// Reads maps at the pixels of the image as the originals enlarge them, without enlarging a map.
#pragma once

#include <limits>
#include <utility>
#include <vector>

#include "base/elements.hpp"
#include "base/narrow.hpp"
#include "base/sampling.hpp"
#include "methods/simple_pose/maps.hpp"

namespace personlab::simple_pose {

// A value of a map; one that is not finite counts as 0.
template <typename T>
double finite_value(const T& element) {
  const float v = to_float32(element);
  return is_finite(v) ? static_cast<double>(v) : 0.0;
}

// One axis of maps, enlarged by the stride, cut to what shows the image, and resized to it: cells and weights of each
// pixel. Cubic convolution twice, as OpenCV resizes.
class AxisTaps {
 public:
  static constexpr int kMax = 8;
  struct Taps {
    int first, count;
    double weight[kMax];
  };

  void set(int cells, int stride, int inner, int size);
  const Taps& operator[](int pixel) const { return taps_[static_cast<std::size_t>(pixel)]; }
  double gain() const { return gain_; }  // the largest sum of absolute weights
  // Pixels first .. last that read a cell; first > last where none does.
  std::pair<int, int> readers(int cell) const { return readers_[static_cast<std::size_t>(cell)]; }

 private:
  int cells_ = 0, stride_ = 0, inner_ = 0, size_ = 0;
  double gain_ = 0.0;
  std::vector<Taps> taps_;                    // (size)
  std::vector<std::pair<int, int>> readers_;  // (cells)
};

struct Enlargement {
  AxisTaps rows, columns;
};

// The value of a plane of one view at pixel (x, y) of the image.
template <typename T>
double read_enlarged(const T* plane, int width, const Enlargement& enlargement, int x, int y) {
  const AxisTaps::Taps &down = enlargement.rows[y], &across = enlargement.columns[x];
  double total = 0.0;
  for (int i = 0; i < down.count; ++i) {
    const T* row = plane + static_cast<std::size_t>(down.first + i) * static_cast<std::size_t>(width) + across.first;
    double sum = 0.0;
    for (int j = 0; j < across.count; ++j) sum += across.weight[j] * finite_value(row[j]);
    total += down.weight[i] * sum;
  }
  return total;
}

}  // namespace personlab::simple_pose

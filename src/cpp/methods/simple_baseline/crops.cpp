// Crops of people out of an image: affine maps, read bilinearly, straight into the layout that networks take.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "base/parallel.hpp"
#include "base/sampling.hpp"
#include "methods/simple_baseline/kernels.hpp"
#include "methods/simple_baseline/stages.hpp"

namespace personlab::simple_baseline {
namespace {

constexpr int kRows = 64;    // of a crop that are one piece of work
constexpr int kBlended = 4;  // pixels of the image for each of the crop up to which whole rows are blended

// How positions are counted: in fractions of a pixel, of which the last bits are rounded off.
struct Fixed {
  int fine;  // bits of a fraction as it is computed
  int kept;  // as it is read at

  std::int64_t of(double pixels) const {
    constexpr double kFar = 1152921504606846976.0;  // 2^60: no sum of two overflows
    return static_cast<std::int64_t>(clamp(std::nearbyint(pixels * (1 << fine)), -kFar, kFar));
  }
  std::int64_t round(std::int64_t position) const {
    const int drop = fine - kept;
    return drop == 0 ? position : (position + (std::int64_t{1} << (drop - 1))) >> drop;
  }
  float fraction(std::int64_t rounded) const {
    return static_cast<float>(static_cast<int>(rounded & ((1 << kept) - 1))) / static_cast<float>(1 << kept);
  }
};

constexpr Fixed kExact{16, 16}, kOpenCv{10, 5};

// From pixels of a crop to those of the image: the inverse of an affine map (2, 3).
struct Inverse {
  double xx, xy, x, yx, yy, y;
  explicit Inverse(const double* map) {
    const double scale = 1.0 / (map[0] * map[4] - map[1] * map[3]);
    xx = map[4] * scale, xy = -map[1] * scale, yx = -map[3] * scale, yy = map[0] * scale;
    x = -xx * map[2] - xy * map[5], y = -yx * map[2] - yy * map[5];
  }
};

// What a row of a crop is read from; memory of one thread.
class RowReader {
 public:
  RowReader(const ImageView& image, const Inverse& back, const Fixed& fixed, int width)
      : image_(image), back_(back), fixed_(fixed), width_(width) {
    const auto count = static_cast<std::size_t>(width);
    step_x_.resize(count), step_y_.resize(count), at_.resize(count), right_.resize(count), below_.resize(count);
    for (int x = 0; x < width; ++x) {
      step_x_[place(x)] = fixed.of(back.xx * x);
      step_y_[place(x)] = fixed.of(back.yx * x);
    }
  }

  // Finds where row y reads; pixels of the result lie inside.
  CropRow move_to(int y, const BaselineKernels& kernels) {
    const std::int64_t x_before = start_x_;
    start_x_ = fixed_.of(back_.xy * y + back_.x), start_y_ = fixed_.of(back_.yy * y + back_.y);
    const bool is_level = back_.yx == 0.0;  // a row of the crop is a part of two rows of the image
    if (!is_level || !ready_ || start_x_ != x_before) find_columns(is_level);
    CropRow row{image_.pixels, nullptr, at_.data(), right_.data(), below_.data(), image_.row_bytes, first_, last_};
    if (!is_level) return row;
    const std::int64_t py = fixed_.round(start_y_), i = py >> fixed_.kept;
    if (i < 0 || i + 1 >= image_.size.height) row.last = first_;
    if (row.first >= row.last) return row;
    const std::uint8_t* upper = image_.pixels + static_cast<std::ptrdiff_t>(i) * image_.row_bytes + left_;
    const float below = fixed_.fraction(py);
    if (line_.empty()) {
      std::fill(below_.begin(), below_.end(), below);
      row.pixels = upper;
    } else {
      kernels.blend(upper, upper + image_.row_bytes, below, line_.size(), line_.data());
      row.line = line_.data();
    }
    return row;
  }

  // The value of a channel at pixel x of the row, where some of the four pixels may lie outside: the operations of the
  // kernels.
  float read(int x, int channel) const {
    const std::int64_t px = at_x(x), py = at_y(x);
    const std::int64_t j = px >> fixed_.kept, i = py >> fixed_.kept;
    const float right = fixed_.fraction(px), below = fixed_.fraction(py);
    const float upper_left = pixel(i, j, channel), upper_right = pixel(i, j + 1, channel);
    const float left_value = upper_left + (pixel(i + 1, j, channel) - upper_left) * below;
    const float right_value = upper_right + (pixel(i + 1, j + 1, channel) - upper_right) * below;
    return left_value + (right_value - left_value) * right;
  }

 private:
  static std::size_t place(int x) { return static_cast<std::size_t>(x); }
  std::int64_t at_x(int x) const { return fixed_.round(start_x_ + step_x_[place(x)]); }
  std::int64_t at_y(int x) const { return fixed_.round(start_y_ + step_y_[place(x)]); }
  bool is_inside(int x, bool is_level) const {
    const std::int64_t j = at_x(x) >> fixed_.kept, i = at_y(x) >> fixed_.kept;
    return j >= 0 && j + 2 < image_.size.width && (is_level || (i >= 0 && i + 1 < image_.size.height));
  }
  // Finds where the pixels of the row read; of a level one, the columns alone.
  void find_columns(bool is_level) {
    first_ = 0, last_ = width_, ready_ = true;
    while (first_ < last_ && !is_inside(first_, is_level)) ++first_;
    while (first_ < last_ && !is_inside(last_ - 1, is_level)) --last_;
    line_.clear();
    if (first_ == last_) return;
    const std::ptrdiff_t one = column(first_), other = column(last_ - 1);
    left_ = is_level ? 3 * std::min(one, other) : 0;
    for (int x = first_; x < last_; ++x) {
      const std::int64_t px = at_x(x), py = at_y(x);
      at_[place(x)] = 3 * column(x) - left_;
      if (!is_level) at_[place(x)] += static_cast<std::ptrdiff_t>(py >> fixed_.kept) * image_.row_bytes;
      right_[place(x)] = fixed_.fraction(px), below_[place(x)] = fixed_.fraction(py);
    }
    const std::ptrdiff_t span = std::abs(other - one) + 3;  // pixels of the image
    if (is_level && span <= kBlended * (last_ - first_)) line_.resize(static_cast<std::size_t>(3 * span));
  }
  std::ptrdiff_t column(int x) const { return static_cast<std::ptrdiff_t>(at_x(x) >> fixed_.kept); }
  float pixel(std::int64_t i, std::int64_t j, int channel) const {
    if (i < 0 || j < 0 || i >= image_.size.height || j >= image_.size.width) return 0.0F;
    return static_cast<float>(image_.pixels[static_cast<std::ptrdiff_t>(i) * image_.row_bytes + j * 3 + channel]);
  }

  const ImageView& image_;
  const Inverse back_;
  const Fixed fixed_;
  const int width_;
  std::int64_t start_x_ = 0, start_y_ = 0;
  int first_ = 0, last_ = 0;
  std::ptrdiff_t left_ = 0;  // of the first column that a level row reads, bytes
  bool ready_ = false;
  std::vector<std::int64_t> step_x_, step_y_;  // (w) from the first pixel of a row
  std::vector<std::ptrdiff_t> at_;
  std::vector<float> right_, below_;
  std::vector<float> line_;  // two rows of the image, blended
};

}  // namespace

void crop_image(const ImageView& image, const double* affines, int count, const CropOptions& options,
                const CropView& crops) {
  const int height = crops.size.height, width = crops.size.width, blocks = (height + kRows - 1) / kRows;
  const std::size_t plane = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  const BaselineKernels& kernels = baseline_kernels();
  parallel_for(count * blocks, options.threads, options.interrupt, [&](int piece, int) {
    const int n = piece / blocks, top = piece % blocks * kRows;
    RowReader reader(image, Inverse(affines + static_cast<std::ptrdiff_t>(n) * 6), options.original ? kOpenCv : kExact,
                     width);
    for (int y = top; y < std::min(top + kRows, height); ++y) {
      const CropRow row = reader.move_to(y, kernels);
      const std::size_t start = static_cast<std::size_t>(n) * 3 * plane;
      const auto outside = [&](const auto& write) {
        for (int x = 0; x < row.first; ++x) write(x);
        for (int x = row.last; x < width; ++x) write(x);
      };
      if (crops.bytes != nullptr) {
        std::uint8_t* to = crops.bytes + start + static_cast<std::size_t>(y) * static_cast<std::size_t>(width) * 3;
        kernels.crop_bytes(row, to);
        outside([&](int x) {
          for (int c = 0; c < 3; ++c) to[3 * x + c] = static_cast<std::uint8_t>(reader.read(x, c) + 0.5F);
        });
      } else {
        float* to = crops.planes + start + static_cast<std::size_t>(y) * static_cast<std::size_t>(width);
        kernels.crop_planes(row, plane, to);
        outside([&](int x) {
          for (int c = 0; c < 3; ++c)
            to[static_cast<std::size_t>(c) * plane + static_cast<std::size_t>(x)] = reader.read(x, c);
        });
      }
    }
  });
}

}  // namespace personlab::simple_baseline

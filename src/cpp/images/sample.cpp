// Reads images bilinearly: each of their rows at the columns of the result once, then rows between two of these.
#include "images/sample.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "images/kernels.hpp"

namespace personlab::images {
namespace {

// A pixel, and the share of the one after it.
struct Place {
  int pixel;
  float share;
};

// The place of a position among `length` pixels; one beyond them is that of the first or last.
Place place_of(float position, int length) {
  if (!(position > 0.0F)) return {0, 0.0F};
  if (position >= static_cast<float>(length - 1)) return {length - 1, 0.0F};
  const float whole = std::floor(position);
  return {static_cast<int>(whole), position - whole};
}

// Rows of an image, read at columns; the last two are kept.
class Rows {
 public:
  Rows(const ImageView& image, Along x, int width) : image_(image) {
    const auto count = static_cast<std::size_t>(width);
    at_.resize(count), right_.resize(count);
    for (int n = 0; n < width; ++n) {
      // One rounding, as of a fused multiply-add: the product has at most 48 bits.
      const double position = static_cast<double>(x.step) * n + static_cast<double>(x.start);
      const Place place = place_of(static_cast<float>(position), image.size.width);
      at_[static_cast<std::size_t>(n)] = 3 * static_cast<std::uint32_t>(place.pixel);
      right_[static_cast<std::size_t>(n)] = place.share;
    }
    line_.resize(3 * static_cast<std::size_t>(image.size.width) + kSpare);
    for (Kept& one : kept_) one.numbers.resize(3 * count + kSpare);
  }

  // Row i of the image. The row that was asked for before is still valid.
  const float* row(int i) {
    Kept& last = kept_[last_];
    if (last.row == i) return last.numbers.data();
    last_ = 1 - last_;
    Kept& next = kept_[last_];
    if (next.row != i) {
      next.row = i;
      const std::uint8_t* from = image_.pixels + i * image_.row_bytes;
      image_kernels().read_columns(from, line_.size() - kSpare, {at_.data(), right_.data(), at_.size()}, line_.data(),
                                   next.numbers.data());
    }
    return next.numbers.data();
  }

 private:
  struct Kept {
    int row = -1;
    std::vector<float> numbers;
  };

  const ImageView& image_;
  std::vector<std::uint32_t> at_;
  std::vector<float> right_, line_;
  Kept kept_[2];
  int last_ = 0;
};

}  // namespace

void sample(const ImageView& image, Along x, Along y, ImageSize size, std::uint8_t* to) {
  Rows rows(image, x, size.width);
  const std::size_t count = 3 * static_cast<std::size_t>(size.width);
  for (int n = 0; n < size.height; ++n, to += count) {
    const Place place = place_of(y.step * static_cast<float>(n) + y.start, image.size.height);
    const float* upper = rows.row(place.pixel);
    const float* lower = place.share > 0.0F ? rows.row(place.pixel + 1) : upper;
    image_kernels().read_between(upper, lower, place.share, count, to);
  }
}

}  // namespace personlab::images

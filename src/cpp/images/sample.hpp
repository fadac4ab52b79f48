// How images of bytes are read bilinearly at the pixels of another size.
#pragma once

#include <cstddef>
#include <cstdint>

#include "personlab/types.hpp"

namespace personlab::images {

// An image of 3 bytes a pixel, read where it lies.
struct ImageView {
  const std::uint8_t* pixels;  // (H, W, 3), rows `row_bytes` apart
  std::ptrdiff_t row_bytes;
  ImageSize size;
};

// Where pixel n of the result lies in the image, along one axis: at step * n + start.
struct Along {
  float step, start;
};

// Writes (h, w, 3) of `size`; beyond the image lie copies of the pixels at its border. Reads to the right first, then
// downwards, each with one rounding to float32, and rounds halves to even: the bytes of OpenCV 5's warpAffine.
void sample(const ImageView& image, Along x, Along y, ImageSize size, std::uint8_t* to);

}  // namespace personlab::images

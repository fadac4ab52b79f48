// Images in module _core: arrays that Python has checked, in and out.
#include <pybind11/numpy.h>

#include "arguments.hpp"
#include "images/sample.hpp"
#include "registrations.hpp"

using namespace py::literals;

namespace personlab {
namespace {

// Reads an image (H, W, 3), each of whose rows lies in C order, at step * n + start along x and y; (h, w, 3) uint8.
void sample_image(const py::array_t<std::uint8_t>& image, std::pair<float, float> x, std::pair<float, float> y,
                  Array<std::uint8_t> result) {
  const images::ImageView from{image.data(), image.strides(0), {extent(image, 3), extent(image, 2)}};
  const ImageSize size{extent(result, 3), extent(result, 2)};
  std::uint8_t* to = result.mutable_data();
  const py::gil_scoped_release release;
  images::sample(from, {x.first, x.second}, {y.first, y.second}, size, to);
}

}  // namespace

void register_images(py::module_& m) {
  m.def("sample_image", &sample_image, py::kw_only(), "image"_a, "x"_a, "y"_a, "result"_a);
}

}  // namespace personlab

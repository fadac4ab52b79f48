// Arrays as views of the core: those that Python has checked, and ordinary ones recognised at a glance.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <initializer_list>
#include <utility>
#include <vector>

#include "methods/personlab/checks.hpp"
#include "personlab/types.hpp"

namespace py = pybind11;

namespace personlab {

template <typename T>
using Array = py::array_t<T, py::array::c_style>;
using Floats = Array<float>;

// The length of an axis, counted from the end: 1 is the last.
inline int extent(const py::array& array, py::ssize_t axis_from_end) {
  return static_cast<int>(array.shape(array.ndim() - axis_from_end));
}

// A new array of these values, converted to T.
template <typename T, typename Value>
Array<T> array_of(const std::vector<Value>& values, std::vector<py::ssize_t> shape) {
  Array<T> array(std::move(shape));
  std::transform(values.begin(), values.end(), array.mutable_data(), [](Value value) { return static_cast<T>(value); });
  return array;
}

// float32, float16, or else bfloat16, which Python calls BFLOAT16.
inline Element element_of(const py::dtype& type) {
  constexpr int kHalf = 23;  // NPY_HALF
  if (type.num() == py::detail::npy_api::NPY_FLOAT_) return Element::kFloat32;
  return type.num() == kHalf ? Element::kFloat16 : Element::kBfloat16;
}

// The planes of an array ([N,] ..., h, w).
inline Field view(const py::array& array, int planes, int stride) {
  return {array.data(), planes, extent(array, 2), extent(array, 1), stride, element_of(array.dtype())};
}

// The length of an array's axis of images, 1 without one; `axes` are those of a single image.
inline int images_of(const py::array& array, py::ssize_t axes) {
  return array.ndim() > axes ? static_cast<int>(array.shape(0)) : 1;
}

// Views an array ([N,] ..., h, w), whose other axes are the planes; false unless it has this shape and holds the
// field's elements in this machine's byte order, aligned, in C order.
inline bool view_plain(py::handle value, bool batch, int images, std::initializer_list<py::ssize_t> planes,
                       Field& field) {
  using py::detail::npy_api;
  constexpr int kFlags = npy_api::NPY_ARRAY_C_CONTIGUOUS_ | npy_api::NPY_ARRAY_ALIGNED_;
  if (!py::isinstance<py::array>(value)) return false;
  const auto array = py::reinterpret_borrow<py::array>(value);
  const py::dtype type = array.dtype();
  if ((array.flags() & kFlags) != kFlags || type.byteorder() != '=' || element_of(type) != field.element) return false;
  if (array.ndim() != static_cast<py::ssize_t>(planes.size()) + (batch ? 3 : 2)) return false;
  const py::ssize_t* axis = array.shape();
  if (batch && *axis++ != images) return false;
  field.planes = 1;
  for (const py::ssize_t length : planes) {
    if (*axis++ != length) return false;
    field.planes *= static_cast<int>(length);
  }
  if (axis[0] != field.height || axis[1] != field.width) return false;
  field.data = array.data();
  return true;
}

// Reads an int from 1 to kMaxStride; false for anything else.
inline bool read_stride(py::handle value, int& stride) {
  if (!PyLong_CheckExact(value.ptr())) return false;
  int overflow = 0;
  const long number = PyLong_AsLongAndOverflow(value.ptr(), &overflow);
  stride = static_cast<int>(number);
  return overflow == 0 && number >= 1 && number <= kMaxStride;
}

// Views fields that pass all of Python's checks as they are. False for others, which may still be valid.
inline bool view_plain(py::handle heatmaps, py::handle short_offsets, py::handle mid_offsets, py::handle stride,
                       const Skeleton& skeleton, const DecodeOptions& options, PoseFields& fields) {
  GridSize grid{};
  if (!read_stride(stride, grid.stride) || !py::isinstance<py::array>(heatmaps)) return false;
  const auto array = py::reinterpret_borrow<py::array>(heatmaps);
  const bool batch = array.ndim() == 4;
  if (!batch && array.ndim() != 3) return false;
  const py::ssize_t* shape = array.shape();
  if (batch && *shape >= kMaxGrid) return false;
  fields.images = batch ? static_cast<int>(*shape++) : 1;
  grid.height = shape[1], grid.width = shape[2];
  const Element element = element_of(array.dtype());
  if (element == Element::kBfloat16 || !fits(grid, options.is_posenet() ? 0 : options.hough_stride)) return false;
  const Field field{nullptr, 0, static_cast<int>(grid.height), static_cast<int>(grid.width), grid.stride, element};
  fields.heatmaps = fields.short_offsets = fields.mid_offsets = field;
  const int k = skeleton.n_keypoints;
  return view_plain(heatmaps, batch, fields.images, {k}, fields.heatmaps) &&
         view_plain(short_offsets, batch, fields.images, {k, 2}, fields.short_offsets) &&
         view_plain(mid_offsets, batch, fields.images, {2 * skeleton.n_edges(), 2}, fields.mid_offsets);
}

}  // namespace personlab

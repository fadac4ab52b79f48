// The fields of poses as views, and which arrays need no more than a glance: ordinary ones, that is nearly all.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <initializer_list>

#include "base/types.hpp"

namespace py = pybind11;

namespace personlab {

// What an array holds: float32, float16, or what Python calls BFLOAT16.
inline Element element_of(const py::dtype& type) {
  constexpr int kHalf = 23;  // NPY_HALF
  if (type.num() == py::detail::npy_api::NPY_FLOAT_) return Element::kFloat32;
  return type.num() == kHalf ? Element::kFloat16 : Element::kBfloat16;
}

// The planes of an array (..., h, w), or of its first image.
inline Field view(const py::array& array, int planes, int stride) {
  const py::ssize_t *shape = array.shape(), axes = array.ndim();
  return {array.data(), planes, static_cast<int>(shape[axes - 2]), static_cast<int>(shape[axes - 1]), stride,
          element_of(array.dtype())};
}

// Views an array of ([N,] planes, h, w) in which the planes may have several axes; false unless it has this shape and holds the
// field's elements in this machine's byte order, aligned, in C order.
inline bool view_plain(py::handle value, bool batch, int images, std::initializer_list<py::ssize_t> planes, Field& field) {
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

// Views fields that all checks in Python would let through as they are. False for others, which may yet be right.
inline bool view_plain(py::handle heatmaps, py::handle short_offsets, py::handle mid_offsets, int stride,
                       const Skeleton& skeleton, PoseFields& fields) {
  constexpr py::ssize_t kMost = 8192;  // input pixels each way, and images: far from all limits
  if (stride < 1 || stride > kMost || !py::isinstance<py::array>(heatmaps)) return false;
  const auto array = py::reinterpret_borrow<py::array>(heatmaps);
  const py::ssize_t axes = array.ndim();
  if (axes != 3 && axes != 4) return false;
  const py::ssize_t *shape = array.shape(), h = shape[axes - 2], w = shape[axes - 1];
  const bool batch = axes == 4;
  if (batch && shape[0] > kMost) return false;
  fields.images = batch ? static_cast<int>(shape[0]) : 1;
  if (h > kMost / stride || w > kMost / stride) return false;
  const Element element = element_of(array.dtype());
  if (element == Element::kBfloat16) return false;
  const Field grid{nullptr, 0, static_cast<int>(h), static_cast<int>(w), stride, element};
  fields.heatmaps = fields.short_offsets = fields.mid_offsets = grid;
  return view_plain(heatmaps, batch, fields.images, {skeleton.n_keypoints}, fields.heatmaps) &&
         view_plain(short_offsets, batch, fields.images, {skeleton.n_keypoints, 2}, fields.short_offsets) &&
         view_plain(mid_offsets, batch, fields.images, {2 * skeleton.n_edges(), 2}, fields.mid_offsets);
}

}  // namespace personlab

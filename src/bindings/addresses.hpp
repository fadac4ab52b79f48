// Addresses and streams of a GPU as Python's integers, and the calls that all bindings of device code are made of.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>

#include "base/device.cuh"
#include "base/memory.cuh"

namespace py = pybind11;

namespace personlab {
namespace cuda {

using Address = std::uintptr_t;

template <typename Value>
Value* at(Address address) {
  return reinterpret_cast<Value*>(address);
}

inline cudaStream_t stream_of(Address address) { return reinterpret_cast<cudaStream_t>(address); }

// Bytes that a scratch type takes from an arena when made with these arguments.
template <typename Scratch, typename... Arguments>
std::size_t bytes_of(const Arguments&... arguments) {
  Arena arena;
  [[maybe_unused]] const Scratch scratch(arena, arguments...);
  return arena.used();
}

// Add the classes and functions of PersonLab to a module; masks, refinement and targets are `define_dense`.
void define_personlab(py::module_& m);
void define_dense(py::module_& m);

}  // namespace cuda
}  // namespace personlab

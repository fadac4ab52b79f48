// The Python module of stages on a GPU: devices and their memory here, each method in a file of its own.
//
// Every function takes its arguments by keyword; addresses and streams are integers. Python checks all of them; options
// and skeletons are those of _core, which has to be imported first. PERSONLAB_CUDA_MODULE is the module's name.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>

#include "addresses.hpp"

using namespace py::literals;

namespace personlab {
namespace cuda {
namespace {

void define_device(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> release;
  const py::kw_only by_keyword;
  m.def("unavailable_reason", &unavailable_reason);
  m.def("device_name", &device_name, by_keyword, "device"_a);
  m.def("versions", &versions);
  m.def("device_of", [](Address address) { return device_of(at<const void>(address)); }, by_keyword, "address"_a);
  m.def(
      "wait_for",
      [](Address stream, Address other, int device) { wait_for(stream_of(stream), stream_of(other), device); },
      by_keyword, "stream"_a, "other"_a, "device"_a);
  m.def(
      "upload",
      [](Address host, Address memory, std::size_t size, int device, Address stream) {
        upload(at<const void>(host), at<void>(memory), size, device, stream_of(stream));
      },
      release, by_keyword, "host"_a, "memory"_a, "size"_a, "device"_a, "stream"_a);
  m.def(
      "download",
      [](Address memory, Address host, std::size_t size, int device, Address stream) {
        download(at<const void>(memory), at<void>(host), size, device, stream_of(stream));
      },
      release, by_keyword, "memory"_a, "host"_a, "size"_a, "device"_a, "stream"_a);
  py::class_<Memory>(m, "Memory", py::module_local())
      .def(py::init([](std::size_t size, int device, Address stream) {
             return std::make_unique<Memory>(size, device, stream_of(stream));
           }),
           by_keyword, "size"_a, "device"_a, "stream"_a)
      .def_property_readonly("address", [](const Memory& self) { return reinterpret_cast<Address>(self.data()); });
}

}  // namespace
}  // namespace cuda
}  // namespace personlab

PYBIND11_MODULE(PERSONLAB_CUDA_MODULE, m) {
  m.doc() = "The stages of decoding on a GPU; use them through the functions of the package.";
  m.attr("compiler") = PERSONLAB_CUDA_COMPILER;
  m.attr("architectures") = PERSONLAB_CUDA_ARCHITECTURES;
  personlab::cuda::define_device(m);
  personlab::cuda::define_personlab(m);
}

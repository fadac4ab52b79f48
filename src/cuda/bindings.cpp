// The Python modules _cuda and _cuda_on_host: device pointers become views, nothing else.
//
// Pointers and streams come as integers, checked in Python; options and skeletons are those of _core, which has to be imported
// first.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "stages.cuh"

#ifdef PERSONLAB_CUDA_ON_HOST
#define PERSONLAB_MODULE _cuda_on_host
#else
#define PERSONLAB_MODULE _cuda
#endif

namespace py = pybind11;
using py::literals::operator""_a;

namespace personlab {
namespace cuda {
namespace {

using Address = std::uintptr_t;

template <typename Value>
Value* at(Address address) {
  return reinterpret_cast<Value*>(address);
}

cudaStream_t stream_of(Address address) { return reinterpret_cast<cudaStream_t>(address); }

// Makes a device current, and the one before it again at the end.
class Current {
 public:
  explicit Current(int device) {
    check(cudaGetDevice(&before_), "asking for the device");
    if (device != before_) check(cudaSetDevice(device), "choosing the device");
  }
  ~Current() { cudaSetDevice(before_); }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  int before_ = 0;
};

// Why no device can be used, or nothing.
std::string why_not() {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  cudaGetLastError();  // forget it
  if (error != cudaSuccess) return cudaGetErrorString(error);
  return devices > 0 ? "" : "no device";
}

std::string device_name(int device) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "asking for a device's name");
  return properties.name;
}

std::pair<int, int> versions() {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  return {driver, runtime};
}

void hough_vote_dense(const Field& heatmaps, const Field& short_offsets, const DecodeOptions& options, Address sums,
                      Address scores, int device, Address stream) {
  const Current current(device);
  const Lattice lattice(heatmaps, options);
  hough_vote(heatmaps, short_offsets, lattice, stream_of(stream), at<unsigned long long>(sums));
  hough_scores(at<unsigned long long>(sums), static_cast<std::size_t>(heatmaps.pictures) * heatmaps.planes * lattice.points(),
               lattice, stream_of(stream), at<float>(scores));
}

}  // namespace
}  // namespace cuda
}  // namespace personlab

PYBIND11_MODULE(PERSONLAB_MODULE, m) {
  using namespace personlab::cuda;
  m.doc() = "The stages of decoding on a GPU; use them through the functions of the package.";
  m.attr("compiler") = PERSONLAB_CUDA_COMPILER;
  m.attr("architectures") = PERSONLAB_CUDA_ARCHITECTURES;
  m.def("why_not", &why_not);
  m.def("device_name", &device_name);
  m.def("versions", &versions);

  py::class_<Field>(m, "Field", py::module_local())
      .def(py::init([](Address data, int element, int pictures, int planes, int height, int width, int stride) {
             return Field{at<const void>(data), static_cast<Element>(element), pictures, planes, height, width, stride};
           }),
           "data"_a, "element"_a, "pictures"_a, "planes"_a, "height"_a, "width"_a, "stride"_a);

  const py::call_guard<py::gil_scoped_release> release;
  m.def("hough_vote", &hough_vote_dense, "heatmaps"_a, "short_offsets"_a, "options"_a, "sums"_a, "scores"_a, "device"_a,
        "stream"_a, release);
}

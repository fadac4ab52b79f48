// The Python modules _cuda and _cuda_on_host: device pointers become views, nothing else.
//
// Pointers and streams come as integers, checked in Python; options and skeletons are those of _core, which has to be imported
// first.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstring>
#include <optional>

#include "methods/personlab/skeleton.cuh"
#include "methods/personlab/stages.cuh"

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

// The device whose memory lies at an address; the current one for null, -1 where CUDA knows no such memory.
int device_of(Address address) {
  int device = 0;
  if (address == 0) {
    check(cudaGetDevice(&device), "asking for the device");
    return device;
  }
  cudaPointerAttributes attributes;
  const cudaError_t error = cudaPointerGetAttributes(&attributes, at<const void>(address));
  cudaGetLastError();  // forget it
  return error == cudaSuccess && attributes.type != cudaMemoryTypeUnregistered ? attributes.device : -1;
}

// Lets a stream wait until another has come as far as it is now.
void follow(Address stream, Address other, int device) {
  const Current current(device);
  cudaEvent_t event;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
  cudaError_t error = cudaEventRecord(event, stream_of(other));
  if (error == cudaSuccess) error = cudaStreamWaitEvent(stream_of(stream), event, 0);
  cudaEventDestroy(event);
  check(error, "waiting for a stream");
}

// Memory from the stream's pool, and back to it.
class Memory {
 public:
  Memory(std::size_t size, int device, Address stream) : device_(device), stream_(stream_of(stream)) {
    const Current current(device);
    if (size > 0) check(cudaMallocAsync(&data_, size, stream_), "allocating memory");
  }
  ~Memory() {
    if (data_ == nullptr) return;
    int before = device_;
    cudaGetDevice(&before);
    cudaSetDevice(device_);
    cudaFreeAsync(data_, stream_);
    cudaSetDevice(before);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  Address address() const { return reinterpret_cast<Address>(data_); }

 private:
  void* data_ = nullptr;
  int device_;
  cudaStream_t stream_;
};

// Copies to the device; the host's memory may change as soon as this returns.
void upload(Address host, Address to, std::size_t size, int device, Address stream) {
  const Current current(device);
  if (size == 0) return;
  check(cudaMemcpyAsync(at<void>(to), at<const void>(host), size, cudaMemcpyHostToDevice, stream_of(stream)), "copying");
  check(cudaStreamSynchronize(stream_of(stream)), "copying to the device");
}

// Memory of the host that the device writes to without detours; each thread keeps its own.
class Landing {
 public:
  ~Landing() { cudaFreeHost(data_); }
  void* room(std::size_t size) {
    if (size > size_) {
      cudaFreeHost(data_);
      data_ = nullptr, size_ = 0;
      check(cudaMallocHost(&data_, size), "allocating memory of the host");
      size_ = size;
    }
    return data_;
  }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

// Copies to the host, once the stream has come so far.
void read_back(Address from, Address host, std::size_t size, int device, Address stream) {
  constexpr std::size_t kLanding = std::size_t{16} << 20;  // bytes; more than that goes straight to its place
  const Current current(device);
  thread_local Landing landing;
  void* const to = size <= kLanding ? landing.room(size) : at<void>(host);
  if (size > 0) check(cudaMemcpyAsync(to, at<const void>(from), size, cudaMemcpyDeviceToHost, stream_of(stream)), "copying");
  check(cudaStreamSynchronize(stream_of(stream)), "waiting for the device");
  if (size > 0 && size <= kLanding) std::memcpy(at<void>(host), to, size);
}

void hough_vote_dense(const Field& heatmaps, const Field& short_offsets, const DecodeOptions& options, Address sums,
                      Address scores, int device, Address stream) {
  const Current current(device);
  const Lattice lattice(heatmaps, options);
  hough_vote(heatmaps, short_offsets, lattice, stream_of(stream), at<unsigned long long>(sums));
  hough_scores(at<unsigned long long>(sums), static_cast<std::size_t>(heatmaps.images) * heatmaps.planes * lattice.points(),
               lattice, stream_of(stream), at<float>(scores));
}

// A list of candidates; its counts are cleared.
Peaks empty_list(Address list, Address count, int capacity, cudaStream_t stream) {
  check(cudaMemsetAsync(at<int>(count), 0, sizeof(int), stream), "clearing a count");
  return {at<Peak>(list), at<int>(count), capacity};
}

void find_peaks_given(const Field& hough, const DecodeOptions& options, int capacity, Address peaks, Address sorted,
                      Address count, int device, Address stream) {
  const Current current(device);
  const Peaks list = empty_list(peaks, count, capacity, stream_of(stream));
  find_peaks(GivenScores{hough}, 1, hough.planes, options, stream_of(stream), list);
  sort_peaks(list, 1, stream_of(stream), {at<Peak>(sorted), at<int>(count), capacity});
}

PoseFields fields_of(const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets) {
  return {heatmaps, short_offsets, mid_offsets};
}

std::size_t place_groups(int capacity) {
  Arena arena;
  AcceptScratch(arena, 1, capacity);
  return arena.used();
}

// A pose for each of `capacity` peaks, and which of them are accepted.
void group_poses(Address peaks, Address sorted, Address count, int capacity, const PoseFields& fields,
                 const DeviceSkeleton& skeleton, DecodeOptions options, Address keypoints, Address probabilities,
                 Address scratch, Address rows, Address accepted, int device, Address stream) {
  const Current current(device);
  Arena arena(at<void>(scratch));
  const Peaks list{at<Peak>(peaks), at<int>(count), capacity}, in_order{at<Peak>(sorted), at<int>(count), capacity};
  const PoseRows poses{at<double>(keypoints), at<float>(probabilities), capacity, fields.heatmaps.planes};
  options.decoder = DecodeOptions::Decoder::kPersonlab;
  sort_peaks(list, 1, stream_of(stream), in_order);
  grow_poses(in_order, fields.heatmaps, fields.short_offsets, fields.mid_offsets, skeleton.view(), options, stream_of(stream),
             poses);
  accept_poses(in_order, poses, 1, options, stream_of(stream), AcceptScratch(arena, 1, capacity),
               {at<int>(rows), at<int>(accepted), capacity});
}

std::size_t place_scores(int capacity, int n_keypoints) {
  Arena arena;
  ScoreScratch(arena, 1, capacity, n_keypoints);
  return arena.used();
}

// Poses 0 .. capacity - 1, all of them accepted.
void score_poses_given(Address keypoints, Address probabilities, int capacity, Address rows, Address accepted,
                       const Field& hough, const DeviceSkeleton& skeleton, const DecodeOptions& options,
                       Address scratch, const std::array<Address, 6>& out, int out_rows, int device, Address stream) {
  const Current current(device);
  Arena arena(at<void>(scratch));
  score_poses(GivenScores{hough}, {at<double>(keypoints), at<float>(probabilities), capacity, hough.planes},
              {at<int>(rows), at<int>(accepted), capacity}, 1, skeleton.view(), options, stream_of(stream),
              ScoreScratch(arena, 1, capacity, hough.planes),
              {at<int>(out[0]), at<float>(out[1]), at<float>(out[2]), at<float>(out[3]), at<float>(out[4]),
               at<int>(out[5]), out_rows});
}

// Poses 0 .. count - 1, which are in `sharpened` already.
void sharpen_given(Address keypoints, int count, Address rows, Address counts, const Field& hough,
                   const DecodeOptions& options, Address sharpened, int device, Address stream) {
  const Current current(device);
  Found found;
  found.counts = at<int>(counts);
  found.keypoints = at<float>(sharpened);
  found.kept = at<int>(rows);
  found.rows = count;
  sharpen_keypoints(GivenScores{hough}, {at<double>(keypoints), nullptr, count, hough.planes},
                    {at<int>(rows), at<int>(counts), count}, 1, options, stream_of(stream), found);
}

void decode_all(const PoseFields& fields, const DeviceSkeleton& skeleton, const DecodeOptions& options, int capacity,
                Address scratch, const std::array<Address, 6>& out, int rows, int device, Address stream) {
  const Current current(device);
  decode_poses(fields, skeleton.view(), options, capacity, stream_of(stream), at<void>(scratch), at<int>(out[0]),
               {at<int>(out[1]), at<float>(out[2]), at<float>(out[3]), at<float>(out[4]), at<float>(out[5]), nullptr, rows});
}

// Poses: fields, skeletons and the stages.
void define_poses(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> release;
  m.attr("most_keypoints") = kMostKeypoints;
  py::class_<DeviceSkeleton>(m, "Skeleton", py::module_local())
      .def(py::init([](const Skeleton& skeleton, int device) {
             const Current current(device);
             return std::make_unique<DeviceSkeleton>(skeleton);
           }),
           "skeleton"_a, "device"_a);
  py::class_<PoseFields>(m, "PoseFields", py::module_local()).def(py::init(&fields_of));
  m.def("hough_vote", &hough_vote_dense, release);
  m.def("find_peaks", &find_peaks_given, release);
  m.def("group_poses", &group_poses, release);
  m.def("group_scratch", &place_groups);
  m.def("score_poses", &score_poses_given, release);
  m.def("score_scratch", &place_scores);
  m.def("sharpen_keypoints", &sharpen_given, release);
  m.def("decode_scratch", &decode_scratch);
  m.def("decode_poses", &decode_all, release);
}

// --- masks, dense refinement, targets: each call places its own scratch, or says how much there has to be ------------

std::size_t place_masks(const PoseBatch& poses, const Field& long_offsets, bool short_too, int height, int width) {
  Arena arena;
  MaskScratch(arena, poses, long_offsets, short_too, height, width);
  return arena.used();
}

void give_pixels(const PoseBatch& poses, const Field& segmentation, const Field& long_offsets,
                 const std::optional<Field>& short_offsets, std::pair<int, int> size, const MaskOptions& options,
                 Address scratch, Address masks, int device, Address stream) {
  const Current current(device);
  Arena arena(at<void>(scratch));
  associate_pixels(poses, segmentation, long_offsets, short_offsets ? &*short_offsets : nullptr, size.first,
                   size.second, options, arena, stream_of(stream), at<std::uint8_t>(masks));
}

std::size_t place_mask_scores(int rows, int height, int width) {
  Arena arena;
  MaskScoreScratch(arena, rows, height, width);
  return arena.used();
}

void score_masks_given(const PoseBatch& poses, Address masks, const Field& segmentation, std::pair<int, int> size,
                       const MaskOptions& options, Address scratch, Address scores, int device, Address stream) {
  const Current current(device);
  Arena arena(at<void>(scratch));
  score_masks(poses, at<const std::uint8_t>(masks), segmentation, size.first, size.second, options.score_power, arena,
              stream_of(stream), at<float>(scores));
}

void refine_fields(const Field& offsets, const Field& by, Address channels, int steps, Address refined, int device,
                   Address stream) {
  const Current current(device);
  refine_offsets(offsets, by, at<const int>(channels), steps, stream_of(stream), at<float>(refined));
}

std::size_t place_gradients(int images, int fields, int height, int width) {
  Arena arena;
  RefineScratch(arena, images, fields, height, width);
  return arena.used();
}

// Batches of float32 and float64 have functions of their own names: there are only addresses to tell them by.
template <typename Real>
void define_refinement(py::module_& m, const char* forward, const char* backward) {
  using Batch = OffsetBatch<Real>;
  const auto batch = [](Address offsets, Address by, Address channels, const std::array<int, 7>& numbers) {
    const auto [images, count, fields, height, width, stride, steps] = numbers;
    return Batch{at<const Real>(offsets),
                 at<const Real>(by),
                 at<const int>(channels),
                 images,
                 count,
                 fields,
                 height,
                 width,
                 stride,
                 steps};
  };
  const py::call_guard<py::gil_scoped_release> release;
  m.def(
      forward,
      [batch](Address offsets, Address by, Address channels, const std::array<int, 7>& numbers, Address refined,
              int device, Address stream) {
        const Current current(device);
        refine_offset_batch(batch(offsets, by, channels, numbers), stream_of(stream), at<Real>(refined));
      },
      release);
  m.def(
      backward,
      [batch](Address offsets, Address by, Address channels, const std::array<int, 7>& numbers, Address grad,
              Address grad_offsets, Address grad_by, Address scratch, int device, Address stream) {
        const Current current(device);
        Arena arena(at<void>(scratch));
        const OffsetGradients<Real> gradients{at<const Real>(grad), at<Real>(grad_offsets), at<Real>(grad_by)};
        refine_offset_batch_backward(batch(offsets, by, channels, numbers), gradients, arena, stream_of(stream));
      },
      release);
}

std::size_t place_targets(int n_people, int n_keypoints, int height, int width) {
  Arena arena;
  TargetScratch(arena, n_people, n_keypoints, static_cast<std::size_t>(height) * static_cast<std::size_t>(width));
  return arena.used();
}

// `targets` are the addresses of the ten arrays in the order of TargetViews.
void encode(Address keypoints, Address masks, Address crowd, int n_people, std::pair<int, int> size,
            const DeviceSkeleton& skeleton, int stride, float disk_radius, Address scratch,
            const std::array<Address, 10>& targets, int device, Address stream) {
  const Current current(device);
  Arena arena(at<void>(scratch));
  const Annotations annotations{at<const float>(keypoints),
                                at<const std::uint8_t>(masks),
                                at<const std::uint8_t>(crowd),
                                n_people,
                                size.first,
                                size.second};
  const auto floats = [&](std::size_t i) { return at<float>(targets[i]); };
  const auto bytes = [&](std::size_t i) { return at<std::uint8_t>(targets[i]); };
  encode_targets(
      annotations, skeleton.view(), stride, disk_radius, arena, stream_of(stream),
      {floats(0), floats(1), floats(2), floats(3), floats(4), bytes(5), bytes(6), bytes(7), bytes(8), bytes(9)});
}

void define_masks(py::module_& m) {
  py::class_<PoseBatch>(m, "PoseBatch", py::module_local())
      .def(py::init([](Address keypoints, Address weights, Address scores, Address first, Address counts, int rows,
                       int most, int n_keypoints) {
             return PoseBatch{at<const float>(keypoints),
                              at<const float>(weights),
                              at<const float>(scores),
                              at<const int>(first),
                              at<const int>(counts),
                              rows,
                              most,
                              n_keypoints};
           }),
           "keypoints"_a, "weights"_a, "scores"_a, "first"_a, "counts"_a, "rows"_a, "most"_a, "n_keypoints"_a);
  const py::call_guard<py::gil_scoped_release> release;
  m.def("mask_scratch", &place_masks);
  m.def("associate_pixels", &give_pixels, release);
  m.def("mask_score_scratch", &place_mask_scores);
  m.def("score_masks", &score_masks_given, release);
}

void define_dense(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> release;
  m.def("refine_offsets", &refine_fields, release);
  define_refinement<float>(m, "refine_floats", "refine_floats_backward");
  define_refinement<double>(m, "refine_doubles", "refine_doubles_backward");
  m.def("refine_scratch", &place_gradients);
  m.def("encode_targets", &encode, release);
  m.def("target_scratch", &place_targets);
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

  const py::call_guard<py::gil_scoped_release> release;
  m.def("device_of", &device_of);
  m.def("follow", &follow);
  m.def("upload", &upload, release);
  m.def("read", &read_back, release);
  py::class_<Memory>(m, "Memory", py::module_local())
      .def(py::init<std::size_t, int, Address>(), "size"_a, "device"_a, "stream"_a)
      .def_property_readonly("address", &Memory::address);
  py::class_<Field>(m, "Field", py::module_local())
      .def(py::init([](Address data, int element, int images, int planes, int height, int width, int stride) {
             return Field{at<const void>(data), static_cast<personlab::Element>(element), images, planes, height, width, stride};
           }),
           "data"_a, "element"_a, "images"_a, "planes"_a, "height"_a, "width"_a, "stride"_a);

  define_poses(m);
  define_masks(m);
  define_dense(m);
}

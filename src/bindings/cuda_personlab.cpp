// PersonLab's stages of poses on a GPU for Python, and its types: addresses become views, nothing else.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>

#include "addresses.hpp"
#include "base/skeleton.cuh"
#include "methods/personlab/stages.cuh"

using namespace py::literals;

namespace personlab {
namespace cuda {
namespace {

// Element types of fields by their names, in the order of the enum.
constexpr const char* kElements[] = {"float32", "float16", "bfloat16"};

Element element_of(const std::string& name) {
  for (std::size_t i = 0; i < std::size(kElements); ++i)
    if (name == kElements[i]) return static_cast<Element>(i);
  throw std::invalid_argument("element: expected float32, float16 or bfloat16, got " + name);
}

// What np.dtype takes for a list of Peak.
py::dict peak_layout() {
  return py::dict(
      "names"_a = py::make_tuple("score", "keypoint", "x", "y"), "formats"_a = py::make_tuple("f4", "i4", "f4", "f4"),
      "offsets"_a =
          py::make_tuple(offsetof(Peak, score), offsetof(Peak, keypoint), offsetof(Peak, x), offsetof(Peak, y)),
      "itemsize"_a = sizeof(Peak));
}

void define_types(py::module_& m, const py::kw_only& by_keyword) {
  m.attr("max_keypoints") = kMaxKeypoints;
  m.attr("peak_layout") = peak_layout();
  py::class_<DeviceField>(m, "DeviceField", py::module_local())
      .def(py::init(
               [](Address data, const std::string& element, int images, int planes, int height, int width, int stride) {
                 return DeviceField{at<const void>(data), element_of(element), images, planes, height, width, stride};
               }),
           by_keyword, "data"_a, "element"_a, "images"_a, "planes"_a, "height"_a, "width"_a, "stride"_a);
  py::class_<DeviceSkeleton>(m, "DeviceSkeleton", py::module_local())
      .def(py::init([](const Skeleton& skeleton, int device) {
             const CurrentDevice current(device);
             return std::make_unique<DeviceSkeleton>(skeleton);
           }),
           by_keyword, "skeleton"_a, "device"_a);
  py::class_<DevicePoseFields>(m, "PoseFields", py::module_local())
      .def(py::init([](const DeviceField& heatmaps, const DeviceField& short_offsets, const DeviceField& mid_offsets) {
             return DevicePoseFields{heatmaps, short_offsets, mid_offsets};
           }),
           by_keyword, "heatmaps"_a, "short_offsets"_a, "mid_offsets"_a);
  py::class_<PoseBatch>(m, "PoseBatch", py::module_local())
      .def(py::init([](Address keypoints, Address weights, Address scores, Address first, Address counts, int rows,
                       int max_poses, int n_keypoints) {
             return PoseBatch{at<const float>(keypoints),
                              at<const float>(weights),
                              at<const float>(scores),
                              at<const int>(first),
                              at<const int>(counts),
                              rows,
                              max_poses,
                              n_keypoints};
           }),
           by_keyword, "keypoints"_a, "weights"_a, "scores"_a, "first"_a, "counts"_a, "rows"_a, "max_poses"_a,
           "n_keypoints"_a);
}

// --- poses ----------------------------------------------------------------------------------------------------------

void define_poses(py::module_& m, const py::kw_only& by_keyword) {
  const py::call_guard<py::gil_scoped_release> release;
  m.def(
      "hough_vote",
      [](const DeviceField& heatmaps, const DeviceField& short_offsets, const DecodeOptions& options, Address sums,
         Address scores, int device, Address stream) {
        const CurrentDevice current(device);
        const Lattice lattice(heatmaps, options);
        auto* const totals = at<unsigned long long>(sums);
        hough_vote(heatmaps, short_offsets, lattice, stream_of(stream), totals);
        hough_scores(totals, static_cast<std::size_t>(heatmaps.images) * heatmaps.planes * lattice.points(), lattice,
                     stream_of(stream), at<float>(scores));
      },
      release, by_keyword, "heatmaps"_a, "short_offsets"_a, "options"_a, "sums"_a, "scores"_a, "device"_a, "stream"_a);

  m.def(
      "find_peaks",
      [](const DeviceField& hough, const DecodeOptions& options, int capacity, Address peaks, Address ordered,
         Address count, int device, Address stream) {
        const CurrentDevice current(device);
        find_peaks(FieldScores{hough}, 1, hough.planes, options, stream_of(stream),
                   {at<Peak>(peaks), at<int>(count), capacity}, {at<Peak>(ordered), at<int>(count), capacity});
      },
      release, by_keyword, "hough"_a, "options"_a, "capacity"_a, "peaks"_a, "ordered"_a, "count"_a, "device"_a,
      "stream"_a);

  m.def(
      "group_scratch_bytes", [](int capacity) { return bytes_of<GroupScratch>(1, capacity); }, by_keyword,
      "capacity"_a);
  // A pose for each of `capacity` peaks, and which of them are accepted.
  m.def(
      "group_poses",
      [](Address peaks, Address ordered, Address count, int capacity, const DevicePoseFields& fields,
         const DeviceSkeleton& skeleton, DecodeOptions options, Address keypoints, Address probabilities,
         Address scratch, Address rows, Address accepted, int device, Address stream) {
        const CurrentDevice current(device);
        Arena arena(at<void>(scratch));
        const Peaks seeds{at<Peak>(ordered), at<int>(count), capacity};
        const PoseRows poses{at<double>(keypoints), at<float>(probabilities), capacity, fields.heatmaps.planes};
        options.decoder = DecodeOptions::Decoder::kPersonlab;
        sort_peaks({at<Peak>(peaks), at<int>(count), capacity}, 1, stream_of(stream), seeds);
        group_poses(seeds, fields, skeleton.view(), options, stream_of(stream), GroupScratch(arena, 1, capacity), poses,
                    {at<int>(rows), at<int>(accepted), capacity});
      },
      release, by_keyword, "peaks"_a, "ordered"_a, "count"_a, "capacity"_a, "fields"_a, "skeleton"_a, "options"_a,
      "keypoints"_a, "probabilities"_a, "scratch"_a, "rows"_a, "accepted"_a, "device"_a, "stream"_a);

  m.def(
      "score_scratch_bytes",
      [](int capacity, int n_keypoints) { return bytes_of<DeviceScoreScratch>(1, capacity, n_keypoints); }, by_keyword,
      "capacity"_a, "n_keypoints"_a);
  // Poses 0 .. capacity - 1, all of them accepted.
  m.def(
      "score_poses",
      [](Address keypoints, Address probabilities, int capacity, Address rows, Address accepted,
         const DeviceField& hough, const DeviceSkeleton& skeleton, const DecodeOptions& options, Address scratch,
         Address out_counts, Address out_scores, Address out_keypoints, Address out_keypoint_scores,
         Address out_probabilities, Address out_kept, int out_rows, int device, Address stream) {
        const CurrentDevice current(device);
        Arena arena(at<void>(scratch));
        score_poses(FieldScores{hough}, {at<double>(keypoints), at<float>(probabilities), capacity, hough.planes},
                    {at<int>(rows), at<int>(accepted), capacity}, 1, skeleton.view(), options, stream_of(stream),
                    DeviceScoreScratch(arena, 1, capacity, hough.planes),
                    {at<int>(out_counts), at<float>(out_scores), at<float>(out_keypoints),
                     at<float>(out_keypoint_scores), at<float>(out_probabilities), at<int>(out_kept), out_rows});
      },
      release, by_keyword, "keypoints"_a, "probabilities"_a, "capacity"_a, "rows"_a, "accepted"_a, "hough"_a,
      "skeleton"_a, "options"_a, "scratch"_a, "out_counts"_a, "out_scores"_a, "out_keypoints"_a,
      "out_keypoint_scores"_a, "out_probabilities"_a, "out_kept"_a, "out_rows"_a, "device"_a, "stream"_a);

  // Poses 0 .. count - 1, which are in `sharpened` already.
  m.def(
      "sharpen_keypoints",
      [](Address keypoints, int count, Address rows, Address counts, const DeviceField& hough,
         const DecodeOptions& options, Address sharpened, int device, Address stream) {
        const CurrentDevice current(device);
        RankedPoses ranked;
        ranked.counts = at<int>(counts);
        ranked.keypoints = at<float>(sharpened);
        ranked.kept = at<int>(rows);
        ranked.rows = count;
        sharpen_keypoints(FieldScores{hough}, {at<double>(keypoints), nullptr, count, hough.planes},
                          {at<int>(rows), at<int>(counts), count}, 1, options, stream_of(stream), ranked);
      },
      release, by_keyword, "keypoints"_a, "count"_a, "rows"_a, "counts"_a, "hough"_a, "options"_a, "sharpened"_a,
      "device"_a, "stream"_a);

  m.def("decode_scratch_bytes", &decode_scratch_bytes, by_keyword, "fields"_a, "options"_a, "capacity"_a);
  m.def(
      "decode_poses",
      [](const DevicePoseFields& fields, const DeviceSkeleton& skeleton, const DecodeOptions& options, int capacity,
         Address scratch, Address candidates, Address counts, Address scores, Address keypoints,
         Address keypoint_scores, Address probabilities, int rows, int device, Address stream) {
        const CurrentDevice current(device);
        decode_poses(fields, skeleton.view(), options, capacity, stream_of(stream), at<void>(scratch),
                     at<int>(candidates),
                     {at<int>(counts), at<float>(scores), at<float>(keypoints), at<float>(keypoint_scores),
                      at<float>(probabilities), nullptr, rows});
      },
      release, by_keyword, "fields"_a, "skeleton"_a, "options"_a, "capacity"_a, "scratch"_a, "candidates"_a, "counts"_a,
      "scores"_a, "keypoints"_a, "keypoint_scores"_a, "probabilities"_a, "rows"_a, "device"_a, "stream"_a);
}

}  // namespace

void define_personlab(py::module_& m) {
  const py::kw_only by_keyword;
  define_types(m, by_keyword);
  define_poses(m, by_keyword);
  define_dense(m);
}

}  // namespace cuda
}  // namespace personlab

// The top-down method in module _core: arrays that Python has checked, in and out.
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "arguments.hpp"
#include "methods/simple_baseline/stages.hpp"
#include "registrations.hpp"
#include "without_python.hpp"

using namespace py::literals;

namespace personlab {
namespace {

using simple_baseline::BaselineOptions;
using simple_baseline::BoxRules;
using simple_baseline::CropOptions;
using simple_baseline::CropView;
using simple_baseline::ImageView;
using simple_baseline::MapPeak;
using simple_baseline::OksOptions;
using simple_baseline::PeakScratch;
using simple_baseline::PoseList;
using simple_baseline::Position;
using simple_baseline::Rescoring;
using simple_baseline::Rules;
using simple_baseline::TargetGrid;
using simple_baseline::TargetOptions;
using Doubles = Array<double>;

// Crops an image (H, W, 3), each of whose rows lies in C order, by maps (N, 2, 3) into uint8 (N, h, w, 3) or float32
// (N, 3, h, w).
void crop_image(const py::array_t<std::uint8_t>& image, const Doubles& affines, bool original, int threads,
                py::array crops) {
  const ImageView from{image.data(), image.strides(0), {extent(image, 3), extent(image, 2)}};
  const bool bytes = crops.itemsize() == 1;
  const int axis = bytes ? 3 : 2;  // of rows, from the end
  const CropView to{bytes ? static_cast<std::uint8_t*>(crops.mutable_data()) : nullptr,
                    bytes ? nullptr : static_cast<float*>(crops.mutable_data()),
                    {extent(crops, axis), extent(crops, axis - 1)}};
  const int count = extent(affines, 3);
  without_python(CropOptions{original, threads, nullptr},
                 [&](const CropOptions& how) { simple_baseline::crop_image(from, affines.data(), count, how, to); });
}

// The place of a name among the names of an option.
template <typename Choice>
Choice choice_of(const char* option, const std::string& value, std::initializer_list<const char*> names) {
  int n = 0;
  for (const char* name : names) {
    if (value == name) return static_cast<Choice>(n);
    ++n;
  }
  throw std::invalid_argument(std::string(option) + ": unknown value '" + value + "'");
}

Rules rules_of(const std::string& name) {
  return choice_of<Rules>("rules", name, {"default", "tensorflow", "pytorch"});
}

// Draws keypoints (..., 3) into maps (..., h, w), and how much each counts into weights (...).
void encode(const Doubles& keypoints, int stride, double sigma, double full_value, const std::string& rules,
            int threads, Floats maps, Floats weights) {
  const TargetOptions options{sigma, full_value, rules_of(rules), threads, nullptr};
  const TargetGrid grid{extent(maps, 2), extent(maps, 1), stride};
  const int count = static_cast<int>(weights.size());
  float *to = maps.mutable_data(), *counts = weights.mutable_data();
  without_python(options,
                 [&](const TargetOptions& how) { encode_targets(keypoints.data(), count, grid, how, to, counts); });
}

BaselineOptions decode_options(const std::string& position, double blur, double full_value, int flip_shift,
                               const std::string& rescoring, double keypoint_threshold, double oks_threshold,
                               const std::string& rules, int threads) {
  BaselineOptions options;
  options.position = choice_of<Position>("position", position, {"parabola", "dark", "quarter", "cell"});
  options.blur = blur;
  options.full_value = full_value;
  options.flip_shift = flip_shift;
  options.rescoring = choice_of<Rescoring>("rescoring", rescoring, {"confident", "mean", "box"});
  options.keypoint_threshold = keypoint_threshold;
  options.oks_threshold = oks_threshold;
  options.rules = rules_of(rules);
  options.threads = threads;
  return options;
}

const void* data_of(const std::optional<py::array>& array) { return array ? array->data() : nullptr; }

// Positions (N, K, 2), cells, and values (N, K) of the peaks of maps (N, K, h, w).
py::tuple find_peaks(const py::array& maps, const std::optional<py::array>& mirrored, const std::vector<int>& flip,
                     const BaselineOptions& options) {
  const int n = extent(maps, 4), k = extent(maps, 3);
  std::vector<MapPeak> peaks(static_cast<std::size_t>(n) * static_cast<std::size_t>(k));
  std::vector<PeakScratch> scratch;
  const Field heatmaps = view(maps, k, 1);
  const void* others = data_of(mirrored);
  without_python(options, [&](const BaselineOptions& how) {
    simple_baseline::find_peaks(heatmaps, n, others, flip.data(), how, scratch, peaks.data());
  });
  Doubles positions({n, k, 2});
  Floats values({n, k});
  double* position = positions.mutable_data();
  float* value = values.mutable_data();
  for (const MapPeak& peak : peaks) *position++ = peak.x, *position++ = peak.y, *value++ = peak.value;
  return py::make_tuple(positions, values);
}

Doubles rescore(const Doubles& values, const Doubles& box_scores, const BaselineOptions& options) {
  const int n = extent(values, 2), k = extent(values, 1);
  Doubles scores(n);
  for (int i = 0; i < n; ++i)
    scores.mutable_at(i) =
        simple_baseline::rescore(values.data() + static_cast<std::ptrdiff_t>(i) * k, k, box_scores.at(i), options);
  return scores;
}

// (keypoints, keypoint_scores, keypoint_probabilities, scores) of the people of one image.
py::tuple decode(const py::array& maps, const std::optional<py::array>& mirrored, const std::vector<int>& flip,
                 const Doubles& affines, const Doubles& box_scores, std::pair<int, int> size,
                 const std::vector<double>& sigmas, const BaselineOptions& options) {
  Poses poses;
  std::vector<PeakScratch> scratch;
  const Field heatmaps = view(maps, extent(maps, 3), 1);
  const int people = extent(maps, 4);
  const void* others = data_of(mirrored);
  without_python(options, [&](const BaselineOptions& how) {
    decode_people(heatmaps, people, others, flip.data(), affines.data(), box_scores.data(), {size.first, size.second},
                  sigmas, how, scratch, poses);
  });
  const py::ssize_t p = poses.count, k = poses.n_keypoints;
  return py::make_tuple(array_of<float>(poses.keypoints, {p, k, 2}), array_of<float>(poses.keypoint_scores, {p, k}),
                        array_of<float>(poses.keypoint_probabilities, {p, k}), array_of<float>(poses.scores, {p}));
}

OksOptions oks_options(double threshold, std::optional<double> visible, bool original) {
  return {threshold, visible.has_value(), visible.value_or(0.0), original, nullptr};
}

// The numbers of the poses (P, K, 3) that are kept, best first.
Array<std::int64_t> suppress_poses(const Doubles& keypoints, const Doubles& scores, const Doubles& areas,
                                   const std::vector<double>& sigmas, double threshold, std::optional<double> visible,
                                   bool original) {
  const PoseList poses{keypoints.data(), scores.data(), areas.data(), extent(keypoints, 3), extent(keypoints, 2)};
  std::vector<int> kept;
  without_python(oks_options(threshold, visible, original),
                 [&](const OksOptions& how) { kept = simple_baseline::suppress_poses(poses, sigmas.data(), how); });
  return array_of<std::int64_t>(kept, {static_cast<py::ssize_t>(kept.size())});
}

// The similarities (P, P) of all pairs of poses.
Doubles similarities(const Doubles& keypoints, const Doubles& areas, const std::vector<double>& sigmas,
                     std::optional<double> visible, bool original) {
  const int p = extent(keypoints, 3);
  const PoseList poses{keypoints.data(), nullptr, areas.data(), p, extent(keypoints, 2)};
  Doubles result({p, p});
  double* to = result.mutable_data();
  without_python(oks_options(1.0, visible, original), [&](const OksOptions& how) {
    for (int i = 0; i < p; ++i) {
      poll(how.interrupt);
      for (int j = 0; j < p; ++j) *to++ = simple_baseline::similarity(poses, i, j, sigmas.data(), how);
    }
  });
  return result;
}

// The numbers of the boxes (N, 4) that are kept, best first.
Array<std::int64_t> suppress_boxes(const Doubles& boxes, const Doubles& scores, double threshold,
                                   const std::string& rules) {
  const auto how = choice_of<BoxRules>("rules", rules, {"default", "python", "cython"});
  const int count = extent(boxes, 2);
  std::vector<int> kept;
  without_python([&](Interrupt* interrupt) {
    kept = simple_baseline::suppress_boxes(boxes.data(), scores.data(), count, threshold, how, interrupt);
  });
  return array_of<std::int64_t>(kept, {static_cast<py::ssize_t>(kept.size())});
}

}  // namespace

void register_simple_baseline(py::module_& m) {
  m.def("crop_image", &crop_image, py::kw_only(), "image"_a, "affines"_a, "original"_a, "threads"_a, "crops"_a);
  py::class_<BaselineOptions>(m, "SimpleBaselineOptions")
      .def(py::init(&decode_options), py::kw_only(), "position"_a, "blur"_a, "full_value"_a, "flip_shift"_a,
           "rescoring"_a, "keypoint_threshold"_a, "oks_threshold"_a, "rules"_a, "threads"_a);
  m.def("encode_baseline_targets", &encode, py::kw_only(), "keypoints"_a, "stride"_a, "sigma"_a, "full_value"_a,
        "rules"_a, "threads"_a, "maps"_a, "weights"_a);
  m.def("find_baseline_peaks", &find_peaks, py::kw_only(), "maps"_a, "mirrored"_a, "flip"_a, "options"_a);
  m.def("rescore_poses", &rescore, py::kw_only(), "values"_a, "box_scores"_a, "options"_a);
  m.def("decode_baseline", &decode, py::kw_only(), "maps"_a, "mirrored"_a, "flip"_a, "affines"_a, "box_scores"_a,
        "size"_a, "sigmas"_a, "options"_a);
  m.def("suppress_poses", &suppress_poses, py::kw_only(), "keypoints"_a, "scores"_a, "areas"_a, "sigmas"_a,
        "threshold"_a, "visible"_a, "original"_a);
  m.def("pose_similarities", &similarities, py::kw_only(), "keypoints"_a, "areas"_a, "sigmas"_a, "visible"_a,
        "original"_a);
  m.def("suppress_boxes", &suppress_boxes, py::kw_only(), "boxes"_a, "scores"_a, "threshold"_a, "rules"_a);
}

}  // namespace personlab

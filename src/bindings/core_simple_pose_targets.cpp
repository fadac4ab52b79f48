// Simple Pose's training targets in module _core: dense NumPy arrays that Python has checked, in and out.
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "arguments.hpp"
#include "methods/simple_pose/encode.hpp"
#include "registrations.hpp"
#include "without_python.hpp"

using namespace py::literals;

namespace personlab {
namespace {

using simple_pose::MapParts;
using simple_pose::MapViews;
using simple_pose::Overlap;
using simple_pose::TargetOptions;
using simple_pose::TargetRules;
using Bytes = Array<std::uint8_t>;

TargetOptions target_options(double keypoint_sigma, double limb_sigma, double threshold, const std::string& overlap,
                             int threads, const std::string& rules) {
  TargetOptions options;
  options.keypoint_sigma = keypoint_sigma;
  options.limb_sigma = limb_sigma;
  options.threshold = threshold;
  options.threads = threads;
  if (overlap != "max" && overlap != "mean")
    throw std::invalid_argument("overlap: expected one of max, mean, got '" + overlap + "'");
  options.overlap = overlap == "max" ? Overlap::kMax : Overlap::kMean;
  if (rules != "default" && rules != "part_b" && rules != "part_a")
    throw std::invalid_argument("rules: expected one of default, part_b, part_a, got '" + rules + "'");
  options.rules = rules == "default"  ? TargetRules::kDefault
                  : rules == "part_b" ? TargetRules::kPartB
                                      : TargetRules::kPartA;
  check(options);
  return options;
}

py::dict encode(const Floats& keypoints, const std::optional<Bytes>& people, const std::optional<Bytes>& counted,
                std::pair<int, int> size, int stride, const std::vector<std::pair<int, int>>& limbs,
                const TargetOptions& options) {
  const int k = extent(keypoints, 2), h = size.first / stride, w = size.second / stride;
  for (const auto& [a, b] : limbs)
    if (a < 0 || b < 0 || a >= k || b >= k)
      throw std::invalid_argument("limbs: expected pairs of 0.." + std::to_string(k - 1) + ", got (" +
                                  std::to_string(a) + ", " + std::to_string(b) + ")");
  const MapParts parts{k, limbs};
  Floats limb_maps({static_cast<int>(limbs.size()), h, w}), keypoint_maps({k, h, w});
  Floats person({1, h, w}), brightest({1, h, w}), weights({1, h, w});
  const MapViews views{limb_maps.mutable_data(), keypoint_maps.mutable_data(), person.mutable_data(),
                       brightest.mutable_data(), weights.mutable_data()};
  const simple_pose::People annotations{keypoints.data(),
                                        people ? people->data() : nullptr,
                                        counted ? counted->data() : nullptr,
                                        extent(keypoints, 3),
                                        size.first,
                                        size.second};
  without_python(options, [&](const TargetOptions& how) { encode_maps(annotations, parts, stride, how, views); });
  py::dict made;
  made["limbs"] = limb_maps;
  made["keypoints"] = keypoint_maps;
  made["person"] = person;
  made["brightest"] = brightest;
  made["weights"] = weights;
  return made;
}

}  // namespace

void register_simple_pose_targets(py::module_& m) {
  py::class_<TargetOptions>(m, "MapTargetOptions")
      .def(py::init(&target_options), py::kw_only(), "keypoint_sigma"_a, "limb_sigma"_a, "threshold"_a, "overlap"_a,
           "threads"_a, "rules"_a);
  m.def("encode_maps", &encode, py::kw_only(), "keypoints"_a, "people"_a, "counted"_a, "size"_a, "stride"_a, "limbs"_a,
        "options"_a);
}

}  // namespace personlab

// Skeletons, options and limits of module _core.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>

#include "methods/personlab/checks.hpp"
#include "registrations.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace personlab {
namespace {

// Names of an option's two values, in the order of its enum.
struct Names {
  const char* option;
  const char* values[2];

  template <typename Choice>
  Choice choose(const std::string& value) const {
    if (value != values[0] && value != values[1])
      throw std::invalid_argument(std::string(option) + ": expected one of " + values[0] + ", " + values[1] +
                                  ", got '" + value + "'");
    return static_cast<Choice>(value == values[1]);
  }
};
constexpr Names kScoring{"scoring", {"expected_oks", "heatmap"}}, kRanking{"ranking", {"seed", "mean"}},
    kInstanceScore{"instance_score", {"rms", "mean"}}, kDecoder{"decoder", {"personlab", "posenet"}};

// Reads an option's value by its name in Python.
template <typename Choice>
auto name_of(Choice DecodeOptions::* member, const Names& names) {
  return [member, &names](const DecodeOptions& options) { return names.values[static_cast<int>(options.*member)]; };
}

DecodeOptions decode_options(int hough_stride, float disk_radius, float vote_threshold, float peak_threshold,
                             float nms_radius, int refine_steps, const std::string& scoring, const std::string& ranking,
                             const std::string& instance_score, float sharpen, float min_score, int max_poses,
                             int threads, const std::string& decoder) {
  DecodeOptions options;
  options.hough_stride = hough_stride;
  options.disk_radius = disk_radius;
  options.vote_threshold = vote_threshold;
  options.peak_threshold = peak_threshold;
  options.nms_radius = nms_radius;
  options.refine_steps = refine_steps;
  options.scoring = kScoring.choose<DecodeOptions::Scoring>(scoring);
  options.ranking = kRanking.choose<DecodeOptions::Ranking>(ranking);
  options.instance_score = kInstanceScore.choose<DecodeOptions::InstanceScore>(instance_score);
  options.sharpen = sharpen;
  options.min_score = min_score;
  options.max_poses = max_poses;
  options.threads = threads;
  options.decoder = kDecoder.choose<DecodeOptions::Decoder>(decoder);
  check(options);
  return options;
}

MaskOptions mask_options(float mask_threshold, float distance_threshold, int long_refine_steps, int short_refine_steps,
                         bool exclusive, float score_power, int threads) {
  const MaskOptions options{
      mask_threshold, distance_threshold, long_refine_steps, short_refine_steps, exclusive, score_power, threads};
  check(options);
  return options;
}

}  // namespace

void register_types(py::module_& m) {
  m.attr("MAX_STRIDE") = kMaxStride;
  m.attr("MAX_INPUT") = kMaxInput;
  m.attr("MAX_GRID") = kMaxGrid;

  py::class_<Skeleton>(m, "Skeleton")
      .def(py::init<int, const std::vector<std::pair<int, int>>&, const std::vector<float>&>(), py::kw_only(),
           "n_keypoints"_a, "edges"_a, "sigmas"_a);
  // Defaults are those of the C++ library; the tests compare them with Python's.
  const DecodeOptions poses;
  py::class_<DecodeOptions>(m, "DecodeOptions")
      .def(py::init(&decode_options), py::kw_only(), "hough_stride"_a = poses.hough_stride,
           "disk_radius"_a = poses.disk_radius, "vote_threshold"_a = poses.vote_threshold,
           "peak_threshold"_a = poses.peak_threshold, "nms_radius"_a = poses.nms_radius,
           "refine_steps"_a = poses.refine_steps, "scoring"_a = "expected_oks", "ranking"_a = "seed",
           "instance_score"_a = "rms", "sharpen"_a = poses.sharpen, "min_score"_a = poses.min_score,
           "max_poses"_a = poses.max_poses, "threads"_a = poses.threads, "decoder"_a = "personlab")
      .def_readonly("hough_stride", &DecodeOptions::hough_stride)
      .def_readonly("disk_radius", &DecodeOptions::disk_radius)
      .def_readonly("vote_threshold", &DecodeOptions::vote_threshold)
      .def_readonly("peak_threshold", &DecodeOptions::peak_threshold)
      .def_readonly("nms_radius", &DecodeOptions::nms_radius)
      .def_readonly("refine_steps", &DecodeOptions::refine_steps)
      .def_property_readonly("scoring", name_of(&DecodeOptions::scoring, kScoring))
      .def_property_readonly("ranking", name_of(&DecodeOptions::ranking, kRanking))
      .def_property_readonly("instance_score", name_of(&DecodeOptions::instance_score, kInstanceScore))
      .def_readonly("sharpen", &DecodeOptions::sharpen)
      .def_readonly("min_score", &DecodeOptions::min_score)
      .def_readonly("max_poses", &DecodeOptions::max_poses)
      .def_readonly("threads", &DecodeOptions::threads)
      .def_property_readonly("decoder", name_of(&DecodeOptions::decoder, kDecoder));
  const MaskOptions masks;
  py::class_<MaskOptions>(m, "MaskOptions")
      .def(py::init(&mask_options), py::kw_only(), "mask_threshold"_a = masks.mask_threshold,
           "distance_threshold"_a = masks.distance_threshold, "long_refine_steps"_a = masks.long_refine_steps,
           "short_refine_steps"_a = masks.short_refine_steps, "exclusive"_a = masks.exclusive,
           "score_power"_a = masks.score_power, "threads"_a = masks.threads)
      .def_readonly("mask_threshold", &MaskOptions::mask_threshold)
      .def_readonly("distance_threshold", &MaskOptions::distance_threshold)
      .def_readonly("long_refine_steps", &MaskOptions::long_refine_steps)
      .def_readonly("short_refine_steps", &MaskOptions::short_refine_steps)
      .def_readonly("exclusive", &MaskOptions::exclusive)
      .def_readonly("score_power", &MaskOptions::score_power)
      .def_readonly("threads", &MaskOptions::threads);
}

}  // namespace personlab

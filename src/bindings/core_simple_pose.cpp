// Simple Pose in module _core: people, and the steps that lead to them, of NumPy arrays that Python has checked.
#include <pybind11/stl.h>

#include <memory>

#include "arguments.hpp"
#include "methods/simple_pose/stages.hpp"
#include "registrations.hpp"
#include "without_python.hpp"

using namespace py::literals;

namespace personlab {
namespace {

using simple_pose::LimbSkeleton;
using simple_pose::MapBatch;
using simple_pose::MapOptions;
using simple_pose::MapScratch;

// Scratch of one call at a time, which its thread keeps for the next; a call within a call has its own.
class KeptMaps {
 public:
  struct Memory {
    std::vector<MapScratch> images;
    std::vector<Poses> poses;
  };

  KeptMaps() : memory_(std::move(idle())) {
    if (memory_ == nullptr) memory_ = std::make_unique<Memory>();
  }
  ~KeptMaps() { idle() = std::move(memory_); }
  KeptMaps(const KeptMaps&) = delete;
  KeptMaps& operator=(const KeptMaps&) = delete;
  Memory* operator->() const { return memory_.get(); }

 private:
  static std::unique_ptr<Memory>& idle() {
    thread_local std::unique_ptr<Memory> own;
    return own;
  }

  std::unique_ptr<Memory> memory_;
};

template <typename Choice>
Choice choose(const char* option, const std::string& value, std::initializer_list<const char*> names) {
  int n = 0;
  for (const char* name : names) {
    if (value == name) return static_cast<Choice>(n);
    ++n;
  }
  throw std::invalid_argument(std::string(option) + ": unknown value '" + value + "'");
}

MapOptions map_options(double peak_threshold, double limb_threshold, double min_support, int max_samples,
                       const std::string& position, int box_radius, double length_ratio, double merge_ratio,
                       bool resolve_shared, int min_keypoints, double min_score, int max_peaks, double max_reach,
                       int max_poses, int threads, const std::string& rules) {
  MapOptions options;
  options.peak_threshold = peak_threshold;
  options.limb_threshold = limb_threshold;
  options.min_support = min_support;
  options.max_samples = max_samples;
  options.position =
      choose<simple_pose::Position>("position", position, {"parabola", "centroid", "swapped_centroid", "cell"});
  options.box_radius = box_radius;
  options.length_ratio = length_ratio;
  options.merge_ratio = merge_ratio;
  options.resolve_shared = resolve_shared;
  options.min_keypoints = min_keypoints;
  options.min_score = min_score;
  options.max_peaks = max_peaks;
  options.max_reach = max_reach;
  options.max_poses = max_poses;
  options.threads = threads;
  options.rules = choose<simple_pose::Rules>("rules", rules, {"default", "part_b", "demo", "part_a"});
  check(options);
  return options;
}

// Views of arrays ([N,] K, h, w) and ([N,] E, h, w), one of each for every scale.
MapBatch batch_of(const std::vector<py::array>& keypoints, const std::vector<py::array>& limbs, int stride,
                  const std::vector<std::pair<int, int>>& inner, std::pair<int, int> size) {
  MapBatch batch{images_of(keypoints.front(), 3), {}, {size.first, size.second}};
  for (std::size_t v = 0; v < keypoints.size(); ++v)
    batch.views.push_back({view(keypoints[v], extent(keypoints[v], 3), stride),
                           view(limbs[v], extent(limbs[v], 3), stride),
                           {inner[v].first, inner[v].second}});
  return batch;
}

Floats copy_of(const std::vector<float>& values, std::initializer_list<py::ssize_t> shape) {
  Floats array(shape);
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

// (keypoints, keypoint_scores, keypoint_probabilities, scores) of each image.
py::list decode(const std::vector<py::array>& keypoint_maps, const std::vector<py::array>& limb_maps, int stride,
                const std::vector<std::pair<int, int>>& input_sizes, std::pair<int, int> size,
                const LimbSkeleton& skeleton, const MapOptions& options) {
  const MapBatch batch = batch_of(keypoint_maps, limb_maps, stride, input_sizes, size);
  const KeptMaps kept;
  without_python(options, [&](const MapOptions& how) {
    simple_pose::decode_batch(batch, skeleton, how, kept->images, kept->poses);
  });
  py::list results(kept->poses.size());
  for (std::size_t n = 0; n < kept->poses.size(); ++n) {
    const Poses& poses = kept->poses[n];
    const py::ssize_t p = poses.count, k = poses.n_keypoints;
    results[n] = py::make_tuple(copy_of(poses.keypoints, {p, k, 2}), copy_of(poses.keypoint_scores, {p, k}),
                                copy_of(poses.keypoint_probabilities, {p, k}), copy_of(poses.scores, {p}));
  }
  return results;
}

// What the steps of decoding one image come to.
py::dict decode_steps(const std::vector<py::array>& keypoint_maps, const std::vector<py::array>& limb_maps, int stride,
                      const std::vector<std::pair<int, int>>& input_sizes, std::pair<int, int> size,
                      const LimbSkeleton& skeleton, const MapOptions& options) {
  const MapBatch image = batch_of(keypoint_maps, limb_maps, stride, input_sizes, size);
  MapScratch steps;
  without_python(options, [&](const MapOptions& how) { simple_pose::decode_steps(image, skeleton, how, steps); });
  const auto n = static_cast<py::ssize_t>(steps.peaks.all.size()), k = py::ssize_t{skeleton.n_keypoints};
  const auto m = static_cast<py::ssize_t>(steps.connections.size()), p = py::ssize_t{steps.bodies.count};
  Array<std::int32_t> types(n), anchors({n, py::ssize_t{2}}), joined({m, py::ssize_t{5}});
  Array<double> positions({n, py::ssize_t{2}}), scores(n), weights({m, py::ssize_t{3}});
  for (int part = 0; part < skeleton.n_keypoints; ++part)
    for (int i = steps.peaks.first[static_cast<std::size_t>(part)];
         i < steps.peaks.first[static_cast<std::size_t>(part) + 1]; ++i)
      types.mutable_at(i) = part;
  for (py::ssize_t i = 0; i < n; ++i) {
    const simple_pose::MapPeak& peak = steps.peaks.all[static_cast<std::size_t>(i)];
    anchors.mutable_at(i, 0) = peak.anchor_x, anchors.mutable_at(i, 1) = peak.anchor_y;
    positions.mutable_at(i, 0) = peak.x, positions.mutable_at(i, 1) = peak.y;
    scores.mutable_at(i) = peak.score;
  }
  for (py::ssize_t i = 0; i < m; ++i) {
    const simple_pose::Connection& one = steps.connections[static_cast<std::size_t>(i)];
    const int ids[]{one.limb, one.a, one.b, one.i, one.j};
    for (int c = 0; c < 5; ++c) joined.mutable_at(i, c) = ids[c];
    weights.mutable_at(i, 0) = one.score, weights.mutable_at(i, 1) = one.length, weights.mutable_at(i, 2) = one.rank;
  }
  const simple_pose::BodyList& bodies = steps.bodies;
  const auto first_of = [](auto values, std::size_t count) {
    values.resize(count);
    return values;
  };
  const auto pk = static_cast<std::size_t>(p * k), pn = static_cast<std::size_t>(p);
  return py::dict("types"_a = types, "anchors"_a = anchors, "positions"_a = positions, "scores"_a = scores,
                  "joined"_a = joined, "weights"_a = weights,
                  "peaks"_a = array_of<std::int32_t>(first_of(bodies.peaks, pk), {p, k}),
                  "limbs"_a = array_of<double>(first_of(bodies.limbs, pk), {p, k}),
                  "totals"_a = array_of<double>(first_of(bodies.totals, pn), {p}),
                  "sizes"_a = array_of<std::int32_t>(first_of(bodies.sizes, pn), {p}),
                  "longest"_a = array_of<double>(first_of(bodies.longest, pn), {p}));
}

}  // namespace

void register_simple_pose(py::module_& m) {
  m.attr("MAX_MAP_STRIDE") = simple_pose::kMaxMapStride;
  py::class_<LimbSkeleton>(m, "LimbSkeleton")
      .def(py::init<int, std::vector<std::pair<int, int>>, std::vector<int>>(), py::kw_only(), "n_keypoints"_a,
           "limbs"_a, "people"_a);
  const MapOptions defaults;
  py::class_<MapOptions>(m, "SimplePoseOptions")
      .def(py::init(&map_options), py::kw_only(), "peak_threshold"_a = defaults.peak_threshold,
           "limb_threshold"_a = defaults.limb_threshold, "min_support"_a = defaults.min_support,
           "max_samples"_a = defaults.max_samples, "position"_a = "parabola", "box_radius"_a = defaults.box_radius,
           "length_ratio"_a = defaults.length_ratio, "merge_ratio"_a = defaults.merge_ratio,
           "resolve_shared"_a = defaults.resolve_shared, "min_keypoints"_a = defaults.min_keypoints,
           "min_score"_a = defaults.min_score, "max_peaks"_a = defaults.max_peaks, "max_reach"_a = defaults.max_reach,
           "max_poses"_a = defaults.max_poses, "threads"_a = defaults.threads, "rules"_a = "default")
      .def_readonly("peak_threshold", &MapOptions::peak_threshold)
      .def_readonly("limb_threshold", &MapOptions::limb_threshold)
      .def_readonly("min_support", &MapOptions::min_support)
      .def_readonly("max_samples", &MapOptions::max_samples)
      .def_readonly("box_radius", &MapOptions::box_radius)
      .def_readonly("length_ratio", &MapOptions::length_ratio)
      .def_readonly("merge_ratio", &MapOptions::merge_ratio)
      .def_readonly("resolve_shared", &MapOptions::resolve_shared)
      .def_readonly("min_keypoints", &MapOptions::min_keypoints)
      .def_readonly("min_score", &MapOptions::min_score)
      .def_readonly("max_peaks", &MapOptions::max_peaks)
      .def_readonly("max_reach", &MapOptions::max_reach)
      .def_readonly("max_poses", &MapOptions::max_poses)
      .def_readonly("threads", &MapOptions::threads);
  m.def("decode_maps", &decode, py::kw_only(), "keypoint_maps"_a, "limb_maps"_a, "stride"_a, "input_sizes"_a, "size"_a,
        "skeleton"_a, "options"_a);
  m.def("decode_map_steps", &decode_steps, py::kw_only(), "keypoint_maps"_a, "limb_maps"_a, "stride"_a, "input_sizes"_a,
        "size"_a, "skeleton"_a, "options"_a);
}

}  // namespace personlab

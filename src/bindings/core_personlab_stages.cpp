// PersonLab's single stages in module _core: dense NumPy arrays that Python has checked, in and out.
#include <pybind11/stl.h>

#include <optional>

#include "arguments.hpp"
#include "methods/personlab/dense.hpp"
#include "registrations.hpp"
#include "without_python.hpp"

using namespace py::literals;

namespace personlab {
namespace {

using Indices = Array<std::int32_t>;
using Bytes = Array<std::uint8_t>;

DenseScores scores_of(const Floats& hough) {
  return {hough.data(), extent(hough, 3), extent(hough, 2), extent(hough, 1)};
}

Floats vote(const Floats& heatmaps, const Floats& short_offsets, int stride, const DecodeOptions& options) {
  const int k = extent(heatmaps, 3);
  const Field field = view(heatmaps, k, stride), offsets = view(short_offsets, 2 * k, stride);
  const LatticeSize size = lattice_size(field, options.hough_stride);
  Floats dense({k, size.rows, size.columns});
  float* out = dense.mutable_data();
  without_python(options, [&](const DecodeOptions& how) { hough_vote_dense(field, offsets, how, out); });
  return dense;
}

py::tuple find(const Floats& hough, const DecodeOptions& options) {
  std::vector<Peak> peaks;
  without_python(options, [&](const DecodeOptions& how) { peaks = find_peaks_dense(scores_of(hough), how); });
  const auto n = static_cast<py::ssize_t>(peaks.size());
  Indices keypoints(n);
  Floats positions({n, py::ssize_t{2}}), scores(n);
  write_peaks(peaks, {keypoints.mutable_data(), positions.mutable_data(), scores.mutable_data()});
  return py::make_tuple(keypoints, positions, scores);
}

py::tuple group(const Indices& peak_keypoints, const Floats& positions, const Floats& scores, const Floats& heatmaps,
                const Floats& short_offsets, const Floats& mid_offsets, int stride, const Skeleton& skeleton,
                const DecodeOptions& options) {
  const int k = skeleton.n_keypoints;
  PoseList poses;
  without_python(options, [&](const DecodeOptions& how) {
    poses = group_poses_dense({peak_keypoints.data(), positions.data(), scores.data()}, extent(scores, 1),
                              view(heatmaps, k, stride), view(short_offsets, 2 * k, stride),
                              view(mid_offsets, 4 * skeleton.n_edges(), stride), skeleton, how);
  });
  return py::make_tuple(array_of<float>(poses.keypoints, {poses.count, k, 2}),
                        array_of<float>(poses.probabilities, {poses.count, k}));
}

py::tuple score(const Floats& keypoints, const Floats& probabilities, const Floats& hough, const Skeleton& skeleton,
                const DecodeOptions& options) {
  const int k = skeleton.n_keypoints;
  Ranking ranking;
  without_python(options, [&](const DecodeOptions& how) {
    ranking = score_poses_dense({keypoints.data(), probabilities.data(), extent(probabilities, 2), k}, scores_of(hough),
                                skeleton, how);
  });
  const auto q = static_cast<py::ssize_t>(ranking.index.size());
  return py::make_tuple(array_of<std::int32_t>(ranking.index, {q}), array_of<float>(ranking.keypoint_scores, {q, k}),
                        array_of<float>(ranking.scores, {q}));
}

Floats sharpen(const Floats& keypoints, const Floats& hough, const DecodeOptions& options) {
  Floats sharpened({extent(keypoints, 3), extent(keypoints, 2), 2});
  float* out = sharpened.mutable_data();
  without_python(options, [&](const DecodeOptions& how) {
    sharpen_keypoints_dense(keypoints.data(), extent(keypoints, 3), scores_of(hough), how, out);
  });
  return sharpened;
}

// Views of (N, C, 2, h, w) and (N, L, 2, h, w), or of single images.
template <typename Real>
OffsetBatch<Real> offset_batch(const Array<Real>& offsets, const Array<Real>& by, const std::vector<int>& channels,
                               int stride, int steps) {
  return {offsets.data(),
          by.data(),
          channels.data(),
          images_of(offsets, 4),
          extent(offsets, 4),
          extent(by, 4),
          extent(offsets, 2),
          extent(offsets, 1),
          stride,
          steps};
}

Floats refine(const Floats& offsets, const Floats& by, const std::vector<int>& channels, int stride, int steps,
              int threads) {
  Floats refined(std::vector<py::ssize_t>(offsets.shape(), offsets.shape() + offsets.ndim()));
  float* out = refined.mutable_data();
  const OffsetBatch<float> batch = offset_batch(offsets, by, channels, stride, steps);
  const py::gil_scoped_release release;
  refine_offset_batch<NonFinite::kZero>(batch, threads, out);
  return refined;
}

template <typename Real>
void refine_batch(const Array<Real>& offsets, const Array<Real>& by, const std::vector<int>& channels, int stride,
                  int steps, int threads, Array<Real> refined) {
  Real* out = refined.mutable_data();
  const OffsetBatch<Real> batch = offset_batch(offsets, by, channels, stride, steps);
  const py::gil_scoped_release release;
  refine_offset_batch<NonFinite::kKept>(batch, threads, out);
}

template <typename Real>
void refine_batch_backward(const Array<Real>& offsets, const Array<Real>& by, const std::vector<int>& channels,
                           int stride, int steps, int threads, const Array<Real>& grad_refined,
                           std::optional<Array<Real>> grad_offsets, std::optional<Array<Real>> grad_by) {
  const OffsetGradients<Real> gradients{grad_refined.data(), grad_offsets ? grad_offsets->mutable_data() : nullptr,
                                        grad_by ? grad_by->mutable_data() : nullptr};
  const OffsetBatch<Real> batch = offset_batch(offsets, by, channels, stride, steps);
  const py::gil_scoped_release release;
  refine_offset_batch_backward(batch, threads, gradients);
}

// The same two for each type of number. Nothing is converted: what they write has to reach the caller's memory.
template <typename Real>
void register_refinement(py::module_& m) {
  m.def("refine_offset_batch", &refine_batch<Real>, py::kw_only(), "offsets"_a.noconvert(), "by"_a.noconvert(),
        "channels"_a, "stride"_a, "steps"_a, "threads"_a, "refined"_a.noconvert());
  m.def("refine_offset_batch_backward", &refine_batch_backward<Real>, py::kw_only(), "offsets"_a.noconvert(),
        "by"_a.noconvert(), "channels"_a, "stride"_a, "steps"_a, "threads"_a, "grad_refined"_a.noconvert(),
        "grad_offsets"_a.noconvert(), "grad_by"_a.noconvert());
}

// An array of zeros for each of the targets.
class TargetArrays {
 public:
  template <typename T>
  T* add(const char* name, std::initializer_list<int> shape) {
    using Element = std::conditional_t<std::is_same_v<T, std::uint8_t>, bool, T>;
    Array<Element> array(shape);
    auto* data = reinterpret_cast<T*>(array.mutable_data());
    std::fill_n(data, array.size(), T());
    arrays_[name] = array;
    return data;
  }
  const py::dict& arrays() const { return arrays_; }

 private:
  py::dict arrays_;
};

py::dict encode(const Floats& keypoints, const std::optional<Bytes>& masks, const std::optional<Bytes>& crowd,
                std::pair<int, int> size, int stride, const Skeleton& skeleton, float disk_radius) {
  const int k = skeleton.n_keypoints, e2 = 2 * skeleton.n_edges();
  const int h = (size.first - 1) / stride + 1, w = (size.second - 1) / stride + 1;
  TargetArrays made;
  TargetViews targets;
  targets.heatmaps = made.add<float>("heatmaps", {k, h, w});
  targets.short_offsets = made.add<float>("short_offsets", {k, 2, h, w});
  targets.mid_offsets = made.add<float>("mid_offsets", {e2, 2, h, w});
  targets.segmentation = made.add<float>("segmentation", {1, h, w});
  targets.long_offsets = made.add<float>("long_offsets", {k, 2, h, w});
  targets.heatmap_valid = made.add<std::uint8_t>("heatmap_valid", {1, h, w});
  targets.short_valid = made.add<std::uint8_t>("short_valid", {k, h, w});
  targets.mid_valid = made.add<std::uint8_t>("mid_valid", {e2, h, w});
  targets.segmentation_valid = made.add<std::uint8_t>("segmentation_valid", {1, h, w});
  targets.long_valid = made.add<std::uint8_t>("long_valid", {k, h, w});
  const Annotations annotations{keypoints.data(),
                                masks.has_value(),
                                masks ? masks->data() : nullptr,
                                crowd ? crowd->data() : nullptr,
                                extent(keypoints, 3),
                                size.first,
                                size.second};
  {
    const py::gil_scoped_release release;
    encode_targets(annotations, skeleton, stride, disk_radius, targets);
  }
  return made.arrays();
}

}  // namespace

void register_personlab_stages(py::module_& m) {
  m.def("hough_vote", &vote, py::kw_only(), "heatmaps"_a, "short_offsets"_a, "stride"_a, "options"_a);
  m.def("find_peaks", &find, py::kw_only(), "hough"_a, "options"_a);
  m.def("group_poses", &group, py::kw_only(), "peak_keypoints"_a, "positions"_a, "scores"_a, "heatmaps"_a,
        "short_offsets"_a, "mid_offsets"_a, "stride"_a, "skeleton"_a, "options"_a);
  m.def("score_poses", &score, py::kw_only(), "keypoints"_a, "probabilities"_a, "hough"_a, "skeleton"_a, "options"_a);
  m.def("sharpen_keypoints", &sharpen, py::kw_only(), "keypoints"_a, "hough"_a, "options"_a);
  m.def("refine_offsets", &refine, py::kw_only(), "offsets"_a, "by"_a, "channels"_a, "stride"_a, "steps"_a,
        "threads"_a);
  register_refinement<float>(m);
  register_refinement<double>(m);
  m.def("encode_targets", &encode, py::kw_only(), "keypoints"_a, "masks"_a, "crowd"_a, "size"_a, "stride"_a,
        "skeleton"_a, "disk_radius"_a);
}

}  // namespace personlab

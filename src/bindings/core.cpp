// Module _core: NumPy arrays in, views to the core, NumPy arrays out; the Python side has checked everything.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "methods/personlab/bench.hpp"
#include "base/disc.hpp"
#include "methods/personlab/kernels.hpp"
#include "base/parallel.hpp"
#include "methods/personlab/stages.hpp"
#include "without_python.hpp"

using namespace py::literals;
using namespace personlab;

namespace {

using Floats = py::array_t<float, py::array::c_style>;
using Bytes = py::array_t<std::uint8_t, py::array::c_style>;

// The caller's thread keeps its scratch memory from call to call.
struct Scratch {
  std::vector<DecodeScratch> images;
  MaskBuffers masks;
};

Scratch& scratch() {
  thread_local Scratch own;
  return own;
}

int extent(const py::array& array, py::ssize_t axis_from_end) {
  return static_cast<int>(array.shape(array.ndim() - axis_from_end));
}

template <typename T>
py::array_t<T> array_of(const std::vector<T>& values, std::vector<py::ssize_t> shape) {
  py::array_t<T> array(std::move(shape));
  if (!values.empty()) std::memcpy(array.mutable_data(), values.data(), values.size() * sizeof(T));
  return array;
}

template <typename Array>
auto* zeroed(Array& array) {
  std::memset(array.mutable_data(), 0, static_cast<std::size_t>(array.nbytes()));
  return array.mutable_data();
}

// Four arrays for the poses of one image.
py::tuple arrays_of(const std::vector<float>& found, int k) {
  const auto p = static_cast<py::ssize_t>(found.size() / (4 * static_cast<std::size_t>(k) + 1));
  const float* from = found.data();
  const auto next = [&](std::initializer_list<py::ssize_t> shape) {
    Floats array(shape);
    const auto size = static_cast<std::size_t>(array.size());
    if (size > 0) std::memcpy(array.mutable_data(), from, size * sizeof(float));
    from += size;
    return array;
  };
  const Floats keypoints = next({p, k, 2}), keypoint_scores = next({p, k}), probabilities = next({p, k}), scores = next({p});
  return py::make_tuple(keypoints, keypoint_scores, probabilities, scores);
}

// What one image's decoding found, copied out of the scratch: keypoints, their scores and probabilities, scores.
void copy_found(const DecodeScratch& from, std::vector<float>& found) {
  const Ranking& ranking = from.ranking;
  const auto k = static_cast<std::size_t>(from.poses.n_keypoints);
  found.resize(ranking.index.size() * (4 * k + 1));
  float* to = found.data();
  for (const int j : ranking.index)
    to = std::transform(from.poses.pose(j), from.poses.pose(j) + 2 * k, to, [](double v) { return static_cast<float>(v); });
  to = std::copy(ranking.keypoint_scores.begin(), ranking.keypoint_scores.end(), to);
  for (const int j : ranking.index) to = std::copy_n(from.poses.probability(j), k, to);
  std::copy(ranking.scores.begin(), ranking.scores.end(), to);
}

py::list decode(const PoseFields& fields, const Skeleton& skeleton, const DecodeOptions& given) {
  const int images = fields.images;
  std::vector<std::vector<float>> found(static_cast<std::size_t>(images));
  without_python(given, [&](const DecodeOptions& options) {
    std::vector<DecodeScratch>& own = scratch().images;
    const int workers = std::max(1, std::min(images, options.threads));
    if (own.size() < static_cast<std::size_t>(workers)) own.resize(static_cast<std::size_t>(workers));
    DecodeOptions each = options;
    if (workers > 1) each.threads = 1;
    parallel_for(images, workers, options.interrupt, [&](int n, int worker) {
      DecodeScratch& mine = own[static_cast<std::size_t>(worker)];
      const auto decode_one = options.is_posenet() ? decode_posenet : decode_personlab;
      decode_one(fields.heatmaps.image(n), fields.short_offsets.image(n), fields.mid_offsets.image(n), skeleton, each,
                 mine);
      copy_found(mine, found[static_cast<std::size_t>(n)]);
    });
  });
  py::list result(static_cast<std::size_t>(images));
  for (int n = 0; n < images; ++n)
    result[static_cast<std::size_t>(n)] = arrays_of(found[static_cast<std::size_t>(n)], skeleton.n_keypoints);
  return result;
}

py::list decode_poses(const py::array& heatmaps, const py::array& short_offsets, const py::array& mid_offsets,
                      int stride, const Skeleton& skeleton, const DecodeOptions& options) {
  const int k = skeleton.n_keypoints;
  const bool batch = heatmaps.ndim() == 4;
  return decode({batch ? static_cast<int>(heatmaps.shape(0)) : 1, view(heatmaps, k, stride), view(short_offsets, 2 * k, stride),
                 view(mid_offsets, 4 * skeleton.n_edges(), stride)},
                skeleton, options);
}

// None where the arguments take more than a glance.
py::object decode_plain(py::handle heatmaps, py::handle short_offsets, py::handle mid_offsets, py::handle stride,
                        const Skeleton& skeleton, const DecodeOptions& options) {
  PoseFields fields;
  if (!PyLong_CheckExact(stride.ptr())) return py::none();
  int overflow = 0;
  const long value = PyLong_AsLongAndOverflow(stride.ptr(), &overflow);
  if (overflow != 0 || value < 1 || value > 4096 ||
      !view_plain(heatmaps, short_offsets, mid_offsets, static_cast<int>(value), skeleton, fields))
    return py::none();
  return decode(fields, skeleton, options);
}

// Masks (P, H, W), and their scores (P) where these are wanted, else None.
py::tuple associate(const Floats& keypoints, const Floats& weights, const Floats& scores,
                    const py::array& segmentation, const py::array& long_offsets,
                    const std::optional<py::array>& short_offsets, int stride, std::pair<int, int> size,
                    const MaskOptions& options, bool scored) {
  const int p = static_cast<int>(keypoints.shape(0)), k = static_cast<int>(keypoints.shape(1));
  const py::object zeros = py::module_::import("numpy").attr("zeros");  // pages come zeroed from the system
  py::array_t<bool> masks = zeros(py::make_tuple(p, size.first, size.second), py::dtype::of<bool>());
  auto* out = reinterpret_cast<std::uint8_t*>(masks.mutable_data());
  Floats mask_scores(py::ssize_t{scored ? p : 0});
  float* scores_out = scored ? mask_scores.mutable_data() : nullptr;
  without_python(options, [&](const MaskOptions& how) {
    Field short_view;
    if (short_offsets) short_view = view(*short_offsets, 2 * k, stride);
    associate_pixels({keypoints.data(), weights.data(), scores.data(), p, k}, view(segmentation, 1, stride),
                     view(long_offsets, 2 * k, stride), short_offsets ? &short_view : nullptr, size.first, size.second,
                     how, out, scores_out, scratch().masks);
  });
  return py::make_tuple(masks, scored ? py::object(mask_scores) : py::none());
}

Floats score_masks_dense(const py::array_t<bool, py::array::c_style>& masks, const Floats& scores,
                         const py::array& segmentation, int stride, const MaskOptions& options) {
  const int p = static_cast<int>(masks.shape(0));
  Floats mask_scores(py::ssize_t{p});
  float* out = mask_scores.mutable_data();
  const auto* marks = reinterpret_cast<const std::uint8_t*>(masks.data());
  const py::gil_scoped_release release;
  score_masks(marks, scores.data(), p, view(segmentation, 1, stride), extent(masks, 2), extent(masks, 1), options, out,
              scratch().masks);
  return mask_scores;
}

py::dict stage_times(const Floats& heatmaps, const Floats& short_offsets, const Floats& mid_offsets, int stride,
                     const Skeleton& skeleton, const DecodeOptions& options, int rounds) {
  const int k = skeleton.n_keypoints;
  StageTimes times;
  without_python(options, [&](const DecodeOptions& how) {
    times = time_stages(view(heatmaps, k, stride), view(short_offsets, 2 * k, stride),
                        view(mid_offsets, 4 * skeleton.n_edges(), stride), skeleton, how, rounds);
  });
  return py::dict("scan"_a = times.scan, "vote"_a = times.vote, "peaks"_a = times.peaks, "group"_a = times.group,
                  "score"_a = times.score, "add"_a = times.add, "votes"_a = times.votes,
                  "high_tiles"_a = times.high_tiles, "poses"_a = times.poses, "scored"_a = times.scored);
}

// --- single stages, over dense arrays -------------------------------------------------------------------------------

// Hough planes of dense scores (K, H', W'); what is not finite, or larger than `most`, becomes 0.
std::vector<HoughPlane> planes_of(const Floats& dense, float most) {
  constexpr int kTile = HoughPlane::kTile;
  const int rows = extent(dense, 2), columns = extent(dense, 1);
  std::vector<HoughPlane> hough(static_cast<std::size_t>(dense.shape(0)));
  const float* from = dense.data();
  for (HoughPlane& plane : hough) {
    plane.reset(rows, columns);
    for (int tile = 0; tile < plane.tile_rows * plane.tile_columns; ++tile) {
      const int i0 = tile / plane.tile_columns * kTile - 1, j0 = tile % plane.tile_columns * kTile - 1;
      float scores[HoughPlane::kTilePoints] = {};
      bool empty = true;
      for (int i = std::max(i0, 0); i < std::min(i0 + kTile, rows); ++i) {
        for (int j = std::max(j0, 0); j < std::min(j0 + kTile, columns); ++j) {
          const float value = from[static_cast<std::ptrdiff_t>(i) * columns + j];
          if (value == 0.0F || !(std::abs(value) <= most)) continue;
          scores[(i - i0) * kTile + j - j0] = value;
          empty = false;
        }
      }
      if (!empty) std::memcpy(plane.add(tile), scores, sizeof scores);
    }
    from += static_cast<std::ptrdiff_t>(rows) * columns;
  }
  return hough;
}

Floats hough_vote_dense(const Floats& heatmaps, const Floats& short_offsets, int stride, const DecodeOptions& options) {
  const int k = static_cast<int>(heatmaps.shape(0));
  const Field field = view(heatmaps, k, stride);
  const bool empty = field.cells() == 0;
  const int rows = empty ? 0 : field.last_y() / options.hough_stride + 1;
  const int columns = empty ? 0 : field.last_x() / options.hough_stride + 1;
  Floats dense({k, rows, columns});
  float* out = dense.mutable_data();
  std::vector<HoughPlane> hough;
  HoughScratch own;
  const Field offsets = view(short_offsets, 2 * k, stride);
  without_python(options, [&](const DecodeOptions& how) { hough_vote(field, offsets, how, hough, own); });
  const py::gil_scoped_release release;
  for (const HoughPlane& plane : hough)
    for (int row = 0; row < rows; ++row)
      for (int column = 0; column < columns; ++column) *out++ = plane.at(row, column);
  return dense;
}

py::tuple find_peaks_dense(const Floats& dense, const DecodeOptions& options) {
  std::vector<Peak> peaks;
  without_python(options, [&](const DecodeOptions& how) {
    find_peaks(planes_of(dense, std::numeric_limits<float>::max()), how, peaks);
  });
  const auto n = static_cast<py::ssize_t>(peaks.size());
  py::array_t<std::int32_t> keypoints(n);
  Floats positions({n, py::ssize_t{2}}), scores(n);
  for (py::ssize_t i = 0; i < n; ++i) {
    const Peak& peak = peaks[static_cast<std::size_t>(i)];
    keypoints.mutable_at(i) = peak.keypoint;
    positions.mutable_at(i, 0) = peak.x;
    positions.mutable_at(i, 1) = peak.y;
    scores.mutable_at(i) = peak.score;
  }
  return py::make_tuple(keypoints, positions, scores);
}

py::tuple group_poses_dense(const py::array_t<std::int32_t, py::array::c_style>& peak_keypoints,
                            const Floats& positions, const Floats& scores, const Floats& heatmaps,
                            const Floats& short_offsets, const Floats& mid_offsets, int stride,
                            const Skeleton& skeleton, const DecodeOptions& options) {
  const int k = skeleton.n_keypoints;
  std::vector<Peak> peaks;
  for (py::ssize_t i = 0; i < scores.size(); ++i)
    peaks.push_back({scores.at(i), peak_keypoints.at(i), positions.at(i, 0), positions.at(i, 1)});
  PoseList poses;
  without_python(options, [&](const DecodeOptions& how) {
    GrowScratch own;
    std::sort(peaks.begin(), peaks.end(), precedes<Peak>);
    group_poses(peaks, view(heatmaps, k, stride), view(short_offsets, 2 * k, stride),
                view(mid_offsets, 4 * skeleton.n_edges(), stride), skeleton, how, poses, own);
  });
  const std::vector<float> keypoints(poses.keypoints.begin(), poses.keypoints.end());
  return py::make_tuple(array_of(keypoints, {poses.count, k, 2}), array_of(poses.probabilities, {poses.count, k}));
}

py::tuple score_poses_dense(const Floats& keypoints, const Floats& probabilities, const Floats& hough,
                            const Skeleton& skeleton, const DecodeOptions& options) {
  const int k = skeleton.n_keypoints;
  PoseList poses;
  poses.clear(k);
  poses.count = static_cast<int>(keypoints.shape(0));
  poses.keypoints.assign(keypoints.data(), keypoints.data() + keypoints.size());
  poses.probabilities.assign(probabilities.data(), probabilities.data() + probabilities.size());
  Ranking ranking;
  without_python(options, [&](const DecodeOptions& how) {
    const auto negative = [](const Floats& array) {
      return std::any_of(array.data(), array.data() + array.size(), [](float value) { return value < 0.0F; });
    };
    const bool bounded = !negative(hough) && !negative(probabilities);
    ScoreScratch own;
    score_poses(poses, planes_of(hough, kLargestScore), skeleton, how, bounded, own, ranking);
  });
  const auto q = static_cast<py::ssize_t>(ranking.index.size());
  return py::make_tuple(array_of(ranking.index, {q}), array_of(ranking.keypoint_scores, {q, k}),
                        array_of(ranking.scores, {q}));
}

Floats sharpen_keypoints_dense(const Floats& keypoints, const Floats& hough, const DecodeOptions& options) {
  const py::ssize_t p = keypoints.shape(0), k = keypoints.shape(1);
  PoseList poses;
  poses.clear(static_cast<int>(k));
  poses.keypoints.assign(keypoints.data(), keypoints.data() + keypoints.size());
  without_python(options, [&](const DecodeOptions& how) {
    std::vector<int> all(static_cast<std::size_t>(p));
    std::iota(all.begin(), all.end(), 0);
    sharpen_keypoints(planes_of(hough, kLargestScore), how, all, poses);
  });
  return array_of(std::vector<float>(poses.keypoints.begin(), poses.keypoints.end()), {p, k, 2});
}

template <typename Real>
using Array = py::array_t<Real, py::array::c_style>;

// Views of (N, C, 2, h, w) and (N, L, 2, h, w), or of single images.
template <typename Real>
OffsetBatch<Real> offset_batch(const Array<Real>& offsets, const Array<Real>& by, const std::vector<int>& channels,
                               int stride, int steps) {
  const int images = offsets.ndim() == 5 ? extent(offsets, 5) : 1;
  return {offsets.data(), by.data(), channels.data(), images, extent(offsets, 4), extent(by, 4), extent(offsets, 2),
          extent(offsets, 1), stride, steps};
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
void define_refinement(py::module_& m) {
  const py::arg exact = py::arg().noconvert();
  m.def("refine_offset_batch", &refine_batch<Real>, exact, exact, py::arg(), py::arg(), py::arg(), py::arg(), exact);
  m.def("refine_offset_batch_backward", &refine_batch_backward<Real>, exact, exact, py::arg(), py::arg(), py::arg(),
        py::arg(), exact, exact, exact);
}

py::dict encode(const Floats& keypoints, const std::optional<Bytes>& masks, const std::optional<Bytes>& crowd,
                std::pair<int, int> size, int stride, const Skeleton& skeleton, float disk_radius) {
  const py::ssize_t k = skeleton.n_keypoints, e2 = 2 * skeleton.n_edges();
  const py::ssize_t h = (size.first - 1) / stride + 1, w = (size.second - 1) / stride + 1;
  using Shape = std::vector<py::ssize_t>;
  Floats heatmaps(Shape{k, h, w}), short_offsets(Shape{k, 2, h, w}), mid_offsets(Shape{e2, 2, h, w});
  Floats segmentation(Shape{1, h, w}), long_offsets(Shape{k, 2, h, w});
  py::array_t<bool> heatmap_valid(Shape{1, h, w}), short_valid(Shape{k, h, w}), mid_valid(Shape{e2, h, w});
  py::array_t<bool> segmentation_valid(Shape{1, h, w}), long_valid(Shape{k, h, w});
  const auto bytes = [](py::array_t<bool>& array) { return reinterpret_cast<std::uint8_t*>(zeroed(array)); };
  const TargetViews targets{zeroed(heatmaps),     zeroed(short_offsets), zeroed(mid_offsets), zeroed(segmentation),
                            zeroed(long_offsets), bytes(heatmap_valid),  bytes(short_valid),  bytes(mid_valid),
                            bytes(segmentation_valid), bytes(long_valid)};
  const Annotations annotations{keypoints.data(),
                                masks ? masks->data() : nullptr,
                                crowd ? crowd->data() : nullptr,
                                static_cast<int>(keypoints.shape(0)),
                                size.first,
                                size.second};
  {
    const py::gil_scoped_release release;
    encode_targets(annotations, skeleton, stride, disk_radius, targets);
  }
  return py::dict("heatmaps"_a = heatmaps, "short_offsets"_a = short_offsets, "mid_offsets"_a = mid_offsets,
                  "segmentation"_a = segmentation, "long_offsets"_a = long_offsets, "heatmap_valid"_a = heatmap_valid,
                  "short_valid"_a = short_valid, "mid_valid"_a = mid_valid,
                  "segmentation_valid"_a = segmentation_valid, "long_valid"_a = long_valid);
}

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "gcc " __VERSION__;
#elif defined(_MSC_VER)
  return "msvc " + std::to_string(_MSC_FULL_VER);
#else
  return "unknown";
#endif
}

}  // namespace

// Importing goes through PyInit__core below; what pybind11 makes is called by that.
#define PyInit__core init_core
PYBIND11_MODULE(_core, m) {
  m.doc() = "The compiled decoding core of personlab; use it through the functions of the package.";
  m.attr("compiler") = compiler();
  m.attr("instruction_set") = kernels().name;
  m.attr("instruction_sets") = kernel_names();
  m.attr("version") = PERSONLAB_VERSION;
  m.attr("build_type") = PERSONLAB_BUILD_TYPE;

  py::class_<Skeleton>(m, "Skeleton")
      .def(py::init<int, const std::vector<std::pair<int, int>>&, const std::vector<float>&>(), "n_keypoints"_a,
           "edges"_a, "sigmas"_a);
  py::class_<DecodeOptions>(m, "DecodeOptions")
      .def(py::init([](int hough_stride, float disk_radius, float vote_threshold, float peak_threshold,
                       float nms_radius, int refine_steps, bool oks, bool posenet, float min_score, int max_poses,
                       int threads, bool rank_by_mean, bool mean_instance_score, float sharpen) {
             DecodeOptions options;
             options.hough_stride = hough_stride;
             options.disk_radius = disk_radius;
             options.vote_threshold = vote_threshold;
             options.peak_threshold = peak_threshold;
             options.nms_radius = nms_radius;
             options.refine_steps = refine_steps;
             if (!oks) options.scoring = DecodeOptions::Scoring::kHeatmap;
             if (rank_by_mean) options.ranking = DecodeOptions::Ranking::kMean;
             if (mean_instance_score) options.instance_score = DecodeOptions::InstanceScore::kMean;
             options.sharpen = sharpen;
             options.min_score = min_score;
             options.max_poses = max_poses;
             options.threads = threads;
             if (posenet) options.decoder = DecodeOptions::Decoder::kPosenet;
             return options;
           }),
           py::kw_only(), "hough_stride"_a, "disk_radius"_a, "vote_threshold"_a, "peak_threshold"_a, "nms_radius"_a,
           "refine_steps"_a, "expected_oks"_a, "posenet"_a, "min_score"_a, "max_poses"_a, "threads"_a,
           "rank_by_mean"_a, "mean_instance_score"_a, "sharpen"_a);
  py::class_<MaskOptions>(m, "MaskOptions")
      .def(py::init([](float mask_threshold, float distance_threshold, int long_refine_steps, int short_refine_steps,
                       bool exclusive, int threads, float score_power) {
             return MaskOptions{mask_threshold, distance_threshold, long_refine_steps, short_refine_steps,
                                exclusive,      score_power,        threads};
           }),
           py::kw_only(), "mask_threshold"_a, "distance_threshold"_a, "long_refine_steps"_a, "short_refine_steps"_a,
           "exclusive"_a, "threads"_a, "score_power"_a);

  m.def("decode_plain", &decode_plain);
  m.def("decode_poses", &decode_poses);
  m.def("associate_pixels", &associate);
  m.def("score_masks", &score_masks_dense);
  m.def("stage_times", &stage_times);
  m.def("hough_vote", &hough_vote_dense);
  m.def("find_peaks", &find_peaks_dense);
  m.def("group_poses", &group_poses_dense);
  m.def("score_poses", &score_poses_dense);
  m.def("sharpen_keypoints", &sharpen_keypoints_dense);
  m.def("refine_offsets", &refine);
  define_refinement<float>(m);
  define_refinement<double>(m);
  m.def("encode_targets", &encode);
}
#undef PyInit__core

// In a subinterpreter pybind11 would wait for ever for a lock that the caller holds.
extern "C" PYBIND11_EXPORT PyObject* PyInit__core() {
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_ImportError, "personlab: expected the main interpreter, got a subinterpreter");
    return nullptr;
  }
  return init_core();
}

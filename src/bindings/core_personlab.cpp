// PersonLab in module _core: poses, masks and mask scores of NumPy arrays that Python has checked.
#include <pybind11/stl.h>

#include <array>
#include <cstring>
#include <memory>
#include <optional>

#include "arguments.hpp"
#include "keywords.hpp"
#include "mask_memory.hpp"
#include "methods/personlab/bench.hpp"
#include "methods/personlab/decode.hpp"
#include "methods/personlab/stages.hpp"
#include "registrations.hpp"
#include "without_python.hpp"

using namespace py::literals;

namespace personlab {
namespace {

// Scratch and results of one call at a time, which its thread keeps for the next. A call within a call, as a signal's
// handler or a destructor makes it, has its own.
class Kept {
 public:
  struct Memory {
    std::vector<DecodeScratch> images;
    std::vector<Poses> poses;
    MaskBuffers masks;
  };

  Kept() : memory_(std::move(idle())) {
    if (memory_ == nullptr) memory_ = std::make_unique<Memory>();
  }
  ~Kept() { idle() = std::move(memory_); }
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  Memory* operator->() const { return memory_.get(); }

 private:
  static std::unique_ptr<Memory>& idle() {
    thread_local std::unique_ptr<Memory> own;
    return own;
  }

  std::unique_ptr<Memory> memory_;
};

Floats copy_of(const std::vector<float>& values, std::initializer_list<py::ssize_t> shape) {
  Floats array(shape);
  if (!values.empty()) std::memcpy(array.mutable_data(), values.data(), values.size() * sizeof(float));
  return array;
}

// (keypoints, keypoint_scores, keypoint_probabilities, scores) of each image.
py::list decode(const PoseFields& fields, const Skeleton& skeleton, const DecodeOptions& options) {
  const Kept kept;
  without_python(options,
                 [&](const DecodeOptions& how) { decode_batch(fields, skeleton, how, kept->images, kept->poses); });
  py::list results(kept->poses.size());
  for (std::size_t n = 0; n < kept->poses.size(); ++n) {
    const Poses& poses = kept->poses[n];
    const py::ssize_t p = poses.count, k = poses.n_keypoints;
    results[n] = py::make_tuple(copy_of(poses.keypoints, {p, k, 2}), copy_of(poses.keypoint_scores, {p, k}),
                                copy_of(poses.keypoint_probabilities, {p, k}), copy_of(poses.scores, {p}));
  }
  return results;
}

py::list decode_poses(const py::array& heatmaps, const py::array& short_offsets, const py::array& mid_offsets,
                      int stride, const Skeleton& skeleton, const DecodeOptions& options) {
  const int k = skeleton.n_keypoints;
  return decode({images_of(heatmaps, 3), view(heatmaps, k, stride), view(short_offsets, 2 * k, stride),
                 view(mid_offsets, 4 * skeleton.n_edges(), stride)},
                skeleton, options);
}

// The same for unchecked arguments; None unless a glance shows that they are valid. Called for every image: reading
// these keywords by pybind11 would take a seventh of the time of decoding one cell.
struct DecodePlain {
  static constexpr const char* name = "decode_plain";
  static constexpr const char* doc = "decode_plain(*, heatmaps, short_offsets, mid_offsets, stride, skeleton, options)";
  static constexpr std::array<const char*, 6> keywords{"heatmaps", "short_offsets", "mid_offsets",
                                                       "stride",   "skeleton",      "options"};

  static py::object call(PyObject* const* values) {
    const auto& skeleton = py::handle(values[4]).cast<const Skeleton&>();
    const auto& options = py::handle(values[5]).cast<const DecodeOptions&>();
    PoseFields fields;
    if (!view_plain(values[0], values[1], values[2], values[3], skeleton, options, fields)) return py::none();
    return decode(fields, skeleton, options);
  }
};

// Masks (P, H, W), and their scores (P) where these are wanted, else None.
py::tuple associate(const Floats& keypoints, const Floats& weights, const Floats& scores, const py::array& segmentation,
                    const py::array& long_offsets, const std::optional<py::array>& short_offsets, int stride,
                    std::pair<int, int> size, const MaskOptions& options, bool scored) {
  const int p = extent(keypoints, 3), k = extent(keypoints, 2);
  NewMasks masks(p, size.first, size.second);
  Floats mask_scores(py::ssize_t{scored ? p : 0});
  const Field short_view = short_offsets ? view(*short_offsets, 2 * k, stride) : Field();
  const PoseArrays poses{keypoints.data(), weights.data(), scores.data(), p, k};
  std::uint8_t* out = masks.data();
  float* scores_out = scored ? mask_scores.mutable_data() : nullptr;
  const Kept kept;
  without_python(options, [&](const MaskOptions& how) {
    associate_pixels(poses, view(segmentation, 1, stride), view(long_offsets, 2 * k, stride),
                     short_offsets ? &short_view : nullptr, size.first, size.second, how, out, masks.clear, scores_out,
                     kept->masks);
  });
  return py::make_tuple(masks.array, scored ? py::object(mask_scores) : py::none());
}

Floats score_dense_masks(const Array<bool>& masks, const Floats& scores, const py::array& segmentation, int stride,
                         const MaskOptions& options) {
  const int p = extent(masks, 3);
  Floats mask_scores(py::ssize_t{p});
  float* out = mask_scores.mutable_data();
  const auto* marks = reinterpret_cast<const std::uint8_t*>(masks.data());
  const Field field = view(segmentation, 1, stride);
  const Kept kept;
  without_python(options, [&](const MaskOptions& how) {
    score_masks(marks, scores.data(), p, field, extent(masks, 2), extent(masks, 1), how, out, kept->masks);
  });
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
                  "high_tiles"_a = times.high_tiles, "tile_points"_a = HoughPlane::kTilePoints, "poses"_a = times.poses,
                  "scored"_a = times.scored);
}

}  // namespace

void register_personlab(py::module_& m) {
  KeywordFunction<DecodePlain>::add_to(m);
  register_mask_memory(m);
  m.def("decode_poses", &decode_poses, py::kw_only(), "heatmaps"_a, "short_offsets"_a, "mid_offsets"_a, "stride"_a,
        "skeleton"_a, "options"_a);
  m.def("associate_pixels", &associate, py::kw_only(), "keypoints"_a, "weights"_a, "scores"_a, "segmentation"_a,
        "long_offsets"_a, "short_offsets"_a, "stride"_a, "size"_a, "options"_a, "scored"_a);
  m.def("score_masks", &score_dense_masks, py::kw_only(), "masks"_a, "scores"_a, "segmentation"_a, "stride"_a,
        "options"_a);
  m.def("stage_times", &stage_times, py::kw_only(), "heatmaps"_a, "short_offsets"_a, "mid_offsets"_a, "stride"_a,
        "skeleton"_a, "options"_a, "rounds"_a);
}

}  // namespace personlab

// PersonLab's masks, dense refinement and targets on a GPU for Python: addresses become views, nothing else.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "addresses.hpp"
#include "base/skeleton.cuh"
#include "methods/personlab/stages.cuh"

using namespace py::literals;

namespace personlab {
namespace cuda {
namespace {

using Size = std::pair<int, int>;  // (H, W)

// --- masks ----------------------------------------------------------------------------------------------------------

void define_masks(py::module_& m, const py::kw_only& by_keyword) {
  const py::call_guard<py::gil_scoped_release> release;
  m.def(
      "mask_scratch_bytes",
      [](const PoseBatch& poses, const DeviceField& long_offsets, bool with_short, const Size& size) {
        return bytes_of<DeviceMaskScratch>(poses, long_offsets, with_short, size.first, size.second);
      },
      by_keyword, "poses"_a, "long_offsets"_a, "with_short"_a, "size"_a);
  m.def(
      "associate_pixels",
      [](const PoseBatch& poses, const DeviceField& segmentation, const DeviceField& long_offsets,
         const std::optional<DeviceField>& short_offsets, const Size& size, const MaskOptions& options, Address scratch,
         Address masks, int device, Address stream) {
        const CurrentDevice current(device);
        Arena arena(at<void>(scratch));
        associate_pixels(poses, segmentation, long_offsets, short_offsets ? &*short_offsets : nullptr, size.first,
                         size.second, options, arena, stream_of(stream), at<std::uint8_t>(masks));
      },
      release, by_keyword, "poses"_a, "segmentation"_a, "long_offsets"_a, "short_offsets"_a, "size"_a, "options"_a,
      "scratch"_a, "masks"_a, "device"_a, "stream"_a);

  m.def(
      "mask_score_scratch_bytes",
      [](int rows, const Size& size) { return bytes_of<MaskScoreScratch>(rows, size.first, size.second); }, by_keyword,
      "rows"_a, "size"_a);
  m.def(
      "score_masks",
      [](const PoseBatch& poses, Address masks, const DeviceField& segmentation, const Size& size,
         const MaskOptions& options, Address scratch, Address scores, int device, Address stream) {
        const CurrentDevice current(device);
        Arena arena(at<void>(scratch));
        score_masks(poses, at<const std::uint8_t>(masks), segmentation, size.first, size.second, options, arena,
                    stream_of(stream), at<float>(scores));
      },
      release, by_keyword, "poses"_a, "masks"_a, "segmentation"_a, "size"_a, "options"_a, "scratch"_a, "scores"_a,
      "device"_a, "stream"_a);
}

// --- dense refinement -----------------------------------------------------------------------------------------------

// Calls work(Real()) for the type that an element's name stands for.
template <typename Work>
void with_real(const std::string& element, const Work& work) {
  if (element == "float32") return work(float());
  if (element == "float64") return work(double());
  throw std::invalid_argument("element: expected float32 or float64, got " + element);
}

void define_refinement(py::module_& m, const py::kw_only& by_keyword) {
  const py::call_guard<py::gil_scoped_release> release;
  m.def(
      "refine_offsets",
      [](const DeviceField& offsets, const DeviceField& by, Address channels, int steps, Address refined, int device,
         Address stream) {
        const CurrentDevice current(device);
        refine_offsets(offsets, by, at<const int>(channels), steps, stream_of(stream), at<float>(refined));
      },
      release, by_keyword, "offsets"_a, "by"_a, "channels"_a, "steps"_a, "refined"_a, "device"_a, "stream"_a);

  m.def(
      "refine_offset_batch",
      [](const std::string& element, Address offsets, Address by, Address channels, int images, int count, int fields,
         int height, int width, int stride, int steps, Address refined, int device, Address stream) {
        const CurrentDevice current(device);
        with_real(element, [&](auto zero) {
          using Real = decltype(zero);
          const OffsetBatch<Real> batch{at<const Real>(offsets),
                                        at<const Real>(by),
                                        at<const int>(channels),
                                        images,
                                        count,
                                        fields,
                                        height,
                                        width,
                                        stride,
                                        steps};
          refine_offset_batch(batch, stream_of(stream), at<Real>(refined));
        });
      },
      release, by_keyword, "element"_a, "offsets"_a, "by"_a, "channels"_a, "images"_a, "count"_a, "fields"_a,
      "height"_a, "width"_a, "stride"_a, "steps"_a, "refined"_a, "device"_a, "stream"_a);

  m.def(
      "refine_scratch_bytes",
      [](int images, int fields, int height, int width) {
        return bytes_of<RefineScratch>(images, fields, height, width);
      },
      by_keyword, "images"_a, "fields"_a, "height"_a, "width"_a);
  m.def(
      "refine_offset_batch_backward",
      [](const std::string& element, Address offsets, Address by, Address channels, int images, int count, int fields,
         int height, int width, int stride, int steps, Address grad_refined, Address grad_offsets, Address grad_by,
         Address scratch, int device, Address stream) {
        const CurrentDevice current(device);
        Arena arena(at<void>(scratch));
        with_real(element, [&](auto zero) {
          using Real = decltype(zero);
          const OffsetBatch<Real> batch{at<const Real>(offsets),
                                        at<const Real>(by),
                                        at<const int>(channels),
                                        images,
                                        count,
                                        fields,
                                        height,
                                        width,
                                        stride,
                                        steps};
          const OffsetGradients<Real> gradients{at<const Real>(grad_refined), at<Real>(grad_offsets),
                                                at<Real>(grad_by)};
          refine_offset_batch_backward(batch, gradients, arena, stream_of(stream));
        });
      },
      release, by_keyword, "element"_a, "offsets"_a, "by"_a, "channels"_a, "images"_a, "count"_a, "fields"_a,
      "height"_a, "width"_a, "stride"_a, "steps"_a, "grad_refined"_a, "grad_offsets"_a, "grad_by"_a, "scratch"_a,
      "device"_a, "stream"_a);
}

// --- targets --------------------------------------------------------------------------------------------------------

void define_targets(py::module_& m, const py::kw_only& by_keyword) {
  const py::call_guard<py::gil_scoped_release> release;
  m.def(
      "target_scratch_bytes",
      [](int n_people, int n_keypoints, int height, int width) {
        const std::size_t cells = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
        return bytes_of<TargetScratch>(n_people, n_keypoints, cells);
      },
      by_keyword, "n_people"_a, "n_keypoints"_a, "height"_a, "width"_a);
  m.def(
      "encode_targets",
      [](Address keypoints, bool has_masks, Address masks, Address crowd, int n_people, const Size& size,
         const DeviceSkeleton& skeleton, int stride, float disk_radius, Address scratch, Address heatmaps,
         Address short_offsets, Address mid_offsets, Address segmentation, Address long_offsets, Address heatmap_valid,
         Address short_valid, Address mid_valid, Address segmentation_valid, Address long_valid, int device,
         Address stream) {
        const CurrentDevice current(device);
        Arena arena(at<void>(scratch));
        const Annotations annotations{at<const float>(keypoints),
                                      has_masks,
                                      at<const std::uint8_t>(masks),
                                      at<const std::uint8_t>(crowd),
                                      n_people,
                                      size.first,
                                      size.second};
        const TargetViews targets{
            at<float>(heatmaps),           at<float>(short_offsets),    at<float>(mid_offsets),
            at<float>(segmentation),       at<float>(long_offsets),     at<std::uint8_t>(heatmap_valid),
            at<std::uint8_t>(short_valid), at<std::uint8_t>(mid_valid), at<std::uint8_t>(segmentation_valid),
            at<std::uint8_t>(long_valid)};
        encode_targets(annotations, skeleton.view(), stride, disk_radius, arena, stream_of(stream), targets);
      },
      release, by_keyword, "keypoints"_a, "has_masks"_a, "masks"_a, "crowd"_a, "n_people"_a, "size"_a, "skeleton"_a,
      "stride"_a, "disk_radius"_a, "scratch"_a, "heatmaps"_a, "short_offsets"_a, "mid_offsets"_a, "segmentation"_a,
      "long_offsets"_a, "heatmap_valid"_a, "short_valid"_a, "mid_valid"_a, "segmentation_valid"_a, "long_valid"_a,
      "device"_a, "stream"_a);
}

}  // namespace

void define_dense(py::module_& m) {
  const py::kw_only by_keyword;
  define_masks(m, by_keyword);
  define_refinement(m, by_keyword);
  define_targets(m, by_keyword);
}

}  // namespace cuda
}  // namespace personlab

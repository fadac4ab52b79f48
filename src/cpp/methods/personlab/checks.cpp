// Checks of options, fields and poses; the ranges are those of Python's options.
#include "methods/personlab/checks.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>

namespace personlab {
namespace {

constexpr float kUnbounded = std::numeric_limits<float>::infinity();

template <typename Expected, typename Got>
[[noreturn]] void refuse(const char* name, const Expected& expected, const Got& got) {
  std::ostringstream text;
  text << name << ": expected " << expected << ", got " << got;
  throw std::invalid_argument(text.str());
}

void check_integer(const char* name, std::int64_t value, std::int64_t min, std::int64_t max) {
  if (value >= min && value <= max) return;
  refuse(name, "an integer from " + std::to_string(min) + " to " + std::to_string(max), value);
}

void check_number(const char* name, float value, float min, float max) {
  if (value >= min && value <= max) return;  // false for NaN
  std::ostringstream range;
  range << "a number >= " << min;
  if (max < kUnbounded) range << " and <= " << max;
  refuse(name, range.str(), value);
}

std::string grid_of(const Field& field) {
  return std::to_string(field.height) + " x " + std::to_string(field.width) + " cells of stride " +
         std::to_string(field.stride);
}

// Checks that a field of N images has this many planes, on the grid of the first one.
void check_field(const char* name, const Field& field, int images, int planes, const Field& first) {
  if (field.planes != planes) refuse(name, std::to_string(planes) + " planes", field.planes);
  if (field.height != first.height || field.width != first.width || field.stride != first.stride)
    refuse(name, grid_of(first), grid_of(field));
  if (field.element != Element::kFloat32 && field.element != Element::kFloat16 && field.element != Element::kBfloat16)
    refuse(name, "float32, float16 or bfloat16 elements", "element " + std::to_string(static_cast<int>(field.element)));
  if (field.data == nullptr && images > 0 && planes > 0 && field.cells() > 0) refuse(name, "data", "null");
  if (reinterpret_cast<std::uintptr_t>(field.data) % field.element_size() != 0)
    refuse(name, "data aligned to " + std::to_string(field.element_size()) + " bytes", field.data);
}

void check_grid(const char* name, const Field& field, int images, int hough_stride) {
  check_integer("images", images, 0, kMaxGrid - 1);
  check_integer("stride", field.stride, 1, kMaxStride);
  if (field.height < 0 || field.width < 0) refuse(name, "a height and a width >= 0", grid_of(field));
  if (!fits({field.height, field.width, field.stride}, 0))
    refuse(name,
           "a grid over at most " + std::to_string(kMaxInput) + " input pixels each way and of fewer than " +
               std::to_string(kMaxGrid) + " cells",
           grid_of(field));
  if (!fits({field.height, field.width, field.stride}, hough_stride))
    refuse("hough_stride", "at most " + std::to_string(kMaxGrid) + " lattice points on " + grid_of(field),
           hough_stride);
}

// Checks the poses of image n, each of which gets a mask of so many pixels.
void check_poses(const Poses& poses, std::size_t n, int n_keypoints, std::int64_t pixels) {
  const std::string name = "poses[" + std::to_string(n) + "]";
  const std::int64_t max_masks = std::numeric_limits<std::ptrdiff_t>::max() / std::max<std::int64_t>(pixels, 1);
  check_integer((name + ".count").c_str(), poses.count, 0,
                std::min<std::int64_t>(max_masks, std::numeric_limits<int>::max()));
  if (poses.n_keypoints != n_keypoints) refuse((name + ".n_keypoints").c_str(), n_keypoints, poses.n_keypoints);
  const std::size_t p = static_cast<std::size_t>(poses.count), k = static_cast<std::size_t>(n_keypoints);
  const auto check_length = [&](const char* member, const std::vector<float>& values, std::size_t expected) {
    if (values.size() != expected)
      refuse((name + "." + member).c_str(), std::to_string(expected) + " numbers", values.size());
  };
  check_length("keypoints", poses.keypoints, 2 * p * k);
  check_length("keypoint_probabilities", poses.keypoint_probabilities, p * k);
  check_length("scores", poses.scores, p);
}

}  // namespace

bool fits(const GridSize& grid, int hough_stride) {
  if (grid.height > kMaxInput || grid.width > kMaxInput) return false;
  const std::int64_t bottom = (grid.height - 1) * grid.stride, right = (grid.width - 1) * grid.stride;
  if (bottom >= kMaxInput || right >= kMaxInput || grid.height * grid.width >= kMaxGrid) return false;
  return hough_stride == 0 || (bottom / hough_stride + 1) * (right / hough_stride + 1) <= kMaxGrid;
}

void check(const DecodeOptions& options) {
  check_integer("hough_stride", options.hough_stride, 1, 1024);
  check_number("disk_radius", options.disk_radius, 1e-3F, 4096.0F);
  check_number("vote_threshold", options.vote_threshold, 0.0F, 1.0F);
  check_number("peak_threshold", options.peak_threshold, 1e-9F, kUnbounded);
  check_number("nms_radius", options.nms_radius, 0.0F, kUnbounded);
  check_integer("refine_steps", options.refine_steps, 0, 1000);
  check_integer("scoring", static_cast<int>(options.scoring), 0, 1);
  check_integer("ranking", static_cast<int>(options.ranking), 0, 1);
  check_integer("instance_score", static_cast<int>(options.instance_score), 0, 1);
  check_number("sharpen", options.sharpen, 0.0F, 1024.0F);
  check_number("min_score", options.min_score, 0.0F, 1.0F);
  check_integer("max_poses", options.max_poses, 0, std::numeric_limits<int>::max());
  check_integer("threads", options.threads, 1, 1024);
  check_integer("decoder", static_cast<int>(options.decoder), 0, 1);
}

void check(const MaskOptions& options) {
  check_number("mask_threshold", options.mask_threshold, 0.0F, 1.0F);
  check_number("distance_threshold", options.distance_threshold, 0.0F, kUnbounded);
  check_integer("long_refine_steps", options.long_refine_steps, 0, 1000);
  check_integer("short_refine_steps", options.short_refine_steps, 0, 1000);
  check_number("score_power", options.score_power, 0.0F, 100.0F);
  check_integer("threads", options.threads, 1, 1024);
}

void check(const PoseFields& fields, const Skeleton& skeleton, const DecodeOptions& options) {
  const Field& heatmaps = fields.heatmaps;
  check_grid("heatmaps", heatmaps, fields.images, options.is_posenet() ? 0 : options.hough_stride);
  check_field("heatmaps", heatmaps, fields.images, skeleton.n_keypoints, heatmaps);
  check_field("short_offsets", fields.short_offsets, fields.images, 2 * skeleton.n_keypoints, heatmaps);
  check_field("mid_offsets", fields.mid_offsets, fields.images, 4 * skeleton.n_edges(), heatmaps);
  if (fields.short_offsets.element != heatmaps.element || fields.mid_offsets.element != heatmaps.element)
    refuse("short_offsets, mid_offsets", "the element type of the heatmaps", "another");
}

void check(const std::vector<Poses>& poses, const MaskFields& fields, ImageSize size) {
  check_grid("segmentation", fields.segmentation, fields.images, 0);
  check_field("segmentation", fields.segmentation, fields.images, 1, fields.segmentation);
  const int planes = fields.long_offsets.planes;
  if (planes < 2 || planes % 2 != 0) refuse("long_offsets", "2K planes", planes);
  check_field("long_offsets", fields.long_offsets, fields.images, planes, fields.segmentation);
  if (fields.short_offsets.data != nullptr)
    check_field("short_offsets", fields.short_offsets, fields.images, planes, fields.segmentation);
  check_integer("size.height", size.height, 0, kMaxInput);
  check_integer("size.width", size.width, 0, kMaxInput);
  if (poses.size() != static_cast<std::size_t>(fields.images))
    refuse("poses", std::to_string(fields.images) + " images", poses.size());
  const std::int64_t pixels = std::int64_t{size.height} * size.width;
  for (std::size_t n = 0; n < poses.size(); ++n) check_poses(poses[n], n, planes / 2, pixels);
}

}  // namespace personlab

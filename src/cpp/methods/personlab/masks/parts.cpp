// Prepares fields and poses for mask association.
#include "methods/personlab/masks/parts.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "base/parallel.hpp"
#include "base/pose_size.hpp"
#include "base/sampling.hpp"
#include "methods/personlab/masks/points.hpp"

namespace personlab {
namespace {

std::int32_t magnitude_bits(float v) {
  std::int32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  return bits & 0x7fffffff;  // in the order of the magnitudes, then infinity, then NaN
}

// Writes one row of pairs; returns the bits of the largest magnitude of an offset.
std::int32_t write_pairs(const float* dx, const float* dy, int w, int stride, int y, float* out) {
  std::int32_t largest = 0;
  for (int j = 0; j < w; ++j) {
    largest = std::max(largest, std::max(magnitude_bits(dx[j]), magnitude_bits(dy[j])));
    out[2 * j] = static_cast<float>(j * stride) + dx[j];
    out[2 * j + 1] = static_cast<float>(y) + dy[j];
  }
  return largest;
}

// A row of n elements as float32: itself, or converted into `room`.
const float* as_floats(const float* row, int, float*) { return row; }
template <typename T>
const float* as_floats(const T* row, int n, float* room) {
  kernels().planes(T()).to_float32(row, static_cast<std::size_t>(n), room);
  return room;
}

// Makes the pairs of one keypoint; returns the bits of the largest magnitude of an offset.
template <typename T>
std::int32_t write_plane(const Field& field, int k, int h, int w, float* out) {
  std::vector<float> room(std::is_same<T, float>::value ? 0 : 2 * static_cast<std::size_t>(field.width));
  std::int32_t largest = 0;
  for (int i = 0; i < h; ++i, out += static_cast<std::ptrdiff_t>(w) * 2) {
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(std::min(i, field.height - 1)) * field.width;
    const float* dx = as_floats(field.plane<T>(2 * k) + row, field.width, room.data());
    const float* dy = as_floats(field.plane<T>(2 * k + 1) + row, field.width, room.data() + room.size() / 2);
    largest = std::max(largest, write_pairs(dx, dy, field.width, field.stride, i * field.stride, out));
    if (field.width < w) {
      out[2] = out[0] + static_cast<float>(field.stride);
      out[3] = out[1];
    }
  }
  return largest;
}

}  // namespace

void place_pixels(int pixels, int cells, int stride, PixelAxis& axis) {
  const int blocks = std::max(cells - 1, 1);
  axis.first.assign(static_cast<std::size_t>(blocks) + 1, pixels);
  axis.t.resize(static_cast<std::size_t>(pixels));
  axis.position.resize(static_cast<std::size_t>(pixels));
  int block = -1;
  for (int p = 0; p < pixels; ++p) {
    const PixelPlace place = place_pixel(p, pixels, cells, stride);
    while (block < place.cell) axis.first[static_cast<std::size_t>(++block)] = p;
    axis.t[static_cast<std::size_t>(p)] = place.t;
    axis.position[static_cast<std::size_t>(p)] = place.position;
  }
}

Field as_floats(const Field& field, std::vector<float>& room) {
  if (field.element == Element::kFloat32) return field;
  const std::size_t n = static_cast<std::size_t>(field.planes) * field.cells();
  room.resize(n);
  with_elements(field, [&](auto of) { kernels().planes(of).to_float32(field.plane<decltype(of)>(0), n, room.data()); });
  Field wide = field;
  wide.data = room.data();
  wide.element = Element::kFloat32;
  return wide;
}

PairGrid make_pairs(const Field& field, int threads, std::vector<float>& pairs) {
  const int h = std::max(field.height, 2), w = std::max(field.width, 2), count = field.planes / 2;
  pairs.resize(static_cast<std::size_t>(count) * static_cast<std::size_t>(h) * static_cast<std::size_t>(w) * 2);
  std::vector<std::int32_t> largest(static_cast<std::size_t>(count));
  parallel_for(count, threads, [&](int k, int) {
    float* out = pairs.data() + static_cast<std::ptrdiff_t>(k) * h * w * 2;
    largest[static_cast<std::size_t>(k)] =
        with_elements(field, [&](auto of) { return write_plane<decltype(of)>(field, k, h, w, out); });
  });
  float max_offset;
  std::memcpy(&max_offset, &*std::max_element(largest.begin(), largest.end()), sizeof max_offset);
  const auto stride = static_cast<float>(field.stride);
  return {{pairs.data(), h, w, stride, 1.0F / stride}, max_offset, &field};
}

MaskPoses::MaskPoses(const PoseArrays& poses, float threshold)
    : count(poses.count),
      n_keypoints(poses.n_keypoints),
      groups((poses.n_keypoints + kKeypointGroup - 1) / kKeypointGroup),
      scores(poses.scores) {
  const float *keypoints = poses.keypoints, *weights = poses.weights;
  const int k_count = n_keypoints;
  const auto per_pose = static_cast<std::size_t>(groups);
  targets.resize(static_cast<std::size_t>(count) * per_pose, Targets{});
  for (std::size_t j = 0; j < static_cast<std::size_t>(count); ++j, keypoints += 2 * k_count, weights += k_count) {
    const double scale = weight_scale(*std::max_element(weights, weights + k_count));
    double total = 0.0;
    bool valid = true;
    for (int k = 0; k < k_count; ++k) {
      const double weight = static_cast<double>(weights[k]) * scale;
      total += weight;
      valid = valid && weights[k] >= 0.0F && std::abs(keypoints[2 * k]) <= kFarthest &&
              std::abs(keypoints[2 * k + 1]) <= kFarthest;
      Targets& group = targets[j * per_pose + static_cast<std::size_t>(k / kKeypointGroup)];
      group.x[k % kKeypointGroup] = keypoints[2 * k];
      group.y[k % kKeypointGroup] = keypoints[2 * k + 1];
      group.weight[k % kKeypointGroup] = static_cast<float>(weight);
    }
    const double lambda = pose_size(keypoints, k_count), size = lambda * total;
    unit.push_back(static_cast<float>(size));
    radius.push_back(static_cast<float>(lambda * static_cast<double>(threshold)));
    // A pose without a finite position or weight owns nothing.
    valid = valid && total > 0.0 && is_finite(total);
    reach.push_back(valid ? static_cast<float>(size * static_cast<double>(threshold)) : -1.0F);
  }
}

}  // namespace personlab

// The two decoders: the paper's stages in a row, and that of Google's PoseNet.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/interrupt.hpp"
#include "base/sampling.hpp"
#include "methods/personlab/stages.hpp"
#include "methods/personlab/vote_unit.hpp"

namespace personlab {
namespace {

// A number by which candidates of one order of places sort as `precedes` has it: by score, descending, then by place.
std::uint64_t sort_key(float score, std::size_t place) {
  score += 0.0F;  // no negative zero
  std::uint32_t bits;
  std::memcpy(&bits, &score, sizeof bits);
  bits ^= (bits >> 31) != 0 ? 0 : 0x7fffffffU;
  return static_cast<std::uint64_t>(bits) << 32 | static_cast<std::uint32_t>(place);
}

// Cells (x, y) whose logit is at least `lowest` and not smaller than any of their 8 neighbours, in the order of keypoints, y,
// x, and keys that sort them.
template <typename T>
void find_posenet_seeds(const Field& heatmaps, float lowest, DecodeScratch& scratch) {
  const PlaneKernels<T>& planes = kernels().planes(T());
  const int h = heatmaps.height, w = heatmaps.width;
  const std::size_t words = (heatmaps.cells() + 63) / 64;
  std::vector<std::uint64_t>& high = scratch.high;
  if (high.size() < words) high.resize(words);
  scratch.peaks.clear();
  scratch.order.clear();
  for (int k = 0; k < heatmaps.planes; ++k) {
    const T* logits = heatmaps.plane<T>(k);
    if (!planes.find(logits, heatmaps.cells(), lowest, high.data())) continue;
    planes.thin(logits, h, w, high.data());
    for (std::size_t word = 0; word < words; ++word) {
      for (std::uint64_t bits = high[word]; bits != 0; bits &= bits - 1) {
        const int cell = static_cast<int>(word * 64) + lowest_bit(bits);
        const float logit = widen(logits[cell]);
        scratch.order.push_back(sort_key(logit, scratch.peaks.size()));
        scratch.peaks.push_back({logit, k, static_cast<float>(cell % w), static_cast<float>(cell / w)});
      }
    }
  }
}

// The short offset of a seed's cell; (0, 0) where that is not finite.
Offset<float> offset_at(const Field& short_offsets, const Peak& seed) {
  const std::ptrdiff_t cell =
      static_cast<std::ptrdiff_t>(seed.y) * short_offsets.width + static_cast<std::ptrdiff_t>(seed.x);
  return with_elements(short_offsets, [&](auto of) {
    const auto* dx = short_offsets.plane<decltype(of)>(2 * seed.keypoint) + cell;
    const Offset<float> offset{widen(dx[0]), widen(dx[short_offsets.cells()])};
    return is_finite(offset.dx) && is_finite(offset.dy) ? offset : Offset<float>{0.0F, 0.0F};
  });
}

// Sorts more of the keys, of which `sorted` are: of many seeds few are ever looked at. Returns how many are then.
std::size_t sort_more(std::vector<std::uint64_t>& keys, std::size_t sorted) {
  constexpr std::size_t kFirst = 128;
  const std::size_t next = std::min(keys.size(), std::max(kFirst, 2 * sorted));
  const auto from = keys.begin() + static_cast<std::ptrdiff_t>(sorted), to = keys.begin() + static_cast<std::ptrdiff_t>(next);
  if (to != keys.end()) std::nth_element(from, to, keys.end());
  std::sort(from, to);
  return next;
}

}  // namespace

void decode_personlab(const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets,
                      const Skeleton& skeleton, const DecodeOptions& options, DecodeScratch& scratch) {
  hough_vote(heatmaps, short_offsets, options, scratch.hough, scratch.hough_scratch);
  find_peaks(scratch.hough, options, scratch.peaks);
  group_poses(scratch.peaks, heatmaps, short_offsets, mid_offsets, skeleton, options, scratch.poses, scratch.grow);
  score_poses(scratch.poses, scratch.hough, skeleton, options, true, scratch.score, scratch.ranking);
  sharpen_keypoints(scratch.hough, options, scratch.ranking.index, scratch.poses);
}

void decode_posenet(const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets,
                    const Skeleton& skeleton, const DecodeOptions& options, DecodeScratch& scratch) {
  const double threshold = options.min_score;
  const float lowest = seed_logit(options);
  with_elements(heatmaps, [&](auto of) { find_posenet_seeds<decltype(of)>(heatmaps, lowest, scratch); });
  PoseList& poses = scratch.poses;
  poses.clear(skeleton.n_keypoints);
  scratch.grow.grid.reset(skeleton.n_keypoints, options.nms_radius);
  const int count = skeleton.n_keypoints;
  const auto stride = static_cast<float>(heatmaps.stride);
  std::size_t sorted = 0;
  for (std::size_t i = 0; i < scratch.order.size() && poses.count < options.max_poses; ++i) {
    if (i == sorted) sorted = sort_more(scratch.order, sorted);
    const Peak& seed = scratch.peaks[static_cast<std::uint32_t>(scratch.order[i])];
    const Offset<float> offset = offset_at(short_offsets, seed);
    const float x = clamp(seed.x * stride + offset.dx, 0.0F, static_cast<float>(heatmaps.last_x()));
    const float y = clamp(seed.y * stride + offset.dy, 0.0F, static_cast<float>(heatmaps.last_y()));
    if (scratch.grow.grid.has_near(seed.keypoint, static_cast<double>(x), static_cast<double>(y))) continue;
    poll(options.interrupt);
    grow_pose(seed.keypoint, x, y, heatmaps, short_offsets, mid_offsets, skeleton, options.refine_steps, poses,
              scratch.grow);
    const float* p = poses.probability(poses.count - 1);
    if (std::accumulate(p, p + count, 0.0) / count < threshold) {
      --poses.count;
      poses.keypoints.resize(poses.keypoints.size() - 2 * static_cast<std::size_t>(count));
      poses.probabilities.resize(poses.probabilities.size() - static_cast<std::size_t>(count));
    } else {
      scratch.grow.grid.add(poses.pose(poses.count - 1));
    }
  }
  DecodeOptions by_mean = options;
  by_mean.scoring = DecodeOptions::Scoring::kHeatmap;
  by_mean.ranking = DecodeOptions::Ranking::kMean;
  by_mean.instance_score = DecodeOptions::InstanceScore::kMean;
  score_poses(poses, scratch.hough, skeleton, by_mean, true, scratch.score, scratch.ranking);
}

}  // namespace personlab

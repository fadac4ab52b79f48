// Times the stages of decoding one by one, and the fewest additions that the same votes take.
#include "methods/personlab/bench.hpp"

#include <chrono>

#include "base/sampling.hpp"
#include "methods/personlab/stages.hpp"
#include "methods/personlab/vote_unit.hpp"

namespace personlab {
namespace {

std::int64_t count_votes(const Field& heatmaps, const DecodeOptions& options) {
  const float lowest = logit_of(options.vote_threshold);
  std::int64_t votes = 0;
  for (int k = 0; k < heatmaps.planes; ++k)
    for (int y = 0; y <= heatmaps.last_y(); y += options.hough_stride)
      for (int x = 0; x <= heatmaps.last_x(); x += options.hough_stride)
        votes += read(heatmaps.plane(k), site_at(static_cast<float>(x), static_cast<float>(y), heatmaps.height,
                                                 heatmaps.width, heatmaps.stride)) >= lowest
                     ? 1
                     : 0;
  return votes;
}

// Two packed sums gain a number for each vote, in the first-level cache and without waiting for each other.
std::uint64_t add_votes(std::int64_t votes) {
  constexpr std::size_t kTile = HoughPlane::kTile, kPlaces = HoughPlane::kTilePoints;
  std::uint64_t tile[kPlaces + kTile] = {};
  for (std::int64_t v = 0; v < votes; ++v) {
    std::uint64_t* const to = tile + static_cast<std::size_t>(v) * 37 % kPlaces;
    to[0] += static_cast<std::uint64_t>(v);
    to[kTile] += static_cast<std::uint64_t>(v);
  }
  std::uint64_t all = 0;
  for (const std::uint64_t sum : tile) all ^= sum;
  return all;
}

template <typename Work>
void time(std::vector<double>& seconds, const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

}  // namespace

StageTimes time_stages(const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets,
                       const Skeleton& skeleton, const DecodeOptions& options, int rounds) {
  StageTimes times;
  DecodeScratch scratch;
  const float lowest = logit_of(options.vote_threshold);
  std::vector<std::uint64_t> high(heatmaps.cells() / 64 + 1);
  volatile std::uint64_t kept = 0;  // keeps the compiler from leaving the work out
  times.votes = count_votes(heatmaps, options);
  for (int round = -1; round < rounds; ++round) {
    if (round == 0)  // the first one touched fresh memory
      for (auto* each : {&times.scan, &times.vote, &times.peaks, &times.group, &times.score, &times.add}) each->clear();
    time(times.add, [&] { kept = add_votes(times.votes); });
    time(times.scan, [&] {
      for (int k = 0; k < heatmaps.planes; ++k)
        kept = kernels().float32.threshold(heatmaps.plane(k), heatmaps.cells(), lowest, high.data()) ? 1 : 0;
    });
    time(times.vote, [&] { hough_vote(heatmaps, short_offsets, options, scratch.hough, scratch.hough_scratch); });
    time(times.peaks, [&] { find_peaks(scratch.hough, options, scratch.peaks); });
    time(times.group, [&] {
      group_poses(scratch.peaks, heatmaps, short_offsets, mid_offsets, skeleton, options, scratch.poses, scratch.grow);
    });
    time(times.score, [&] {
      score_poses(scratch.poses, scratch.hough, skeleton, options, true, scratch.score, scratch.ranking);
      sharpen_keypoints(scratch.hough, options, scratch.ranking.index, scratch.poses);
    });
  }
  for (const HoughPlane& plane : scratch.hough)
    for (std::size_t s = 0; s < plane.touched.size(); ++s)
      times.high_tiles += plane.highest[s] >= options.peak_threshold ? 1 : 0;
  times.poses = scratch.poses.count;
  for (const float p : scratch.poses.probabilities) times.scored += p > 0.0F ? 1 : 0;
  return times;
}

}  // namespace personlab

// The paper's decoder, its stages in a row; and batches of images.
#include "methods/personlab/decode.hpp"

#include <algorithm>

#include "base/parallel.hpp"
#include "methods/personlab/stages.hpp"

namespace personlab {
namespace {

// Copies the poses that are kept out of the scratch.
void copy_poses(const DecodeScratch& from, Poses& to) {
  const Ranking& ranking = from.ranking;
  const auto k = static_cast<std::size_t>(from.poses.n_keypoints), count = ranking.index.size();
  to.count = static_cast<int>(count);
  to.n_keypoints = from.poses.n_keypoints;
  to.keypoints.resize(2 * k * count);
  to.keypoint_probabilities.resize(k * count);
  float* keypoints = to.keypoints.data();
  float* probabilities = to.keypoint_probabilities.data();
  for (const int j : ranking.index) {
    const double* pose = from.poses.pose(j);
    keypoints = std::transform(pose, pose + 2 * k, keypoints, [](double v) { return static_cast<float>(v); });
    probabilities = std::copy_n(from.poses.probability(j), k, probabilities);
  }
  to.keypoint_scores = ranking.keypoint_scores;
  to.scores = ranking.scores;
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

void decode_batch(const PoseFields& fields, const Skeleton& skeleton, const DecodeOptions& options,
                  std::vector<DecodeScratch>& scratch, std::vector<Poses>& poses) {
  const int workers = std::max(1, std::min(fields.images, options.threads));
  if (scratch.size() < static_cast<std::size_t>(workers)) scratch.resize(static_cast<std::size_t>(workers));
  poses.resize(static_cast<std::size_t>(fields.images));
  DecodeOptions each = options;
  if (workers > 1) each.threads = 1;
  const auto decode_one = options.is_posenet() ? decode_posenet : decode_personlab;
  parallel_for(fields.images, workers, options.interrupt, [&](int n, int worker) {
    DecodeScratch& mine = scratch[static_cast<std::size_t>(worker)];
    const PoseFields image = fields.image(n);
    decode_one(image.heatmaps, image.short_offsets, image.mid_offsets, skeleton, each, mine);
    copy_poses(mine, poses[static_cast<std::size_t>(n)]);
  });
}

}  // namespace personlab

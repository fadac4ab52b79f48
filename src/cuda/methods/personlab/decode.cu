// The two decoders: all stages in a row, for as many images at once as fit the scratch.
#include "methods/personlab/stages.cuh"

namespace personlab {
namespace cuda {
namespace {

constexpr std::size_t kMaxScratch = std::size_t{256} << 20;  // bytes that images share, unless one alone needs more

struct DeviceDecodeScratch {
  unsigned long long* sums;
  Peaks unordered, peaks;
  PoseRows poses;
  GroupScratch group;
  Accepted accepted;
  DeviceScoreScratch score;
  int* kept;

  DeviceDecodeScratch(Arena& arena, const DevicePoseFields& fields, const DecodeOptions& options, int images,
                      int capacity)
      : group(arena, images, capacity), score(arena, images, capacity, fields.heatmaps.planes) {
    const int k = fields.heatmaps.planes;
    const std::size_t rows = static_cast<std::size_t>(images) * capacity;
    const std::size_t points = options.is_posenet() ? 0 : Lattice(fields.heatmaps, options).points();
    sums = arena.take<unsigned long long>(static_cast<std::size_t>(images) * k * points);
    unordered = {arena.take<Peak>(rows), nullptr, capacity};
    peaks = {arena.take<Peak>(rows), nullptr, capacity};
    poses.keypoints = arena.take<double>(rows * 2 * k);
    poses.probabilities = arena.take<float>(rows * k);
    poses.capacity = capacity;
    poses.n_keypoints = k;
    accepted = {arena.take<int>(rows), arena.take<int>(static_cast<std::size_t>(images)), capacity};
    kept = arena.take<int>(rows);
  }
};

std::size_t bytes_for(const DevicePoseFields& fields, const DecodeOptions& options, int images, int capacity) {
  Arena arena;
  const DeviceDecodeScratch counted(arena, fields, options, images, capacity);
  return arena.used();
}

// Images decoded at once: all of them in as few rounds of about one size as fit.
int images_at_once(const DevicePoseFields& fields, const DecodeOptions& options, int capacity) {
  const std::size_t each = bytes_for(fields, options, 1, capacity);
  const std::size_t all = static_cast<std::size_t>(fields.heatmaps.images);
  const std::size_t fit = kMaxScratch / each, limit = fit < 1 ? 1 : grid_rows(fit);
  const std::size_t rounds = (all + limit - 1) / limit;
  return rounds > 0 ? static_cast<int>((all + rounds - 1) / rounds) : 0;
}

DevicePoseFields part(const DevicePoseFields& fields, int from, int count) {
  return {fields.heatmaps.part(from, count), fields.short_offsets.part(from, count),
          fields.mid_offsets.part(from, count)};
}

RankedPoses part(const RankedPoses& ranked, int from, int k) {
  const std::size_t row = static_cast<std::size_t>(from) * ranked.rows;
  return {ranked.counts + from,
          ranked.scores + row,
          ranked.keypoints + row * 2 * k,
          ranked.keypoint_scores + row * k,
          ranked.probabilities + row * k,
          ranked.kept,
          ranked.rows};
}

// The paper's decoder, section 3.1.
void decode_personlab(const DevicePoseFields& fields, const SkeletonView& skeleton, const DecodeOptions& options,
                      cudaStream_t stream, DeviceDecodeScratch& scratch, const RankedPoses& ranked) {
  const int images = fields.heatmaps.images, k = fields.heatmaps.planes;
  const Lattice lattice(fields.heatmaps, options);
  const VoteScores hough{scratch.sums, lattice};
  hough_vote(fields.heatmaps, fields.short_offsets, lattice, stream, scratch.sums);
  find_peaks(hough, images, k, options, stream, scratch.unordered, scratch.peaks);
  group_poses(scratch.peaks, fields, skeleton, options, stream, scratch.group, scratch.poses, scratch.accepted);
  score_poses(hough, scratch.poses, scratch.accepted, images, skeleton, options, stream, scratch.score, ranked);
  sharpen_keypoints(hough, scratch.poses, scratch.accepted, images, options, stream, ranked);
}

// The decoder of Google's PoseNet, which has no votes and one way to rank.
void decode_posenet(const DevicePoseFields& fields, const SkeletonView& skeleton, const DecodeOptions& chosen,
                    cudaStream_t stream, DeviceDecodeScratch& scratch, const RankedPoses& ranked) {
  DecodeOptions options = chosen;
  options.scoring = DecodeOptions::Scoring::kHeatmap;
  options.ranking = DecodeOptions::Ranking::kMean;
  options.instance_score = DecodeOptions::InstanceScore::kMean;
  const VoteScores none{nullptr, Lattice(fields.heatmaps, options)};
  find_seeds(fields.heatmaps, options, stream, scratch.unordered, scratch.peaks);
  group_poses(scratch.peaks, fields, skeleton, options, stream, scratch.group, scratch.poses, scratch.accepted);
  score_poses(none, scratch.poses, scratch.accepted, fields.heatmaps.images, skeleton, options, stream, scratch.score,
              ranked);
}

}  // namespace

std::size_t decode_scratch_bytes(const DevicePoseFields& fields, const DecodeOptions& options, int capacity) {
  return bytes_for(fields, options, images_at_once(fields, options, capacity), capacity);
}

void decode_poses(const DevicePoseFields& fields, const SkeletonView& skeleton, const DecodeOptions& options,
                  int capacity, cudaStream_t stream, void* scratch, int* candidates, RankedPoses ranked) {
  const int images = fields.heatmaps.images, k = fields.heatmaps.planes;
  if (images == 0) return;
  const int at_once = images_at_once(fields, options, capacity);
  Arena arena(scratch);
  DeviceDecodeScratch places(arena, fields, options, at_once, capacity);
  ranked.kept = places.kept;
  const auto decode = options.is_posenet() ? decode_posenet : decode_personlab;
  for (int from = 0; from < images; from += at_once) {
    const int count = images - from < at_once ? images - from : at_once;
    places.unordered.counts = places.peaks.counts = candidates + from;
    decode(part(fields, from, count), skeleton, options, stream, places, part(ranked, from, k));
  }
}

}  // namespace cuda
}  // namespace personlab

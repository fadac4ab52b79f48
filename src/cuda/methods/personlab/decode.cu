// The two decoders: all stages in a row, for as many images at once as the scratch has room for.
#include "methods/personlab/stages.cuh"

namespace personlab {
namespace cuda {
namespace {

constexpr std::size_t kScratch = std::size_t{256} << 20;  // bytes that images share, unless one alone needs more

// What images are decoded in.
struct Scratch {
  unsigned long long* sums;
  Peaks peaks, sorted;
  PoseRows poses;
  AcceptScratch accept;
  Accepted accepted;
  ScoreScratch score;
  int* kept;

  Scratch(Arena& arena, const PoseFields& fields, const DecodeOptions& options, int images, int capacity)
      : accept(arena, images, capacity), score(arena, images, capacity, fields.heatmaps.planes) {
    const int k = fields.heatmaps.planes;
    const std::size_t rows = static_cast<std::size_t>(images) * capacity;
    const std::size_t points = options.is_posenet() ? 0 : Lattice(fields.heatmaps, options).points();
    sums = arena.take<unsigned long long>(static_cast<std::size_t>(images) * k * points);
    peaks = {arena.take<Peak>(rows), nullptr, capacity};
    sorted = {arena.take<Peak>(rows), nullptr, capacity};
    poses.keypoints = arena.take<double>(rows * 2 * k);
    poses.probabilities = arena.take<float>(rows * k);
    poses.capacity = capacity;
    poses.n_keypoints = k;
    accepted = {arena.take<int>(rows), arena.take<int>(static_cast<std::size_t>(images)), capacity};
    kept = arena.take<int>(rows);
  }
};

std::size_t scratch_for(const PoseFields& fields, const DecodeOptions& options, int images, int capacity) {
  Arena arena;
  const Scratch counted(arena, fields, options, images, capacity);
  return arena.used();
}

// How many images are decoded at once.
int images_at_once(const PoseFields& fields, const DecodeOptions& options, int capacity) {
  const std::size_t each = scratch_for(fields, options, 1, capacity), all = static_cast<std::size_t>(fields.heatmaps.images);
  std::size_t most = kScratch / each;
  most = most < 1 ? 1 : (most > kMostRows ? kMostRows : most);
  const std::size_t rounds = (all + most - 1) / most;
  return rounds > 0 ? static_cast<int>((all + rounds - 1) / rounds) : 0;
}

PoseFields part(const PoseFields& fields, int from, int count) {
  return {fields.heatmaps.part(from, count), fields.short_offsets.part(from, count), fields.mid_offsets.part(from, count)};
}

Found part(const Found& found, int from, int k) {
  const std::size_t row = static_cast<std::size_t>(from) * found.rows;
  return {found.counts + from,          found.scores + row, found.keypoints + row * 2 * k, found.keypoint_scores + row * k,
          found.probabilities + row * k, found.kept,         found.rows};
}

// Some images; the counts of candidates are 0 before.
void decode_some(const PoseFields& fields, const SkeletonView& skeleton, DecodeOptions options, cudaStream_t stream,
                 Scratch& scratch, int* candidates, const Found& found) {
  const Field &heatmaps = fields.heatmaps, &short_offsets = fields.short_offsets;
  const int images = heatmaps.images, k = heatmaps.planes;
  const Lattice lattice(heatmaps, options);
  const VoteScores hough{scratch.sums, lattice};
  scratch.peaks.counts = scratch.sorted.counts = candidates;
  if (options.is_posenet()) {  // which has no votes, and one way to rank
    options.scoring = DecodeOptions::Scoring::kHeatmap;
    options.sharpen = 0.0F;
    options.ranking = DecodeOptions::Ranking::kMean;
    options.instance_score = DecodeOptions::InstanceScore::kMean;
    find_seeds(heatmaps, options, stream, scratch.peaks);
  } else {
    hough_vote(heatmaps, short_offsets, lattice, stream, scratch.sums);
    find_peaks(hough, images, k, options, stream, scratch.peaks);
  }
  sort_peaks(scratch.peaks, images, stream, scratch.sorted);
  grow_poses(scratch.sorted, heatmaps, short_offsets, fields.mid_offsets, skeleton, options, stream, scratch.poses);
  accept_poses(scratch.sorted, scratch.poses, images, options, stream, scratch.accept, scratch.accepted);
  score_poses(hough, scratch.poses, scratch.accepted, images, skeleton, options, stream, scratch.score, found);
  sharpen_keypoints(hough, scratch.poses, scratch.accepted, images, options, stream, found);
}

}  // namespace

std::size_t decode_scratch(const PoseFields& fields, const DecodeOptions& options, int capacity) {
  return scratch_for(fields, options, images_at_once(fields, options, capacity), capacity);
}

void decode_poses(const PoseFields& fields, const SkeletonView& skeleton, const DecodeOptions& options, int capacity,
                  cudaStream_t stream, void* scratch, int* candidates, Found found) {
  const int images = fields.heatmaps.images, k = fields.heatmaps.planes;
  if (images == 0) return;
  check(cudaMemsetAsync(candidates, 0, static_cast<std::size_t>(images) * sizeof *candidates, stream), "clearing counts");
  const int at_once = images_at_once(fields, options, capacity);
  Arena arena(scratch);
  Scratch places(arena, fields, options, at_once, capacity);
  found.kept = places.kept;
  for (int from = 0; from < images; from += at_once) {
    const int count = images - from < at_once ? images - from : at_once;
    decode_some(part(fields, from, count), skeleton, options, stream, places, candidates + from, part(found, from, k));
  }
}

}  // namespace cuda
}  // namespace personlab

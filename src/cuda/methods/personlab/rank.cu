// Soft non-maximum suppression: keypoints claimed by poses ahead, instance scores of the free ones, and the best poses.
#include "base/sort.cuh"
#include "methods/personlab/stages.cuh"

namespace personlab {
namespace cuda {
namespace {

constexpr int kClaimBlock = 128;

// The order of soft non-maximum suppression: that of acceptance, or by mean s_jk.
struct Order {
  const Ranked* by_mean;  // (N, capacity), or null
  int capacity;

  __device__ int pose(int image, int rank) const {
    return by_mean == nullptr ? rank : by_mean[static_cast<std::size_t>(image) * capacity + rank].pose;
  }
};

// The mean s_jk of each pose.
__global__ void compute_means(Accepted accepted, int n_keypoints, const float* scores, Lists<Ranked> means) {
  const int image = static_cast<int>(blockIdx.y), count = accepted.counts[image];
  for (int j = static_cast<int>(blockIdx.x * kBlock + threadIdx.x); j < count;
       j += static_cast<int>(gridDim.x) * kBlock) {
    const float* const own = scores + (static_cast<std::size_t>(image) * accepted.capacity + j) * n_keypoints;
    double sum = 0.0;
    for (int k = 0; k < n_keypoints; ++k) sum += static_cast<double>(own[k]);
    means.of(image)[j] = {sum / n_keypoints, j};
  }
}

// Lists the keypoints of all poses by cells; point i is keypoint i % K of the pose of rank i / K. The first poses,
// which claim the largest number, join last and so begin the lists.
__global__ void list_keypoints(PoseRows poses, Accepted accepted, Order order, CellLists lists) {
  const int image = static_cast<int>(blockIdx.y), n_keypoints = poses.n_keypoints;
  const int count = accepted.counts[image] * n_keypoints;
  for (int n = static_cast<int>(blockIdx.x * kBlock + threadIdx.x); n < count;
       n += static_cast<int>(gridDim.x) * kBlock) {
    const int i = count - 1 - n, k = i % n_keypoints;
    const double* const at = poses.pose(image, accepted.of(image)[order.pose(image, i / n_keypoints)]) + 2 * k;
    lists.next(image, i) = atomicExch(lists.list(image, k, at[0], at[1]), i);
  }
}

// A block for each pose: which of its keypoints are near the same keypoint of a pose ahead. Without lists it checks
// all.
__global__ void claim_keypoints(PoseRows poses, Accepted accepted, Order order, double radius, CellLists lists,
                                ClaimedKeypoints claimed) {
  __shared__ unsigned near[kMaxKeypoints / 32];
  const int image = static_cast<int>(blockIdx.y), thread = static_cast<int>(threadIdx.x);
  const int n_keypoints = poses.n_keypoints, count = accepted.counts[image];
  const auto keypoint = [&](int rank, int k) {
    return poses.pose(image, accepted.of(image)[order.pose(image, rank)]) + 2 * k;
  };
  const auto is_near = [&](const double* a, const double* b) {
    const double dx = a[0] - b[0], dy = a[1] - b[1];
    return dx * dx + dy * dy <= radius * radius;
  };
  for (int rank = static_cast<int>(blockIdx.x); rank < count; rank += static_cast<int>(gridDim.x)) {
    const double* const own = keypoint(rank, 0);
    for (int i = thread; i < kMaxKeypoints / 32; i += kClaimBlock) near[i] = 0;
    __syncthreads();
    for (int k = thread; lists.in_use() && k < n_keypoints; k += kClaimBlock) {
      bool is_claimed = false;
      for (int around = 0; around < CellLists::kAround && !is_claimed; ++around)
        for (int i = lists.first(image, k, own[2 * k], own[2 * k + 1], around); i >= 0 && !is_claimed;
             i = lists.next(image, i))
          is_claimed =
              i / n_keypoints < rank && i % n_keypoints == k && is_near(own + 2 * k, keypoint(i / n_keypoints, k));
      if (is_claimed) atomicOr(&near[k / 32], 1U << (k % 32));
    }
    for (int i = thread; !lists.in_use() && i < rank * n_keypoints; i += kClaimBlock) {
      const int k = i % n_keypoints;
      if (is_near(own + 2 * k, keypoint(i / n_keypoints, k))) atomicOr(&near[k / 32], 1U << (k % 32));
    }
    __syncthreads();
    unsigned* const words = claimed.of(image, order.pose(image, rank));
    for (int i = thread; i < claimed.each; i += kClaimBlock) words[i] = near[i];
    __syncthreads();
  }
}

// Instance scores, by rank.
__global__ void score_instances(Accepted accepted, int n_keypoints, const float* scores, Order order,
                                ClaimedKeypoints claimed, bool is_mean, Lists<Ranked> instances) {
  const int image = static_cast<int>(blockIdx.y), count = accepted.counts[image];
  for (int rank = static_cast<int>(blockIdx.x * kBlock + threadIdx.x); rank < count;
       rank += static_cast<int>(gridDim.x) * kBlock) {
    const int j = order.pose(image, rank);
    const float* const own = scores + (static_cast<std::size_t>(image) * accepted.capacity + j) * n_keypoints;
    double sum = 0.0;
    for (int k = 0; k < n_keypoints; ++k) {
      const double score = own[k] > 0.0F && !claimed.at(image, j, k) ? static_cast<double>(own[k]) : 0.0;
      sum += is_mean ? score : score * score;
    }
    instances.of(image)[rank] = {is_mean ? sum / n_keypoints : sqrt(sum / n_keypoints), j};
  }
}

// A warp for each row: a pose that is kept, or zeros.
__global__ void write_best(PoseRows poses, Accepted accepted, const float* scores, Lists<Ranked> best, double min_score,
                           RankedPoses ranked) {
  const int image = static_cast<int>(blockIdx.y), n_keypoints = poses.n_keypoints, warps = kBlock / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int count = best.count(image) < ranked.rows ? best.count(image) : ranked.rows;
  const auto is_kept = [&](int r) { return r < count && !(best.of(image)[r].score < min_score); };
  const int first = static_cast<int>(blockIdx.x) * warps + warp;
  if (first == 0 && lane == 0 && !is_kept(0)) ranked.counts[image] = 0;
  for (int r = first; r < ranked.rows; r += static_cast<int>(gridDim.x) * warps) {
    const bool kept = is_kept(r);
    const Ranked own = kept ? best.of(image)[r] : Ranked{0.0, 0};
    const std::size_t to = static_cast<std::size_t>(image) * ranked.rows + r;
    const std::size_t from = (static_cast<std::size_t>(image) * accepted.capacity + own.pose) * n_keypoints;
    const int row = kept ? accepted.of(image)[own.pose] : 0;
    const double* const pose = poses.pose(image, row);
    const float* const probabilities = poses.probability(image, row);
    for (int i = lane; i < 2 * n_keypoints; i += kWarp)
      ranked.keypoints[to * 2 * n_keypoints + i] = kept ? static_cast<float>(pose[i]) : 0.0F;
    for (int k = lane; k < n_keypoints; k += kWarp) {
      ranked.keypoint_scores[to * n_keypoints + k] = kept ? scores[from + k] : 0.0F;
      ranked.probabilities[to * n_keypoints + k] = kept ? probabilities[k] : 0.0F;
    }
    if (lane != 0) continue;
    ranked.scores[to] = static_cast<float>(own.score);
    ranked.kept[to] = own.pose;
    if (kept && !is_kept(r + 1)) ranked.counts[image] = r + 1;
  }
}

void find_claimed(const PoseRows& poses, const Accepted& accepted, const Order& order, int images, double radius,
                  cudaStream_t stream, DeviceScoreScratch& scratch) {
  scratch.keypoints.clear(radius, images, stream);
  if (scratch.keypoints.in_use())
    launch(list_keypoints, loop_grid(accepted.capacity * poses.n_keypoints, kBlock, images), dim3(kBlock), stream,
           poses, accepted, order, scratch.keypoints);
  launch<Threads::kTogether>(claim_keypoints, loop_grid(accepted.capacity, 1, images), dim3(kClaimBlock), stream, poses,
                             accepted, order, radius, scratch.keypoints, scratch.claimed);
}

}  // namespace

DeviceScoreScratch::DeviceScoreScratch(Arena& arena, int images, int capacity, int n_keypoints)
    : keypoints(arena, images, capacity, n_keypoints) {
  const std::size_t rows = static_cast<std::size_t>(images) * capacity;
  keypoint_scores = arena.take<float>(rows * n_keypoints);
  ranked = {arena.take<Ranked>(rows), nullptr, capacity};
  ordered = {arena.take<Ranked>(rows), nullptr, capacity};
  claimed.capacity = capacity;
  claimed.each = (n_keypoints + 31) / 32;
  claimed.words = arena.take<unsigned>(rows * claimed.each);
}

template <typename Scores>
void score_poses(const Scores& hough, const PoseRows& poses, const Accepted& accepted, int images,
                 const SkeletonView& skeleton, const DecodeOptions& options, cudaStream_t stream,
                 DeviceScoreScratch scratch, const RankedPoses& ranked) {
  const double radius = static_cast<double>(options.nms_radius);
  const dim3 grid = loop_grid(accepted.capacity, kBlock, images);
  scratch.ranked.counts = scratch.ordered.counts = accepted.counts;
  const bool by_mean = options.ranks_by_mean();
  const Order order{by_mean ? scratch.ordered.items : nullptr, accepted.capacity};
  if (!by_mean) find_claimed(poses, accepted, order, images, radius, stream, scratch);
  if (options.uses_oks())
    expected_oks(hough, poses, accepted, images, skeleton, options, by_mean ? nullptr : &scratch.claimed, stream,
                 scratch.keypoint_scores);
  else
    heatmap_scores(poses, accepted, images, stream, scratch.keypoint_scores);
  if (by_mean) {
    launch(compute_means, grid, dim3(kBlock), stream, accepted, poses.n_keypoints, scratch.keypoint_scores,
           scratch.ranked);
    sort(scratch.ranked, images, stream, scratch.ordered);
    find_claimed(poses, accepted, order, images, radius, stream, scratch);
  }
  launch(score_instances, grid, dim3(kBlock), stream, accepted, poses.n_keypoints, scratch.keypoint_scores, order,
         scratch.claimed, options.scores_by_mean(), scratch.ranked);
  sort(scratch.ranked, images, stream, scratch.ordered);
  launch<Threads::kTogether>(write_best, loop_grid(ranked.rows, kBlock / kWarp, images), dim3(kBlock), stream, poses,
                             accepted, scratch.keypoint_scores, scratch.ordered, static_cast<double>(options.min_score),
                             ranked);
}

template void score_poses<VoteScores>(const VoteScores&, const PoseRows&, const Accepted&, int, const SkeletonView&,
                                      const DecodeOptions&, cudaStream_t, DeviceScoreScratch, const RankedPoses&);
template void score_poses<FieldScores>(const FieldScores&, const PoseRows&, const Accepted&, int, const SkeletonView&,
                                       const DecodeOptions&, cudaStream_t, DeviceScoreScratch, const RankedPoses&);

}  // namespace cuda
}  // namespace personlab

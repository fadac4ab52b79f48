// Scoring: Expected-OKS of each keypoint from the votes around it, then soft non-maximum suppression.
#include "stages.cuh"

namespace personlab {
namespace cuda {
namespace {

constexpr int kDiscBlock = 128;
constexpr int kDiscWarps = kDiscBlock / kWarp;

// Where along one axis the lattice points lie whose distance from a keypoint is at most R; one more may be in it at the first
// end. Distances are counted from where the CPU core counts them, tiles of 16 points with a margin of one.
struct Span {
  int first, count;
  int g, from;  // lattice point that distances are counted from
  float start;  // how far that is from the keypoint, input pixels

  __device__ Span(double centre, double radius, int step, int points) : g(step) {
    const double last = static_cast<double>(points);
    const int low = static_cast<int>(clamp((centre - radius) / g, -1.0, last) + 1.0);
    const int high = static_cast<int>(clamp((centre + radius) / g, -1.0, last) + 1.0);
    from = low / 16 * 16 - 1;
    start = static_cast<float>(static_cast<double>(from) * g - centre);
    first = low > 1 ? low - 1 : 0;
    count = (high < points ? high : points) - first;
    count = count > 0 ? count : 0;
  }
  __device__ float distance2(int point) const {
    const float d = start + static_cast<float>((point - from) * g);
    return d * d;
  }
};

// lambda_j^2: the area, at least 1, of the tight box of a pose. For a whole warp.
__device__ double area_of(const double* keypoints, int n_keypoints) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  double low[2] = {keypoints[0], keypoints[1]}, high[2] = {keypoints[0], keypoints[1]};
  for (int k = lane; k < n_keypoints; k += kWarp) {
    for (int a = 0; a < 2; ++a) {
      const double v = keypoints[2 * k + a];
      low[a] = v < low[a] ? v : low[a];
      high[a] = v > high[a] ? v : high[a];
    }
  }
  for (int apart = kWarp / 2; apart > 0; apart /= 2) {
    for (int a = 0; a < 2; ++a) {
      const double lower = __shfl_xor_sync(~0U, low[a], apart), higher = __shfl_xor_sync(~0U, high[a], apart);
      low[a] = lower < low[a] ? lower : low[a];
      high[a] = higher > high[a] ? higher : high[a];
    }
  }
  const double area = (high[0] - low[0]) * (high[1] - low[1]);
  return area > 1.0 ? area : 1.0;
}

// A block for each keypoint of each pose.
template <typename Scores>
__global__ void score_discs(Scores hough, PoseRows poses, Accepted accepted, SkeletonView skeleton, int g, float radius,
                            float* scores) {
  __shared__ double weights[kDiscWarps], expected[kDiscWarps], pose_area;
  const int picture = static_cast<int>(blockIdx.y), n_keypoints = skeleton.n_keypoints;
  const int thread = static_cast<int>(threadIdx.x);
  const int pairs = accepted.counts[picture] * n_keypoints;
  float* const own = scores + poses.row(picture, 0) * n_keypoints;
  const float radius2 = static_cast<float>(static_cast<double>(radius) * static_cast<double>(radius));
  for (int pair = static_cast<int>(blockIdx.x); pair < pairs; pair += static_cast<int>(gridDim.x)) {
    const int k = pair % n_keypoints, row = accepted.of(picture)[pair / n_keypoints];
    const float p = poses.probability(picture, row)[k];
    if (!(p > 0.0F)) {  // the same for the whole block
      if (thread == 0) own[pair] = 0.0F;
      continue;
    }
    const double* const pose = poses.pose(picture, row);
    const Span rows(pose[2 * k + 1], static_cast<double>(radius), g, hough.rows());
    const Span columns(pose[2 * k], static_cast<double>(radius), g, hough.columns());
    if (thread < kWarp) {
      const double area = area_of(pose, n_keypoints);
      if (thread == 0) pose_area = area;
    }
    __syncthreads();
    const double size = sqrt(pose_area), kappa = 2.0 * static_cast<double>(skeleton.sigmas[k]);
    const auto inverse = static_cast<float>(1.0 / (2.0 * size * size * kappa * kappa));
    const int plane = picture * n_keypoints + k;
    double weight = 0.0, oks = 0.0;
    for (int i = thread; i < rows.count * columns.count; i += kDiscBlock) {
      const int y = rows.first + i / columns.count, x = columns.first + i % columns.count;
      const float across2 = columns.distance2(x), down2 = rows.distance2(y);
      if (!(across2 <= radius2 - down2)) continue;
      const float h = hough.at(plane, y * hough.columns() + x);
      if (h == 0.0F) continue;
      weight += static_cast<double>(h);
      oks += static_cast<double>(h * exp_same(-(down2 * inverse)) * exp_same(-(across2 * inverse)));
    }
    for (int apart = kWarp / 2; apart > 0; apart /= 2) {
      weight += __shfl_xor_sync(~0U, weight, apart);
      oks += __shfl_xor_sync(~0U, oks, apart);
    }
    if (thread % kWarp == 0) {
      weights[thread / kWarp] = weight;
      expected[thread / kWarp] = oks;
    }
    __syncthreads();
    if (thread == 0) {
      for (int w = 1; w < kDiscWarps; ++w) {
        weight += weights[w];
        oks += expected[w];
      }
      own[pair] = static_cast<float>(static_cast<double>(p) * (weight > 0.0 ? oks / weight : 0.0));
    }
    __syncthreads();
  }
}

__global__ void copy_probabilities(PoseRows poses, Accepted accepted, float* scores) {
  const int picture = static_cast<int>(blockIdx.y), n = accepted.counts[picture] * poses.n_keypoints;
  float* const own = scores + poses.row(picture, 0) * poses.n_keypoints;
  for (int i = static_cast<int>(blockIdx.x * kBlock + threadIdx.x); i < n; i += static_cast<int>(gridDim.x) * kBlock)
    own[i] = poses.probability(picture, accepted.of(picture)[i / poses.n_keypoints])[i % poses.n_keypoints];
}

// Ranks poses by their mean score, ties in the order of acceptance.
__global__ void rank_by_mean(Accepted accepted, int n_keypoints, const float* keypoint_scores, RankScratch scratch) {
  __shared__ double tile[kBlock];
  const int picture = static_cast<int>(blockIdx.y), thread = static_cast<int>(threadIdx.x);
  const int count = accepted.counts[picture];
  const std::size_t start = static_cast<std::size_t>(picture) * accepted.capacity;
  const float* const scores = keypoint_scores + start * n_keypoints;
  const auto mean_of = [&](int j) {
    double sum = 0.0;
    for (int k = 0; k < n_keypoints; ++k) sum += static_cast<double>(scores[static_cast<std::size_t>(j) * n_keypoints + k]);
    return sum / n_keypoints;
  };
  for (int own0 = static_cast<int>(blockIdx.x) * kBlock; own0 < count; own0 += static_cast<int>(gridDim.x) * kBlock) {
    const int own = own0 + thread;
    const double mean = own < count ? mean_of(own) : 0.0;
    int rank = 0;
    for (int other0 = 0; other0 < count; other0 += kBlock) {
      if (other0 + thread < count) tile[thread] = other0 == own0 ? mean : mean_of(other0 + thread);
      __syncthreads();
      const int size = count - other0 < kBlock ? count - other0 : kBlock;
      for (int i = 0; i < size; ++i) rank += tile[i] > mean || (tile[i] == mean && other0 + i < own) ? 1 : 0;
      __syncthreads();
    }
    if (own < count) scratch.order[start + rank] = own;
  }
}

// A block for each pose: keypoints near those of a pose ahead of it do not count.
__global__ void suppress(PoseRows poses, Accepted accepted, const float* keypoint_scores, double radius, RankScratch scratch) {
  __shared__ unsigned near[kMostKeypoints / 32];
  __shared__ float own_scores[kMostKeypoints];
  const int picture = static_cast<int>(blockIdx.y), thread = static_cast<int>(threadIdx.x), n_keypoints = poses.n_keypoints;
  const int count = accepted.counts[picture];
  const std::size_t start = static_cast<std::size_t>(picture) * accepted.capacity;
  const int* const order = scratch.order + start;
  for (int rank = static_cast<int>(blockIdx.x); rank < count; rank += static_cast<int>(gridDim.x)) {
    const double* const own = poses.pose(picture, accepted.of(picture)[order[rank]]);
    for (int i = thread; i < kMostKeypoints / 32; i += kDiscBlock) near[i] = 0;
    for (int k = thread; k < n_keypoints; k += kDiscBlock)
      own_scores[k] = keypoint_scores[(start + order[rank]) * n_keypoints + k];
    __syncthreads();
    for (int i = thread; i < rank * n_keypoints; i += kDiscBlock) {
      const int k = i % n_keypoints;
      const double* const other = poses.pose(picture, accepted.of(picture)[order[i / n_keypoints]]);
      const double dx = own[2 * k] - other[2 * k], dy = own[2 * k + 1] - other[2 * k + 1];
      if (!(dx * dx + dy * dy > radius * radius)) atomicOr(&near[k / 32], 1U << (k % 32));
    }
    __syncthreads();
    if (thread == 0) {
      double sum = 0.0;
      for (int k = 0; k < n_keypoints; ++k)
        if ((near[k / 32] >> (k % 32) & 1) == 0) sum += static_cast<double>(own_scores[k]);
      scratch.instances[start + rank] = sum / n_keypoints;
    }
    __syncthreads();
  }
}

// A warp for each pose, and for each row that stays empty: best instance score first, ties by rank.
__global__ void write_best(PoseRows poses, Accepted accepted, const float* keypoint_scores, double min_score,
                           RankScratch scratch, Found found) {
  const int picture = static_cast<int>(blockIdx.y), n_keypoints = poses.n_keypoints;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int count = accepted.counts[picture], warps = kBlock / kWarp;
  const std::size_t start = static_cast<std::size_t>(picture) * accepted.capacity;
  const double* const instances = scratch.instances + start;
  const int most = count > found.rows ? count : found.rows;
  for (int r = static_cast<int>(blockIdx.x) * warps + warp; r == 0 || r < most; r += static_cast<int>(gridDim.x) * warps) {
    const double own = r < count ? instances[r] : 0.0;
    int place = 0, kept = 0;
    for (int other = lane; other < count; other += kWarp) {
      const double value = instances[other];
      place += value > own || (value == own && other < r) ? 1 : 0;
      kept += value < min_score ? 0 : 1;
    }
    for (int apart = kWarp / 2; apart > 0; apart /= 2) {
      place += __shfl_xor_sync(~0U, place, apart);
      kept += __shfl_xor_sync(~0U, kept, apart);
    }
    kept = kept < found.rows ? kept : found.rows;
    if (r == 0 && lane == 0) found.counts[picture] = kept;
    const std::size_t first_row = static_cast<std::size_t>(picture) * found.rows;
    if (r < count && place < kept) {
      const int j = scratch.order[start + r], row = accepted.of(picture)[j];
      const std::size_t to = first_row + place;
      const double* const pose = poses.pose(picture, row);
      const float* const probabilities = poses.probability(picture, row);
      for (int i = lane; i < 2 * n_keypoints; i += kWarp) found.keypoints[to * 2 * n_keypoints + i] = static_cast<float>(pose[i]);
      for (int k = lane; k < n_keypoints; k += kWarp) {
        found.keypoint_scores[to * n_keypoints + k] = keypoint_scores[(start + j) * n_keypoints + k];
        found.probabilities[to * n_keypoints + k] = probabilities[k];
      }
      if (lane == 0) found.scores[to] = static_cast<float>(own);
      if (lane == 0 && found.kept != nullptr) found.kept[to] = j;
    }
    if (r >= kept && r < found.rows) {
      const std::size_t to = first_row + r;
      for (int i = lane; i < 2 * n_keypoints; i += kWarp) found.keypoints[to * 2 * n_keypoints + i] = 0.0F;
      for (int k = lane; k < n_keypoints; k += kWarp)
        found.keypoint_scores[to * n_keypoints + k] = found.probabilities[to * n_keypoints + k] = 0.0F;
      if (lane == 0) found.scores[to] = 0.0F;
      if (lane == 0 && found.kept != nullptr) found.kept[to] = 0;
    }
  }
}

}  // namespace

template <typename Scores>
void expected_oks(const Scores& hough, const PoseRows& poses, const Accepted& accepted, int pictures,
                  const SkeletonView& skeleton, const DecodeOptions& options, cudaStream_t stream, float* scores) {
  launch<Threads::kTogether>(score_discs<Scores>, loop_grid(poses.capacity * poses.n_keypoints, 1, pictures), dim3(kDiscBlock),
                             stream, hough, poses, accepted, skeleton, options.hough_stride, options.disk_radius, scores);
}

template void expected_oks<VoteScores>(const VoteScores&, const PoseRows&, const Accepted&, int, const SkeletonView&,
                                       const DecodeOptions&, cudaStream_t, float*);
template void expected_oks<GivenScores>(const GivenScores&, const PoseRows&, const Accepted&, int, const SkeletonView&,
                                        const DecodeOptions&, cudaStream_t, float*);

void heatmap_scores(const PoseRows& poses, const Accepted& accepted, int pictures, cudaStream_t stream, float* scores) {
  launch(copy_probabilities, loop_grid(poses.capacity * poses.n_keypoints, kBlock, pictures), dim3(kBlock), stream, poses,
         accepted, scores);
}

void rank_poses(const PoseRows& poses, const Accepted& accepted, const float* keypoint_scores, int pictures,
                const DecodeOptions& options, cudaStream_t stream, const RankScratch& scratch, const Found& found) {
  launch<Threads::kTogether>(rank_by_mean, loop_grid(accepted.capacity, kBlock, pictures), dim3(kBlock), stream, accepted,
                             poses.n_keypoints, keypoint_scores, scratch);
  launch<Threads::kTogether>(suppress, loop_grid(accepted.capacity, 1, pictures), dim3(kDiscBlock), stream, poses, accepted,
                             keypoint_scores, static_cast<double>(options.nms_radius), scratch);
  const int rows = accepted.capacity > found.rows ? accepted.capacity : found.rows;
  launch<Threads::kTogether>(write_best, loop_grid(rows, kBlock / kWarp, pictures), dim3(kBlock), stream, poses, accepted,
                             keypoint_scores, static_cast<double>(options.min_score), scratch, found);
}

}  // namespace cuda
}  // namespace personlab

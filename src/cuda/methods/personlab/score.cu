// Scores of keypoints: Expected-OKS from the votes around each, or the heatmap's probability.
#include "methods/personlab/disc.cuh"

namespace personlab {
namespace cuda {
namespace {

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

// No pose with an instance score under `least` will be seen.
struct Outlook {
  TakenKeypoints taken;  // where known, else without words
  double least;
  bool is_mean;

  // Whether a pose may be seen, if all of its free keypoints are as good as their probabilities. For a whole warp.
  __device__ bool holds(int image, int j, const float* probabilities, int n_keypoints) const {
    constexpr double kRounding = 1e-6;
    double sum = 0.0;
    for (int k = static_cast<int>(threadIdx.x) % kWarp; k < n_keypoints; k += kWarp) {
      const double p = static_cast<double>(probabilities[k]);
      if (p > 0.0 && (taken.words == nullptr || !taken.at(image, j, k))) sum += is_mean ? p : p * p;
    }
    for (int apart = kWarp / 2; apart > 0; apart /= 2) sum += __shfl_xor_sync(~0U, sum, apart);
    return (is_mean ? sum / n_keypoints : sqrt(sum / n_keypoints)) >= least - kRounding;
  }
};

// A block for each keypoint of each pose.
template <typename Scores>
__global__ void score_discs(Scores hough, PoseRows poses, Accepted accepted, SkeletonView skeleton, int g,
                            double radius, Outlook outlook, float* scores) {
  __shared__ double parts[2][kDiscWarps], pose_area;
  __shared__ bool is_seen;
  const int image = static_cast<int>(blockIdx.y), n_keypoints = skeleton.n_keypoints;
  const int thread = static_cast<int>(threadIdx.x);
  const int pairs = accepted.counts[image] * n_keypoints;
  float* const own = scores + poses.row(image, 0) * n_keypoints;
  for (int pair = static_cast<int>(blockIdx.x); pair < pairs; pair += static_cast<int>(gridDim.x)) {
    const int k = pair % n_keypoints, j = pair / n_keypoints, row = accepted.of(image)[j];
    const float* const probabilities = poses.probability(image, row);
    const double* const pose = poses.pose(image, row);
    if (thread < kWarp) {
      const bool may = probabilities[k] > 0.0F && outlook.holds(image, j, probabilities, n_keypoints);
      const double area = may ? area_of(pose, n_keypoints) : 1.0;
      if (thread == 0) {
        is_seen = may;
        pose_area = area;
      }
    }
    __syncthreads();
    double sums[2] = {0.0, 0.0};  // of Hough scores, and of these times OKS
    if (is_seen) {
      const double size = sqrt(pose_area), kappa = 2.0 * static_cast<double>(skeleton.sigmas[k]);
      const auto inverse = static_cast<float>(1.0 / (2.0 * size * size * kappa * kappa));
      visit_disc(hough, image * n_keypoints + k, pose[2 * k], pose[2 * k + 1], radius, g,
                 [&](float h, float dx, float dy) {
                   sums[0] += static_cast<double>(h);
                   sums[1] += static_cast<double>(h * exp_same(-(dy * dy * inverse)) * exp_same(-(dx * dx * inverse)));
                 });
    }
    sum_block(sums, parts);
    if (thread == 0) {
      const double expected = sums[0] > 0.0 ? sums[1] / sums[0] : 0.0;
      const auto score = static_cast<float>(static_cast<double>(probabilities[k]) * expected);
      own[pair] = is_finite(score) ? score : 0.0F;
    }
  }
}

__global__ void copy_probabilities(PoseRows poses, Accepted accepted, float* scores) {
  const int image = static_cast<int>(blockIdx.y), n = accepted.counts[image] * poses.n_keypoints;
  float* const own = scores + poses.row(image, 0) * poses.n_keypoints;
  for (int i = static_cast<int>(blockIdx.x * kBlock + threadIdx.x); i < n; i += static_cast<int>(gridDim.x) * kBlock)
    own[i] = poses.probability(image, accepted.of(image)[i / poses.n_keypoints])[i % poses.n_keypoints];
}

}  // namespace

template <typename Scores>
void expected_oks(const Scores& hough, const PoseRows& poses, const Accepted& accepted, int images,
                  const SkeletonView& skeleton, const DecodeOptions& options, const TakenKeypoints* taken,
                  cudaStream_t stream, float* scores) {
  // Of the mean of s_jk the order of poses may depend, even where an instance score is another.
  const bool may_prune = Scores::kNeverNegative && (!options.ranks_by_mean() || options.scores_by_mean());
  const Outlook outlook{taken != nullptr ? *taken : TakenKeypoints{},
                        may_prune ? static_cast<double>(options.min_score) : 0.0, options.scores_by_mean()};
  launch<Threads::kTogether>(score_discs<Scores>, loop_grid(poses.capacity * poses.n_keypoints, 1, images),
                             dim3(kDiscBlock), stream, hough, poses, accepted, skeleton, options.hough_stride,
                             static_cast<double>(options.disk_radius), outlook, scores);
}

template void expected_oks<VoteScores>(const VoteScores&, const PoseRows&, const Accepted&, int, const SkeletonView&,
                                       const DecodeOptions&, const TakenKeypoints*, cudaStream_t, float*);
template void expected_oks<GivenScores>(const GivenScores&, const PoseRows&, const Accepted&, int, const SkeletonView&,
                                        const DecodeOptions&, const TakenKeypoints*, cudaStream_t, float*);

void heatmap_scores(const PoseRows& poses, const Accepted& accepted, int images, cudaStream_t stream, float* scores) {
  launch(copy_probabilities, loop_grid(poses.capacity * poses.n_keypoints, kBlock, images), dim3(kBlock), stream,
         poses, accepted, scores);
}

}  // namespace cuda
}  // namespace personlab

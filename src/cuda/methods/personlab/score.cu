// Scores of keypoints: Expected-OKS from the votes around each, or the heatmap's probability.
#include "base/pose_size.hpp"
#include "methods/personlab/disc.cuh"
#include "methods/personlab/stages.cuh"

namespace personlab {
namespace cuda {
namespace {

// lambda_j of a pose, in every lane. For a whole warp.
__device__ double warp_pose_size(const double* keypoints, int n_keypoints) {
  PoseBox<double> box(keypoints[0], keypoints[1]);
  for (int k = static_cast<int>(threadIdx.x) % kWarp; k < n_keypoints; k += kWarp)
    box.add(keypoints[2 * k], keypoints[2 * k + 1]);
  for (int apart = kWarp / 2; apart > 0; apart /= 2) {
    PoseBox<double> other(__shfl_xor_sync(kAllLanes, box.left, apart), __shfl_xor_sync(kAllLanes, box.top, apart));
    other.add(__shfl_xor_sync(kAllLanes, box.right, apart), __shfl_xor_sync(kAllLanes, box.bottom, apart));
    box.add(other);
  }
  return box.size();
}

// Which poses can be kept: those whose instance score may reach `min_score`.
struct ScoreBound {
  ClaimedKeypoints claimed;  // without words where that depends on the scores
  double min_score;
  bool is_mean;

  // Whether a pose reaches it with all of its free keypoints as good as their probabilities. For a whole warp.
  __device__ bool may_keep(int image, int j, const float* probabilities, int n_keypoints) const {
    constexpr double kRounding = 1e-6;
    double sum = 0.0;
    for (int k = static_cast<int>(threadIdx.x) % kWarp; k < n_keypoints; k += kWarp) {
      const double p = static_cast<double>(probabilities[k]);
      if (p > 0.0 && (claimed.words == nullptr || !claimed.at(image, j, k))) sum += is_mean ? p : p * p;
    }
    sum = sum_warp(sum);
    return (is_mean ? sum / n_keypoints : sqrt(sum / n_keypoints)) >= min_score - kRounding;
  }
};

// A block for each keypoint of each pose.
template <typename Scores>
__global__ void score_discs(Scores hough, PoseRows poses, Accepted accepted, SkeletonView skeleton, int g,
                            double radius, ScoreBound bound, float* scores) {
  __shared__ double parts[2][kDiscWarps], size;
  __shared__ bool is_scored;
  const int image = static_cast<int>(blockIdx.y), n_keypoints = skeleton.n_keypoints;
  const int thread = static_cast<int>(threadIdx.x);
  const int pairs = accepted.counts[image] * n_keypoints;
  float* const own = scores + poses.row(image, 0) * n_keypoints;
  for (int pair = static_cast<int>(blockIdx.x); pair < pairs; pair += static_cast<int>(gridDim.x)) {
    const int k = pair % n_keypoints, j = pair / n_keypoints, row = accepted.of(image)[j];
    const float* const probabilities = poses.probability(image, row);
    const double* const pose = poses.pose(image, row);
    if (thread < kWarp) {
      const bool may_keep = probabilities[k] > 0.0F && bound.may_keep(image, j, probabilities, n_keypoints);
      const double lambda = may_keep ? warp_pose_size(pose, n_keypoints) : 1.0;
      if (thread == 0) {
        is_scored = may_keep;
        size = lambda;
      }
    }
    __syncthreads();
    double sums[2] = {0.0, 0.0};  // of Hough scores, and of these times OKS
    if (is_scored) {
      const double kappa = 2.0 * static_cast<double>(skeleton.sigmas[k]);
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
                  const SkeletonView& skeleton, const DecodeOptions& options, const ClaimedKeypoints* claimed,
                  cudaStream_t stream, float* scores) {
  // Not where poses are ordered by mean s_jk but kept by another score: zeros would change their order.
  const bool may_prune = Scores::kNeverNegative && (!options.ranks_by_mean() || options.scores_by_mean());
  const ScoreBound bound{claimed != nullptr ? *claimed : ClaimedKeypoints{},
                         may_prune ? static_cast<double>(options.min_score) : 0.0, options.scores_by_mean()};
  launch<Threads::kTogether>(score_discs<Scores>, loop_grid(poses.capacity * poses.n_keypoints, 1, images),
                             dim3(kDiscBlock), stream, hough, poses, accepted, skeleton, options.hough_stride,
                             static_cast<double>(options.disk_radius), bound, scores);
}

template void expected_oks<VoteScores>(const VoteScores&, const PoseRows&, const Accepted&, int, const SkeletonView&,
                                       const DecodeOptions&, const ClaimedKeypoints*, cudaStream_t, float*);
template void expected_oks<FieldScores>(const FieldScores&, const PoseRows&, const Accepted&, int, const SkeletonView&,
                                        const DecodeOptions&, const ClaimedKeypoints*, cudaStream_t, float*);

void heatmap_scores(const PoseRows& poses, const Accepted& accepted, int images, cudaStream_t stream, float* scores) {
  launch(copy_probabilities, loop_grid(poses.capacity * poses.n_keypoints, kBlock, images), dim3(kBlock), stream, poses,
         accepted, scores);
}

}  // namespace cuda
}  // namespace personlab

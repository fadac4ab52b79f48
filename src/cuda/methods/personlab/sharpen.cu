// Sharpening: each keypoint of the ranked poses moves to the weighted mean of the Hough scores around it.
#include "methods/personlab/disc.cuh"
#include "methods/personlab/stages.cuh"

namespace personlab {
namespace cuda {
namespace {

// A block for each keypoint of each pose.
template <typename Scores>
__global__ void shift_keypoints(Scores hough, PoseRows poses, Accepted accepted, int g, double sigma,
                                RankedPoses ranked) {
  __shared__ double parts[3][kDiscWarps];
  const int image = static_cast<int>(blockIdx.y), n_keypoints = poses.n_keypoints;
  const int pairs = ranked.counts[image] * n_keypoints;
  const auto inverse = static_cast<float>(1.0 / (2.0 * sigma * sigma));
  for (int pair = static_cast<int>(blockIdx.x); pair < pairs; pair += static_cast<int>(gridDim.x)) {
    const int k = pair % n_keypoints;
    const std::size_t to = static_cast<std::size_t>(image) * ranked.rows + pair / n_keypoints;
    const double* const at = poses.pose(image, accepted.of(image)[ranked.kept[to]]) + 2 * k;
    double sums[3] = {0.0, 0.0, 0.0};  // of weighted scores: by themselves, times dx, times dy
    visit_disc(
        hough, image * n_keypoints + k, at[0], at[1], kSharpenRadius * sigma, g, [&](float h, float dx, float dy) {
          if (!(h > 0.0F)) return;
          const auto mass = static_cast<double>(h * exp_same(-(dy * dy * inverse)) * exp_same(-(dx * dx * inverse)));
          sums[0] += mass;
          sums[1] += mass * static_cast<double>(dx);
          sums[2] += mass * static_cast<double>(dy);
        });
    sum_block(sums, parts);
    if (threadIdx.x == 0 && sums[0] > kSharpenMinMass) {  // the mean lies among lattice points, but for rounding
      const double last_x = static_cast<double>(hough.columns() - 1) * g,
                   last_y = static_cast<double>(hough.rows() - 1) * g;
      float* const keypoint = ranked.keypoints + (to * n_keypoints + k) * 2;
      keypoint[0] = static_cast<float>(clamp(at[0] + sums[1] / sums[0], 0.0, last_x));
      keypoint[1] = static_cast<float>(clamp(at[1] + sums[2] / sums[0], 0.0, last_y));
    }
  }
}

}  // namespace

template <typename Scores>
void sharpen_keypoints(const Scores& hough, const PoseRows& poses, const Accepted& accepted, int images,
                       const DecodeOptions& options, cudaStream_t stream, const RankedPoses& ranked) {
  if (!(options.sharpen > 0.0F)) return;
  launch<Threads::kTogether>(shift_keypoints<Scores>, loop_grid(ranked.rows * poses.n_keypoints, 1, images),
                             dim3(kDiscBlock), stream, hough, poses, accepted, options.hough_stride,
                             static_cast<double>(options.sharpen), ranked);
}

template void sharpen_keypoints<VoteScores>(const VoteScores&, const PoseRows&, const Accepted&, int,
                                            const DecodeOptions&, cudaStream_t, const RankedPoses&);
template void sharpen_keypoints<FieldScores>(const FieldScores&, const PoseRows&, const Accepted&, int,
                                             const DecodeOptions&, cudaStream_t, const RankedPoses&);

}  // namespace cuda
}  // namespace personlab

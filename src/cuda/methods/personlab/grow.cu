// Best-first search: a pose grows from every candidate at once, a warp for each.
#include <type_traits>

#include "methods/personlab/follow.hpp"
#include "methods/personlab/stages.cuh"

namespace personlab {
namespace cuda {
namespace {

constexpr int kGrowBlock = 128;
constexpr int kGrowWarps = kGrowBlock / kWarp;

// A keypoint at the end of a branch.
template <typename Real>
struct Step {
  Real x, y;  // input pixels
  int keypoint;
};

// Steps of growing poses over the fields of one image: in double by the paper, in float as Google's decoder computes.
template <typename Real>
class BranchGrower {
 public:
  static constexpr bool kPosenet = std::is_same<Real, float>::value;

  __device__ BranchGrower(const DevicePoseFields& fields, int refine_steps, int image)
      : follow_(fields.heatmaps), fields_(fields), refine_steps_(refine_steps), image_(image) {}

  // The keypoint of a seed; Google's lie at cells, and move by their short offset.
  __device__ Step<Real> start(const Peak& seed) const {
    Step<Real> point{static_cast<Real>(seed.x), static_cast<Real>(seed.y), seed.keypoint};
    if (!kPosenet) return point;
    const int cell = static_cast<int>(seed.y) * fields_.heatmaps.width + static_cast<int>(seed.x);
    const auto stride = static_cast<Real>(fields_.heatmaps.stride);
    Real dx = static_cast<Real>(fields_.short_offsets.plane(image_, 2 * seed.keypoint)[cell]);
    Real dy = static_cast<Real>(fields_.short_offsets.plane(image_, 2 * seed.keypoint + 1)[cell]);
    if (!is_finite(dx) || !is_finite(dy)) dx = dy = Real(0);
    const Point<Real> inside = follow_.inside({point.x * stride + dx, point.y * stride + dy});
    return {inside.x, inside.y, seed.keypoint};
  }

  // The target of a branch that leaves a point.
  __device__ Step<Real> along(const SkeletonView::Branch& branch, Real x, Real y) const {
    Point<Real> point{x, y};
    point = follow_.moved(fields_.mid_offsets.plane(image_, 2 * branch.channel),
                          fields_.mid_offsets.plane(image_, 2 * branch.channel + 1), follow_.inside(point), point);
    const Plane dx = fields_.short_offsets.plane(image_, 2 * branch.target);
    const Plane dy = fields_.short_offsets.plane(image_, 2 * branch.target + 1);
    for (int step = 0; step < refine_steps_; ++step) point = follow_.moved(dx, dy, point, point);
    return {point.x, point.y, branch.target};
  }

  // The key by which a target waits: its probability or, for Google's, its logit, of which NaN comes last.
  __device__ float key(const Step<Real>& point) const {
    const Plane logits = fields_.heatmaps.plane(image_, point.keypoint);
    const Site<Real> site = follow_.site(follow_.inside({point.x, point.y}));
    if (!kPosenet) return read_probability(logits, site);
    const auto logit = static_cast<float>(read(logits, site));
    return logit == logit ? logit : -kInfinity;
  }

  // The probability of a keypoint with this key.
  static __device__ float probability(float key) {
    if (!kPosenet) return key;
    return key == -kInfinity ? 0.0F : sigmoid(key);
  }

 private:
  Follower<Real> follow_;
  const DevicePoseFields& fields_;
  int refine_steps_, image_;
};

// Writes where a seed of Google's decoder moved.
template <typename Real>
__device__ void move_seed(const Step<Real>& start, Peak& seed) {
  seed.x = static_cast<float>(start.x);
  seed.y = static_cast<float>(start.y);
}

// Without cycles one path leads to each keypoint: those of one distance grow all at once.
template <typename Real>
__global__ void grow_along_paths(Peaks seeds, DevicePoseFields fields, SkeletonView skeleton, int refine_steps,
                                 PoseRows poses) {
  __shared__ Real places[kGrowWarps][2 * kMaxKeypoints];
  const int image = static_cast<int>(blockIdx.y), count = seeds.count(image), n_keypoints = skeleton.n_keypoints;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const BranchGrower<Real> grow(fields, refine_steps, image);
  Real* const at = places[warp];
  for (int c = static_cast<int>(blockIdx.x) * kGrowWarps + warp; c < count;
       c += static_cast<int>(gridDim.x) * kGrowWarps) {
    const Peak seed = seeds.of(image)[c];
    const Step<Real> start = grow.start(seed);
    float* const probabilities = poses.probability(image, c);
    double* const keypoints = poses.pose(image, c);
    for (int k = lane; k < n_keypoints; k += kWarp) {  // a keypoint that no edge reaches stays at the seed
      at[2 * k] = start.x;
      at[2 * k + 1] = start.y;
      probabilities[k] = k == seed.keypoint ? grow.probability(grow.key(start)) : 0.0F;
    }
    __syncwarp();
    for (int level = skeleton.first_level[seed.keypoint]; level < skeleton.first_level[seed.keypoint + 1]; ++level) {
      for (int b = skeleton.levels[level] + lane; b < skeleton.levels[level + 1]; b += kWarp) {
        const SkeletonView::Branch branch = skeleton.branches[b];
        const Step<Real> target = grow.along(branch, at[2 * branch.source], at[2 * branch.source + 1]);
        at[2 * branch.target] = target.x;
        at[2 * branch.target + 1] = target.y;
        probabilities[branch.target] = grow.probability(grow.key(target));
      }
      __syncwarp();
    }
    for (int i = lane; i < 2 * n_keypoints; i += kWarp) keypoints[i] = static_cast<double>(at[i]);
    if (BranchGrower<Real>::kPosenet && lane == 0) move_seed(start, seeds.of(image)[c]);
    __syncwarp();
  }
}

// Waiting targets of other lanes; keypoint -1 stands for none.
__device__ Reached exchange(const Reached& own, int apart) {
  return {__shfl_xor_sync(kAllLanes, own.score, apart), __shfl_xor_sync(kAllLanes, own.keypoint, apart),
          __shfl_xor_sync(kAllLanes, own.x, apart), __shfl_xor_sync(kAllLanes, own.y, apart)};
}

__device__ Reached broadcast(const Reached& own, int lane) {
  return {__shfl_sync(kAllLanes, own.score, lane), __shfl_sync(kAllLanes, own.keypoint, lane),
          __shfl_sync(kAllLanes, own.x, lane), __shfl_sync(kAllLanes, own.y, lane)};
}

// With cycles the best of the waiting targets is next. Lane l keeps the keypoints l, l + 32 and so on: the best waiting
// target of each in the pose's own row, and a bit that says whether one waits.
template <typename Real>
__global__ void grow_best_first(Peaks seeds, DevicePoseFields fields, SkeletonView skeleton, int refine_steps,
                                PoseRows poses) {
  const int image = static_cast<int>(blockIdx.y), count = seeds.count(image), n_keypoints = skeleton.n_keypoints;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const BranchGrower<Real> grow(fields, refine_steps, image);
  for (int c = static_cast<int>(blockIdx.x) * kGrowWarps + warp; c < count;
       c += static_cast<int>(gridDim.x) * kGrowWarps) {
    const Peak seed = seeds.of(image)[c];
    const Step<Real> start = grow.start(seed);
    double* const keypoints = poses.pose(image, c);
    float* const probabilities = poses.probability(image, c);
    unsigned waiting = 0, done = 0;  // bit i: keypoint lane + 32 i
    for (int k = lane; k < n_keypoints; k += kWarp) {
      keypoints[2 * k] = static_cast<double>(start.x);
      keypoints[2 * k + 1] = static_cast<double>(start.y);
      probabilities[k] = k == seed.keypoint ? grow.key(start) : 0.0F;
      if (k == seed.keypoint) waiting |= 1U << (k / kWarp);
    }
    const auto wait = [&](const Reached& target) {
      const unsigned bit = 1U << (target.keypoint / kWarp);
      const int k = target.keypoint;
      if (target.keypoint % kWarp != lane || (done & bit) != 0) return;
      if ((waiting & bit) != 0 &&
          !precedes(target, Reached{probabilities[k], k, keypoints[2 * k], keypoints[2 * k + 1]}))
        return;
      waiting |= bit;
      probabilities[k] = target.score;
      keypoints[2 * k] = target.x;
      keypoints[2 * k + 1] = target.y;
    };
    while (true) {
      Reached best{0.0F, -1, 0.0, 0.0};
      const auto consider = [&](const Reached& other) {
        if (other.keypoint >= 0 && (best.keypoint < 0 || precedes(other, best))) best = other;
      };
      for (unsigned bits = waiting; bits != 0; bits &= bits - 1) {
        const int k = lane + kWarp * (__ffs(static_cast<int>(bits)) - 1);
        consider({probabilities[k], k, keypoints[2 * k], keypoints[2 * k + 1]});
      }
      for (int apart = kWarp / 2; apart > 0; apart /= 2) consider(exchange(best, apart));
      if (best.keypoint < 0) break;
      if (best.keypoint % kWarp == lane) {
        waiting &= ~(1U << (best.keypoint / kWarp));
        done |= 1U << (best.keypoint / kWarp);
      }
      const int last = skeleton.first[best.keypoint + 1];
      for (int e = skeleton.first[best.keypoint]; e < last; e += kWarp) {
        Reached target{0.0F, -1, 0.0, 0.0};
        if (e + lane < last) {
          const Step<Real> point =
              grow.along(skeleton.edges[e + lane], static_cast<Real>(best.x), static_cast<Real>(best.y));
          target = {grow.key(point), point.keypoint, static_cast<double>(point.x), static_cast<double>(point.y)};
        }
        for (int n = 0; n < kWarp && e + n < last; ++n) wait(broadcast(target, n));
      }
    }
    for (int k = lane; k < n_keypoints; k += kWarp)
      if ((done & 1U << (k / kWarp)) != 0) probabilities[k] = grow.probability(probabilities[k]);
    if (BranchGrower<Real>::kPosenet && lane == 0) move_seed(start, seeds.of(image)[c]);
    __syncwarp();
  }
}

template <typename Real>
void grow_all(const Peaks& seeds, const DevicePoseFields& fields, const SkeletonView& skeleton, int refine_steps,
              cudaStream_t stream, const PoseRows& poses) {
  launch<Threads::kTogether>(skeleton.has_cycles ? grow_best_first<Real> : grow_along_paths<Real>,
                             loop_grid(seeds.capacity, kGrowWarps, fields.heatmaps.images), dim3(kGrowBlock), stream,
                             seeds, fields, skeleton, refine_steps, poses);
}

}  // namespace

void grow_poses(const Peaks& seeds, const DevicePoseFields& fields, const SkeletonView& skeleton,
                const DecodeOptions& options, cudaStream_t stream, const PoseRows& poses) {
  const auto grow = options.is_posenet() ? grow_all<float> : grow_all<double>;
  grow(seeds, fields, skeleton, options.refine_steps, stream, poses);
}

}  // namespace cuda
}  // namespace personlab

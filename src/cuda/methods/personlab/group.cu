// Greedy grouping: a pose grows from every candidate at once, a warp for each; then the best candidates take the others.
#include <type_traits>

#include "methods/personlab/follow.hpp"
#include "methods/personlab/stages.cuh"

namespace personlab {
namespace cuda {
namespace {

constexpr int kGrowBlock = 128;
constexpr int kGrowWarps = kGrowBlock / kWarp;

// A target on its way, or found.
template <typename Real>
struct Step {
  Real x, y;  // input pixels
  int keypoint;
};

// How poses grow over the fields of one image: in double by the paper, in float by Google's decoder, which computes so.
template <typename Real>
class Grower {
 public:
  static constexpr bool kPosenet = std::is_same<Real, float>::value;

  __device__ Grower(const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets, int refine_steps, int image)
      : follow_(heatmaps),
        heatmaps_(heatmaps),
        short_offsets_(short_offsets),
        mid_offsets_(mid_offsets),
        refine_steps_(refine_steps),
        image_(image) {}

  // Where a pose begins.
  __device__ Step<Real> start(const Peak& seed) const {
    Step<Real> point{static_cast<Real>(seed.x), static_cast<Real>(seed.y), seed.keypoint};
    if (!kPosenet) return point;
    const int cell = static_cast<int>(seed.y) * heatmaps_.width + static_cast<int>(seed.x);
    const auto stride = static_cast<Real>(heatmaps_.stride);
    Real dx = static_cast<Real>(short_offsets_.plane(image_, 2 * seed.keypoint)[cell]);
    Real dy = static_cast<Real>(short_offsets_.plane(image_, 2 * seed.keypoint + 1)[cell]);
    if (!is_finite(dx) || !is_finite(dy)) dx = dy = Real(0);
    point.x = clamp(point.x * stride + dx, Real(0), static_cast<Real>(heatmaps_.last_x()));
    point.y = clamp(point.y * stride + dy, Real(0), static_cast<Real>(heatmaps_.last_y()));
    return point;
  }

  // The target of a branch that leaves a point.
  __device__ Step<Real> along(const SkeletonView::Branch& branch, Real x, Real y) const {
    Point<Real> point{x, y};
    point = follow_.moved(mid_offsets_.plane(image_, 2 * branch.channel), mid_offsets_.plane(image_, 2 * branch.channel + 1),
                          follow_.inside(point), point);
    const Plane dx = short_offsets_.plane(image_, 2 * branch.target);
    const Plane dy = short_offsets_.plane(image_, 2 * branch.target + 1);
    for (int step = 0; step < refine_steps_; ++step) point = follow_.moved(dx, dy, point, point);
    return {point.x, point.y, branch.target};
  }

  // The key a target waits by; a NaN logit waits longest.
  __device__ float key(const Step<Real>& point) const {
    const Plane logits = heatmaps_.plane(image_, point.keypoint);
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
  const Field& heatmaps_;
  const Field& short_offsets_;
  const Field& mid_offsets_;
  int refine_steps_, image_;
};

// Without cycles each keypoint is reached along one way only, whatever came before: those of one distance all at once.
template <typename Real>
__global__ void grow_along_paths(Peaks seeds, Field heatmaps, Field short_offsets, Field mid_offsets, SkeletonView skeleton,
                                 int refine_steps, PoseRows poses) {
  __shared__ Real places[kGrowWarps][2 * kMaxKeypoints];
  const int image = static_cast<int>(blockIdx.y), count = seeds.count(image), n_keypoints = skeleton.n_keypoints;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const Grower<Real> grow(heatmaps, short_offsets, mid_offsets, refine_steps, image);
  Real* const at = places[warp];
  for (int c = static_cast<int>(blockIdx.x) * kGrowWarps + warp; c < count; c += static_cast<int>(gridDim.x) * kGrowWarps) {
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
    if (Grower<Real>::kPosenet && lane == 0) {
      Peak& moved = seeds.of(image)[c];
      moved.x = static_cast<float>(start.x);
      moved.y = static_cast<float>(start.y);
    }
    __syncwarp();
  }
}

// A target keypoint waiting to join a pose; keypoint -1 is none.
struct Reached {
  float score;
  int keypoint;
  double x, y;
};

__device__ Reached shuffled(const Reached& own, int apart) {
  return {__shfl_xor_sync(~0U, own.score, apart), __shfl_xor_sync(~0U, own.keypoint, apart),
          __shfl_xor_sync(~0U, own.x, apart), __shfl_xor_sync(~0U, own.y, apart)};
}

__device__ Reached shown_by(const Reached& own, int lane) {
  return {__shfl_sync(~0U, own.score, lane), __shfl_sync(~0U, own.keypoint, lane), __shfl_sync(~0U, own.x, lane),
          __shfl_sync(~0U, own.y, lane)};
}

// With cycles the best of the waiting targets is next. Lane l keeps the keypoints l, l + 32 and so on: of each the best target
// that waits, in the pose's own row, and whether there is one.
template <typename Real>
__global__ void grow_best_first(Peaks seeds, Field heatmaps, Field short_offsets, Field mid_offsets, SkeletonView skeleton,
                                int refine_steps, PoseRows poses) {
  const int image = static_cast<int>(blockIdx.y), count = seeds.count(image), n_keypoints = skeleton.n_keypoints;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const Grower<Real> grow(heatmaps, short_offsets, mid_offsets, refine_steps, image);
  for (int c = static_cast<int>(blockIdx.x) * kGrowWarps + warp; c < count; c += static_cast<int>(gridDim.x) * kGrowWarps) {
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
      if ((waiting & bit) != 0 && !precedes(target, Reached{probabilities[k], k, keypoints[2 * k], keypoints[2 * k + 1]}))
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
      for (int apart = kWarp / 2; apart > 0; apart /= 2) consider(shuffled(best, apart));
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
        for (int n = 0; n < kWarp && e + n < last; ++n) wait(shown_by(target, n));
      }
    }
    for (int k = lane; k < n_keypoints; k += kWarp)
      if ((done & 1U << (k / kWarp)) != 0) probabilities[k] = grow.probability(probabilities[k]);
    if (Grower<Real>::kPosenet && lane == 0) {
      Peak& moved = seeds.of(image)[c];
      moved.x = static_cast<float>(start.x);
      moved.y = static_cast<float>(start.y);
    }
    __syncwarp();
  }
}

constexpr int kAcceptBlock = 512;
constexpr int kAcceptWarps = kAcceptBlock / kWarp;
constexpr int kAhead = 8;  // poses that a candidate is held against at once, for their reads to be under way together
constexpr int kTile = 64;  // candidates that are decided together: bits of a word

// Which of the next candidates nobody has taken, in order.
struct OpenTile {
  int candidate[kTile];
  Peak seed[kTile];
  unsigned takes[kTile][kTile / 32];  // bit j: candidate i, accepted, takes candidate j > i
  unsigned long long chosen;        // bit i: candidate i is accepted
  int accepted[kTile];              // candidates
  int counts[kAcceptWarps];  // open candidates that each warp sees
  int next;                  // the first that is left for later
};

// A block for each image. Candidates are decided a tile at a time: who takes whom is found for all pairs at once, then one
// thread goes through them in order, then all later candidates, or those near, are held against those accepted.
__global__ void accept(Peaks seeds, PoseRows poses, double radius, float lowest_mean, int most, AcceptScratch scratch,
                       Accepted accepted) {
  __shared__ OpenTile tile;
  const int image = static_cast<int>(blockIdx.x), count = seeds.count(image), n_keypoints = poses.n_keypoints;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const Peak* const list = seeds.of(image);
  std::uint8_t* const taken = scratch.taken + static_cast<std::size_t>(image) * seeds.capacity;
  int* const rows = accepted.rows + static_cast<std::size_t>(image) * accepted.capacity;
  const auto takes = [&](int pose, const Peak& seed) {
    const double* const at = poses.pose(image, pose) + 2 * seed.keypoint;
    const double dx = at[0] - static_cast<double>(seed.x), dy = at[1] - static_cast<double>(seed.y);
    return dx * dx + dy * dy <= radius * radius;
  };

  for (int c = thread; c < count; c += kAcceptBlock) {  // a pose too weak is never accepted, and takes nobody
    double sum = 0.0;
    const float* const p = poses.probability(image, c);
    for (int k = 0; k < n_keypoints && lowest_mean > 0.0F; ++k) sum += static_cast<double>(p[k]);
    taken[c] = sum / n_keypoints < static_cast<double>(lowest_mean) ? 1 : 0;
    const Peak& seed = list[c];
    if (scratch.seeds.in_use())
      scratch.seeds.next(image, c) = atomicExch(
          scratch.seeds.list(image, seed.keypoint, static_cast<double>(seed.x), static_cast<double>(seed.y)), c);
  }
  __syncthreads();

  int first = 0, total = 0;
  while (first < count && total < most) {
    // The next open candidates, up to a tile full.
    int open = 0, from = first;
    if (thread == 0) tile.next = count;
    while (from < count && open < kTile) {
      const int c = from + thread;
      const bool is_open = c < count && taken[c] == 0;
      const unsigned votes = __ballot_sync(~0U, is_open ? 1 : 0);
      if (lane == 0) tile.counts[warp] = __popc(votes);
      __syncthreads();
      int place = open + __popc(votes & ((1U << lane) - 1));
      for (int w = 0; w < kAcceptWarps; ++w) {
        place += w < warp ? tile.counts[w] : 0;
        open += tile.counts[w];
      }
      if (is_open && place < kTile) {
        tile.candidate[place] = c;
        tile.seed[place] = list[c];
      }
      if (is_open && place == kTile) tile.next = c;
      from += kAcceptBlock;
      __syncthreads();
    }
    // Where the tile is full, the next is the one that did not fit; or whoever comes after the last window.
    first = open > kTile ? tile.next : from;
    const int size = open < kTile ? open : kTile;

    if (size == 0) break;

    // Who takes whom: the pairs of a warp have one i in common. All are read before any is needed.
    constexpr int kPairs = kTile * kTile / kAcceptBlock;
    bool does[kPairs];
    for (int n = 0; n < kPairs; ++n) {
      const int i = (n * kAcceptBlock + thread) / kTile, j = thread % kTile, last = size - 1;
      does[n] = takes(tile.candidate[i < last ? i : last], tile.seed[j < last ? j : last]) && i < j && j < size;
    }
    for (int n = 0; n < kPairs; ++n) {
      const unsigned votes = __ballot_sync(~0U, does[n] ? 1 : 0);
      if (lane == 0) tile.takes[(n * kAcceptBlock + thread) / kTile][thread % kTile / kWarp] = votes;
    }
    __syncthreads();
    if (thread == 0) {
      unsigned long long gone = 0, chosen = 0;
      int left = most - total;
      for (int i = 0; i < kTile; ++i) {
        const unsigned long long those = tile.takes[i][0] | static_cast<unsigned long long>(tile.takes[i][1]) << 32;
        const bool is_next = i < size && (gone >> i & 1) == 0 && left > 0;
        gone |= is_next ? those : 0;
        chosen |= static_cast<unsigned long long>(is_next ? 1 : 0) << i;
        left -= is_next ? 1 : 0;
      }
      tile.chosen = chosen;
    }
    __syncthreads();
    const unsigned long long chosen = tile.chosen;
    const int n = __popcll(chosen);
    if (thread < size && (chosen >> thread & 1) != 0) {
      const int place = __popcll(chosen & ((1ULL << thread) - 1));
      tile.accepted[place] = tile.candidate[thread];
      rows[total + place] = tile.candidate[thread];
    }
    total += n;
    __syncthreads();

    // Who of the others is taken by these: of those near each of their keypoints, or of all.
    constexpr int kAround = CellLists::kAround;
    const CellLists& seeds_by_cell = scratch.seeds;
    for (int i = thread; seeds_by_cell.in_use() && i < n * n_keypoints * kAround && total < most; i += kAcceptBlock) {
      const int pose = tile.accepted[i / kAround / n_keypoints], k = i / kAround % n_keypoints;
      const double* const at = poses.pose(image, pose) + 2 * k;
      for (int c = seeds_by_cell.first(image, k, at[0], at[1], i % kAround); c >= 0; c = seeds_by_cell.next(image, c))
        if (list[c].keypoint == k && takes(pose, list[c])) taken[c] = 1;
    }
    for (int c = first + thread; !seeds_by_cell.in_use() && c < count && total < most; c += kAcceptBlock) {
      if (taken[c] != 0) continue;
      const Peak seed = list[c];
      bool is_taken = false;
      for (int from_pose = 0; from_pose < n && !is_taken; from_pose += kAhead)
        for (int i = from_pose; i < from_pose + kAhead; ++i) is_taken = is_taken | takes(tile.accepted[i < n ? i : n - 1], seed);
      if (is_taken) taken[c] = 1;
    }
    __syncthreads();
  }
  if (thread == 0) accepted.counts[image] = total;
}

template <typename Real>
void grow_all(const Peaks& seeds, const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets,
              const SkeletonView& skeleton, int refine_steps, cudaStream_t stream, const PoseRows& poses) {
  launch<Threads::kTogether>(skeleton.has_cycles ? grow_best_first<Real> : grow_along_paths<Real>,
                             loop_grid(seeds.capacity, kGrowWarps, heatmaps.images), dim3(kGrowBlock), stream, seeds,
                             heatmaps, short_offsets, mid_offsets, skeleton, refine_steps, poses);
}

}  // namespace

void grow_poses(const Peaks& seeds, const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets,
                const SkeletonView& skeleton, const DecodeOptions& options, cudaStream_t stream, const PoseRows& poses) {
  const auto grow = options.is_posenet() ? grow_all<float> : grow_all<double>;
  grow(seeds, heatmaps, short_offsets, mid_offsets, skeleton, options.refine_steps, stream, poses);
}

void accept_poses(const Peaks& seeds, const PoseRows& poses, int images, const DecodeOptions& options,
                  cudaStream_t stream, AcceptScratch scratch, const Accepted& accepted) {
  const int most = options.is_posenet() ? options.max_poses : seeds.capacity;
  const auto radius = static_cast<double>(options.nms_radius);
  scratch.seeds.clear(radius, images, stream);
  launch<Threads::kTogether>(accept, dim3(static_cast<unsigned>(images)), dim3(kAcceptBlock), stream, seeds, poses,
                             radius, options.is_posenet() ? options.min_score : 0.0F, most, scratch, accepted);
}

}  // namespace cuda
}  // namespace personlab

// Greedy grouping: a pose grows from every candidate, then the best candidates claim the others.
#include "methods/personlab/stages.cuh"

namespace personlab {
namespace cuda {
namespace {

constexpr int kAcceptBlock = 512;
constexpr int kAcceptWarps = kAcceptBlock / kWarp;
constexpr int kAhead = 8;  // poses compared with a candidate at once, for their reads to be under way together
constexpr int kTile = 64;  // candidates decided together: bits of a word

// The next candidates that no accepted pose claims, in order.
struct OpenTile {
  int candidate[kTile];
  Peak seed[kTile];
  unsigned claims[kTile][kTile / 32];  // bit j: candidate i, if accepted, claims candidate j > i
  unsigned long long chosen;           // bit i: candidate i is accepted
  int accepted[kTile];                 // candidates
  int counts[kAcceptWarps];            // open candidates in each warp's window
  int next;                            // the first candidate past a full tile
};

// A block for each image. Candidates are decided a tile at a time: all pairs are compared at once, then one thread goes
// over them in order, then the accepted poses are compared with all later candidates, or with those near.
__global__ void accept(Peaks seeds, PoseRows poses, double radius, float min_mean, int max_poses, GroupScratch scratch,
                       Accepted accepted) {
  __shared__ OpenTile tile;
  const int image = static_cast<int>(blockIdx.x), count = seeds.count(image), n_keypoints = poses.n_keypoints;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const Peak* const list = seeds.of(image);
  std::uint8_t* const claimed = scratch.claimed + static_cast<std::size_t>(image) * seeds.capacity;
  int* const rows = accepted.rows + static_cast<std::size_t>(image) * accepted.capacity;
  const auto claims = [&](int pose, const Peak& seed) {
    const double* const at = poses.pose(image, pose) + 2 * seed.keypoint;
    const double dx = at[0] - static_cast<double>(seed.x), dy = at[1] - static_cast<double>(seed.y);
    return dx * dx + dy * dy <= radius * radius;
  };

  for (int c = thread; c < count; c += kAcceptBlock) {  // a pose too weak is never accepted and claims no other
    double sum = 0.0;
    const float* const p = poses.probability(image, c);
    for (int k = 0; k < n_keypoints && min_mean > 0.0F; ++k) sum += static_cast<double>(p[k]);
    claimed[c] = sum / n_keypoints < static_cast<double>(min_mean) ? 1 : 0;
    const Peak& seed = list[c];
    if (scratch.seeds.in_use())
      scratch.seeds.next(image, c) = atomicExch(
          scratch.seeds.list(image, seed.keypoint, static_cast<double>(seed.x), static_cast<double>(seed.y)), c);
  }
  __syncthreads();

  int first = 0, total = 0;
  while (first < count && total < max_poses) {
    // The next open candidates, up to a tile full.
    int open = 0, from = first;
    if (thread == 0) tile.next = count;
    while (from < count && open < kTile) {
      const int c = from + thread;
      const bool is_open = c < count && claimed[c] == 0;
      const unsigned votes = __ballot_sync(kAllLanes, is_open ? 1 : 0);
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
    // The next tile begins with the candidate that did not fit, or after the last window.
    first = open > kTile ? tile.next : from;
    const int size = open < kTile ? open : kTile;

    if (size == 0) break;

    // All pairs; those of a warp share their i. All are read before any is needed.
    constexpr int kPairs = kTile * kTile / kAcceptBlock;
    bool does_claim[kPairs];
    for (int n = 0; n < kPairs; ++n) {
      const int i = (n * kAcceptBlock + thread) / kTile, j = thread % kTile, last = size - 1;
      does_claim[n] = claims(tile.candidate[i < last ? i : last], tile.seed[j < last ? j : last]) && i < j && j < size;
    }
    for (int n = 0; n < kPairs; ++n) {
      const unsigned votes = __ballot_sync(kAllLanes, does_claim[n] ? 1 : 0);
      if (lane == 0) tile.claims[(n * kAcceptBlock + thread) / kTile][thread % kTile / kWarp] = votes;
    }
    __syncthreads();
    if (thread == 0) {
      unsigned long long gone = 0, chosen = 0;
      int room = max_poses - total;
      for (int i = 0; i < kTile; ++i) {
        const unsigned long long claimed_by_i = tile.claims[i][0] | static_cast<unsigned long long>(tile.claims[i][1])
                                                                        << 32;
        const bool is_next = i < size && (gone >> i & 1) == 0 && room > 0;
        gone |= is_next ? claimed_by_i : 0;
        chosen |= static_cast<unsigned long long>(is_next ? 1 : 0) << i;
        room -= is_next ? 1 : 0;
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

    // Candidates that the accepted poses claim: of those near each of their keypoints, or of all.
    constexpr int kAround = CellLists::kAround;
    const CellLists& seeds_by_cell = scratch.seeds;
    const int cells = seeds_by_cell.in_use() && total < max_poses ? n * n_keypoints * kAround : 0;
    for (int i = thread; i < cells; i += kAcceptBlock) {
      const int pose = tile.accepted[i / kAround / n_keypoints], k = i / kAround % n_keypoints;
      const double* const at = poses.pose(image, pose) + 2 * k;
      for (int c = seeds_by_cell.first(image, k, at[0], at[1], i % kAround); c >= 0; c = seeds_by_cell.next(image, c))
        if (list[c].keypoint == k && claims(pose, list[c])) claimed[c] = 1;
    }
    for (int c = first + thread; !seeds_by_cell.in_use() && c < count && total < max_poses; c += kAcceptBlock) {
      if (claimed[c] != 0) continue;
      const Peak seed = list[c];
      bool is_claimed = false;
      for (int from_pose = 0; from_pose < n && !is_claimed; from_pose += kAhead)
        for (int i = from_pose; i < from_pose + kAhead; ++i)
          is_claimed = is_claimed | claims(tile.accepted[i < n ? i : n - 1], seed);
      if (is_claimed) claimed[c] = 1;
    }
    __syncthreads();
  }
  if (thread == 0) accepted.counts[image] = total;
}

}  // namespace

void group_poses(const Peaks& seeds, const DevicePoseFields& fields, const SkeletonView& skeleton,
                 const DecodeOptions& options, cudaStream_t stream, GroupScratch scratch, const PoseRows& poses,
                 const Accepted& accepted) {
  grow_poses(seeds, fields, skeleton, options, stream, poses);
  const int images = fields.heatmaps.images, max_poses = options.is_posenet() ? options.max_poses : seeds.capacity;
  const auto radius = static_cast<double>(options.nms_radius);
  scratch.seeds.clear(radius, images, stream);
  launch<Threads::kTogether>(accept, dim3(static_cast<unsigned>(images)), dim3(kAcceptBlock), stream, seeds, poses,
                             radius, options.is_posenet() ? options.min_score : 0.0F, max_poses, scratch, accepted);
}

}  // namespace cuda
}  // namespace personlab

// Greedy grouping, section 3.1.2: poses grow from the best peaks along mid-range offsets, refined at each step by short
// offsets.
#include <algorithm>
#include <limits>
#include <type_traits>

#include "base/interrupt.hpp"
#include "base/sampling.hpp"
#include "methods/personlab/follow_simd.hpp"
#include "methods/personlab/stages.hpp"

namespace personlab {
namespace {

constexpr int kBatch = 8;  // edges followed side by side

bool pops_after(const Reached& a, const Reached& b) { return precedes(b, a); }

// Moves the best of the queue to `sources`; all of it where a single path leads to each keypoint, and order does not
// matter.
void pop_sources(const Skeleton& skeleton, std::vector<Reached>& queue, std::vector<Reached>& sources) {
  sources.clear();
  if (skeleton.acyclic) {
    sources.swap(queue);
    return;
  }
  std::pop_heap(queue.begin(), queue.end(), pops_after);
  sources.push_back(queue.back());
  queue.pop_back();
}

// The key of a keypoint in the queue: its probability, or its logit, where NaN comes last.
template <typename T>
float read_key(const T* plane, const Site<double>& at) {
  return read_probability(plane, at);
}
template <typename T>
float read_key(const T* plane, const Site<float>& at) {
  const float logit = read(plane, at);
  return logit == logit ? logit : -std::numeric_limits<float>::infinity();
}

// Grows one pose in fields with elements of type T.
template <typename Real, typename T>
class Grower {
 public:
  Grower(const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets, const Skeleton& skeleton,
         int refine_steps, GrowScratch& scratch)
      : heatmaps_(heatmaps),
        short_offsets_(short_offsets),
        mid_offsets_(mid_offsets),
        skeleton_(skeleton),
        refine_steps_(refine_steps),
        scratch_(scratch),
        follow_(heatmaps) {}

  void operator()(int keypoint, Point<Real> seed, double* keypoints, float* probabilities) {
    scratch_.done.assign(static_cast<std::size_t>(skeleton_.n_keypoints), 0);
    scratch_.queue.clear();
    enqueue(keypoint, seed, follow_.inside(seed));
    while (!scratch_.queue.empty()) {
      pop_sources(skeleton_, scratch_.queue, scratch_.sources);
      for (const Reached& source : scratch_.sources) {
        const auto k = static_cast<std::size_t>(source.keypoint);
        if (scratch_.done[k] != 0) continue;
        scratch_.done[k] = 1;
        keypoints[2 * k] = source.x;
        keypoints[2 * k + 1] = source.y;
        probabilities[k] = probability(source.score);
        for (int e = skeleton_.first[k]; e < skeleton_.first[k + 1]; ++e)
          start(source, skeleton_.edges[static_cast<std::size_t>(e)]);
      }
      flush();
    }
  }

 private:
  static float probability(float key) {
    if (!std::is_same<Real, float>::value) return key;
    return key == -std::numeric_limits<float>::infinity() ? 0.0F : sigmoid(key);
  }

  void enqueue(int keypoint, Point<Real> point, Point<Real> at) {
    const float key = read_key(heatmaps_.plane<T>(keypoint), follow_.site(at));
    scratch_.queue.push_back({key, keypoint, static_cast<double>(point.x), static_cast<double>(point.y)});
    if (!skeleton_.acyclic) std::push_heap(scratch_.queue.begin(), scratch_.queue.end(), pops_after);
  }

  // Takes the first step along an edge.
  void start(const Reached& source, const Skeleton::Edge& edge) {
    if (scratch_.done[static_cast<std::size_t>(edge.target)] != 0) return;
    if (count_ == kBatch) flush();
    const Point<Real> from{static_cast<Real>(source.x), static_cast<Real>(source.y)};
    keypoint_[count_] = edge.target;
    point_[count_] = from;
    follow_.step(mid_offsets_, edge.channel, follow_.inside(from), point_[count_++]);
  }

  // Takes the other steps, for all targets of the batch side by side so that their latencies overlap, and queues the
  // targets.
  void flush() {
    for (int step = 0; step < refine_steps_; ++step)
      for (int i = 0; i < count_; ++i) follow_.step(short_offsets_, keypoint_[i], point_[i], point_[i]);
    for (int i = 0; i < count_; ++i) enqueue(keypoint_[i], point_[i], point_[i]);
    count_ = 0;
  }

  const Field& heatmaps_;
  const Field& short_offsets_;
  const Field& mid_offsets_;
  const Skeleton& skeleton_;
  int refine_steps_;
  GrowScratch& scratch_;
  SimdFollower<Real, T> follow_;
  int count_ = 0;  // targets of the batch
  int keypoint_[kBatch];
  Point<Real> point_[kBatch];
};

}  // namespace

template <typename Real>
void grow_pose(int keypoint, Real x, Real y, const Field& heatmaps, const Field& short_offsets,
               const Field& mid_offsets, const Skeleton& skeleton, int refine_steps, PoseList& poses,
               GrowScratch& scratch) {
  const auto count = static_cast<std::size_t>(skeleton.n_keypoints);
  poses.keypoints.resize(poses.keypoints.size() + 2 * count);
  poses.probabilities.resize(poses.probabilities.size() + count, 0.0F);
  double* keypoints = poses.keypoints.data() + poses.keypoints.size() - 2 * count;
  float* probabilities = poses.probabilities.data() + poses.probabilities.size() - count;
  for (std::size_t k = 0; k < count; ++k) {  // a keypoint that no edge reaches stays at the seed
    keypoints[2 * k] = static_cast<double>(x);
    keypoints[2 * k + 1] = static_cast<double>(y);
  }
  ++poses.count;
  with_elements(heatmaps, [&](auto of) {
    Grower<Real, decltype(of)> grow(heatmaps, short_offsets, mid_offsets, skeleton, refine_steps, scratch);
    grow(keypoint, {x, y}, keypoints, probabilities);
  });
}

template void grow_pose<float>(int, float, float, const Field&, const Field&, const Field&, const Skeleton&, int,
                               PoseList&, GrowScratch&);
template void grow_pose<double>(int, double, double, const Field&, const Field&, const Field&, const Skeleton&, int,
                                PoseList&, GrowScratch&);

void admit(const PoseList& poses, int j, KeypointGrid& grid, std::uint8_t* free) {
  const double* pose = poses.pose(j);
  for (int k = 0; k < poses.n_keypoints; ++k) free[k] = grid.has_near(k, pose[2 * k], pose[2 * k + 1]) ? 0 : 1;
  grid.add(pose);
}

void group_poses(const std::vector<Peak>& peaks, const Field& heatmaps, const Field& short_offsets,
                 const Field& mid_offsets, const Skeleton& skeleton, const DecodeOptions& options, PoseList& poses,
                 GrowScratch& scratch) {
  const auto count = static_cast<std::size_t>(skeleton.n_keypoints);
  poses.clear(skeleton.n_keypoints);
  scratch.grid.reset(skeleton.n_keypoints, options.nms_radius);
  for (const Peak& peak : peaks) {
    const double x = peak.x, y = peak.y;
    poll(options.interrupt);
    if (scratch.grid.has_near(peak.keypoint, x, y)) continue;
    grow_pose(peak.keypoint, x, y, heatmaps, short_offsets, mid_offsets, skeleton, options.refine_steps, poses,
              scratch);
    poses.free.resize(poses.free.size() + count);
    admit(poses, poses.count - 1, scratch.grid, poses.free.data() + poses.free.size() - count);
  }
}

}  // namespace personlab

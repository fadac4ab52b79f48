// Skeletons on a device: edges by source, and, where there are no cycles, the ways from each keypoint to all it reaches.
#include "methods/personlab/skeleton.cuh"

#include <cstring>
#include <vector>

namespace personlab {
namespace cuda {
namespace {

using Branch = SkeletonView::Branch;

// What a view points to.
struct Tables {
  std::vector<Branch> edges, branches;
  std::vector<int> levels, first_level;

  explicit Tables(const Skeleton& skeleton) {
    for (int k = 0; k < skeleton.n_keypoints; ++k)
      for (int e = skeleton.first[static_cast<std::size_t>(k)]; e < skeleton.first[static_cast<std::size_t>(k) + 1]; ++e)
        edges.push_back({k, skeleton.edges[static_cast<std::size_t>(e)].channel, skeleton.edges[static_cast<std::size_t>(e)].target});
    for (int k = 0; k < skeleton.n_keypoints && skeleton.acyclic; ++k) spread(skeleton, k);
    first_level.push_back(static_cast<int>(levels.size()));
    levels.push_back(static_cast<int>(branches.size()));
  }

 private:
  // The branches from keypoint k on, those of one distance after those of the one before.
  void spread(const Skeleton& skeleton, int k) {
    first_level.push_back(static_cast<int>(levels.size()));
    std::vector<Branch> level{{-1, -1, k}}, next;
    while (true) {
      next.clear();
      for (const Branch& last : level)
        for (int e = skeleton.first[static_cast<std::size_t>(last.target)];
             e < skeleton.first[static_cast<std::size_t>(last.target) + 1]; ++e)
          if (edges[static_cast<std::size_t>(e)].target != last.source) next.push_back(edges[static_cast<std::size_t>(e)]);
      if (next.empty()) return;
      levels.push_back(static_cast<int>(branches.size()));
      branches.insert(branches.end(), next.begin(), next.end());
      level.swap(next);
    }
  }
};

template <typename Value>
const Value* place(std::vector<char>& bytes, Arena& arena, const std::vector<Value>& values) {
  const Value* const at = arena.take<Value>(values.size());
  if (!bytes.empty() && !values.empty())
    std::memcpy(bytes.data() + (reinterpret_cast<const char*>(at) - arena.start()), values.data(), values.size() * sizeof(Value));
  return at;
}

}  // namespace

DeviceSkeleton::DeviceSkeleton(const Skeleton& skeleton) {
  const Tables tables(skeleton);
  std::vector<char> bytes;
  const auto lay_out = [&](Arena arena) {
    view_.sigmas = place(bytes, arena, skeleton.sigmas);
    view_.first = place(bytes, arena, skeleton.first);
    view_.edges = place(bytes, arena, tables.edges);
    view_.branches = place(bytes, arena, tables.branches);
    view_.levels = place(bytes, arena, tables.levels);
    view_.first_level = place(bytes, arena, tables.first_level);
    return arena.used();
  };
  const std::size_t size = lay_out(Arena());
  check(cudaMalloc(&memory_, size), "allocating memory");
  bytes.resize(size);
  lay_out(Arena(memory_));
  cudaError_t error = cudaMemcpy(memory_, bytes.data(), size, cudaMemcpyHostToDevice);
  if (error == cudaSuccess) error = cudaStreamSynchronize(nullptr);  // pageable memory may still be on its way
  if (error != cudaSuccess) cudaFree(memory_);
  check(error, "copying a skeleton");
  view_.n_keypoints = skeleton.n_keypoints;
  view_.has_cycles = !skeleton.acyclic;
}

DeviceSkeleton::~DeviceSkeleton() { cudaFree(memory_); }

}  // namespace cuda
}  // namespace personlab

// Skeletons on a device: edges by source, and, without cycles, the branches from each keypoint to all it reaches.
#include <cuda_runtime.h>

#include <cstddef>
#include <cstring>
#include <vector>

#include "base/device.cuh"
#include "base/skeleton.cuh"

namespace personlab {
namespace cuda {
namespace {

using Branch = SkeletonView::Branch;

// The arrays of a view, in host memory.
struct Tables {
  std::vector<Branch> edges, branches;
  std::vector<int> levels, first_level;

  explicit Tables(const Skeleton& skeleton) {
    for (int k = 0; k < skeleton.n_keypoints; ++k) {
      for (int e = first_edge(skeleton, k); e < first_edge(skeleton, k + 1); ++e) {
        const Skeleton::Edge& edge = skeleton.edges[static_cast<std::size_t>(e)];
        edges.push_back({k, edge.channel, edge.target});
      }
    }
    for (int k = 0; k < skeleton.n_keypoints && skeleton.acyclic; ++k) add_branches(skeleton, k);
    first_level.push_back(static_cast<int>(levels.size()));
    levels.push_back(static_cast<int>(branches.size()));
  }

 private:
  static int first_edge(const Skeleton& skeleton, int k) { return skeleton.first[static_cast<std::size_t>(k)]; }

  // Breadth first from keypoint k, one level for each distance.
  void add_branches(const Skeleton& skeleton, int k) {
    first_level.push_back(static_cast<int>(levels.size()));
    std::vector<Branch> level{{-1, -1, k}}, next;
    while (true) {
      next.clear();
      for (const Branch& last : level) {
        for (int e = first_edge(skeleton, last.target); e < first_edge(skeleton, last.target + 1); ++e) {
          const Branch& edge = edges[static_cast<std::size_t>(e)];
          if (edge.target != last.source) next.push_back(edge);
        }
      }
      if (next.empty()) return;
      levels.push_back(static_cast<int>(branches.size()));
      branches.insert(branches.end(), next.begin(), next.end());
      level.swap(next);
    }
  }
};

// Takes room for the values and returns its address on the device; copies them to that place among `bytes`, unless
// empty.
template <typename Value>
const Value* place(std::vector<char>& bytes, Arena& arena, const std::vector<Value>& values) {
  const Value* const at = arena.take<Value>(values.size());
  if (!bytes.empty() && !values.empty()) {
    const std::ptrdiff_t offset = reinterpret_cast<const char*>(at) - arena.start();
    std::memcpy(bytes.data() + offset, values.data(), values.size() * sizeof(Value));
  }
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

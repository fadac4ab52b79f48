// Skeletons: directed edges by source from the undirected ones that users give, checked; and COCO's.
#include <algorithm>
#include <cstddef>
#include <numeric>
#include <stdexcept>
#include <string>

#include "personlab/types.hpp"

namespace personlab {
namespace {

using Pairs = std::vector<std::pair<int, int>>;

// Returns the number of keypoints.
int check(int keypoints, const Pairs& pairs, const std::vector<float>& sigmas) {
  if (keypoints < 1) throw std::invalid_argument("n_keypoints: expected at least 1, got " + std::to_string(keypoints));
  for (const std::pair<int, int>& pair : pairs)
    if (std::min(pair.first, pair.second) < 0 || std::max(pair.first, pair.second) >= keypoints ||
        pair.first == pair.second)
      throw std::invalid_argument("edges: expected pairs of two different indices in 0.." +
                                  std::to_string(keypoints - 1) + ", got (" + std::to_string(pair.first) + ", " +
                                  std::to_string(pair.second) + ")");
  if (sigmas.size() != static_cast<std::size_t>(keypoints))
    throw std::invalid_argument("sigmas: expected " + std::to_string(keypoints) + " entries, one per keypoint, got " +
                                std::to_string(sigmas.size()));
  for (const float sigma : sigmas)
    if (!(sigma > 0.0F && sigma - sigma == 0.0F))
      throw std::invalid_argument("sigmas: expected finite numbers > 0, got " + std::to_string(sigma));
  return keypoints;
}

// Directed edge e of 2E: (source, target).
std::pair<int, int> directed(const Pairs& pairs, std::size_t e) {
  const std::pair<int, int>& pair = pairs[e % pairs.size()];
  return e < pairs.size() ? pair : std::pair<int, int>{pair.second, pair.first};
}

std::vector<Skeleton::Edge> edges_by_source(int keypoints, const Pairs& pairs) {
  std::vector<Skeleton::Edge> edges;
  for (int k = 0; k < keypoints; ++k)
    for (std::size_t e = 0; e < 2 * pairs.size(); ++e)
      if (directed(pairs, e).first == k) edges.push_back({static_cast<int>(e), directed(pairs, e).second});
  return edges;
}

// Index of each keypoint's first edge, and the number of all.
std::vector<int> first_edges(int keypoints, const Pairs& pairs) {
  std::vector<int> first(static_cast<std::size_t>(keypoints) + 1, 0);
  for (std::size_t e = 0; e < 2 * pairs.size(); ++e) ++first[static_cast<std::size_t>(directed(pairs, e).first) + 1];
  std::partial_sum(first.begin(), first.end(), first.begin());
  return first;
}

bool is_acyclic(int keypoints, const Pairs& pairs) {
  std::vector<int> part(static_cast<std::size_t>(keypoints));  // keypoints of one number are joined by the edges so far
  std::iota(part.begin(), part.end(), 0);
  for (const std::pair<int, int>& pair : pairs) {
    const int joined = part[static_cast<std::size_t>(pair.first)], other = part[static_cast<std::size_t>(pair.second)];
    if (joined == other) return false;
    std::replace(part.begin(), part.end(), other, joined);
  }
  return true;
}

}  // namespace

Skeleton::Skeleton(int keypoints, const Pairs& pairs, const std::vector<float>& oks_sigmas)
    : n_keypoints(check(keypoints, pairs, oks_sigmas)),
      edges(edges_by_source(keypoints, pairs)),
      first(first_edges(keypoints, pairs)),
      sigmas(oks_sigmas),
      acyclic(is_acyclic(keypoints, pairs)) {}

const Skeleton& coco_person() {
  // The tree of the published PersonLab networks, in the order of their mid-range offsets.
  static const Skeleton skeleton(17,
                                 {{0, 1},
                                  {1, 3},
                                  {0, 2},
                                  {2, 4},
                                  {0, 5},
                                  {5, 7},
                                  {7, 9},
                                  {5, 11},
                                  {11, 13},
                                  {13, 15},
                                  {0, 6},
                                  {6, 8},
                                  {8, 10},
                                  {6, 12},
                                  {12, 14},
                                  {14, 16}},
                                 // COCO keypoint evaluation, https://cocodataset.org/#keypoints-eval
                                 {0.026F, 0.025F, 0.025F, 0.035F, 0.035F, 0.079F, 0.079F, 0.072F, 0.072F, 0.062F,
                                  0.062F, 0.107F, 0.107F, 0.087F, 0.087F, 0.089F, 0.089F});
  return skeleton;
}

}  // namespace personlab

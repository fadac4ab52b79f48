// The skeleton: keypoint pairs as directed edges, grouped by the keypoint they leave.
#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "base/types.hpp"

namespace personlab {

Skeleton::Skeleton(int keypoints, const std::vector<std::pair<int, int>>& pairs, const std::vector<float>& oks_sigmas)
    : n_keypoints(keypoints), first(static_cast<std::size_t>(keypoints) + 1, 0), sigmas(oks_sigmas) {
  const int count = static_cast<int>(pairs.size());
  for (int k = 0; k < keypoints; ++k) {
    for (int e = 0; e < 2 * count; ++e) {
      const std::pair<int, int>& pair = pairs[static_cast<std::size_t>(e % count)];
      const int source = e < count ? pair.first : pair.second, target = e < count ? pair.second : pair.first;
      if (source == k) edges.push_back({e, target});
    }
    first[static_cast<std::size_t>(k) + 1] = static_cast<int>(edges.size());
  }
  std::vector<int> component(static_cast<std::size_t>(keypoints));  // keypoints of one number are joined by the edges so far
  std::iota(component.begin(), component.end(), 0);
  for (const std::pair<int, int>& pair : pairs) {
    const int one = component[static_cast<std::size_t>(pair.first)];
    const int other = component[static_cast<std::size_t>(pair.second)];
    acyclic = acyclic && one != other;
    std::replace(component.begin(), component.end(), other, one);
  }
}

}  // namespace personlab

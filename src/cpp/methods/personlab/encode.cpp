// Training targets, section 4, the inverse of decoding: the fields of a perfect network for annotated people.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/sampling.hpp"
#include "methods/personlab/stages.hpp"

namespace personlab {
namespace {

struct Grid {
  int h, w, stride;
  std::ptrdiff_t cells() const { return static_cast<std::ptrdiff_t>(h) * w; }
};

// The annotated people: their keypoints, and a substitute for each without a label.
class People {
 public:
  People(const Annotations& a, const Skeleton& skeleton)
      : count(a.n_people),
        keypoints_(a.keypoints),
        n_keypoints_(skeleton.n_keypoints),
        substitute_(static_cast<std::size_t>(a.n_people) * static_cast<std::size_t>(skeleton.n_keypoints), -1) {
    std::vector<int> queue;
    for (int person = 0; person < count; ++person) {
      int* substitute = substitute_.data() + static_cast<std::ptrdiff_t>(person) * n_keypoints_;
      queue.clear();
      for (int k = 0; k < n_keypoints_; ++k) {
        if (!is_labelled(person, k)) continue;
        substitute[k] = k;
        queue.push_back(k);
      }
      for (std::size_t r = 0; r < queue.size(); ++r) {  // breadth first
        const auto k = static_cast<std::size_t>(queue[r]);
        for (int e = skeleton.first[k]; e < skeleton.first[k + 1]; ++e) {
          const int target = skeleton.edges[static_cast<std::size_t>(e)].target;
          if (substitute[target] >= 0) continue;
          substitute[target] = substitute[k];
          queue.push_back(target);
        }
      }
    }
  }

  bool is_labelled(int person, int k) const { return at(person, k)[2] > 0.0F; }
  bool has_labels(int person) const {
    for (int k = 0; k < n_keypoints_; ++k)
      if (is_labelled(person, k)) return true;
    return false;
  }
  // x, y of a keypoint, or of the nearest labelled one along the edges; null without one.
  const float* place(int person, int k) const {
    const int substitute = substitute_[static_cast<std::size_t>(person) * n_keypoints_ + static_cast<std::size_t>(k)];
    return substitute < 0 ? nullptr : at(person, substitute);
  }

  const int count;

 private:
  const float* at(int person, int k) const {
    return keypoints_ + (static_cast<std::ptrdiff_t>(person) * n_keypoints_ + k) * 3;
  }

  const float* keypoints_;  // (P, K, 3)
  int n_keypoints_;
  std::vector<int> substitute_;  // (P, K) the keypoint itself or its substitute, -1 for none
};

// The owner of each cell, for one keypoint type.
struct Owners {
  std::vector<int> person;        // (h, w), -1 for none
  std::vector<double> distance2;  // (h, w) to the owner's keypoint, input pixels squared

  explicit Owners(const Grid& grid)
      : person(static_cast<std::size_t>(grid.cells())), distance2(static_cast<std::size_t>(grid.cells())) {}

  // Gives each cell to the nearest keypoint within `reach`, labelled ones first; ties go to the first person.
  void assign(const People& people, const Grid& grid, int k, double reach) {
    std::fill(person.begin(), person.end(), -1);
    std::fill(distance2.begin(), distance2.end(), std::numeric_limits<double>::infinity());
    for (const bool labelled : {true, false})
      for (int p = 0; p < people.count; ++p)
        if (people.is_labelled(p, k) == labelled && people.place(p, k) != nullptr) claim(people, grid, k, p, reach);
  }

 private:
  void claim(const People& people, const Grid& grid, int k, int p, double reach) {
    const bool labelled = people.is_labelled(p, k);
    const auto x = static_cast<double>(people.place(p, k)[0]), y = static_cast<double>(people.place(p, k)[1]);
    const double s = grid.stride;
    const int i0 = static_cast<int>(clamp(std::ceil((y - reach) / s), 0.0, static_cast<double>(grid.h)));
    const int i1 = static_cast<int>(clamp(std::floor((y + reach) / s), -1.0, static_cast<double>(grid.h - 1)));
    const int j0 = static_cast<int>(clamp(std::ceil((x - reach) / s), 0.0, static_cast<double>(grid.w)));
    const int j1 = static_cast<int>(clamp(std::floor((x + reach) / s), -1.0, static_cast<double>(grid.w - 1)));
    for (int i = i0; i <= i1; ++i) {
      for (int j = j0; j <= j1; ++j) {
        const double dx = j * s - x, dy = i * s - y, d2 = dx * dx + dy * dy;
        const auto cell = static_cast<std::size_t>(i * static_cast<std::ptrdiff_t>(grid.w) + j);
        if (d2 > reach * reach) continue;
        const bool yields = person[cell] >= 0 && people.is_labelled(person[cell], k) && !labelled;
        if (yields || d2 >= distance2[cell]) continue;
        distance2[cell] = d2;
        person[cell] = p;
      }
    }
  }
};

}  // namespace

void encode_targets(const Annotations& annotations, const Skeleton& skeleton, int stride, float disk_radius,
                    const TargetViews& targets) {
  const Grid grid{(annotations.height - 1) / stride + 1, (annotations.width - 1) / stride + 1, stride};
  const std::ptrdiff_t cells = grid.cells();
  const int count = skeleton.n_keypoints;
  const double radius = disk_radius;
  // Offsets are written one cell's diagonal beyond a disc, so that reading between cells inside it finds no gap.
  const double reach = radius + std::sqrt(2.0) * stride;
  const People people(annotations, skeleton);
  Owners owners(grid);
  const auto offset_to = [&](const float* place, std::ptrdiff_t cell, float* planes) {
    planes[cell] = static_cast<float>(static_cast<double>(place[0]) - static_cast<double>(cell % grid.w * stride));
    planes[cells + cell] =
        static_cast<float>(static_cast<double>(place[1]) - static_cast<double>(cell / grid.w * stride));
  };

  for (int k = 0; k < count; ++k) {
    owners.assign(people, grid, k, reach);
    for (std::ptrdiff_t cell = 0; cell < cells; ++cell) {
      const int person = owners.person[static_cast<std::size_t>(cell)];
      if (person < 0) continue;
      const bool on_disc =
          people.is_labelled(person, k) && owners.distance2[static_cast<std::size_t>(cell)] <= radius * radius;
      if (on_disc) {
        targets.heatmaps[k * cells + cell] = 1.0F;
        targets.short_valid[k * cells + cell] = 1;
      }
      offset_to(people.place(person, k), cell, targets.short_offsets + 2 * k * cells);
      for (int e = skeleton.first[static_cast<std::size_t>(k)]; e < skeleton.first[static_cast<std::size_t>(k) + 1];
           ++e) {
        const Skeleton::Edge& edge = skeleton.edges[static_cast<std::size_t>(e)];
        offset_to(people.place(person, edge.target), cell, targets.mid_offsets + 2 * edge.channel * cells);
        if (on_disc && people.is_labelled(person, edge.target)) targets.mid_valid[edge.channel * cells + cell] = 1;
      }
    }
  }

  const std::size_t area = static_cast<std::size_t>(annotations.height) * static_cast<std::size_t>(annotations.width);
  for (std::ptrdiff_t cell = 0; cell < cells; ++cell) {
    const std::size_t pixel = static_cast<std::size_t>(cell / grid.w * stride) * annotations.width +
                              static_cast<std::size_t>(cell % grid.w * stride);
    const bool crowd = annotations.crowd != nullptr && annotations.crowd[pixel] != 0;
    int covering = 0, person = -1;
    bool unlabelled = false;
    for (int j = 0; annotations.has_masks && j < annotations.n_people; ++j) {
      if (annotations.masks[static_cast<std::size_t>(j) * area + pixel] == 0) continue;
      ++covering;
      person = j;
      unlabelled = unlabelled || !people.has_labels(j);
    }
    targets.segmentation[cell] = covering > 0 ? 1.0F : 0.0F;
    targets.segmentation_valid[cell] = annotations.has_masks && !crowd ? 1 : 0;
    targets.heatmap_valid[cell] = !crowd && !unlabelled ? 1 : 0;
    if (crowd)
      for (int k = 0; k < count; ++k) targets.short_valid[k * cells + cell] = 0;
    if (crowd)
      for (int e = 0; e < 2 * skeleton.n_edges(); ++e) targets.mid_valid[e * cells + cell] = 0;
    if (covering != 1) continue;
    for (int k = 0; k < count; ++k) {
      if (!people.is_labelled(person, k)) continue;
      offset_to(people.place(person, k), cell, targets.long_offsets + 2 * k * cells);
      targets.long_valid[k * cells + cell] = crowd ? 0 : 1;
    }
  }
}

}  // namespace personlab

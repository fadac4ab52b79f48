// Targets for training, the inverse of decoding: what a perfect network would say of annotated people.
#include <algorithm>
#include <cmath>
#include <limits>

#include "sampling.hpp"
#include "stages.hpp"

namespace personlab {
namespace {

struct Grid {
  int h, w, stride;
  std::ptrdiff_t cells() const { return static_cast<std::ptrdiff_t>(h) * w; }
};

// Which person's disc each cell lies on, for one keypoint type; -1 for none.
class Owners {
 public:
  Owners(const Annotations& a, int n_keypoints, const Grid& grid)
      : annotations_(a),
        n_keypoints_(n_keypoints),
        grid_(grid),
        owner(static_cast<std::size_t>(grid.cells())),
        distance2(static_cast<std::size_t>(grid.cells())) {}

  const float* keypoint(int person, int k) const {
    return annotations_.keypoints + (static_cast<std::ptrdiff_t>(person) * n_keypoints_ + k) * 3;
  }
  bool is_labelled(int person, int k) const { return keypoint(person, k)[2] > 0.0F; }

  // The nearest labelled keypoint within `reach` owns a cell; ties go to the first person.
  void find(int k, double reach) {
    std::fill(owner.begin(), owner.end(), -1);
    std::fill(distance2.begin(), distance2.end(), std::numeric_limits<double>::infinity());
    for (int person = 0; person < annotations_.n_people; ++person) {
      if (!is_labelled(person, k)) continue;
      const auto x = static_cast<double>(keypoint(person, k)[0]), y = static_cast<double>(keypoint(person, k)[1]);
      const double s = grid_.stride;
      const int i0 = static_cast<int>(clamp(std::ceil((y - reach) / s), 0.0, double(grid_.h)));
      const int i1 = static_cast<int>(clamp(std::floor((y + reach) / s), -1.0, double(grid_.h - 1)));
      const int j0 = static_cast<int>(clamp(std::ceil((x - reach) / s), 0.0, double(grid_.w)));
      const int j1 = static_cast<int>(clamp(std::floor((x + reach) / s), -1.0, double(grid_.w - 1)));
      for (int i = i0; i <= i1; ++i) {
        for (int j = j0; j <= j1; ++j) {
          const double dx = j * s - x, dy = i * s - y, d2 = dx * dx + dy * dy;
          const auto cell = static_cast<std::size_t>(i * static_cast<std::ptrdiff_t>(grid_.w) + j);
          if (d2 <= reach * reach && d2 < distance2[cell]) {
            distance2[cell] = d2;
            owner[cell] = person;
          }
        }
      }
    }
  }

 private:
  const Annotations& annotations_;
  int n_keypoints_;
  Grid grid_;

 public:
  std::vector<int> owner;         // (h, w)
  std::vector<double> distance2;  // (h, w) to the owner's keypoint, input pixels squared
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
  Owners owners(annotations, count, grid);
  const auto offset_to = [&](const float* keypoint, std::ptrdiff_t cell, float* planes) {
    planes[cell] = static_cast<float>(static_cast<double>(keypoint[0]) - static_cast<double>(cell % grid.w * stride));
    planes[cells + cell] =
        static_cast<float>(static_cast<double>(keypoint[1]) - static_cast<double>(cell / grid.w * stride));
  };

  for (int k = 0; k < count; ++k) {
    owners.find(k, reach);
    for (std::ptrdiff_t cell = 0; cell < cells; ++cell) {
      const int person = owners.owner[static_cast<std::size_t>(cell)];
      if (person < 0) continue;
      const bool on_disc = owners.distance2[static_cast<std::size_t>(cell)] <= radius * radius;
      if (on_disc) {
        targets.heatmaps[k * cells + cell] = 1.0F;
        targets.short_valid[k * cells + cell] = 1;
      }
      offset_to(owners.keypoint(person, k), cell, targets.short_offsets + 2 * k * cells);
      for (int e = skeleton.first[static_cast<std::size_t>(k)]; e < skeleton.first[static_cast<std::size_t>(k) + 1]; ++e) {
        const Skeleton::Edge& edge = skeleton.edges[static_cast<std::size_t>(e)];
        if (!owners.is_labelled(person, edge.target)) continue;
        offset_to(owners.keypoint(person, edge.target), cell, targets.mid_offsets + 2 * edge.channel * cells);
        if (on_disc) targets.mid_valid[edge.channel * cells + cell] = 1;
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
    for (int j = 0; annotations.masks != nullptr && j < annotations.n_people; ++j) {
      if (annotations.masks[static_cast<std::size_t>(j) * area + pixel] == 0) continue;
      ++covering;
      person = j;
      bool any = false;
      for (int k = 0; k < count && !any; ++k) any = owners.is_labelled(j, k);
      unlabelled = unlabelled || !any;
    }
    targets.segmentation[cell] = covering > 0 ? 1.0F : 0.0F;
    targets.segmentation_valid[cell] = annotations.masks != nullptr && !crowd ? 1 : 0;
    targets.heatmap_valid[cell] = !crowd && !unlabelled ? 1 : 0;
    if (crowd)
      for (int k = 0; k < count; ++k) targets.short_valid[k * cells + cell] = 0;
    if (crowd)
      for (int e = 0; e < 2 * skeleton.n_edges(); ++e) targets.mid_valid[e * cells + cell] = 0;
    if (covering != 1) continue;
    for (int k = 0; k < count; ++k) {
      if (!owners.is_labelled(person, k)) continue;
      offset_to(owners.keypoint(person, k), cell, targets.long_offsets + 2 * k * cells);
      targets.long_valid[k * cells + cell] = crowd ? 0 : 1;
    }
  }
}

}  // namespace personlab

// The tiles of Hough scores that a keypoint's disc touches, each with the distances of its points from the keypoint.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/disc.hpp"
#include "base/sampling.hpp"
#include "methods/personlab/hough_plane.hpp"
#include "methods/personlab/kernels.hpp"

namespace personlab {

class DiscTiles {
 public:
  DiscTiles(int g, double radius) : g_(g), reach_(radius * 1.000001), radius2_(static_cast<float>(radius * radius)) {}

  float radius2() const { return radius2_; }

  // Calls visit(scores, n, rows, columns) for each part of the disc around (x, y) where votes fell: n rows of a tile,
  // and their and its columns' weights exp(-d^2 * inverse) and distances.
  template <typename Visit>
  void operator()(const HoughPlane& plane, double x, double y, float inverse, const Visit& visit) {
    constexpr int kTile = HoughPlane::kTile;
    const Span rows(y, reach_, g_, plane.rows), columns(x, reach_, g_, plane.columns);
    bool ready = false;
    for (int i = rows.first_tile(); i <= rows.last_tile(); ++i) {
      const int skipped = std::max(rows.first - i * kTile, 0);
      const int n = std::min(rows.last - i * kTile, kTile - 1) + 1 - skipped;
      for (int j = columns.first_tile(); j <= columns.last_tile(); ++j) {
        const std::int32_t slot = plane.slot[static_cast<std::size_t>(i) * plane.tile_columns + j];
        if (slot < 0) continue;
        if (!ready) {
          fill(rows, y, inverse, rows_);
          fill(columns, x, inverse, columns_);
          ready = true;
        }
        const float* scores = plane.scores.data() + static_cast<std::ptrdiff_t>(slot) * HoughPlane::kTilePoints;
        visit(scores + skipped * kTile, n, rows_.from((i - rows.first_tile()) * kTile + skipped),
              columns_.from((j - columns.first_tile()) * kTile));
      }
    }
  }

 private:
  // The lattice points along one axis within reach of a keypoint, counted with the margin; none where first > last. The
  // first may be out of reach.
  struct Span {
    int first, last;
    Span(double centre, double reach, int g, int points)
        : first(static_cast<int>(clamp((centre - reach) / g, -1.0, static_cast<double>(points)) + 1.0)),
          last(static_cast<int>(clamp((centre + reach) / g, -1.0, static_cast<double>(points)) + 1.0)) {}
    int first_tile() const { return first / HoughPlane::kTile; }
    int last_tile() const { return last / HoughPlane::kTile; }
    int tile_points() const { return (last_tile() - first_tile() + 1) * HoughPlane::kTile; }
  };

  // Of the points of all tiles across the disc.
  struct Axis {
    std::vector<float> weight, distance, distance2;
    DiscAxis from(int point) const {
      return {weight.data() + point, distance.data() + point, distance2.data() + point};
    }
  };

  void fill(const Span& span, double centre, float inverse, Axis& axis) const {
    const auto n = static_cast<std::size_t>(span.tile_points());
    for (std::vector<float>* each : {&axis.weight, &axis.distance, &axis.distance2})
      if (each->size() < n) each->resize(n);
    kernels_.fill_disc_axis(span.first_tile() * HoughPlane::kTile - 1, g_, centre, span.tile_points(), inverse,
                            axis.weight.data(), axis.distance.data(), axis.distance2.data());
  }

  int g_;
  double reach_;  // past the points that float32 counts into the disc
  float radius2_;
  Axis rows_, columns_;
  const Kernels& kernels_ = kernels();
};

}  // namespace personlab

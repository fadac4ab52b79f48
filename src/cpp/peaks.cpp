// Peaks: local maxima of the Hough scores, searched for in touched tiles only.
#include <algorithm>

#include "stages.hpp"

namespace personlab {
namespace {

// Whether a lattice point's value is greater than its 8 neighbours that precede it in raster order and not smaller than
// those that follow.
bool is_peak(const HoughPlane& plane, int row, int column, float value) {
  return value > plane.at(row - 1, column - 1) && value > plane.at(row - 1, column) &&
         value > plane.at(row - 1, column + 1) && value > plane.at(row, column - 1) &&
         value >= plane.at(row, column + 1) && value >= plane.at(row + 1, column - 1) &&
         value >= plane.at(row + 1, column) && value >= plane.at(row + 1, column + 1);
}

}  // namespace

void find_peaks(const std::vector<HoughPlane>& hough, const DecodeOptions& options, std::vector<Peak>& peaks) {
  constexpr int kTile = HoughPlane::kTile;
  const auto g = static_cast<float>(options.hough_stride);
  peaks.clear();
  for (int k = 0; k < static_cast<int>(hough.size()); ++k) {
    const HoughPlane& plane = hough[static_cast<std::size_t>(k)];
    for (std::size_t s = 0; s < plane.touched.size(); ++s) {
      if (plane.highest[s] < options.peak_threshold) continue;  // most tiles hold weak votes only
      const int tile = plane.touched[s];
      const int row0 = tile / plane.tile_columns * kTile - 1, column0 = tile % plane.tile_columns * kTile - 1;
      const float* scores = plane.scores.data() + s * HoughPlane::kTilePoints;
      for (int p = 0; p < HoughPlane::kTilePoints; ++p) {
        if (!(scores[p] > 0.0F && scores[p] >= options.peak_threshold)) continue;  // the margin is 0
        const int row = row0 + p / kTile, column = column0 + p % kTile;
        if (is_peak(plane, row, column, scores[p]))
          peaks.push_back({scores[p], k, static_cast<float>(column) * g, static_cast<float>(row) * g});
      }
    }
  }
  std::sort(peaks.begin(), peaks.end(), precedes<Peak>);
}

}  // namespace personlab

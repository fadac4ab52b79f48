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
      std::uint64_t high[HoughPlane::kTilePoints / 64];
      kernels().float32.find(scores, HoughPlane::kTilePoints, options.peak_threshold, high);
      for (int p0 = 0; p0 < HoughPlane::kTilePoints; p0 += 64) {
        for (std::uint64_t bits = high[p0 / 64]; bits != 0; bits &= bits - 1) {
          const int p = p0 + lowest_bit(bits), row = row0 + p / kTile, column = column0 + p % kTile;
          if (is_peak(plane, row, column, scores[p]))
            peaks.push_back({scores[p], k, static_cast<float>(column) * g, static_cast<float>(row) * g});
        }
      }
    }
  }
  std::sort(peaks.begin(), peaks.end(), precedes<Peak>);
}

}  // namespace personlab

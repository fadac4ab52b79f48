// Peaks: local maxima of the Hough scores, in tiles with votes only.
#include <algorithm>

#include "base/parallel.hpp"
#include "methods/personlab/stages.hpp"

namespace personlab {
namespace {

// Whether a lattice point's value is greater than those of its 8 neighbours that precede it in raster order, and not
// smaller than those of the others.
bool is_peak(const HoughPlane& plane, int row, int column, float value) {
  return value > plane.at(row - 1, column - 1) && value > plane.at(row - 1, column) &&
         value > plane.at(row - 1, column + 1) && value > plane.at(row, column - 1) &&
         value >= plane.at(row, column + 1) && value >= plane.at(row + 1, column - 1) &&
         value >= plane.at(row + 1, column) && value >= plane.at(row + 1, column + 1);
}

// Adds the peaks of keypoint type k.
void find_in_plane(const HoughPlane& plane, int k, const DecodeOptions& options, std::vector<Peak>& peaks) {
  constexpr int kTile = HoughPlane::kTile;
  const auto g = static_cast<float>(options.hough_stride);
  for (std::size_t s = 0; s < plane.touched.size(); ++s) {
    poll(options.interrupt);
    if (plane.highest[s] < options.peak_threshold) continue;  // tiles of weak votes, which are many
    const int tile = plane.touched[s];
    const int row0 = tile / plane.tile_columns * kTile - 1, column0 = tile % plane.tile_columns * kTile - 1;
    const float* scores = plane.scores.data() + s * HoughPlane::kTilePoints;
    std::uint64_t high[HoughPlane::kTilePoints / 64];
    kernels().float32.threshold(scores, HoughPlane::kTilePoints, options.peak_threshold, high);
    for (int p0 = 0; p0 < HoughPlane::kTilePoints; p0 += 64) {
      for (std::uint64_t bits = high[p0 / 64]; bits != 0; bits &= bits - 1) {
        const int p = p0 + lowest_bit(bits), row = row0 + p / kTile, column = column0 + p % kTile;
        if (is_peak(plane, row, column, scores[p]))
          peaks.push_back({scores[p], k, static_cast<float>(column) * g, static_cast<float>(row) * g});
      }
    }
  }
}

}  // namespace

void find_peaks(const std::vector<HoughPlane>& hough, const DecodeOptions& options, std::vector<Peak>& peaks) {
  const int count = static_cast<int>(hough.size());
  std::vector<std::vector<Peak>> others(static_cast<std::size_t>(std::max(0, std::min(count, options.threads) - 1)));
  peaks.clear();
  parallel_for(count, options.threads, options.interrupt, [&](int k, int worker) {
    find_in_plane(hough[static_cast<std::size_t>(k)], k, options,
                  worker == 0 ? peaks : others[static_cast<std::size_t>(worker) - 1]);
  });
  for (const std::vector<Peak>& some : others) peaks.insert(peaks.end(), some.begin(), some.end());
  unsigned compared = 0;
  std::sort(peaks.begin(), peaks.end(), [&](const Peak& a, const Peak& b) {
    if (++compared % 4096 == 0) poll(options.interrupt);
    return precedes(a, b);
  });
}

}  // namespace personlab

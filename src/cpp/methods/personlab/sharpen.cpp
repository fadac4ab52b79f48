// Sharpening: one step of a mean shift moves the keypoints of the poses that are kept to the mean of the votes around
// them.
#include <iterator>
#include <numeric>

#include "base/parallel.hpp"
#include "methods/personlab/disc_tiles.hpp"
#include "methods/personlab/stages.hpp"

namespace personlab {

void sharpen_keypoints(const std::vector<HoughPlane>& hough, const DecodeOptions& options, const std::vector<int>& kept,
                       PoseList& poses) {
  const double sigma = options.sharpen;
  if (!(sigma > 0.0)) return;
  const auto inverse = static_cast<float>(1.0 / (2.0 * sigma * sigma));
  const int count = static_cast<int>(kept.size()), workers = std::max(1, std::min(options.threads, count));
  std::vector<DiscTiles> discs(static_cast<std::size_t>(workers),
                               DiscTiles(options.hough_stride, kSharpenRadius * sigma));
  parallel_for(count, options.threads, options.interrupt, [&](int i, int worker) {
    DiscTiles& disc = discs[static_cast<std::size_t>(worker)];
    const auto pose = static_cast<std::size_t>(kept[static_cast<std::size_t>(i)]);
    double* at = poses.keypoints.data() + pose * 2 * hough.size();
    for (const HoughPlane& plane : hough) {
      ShiftSums sums{};
      const auto add = [&](const float* scores, int n, const DiscAxis& rows, const DiscAxis& columns) {
        kernels().sum_mean_shift(scores, n, rows, columns, disc.radius2(), sums);
      };
      disc(plane, at[0], at[1], inverse, add);
      const auto sum = [](const double (&parts)[16]) {
        return std::accumulate(std::begin(parts), std::end(parts), 0.0);
      };
      const double mass = sum(sums.mass);
      if (mass > kSharpenMinMass) {  // the mean lies among lattice points, but for rounding
        at[0] = clamp(at[0] + sum(sums.x) / mass, 0.0, static_cast<double>(plane.columns - 1) * options.hough_stride);
        at[1] = clamp(at[1] + sum(sums.y) / mass, 0.0, static_cast<double>(plane.rows - 1) * options.hough_stride);
      }
      at += 2;
    }
  });
}

}  // namespace personlab

// The whole decoder of the top-down method: peaks, their places in the image, scores of poses and suppression.
#include <algorithm>
#include <cmath>

#include "base/narrow.hpp"
#include "base/sampling.hpp"
#include "methods/simple_baseline/stages.hpp"

namespace personlab::simple_baseline {

double rescore(const double* values, int n_keypoints, double box_score, const BaselineOptions& options) {
  if (options.rescoring == Rescoring::kBox) return box_score;
  double sum = 0.0;
  int count = 0;
  for (int p = 0; p < n_keypoints; ++p) {
    if (options.rescoring == Rescoring::kConfident && !(values[p] > options.keypoint_threshold)) continue;
    sum += values[p];
    ++count;
  }
  const double mean = count == 0 ? 0.0 : sum / count;
  return options.rescoring == Rescoring::kMean ? mean : mean * box_score;
}

void decode_people(const Field& maps, int people, const void* mirrored, const int* flip, const double* affines,
                   const double* box_scores, ImageSize crop, const std::vector<double>& sigmas,
                   const BaselineOptions& options, std::vector<PeakScratch>& scratch, Poses& poses) {
  const int k = maps.planes;
  const std::size_t p = static_cast<std::size_t>(people), all = p * static_cast<std::size_t>(k);
  std::vector<MapPeak> peaks(all);
  find_peaks(maps, people, mirrored, flip, options, scratch, peaks.data());
  std::vector<double> keypoints(3 * all), values(all), scores(p), areas(p);
  const double step_x = maps.width > 0 ? static_cast<double>(crop.width) / maps.width : 0.0;
  const double step_y = maps.height > 0 ? static_cast<double>(crop.height) / maps.height : 0.0;
  for (std::size_t n = 0; n < p; ++n) {
    const double* m = affines + 6 * n;
    const double determinant = m[0] * m[4] - m[1] * m[3];
    areas[n] = std::abs(static_cast<double>(crop.width) * crop.height / determinant);
    for (std::size_t i = n * static_cast<std::size_t>(k); i < (n + 1) * static_cast<std::size_t>(k); ++i) {
      const double x = peaks[i].x * step_x - m[2], y = peaks[i].y * step_y - m[5];
      const double value = static_cast<double>(peaks[i].value) / options.full_value;
      keypoints[3 * i] = (m[4] * x - m[1] * y) / determinant;
      keypoints[3 * i + 1] = (m[0] * y - m[3] * x) / determinant;
      keypoints[3 * i + 2] = values[i] = options.rules == Rules::kDefault ? clamp(value, 0.0, 1.0) : value;
    }
    scores[n] = rescore(values.data() + n * static_cast<std::size_t>(k), k, box_scores[n], options);
  }
  std::vector<int> kept(p);
  for (std::size_t n = 0; n < p; ++n) kept[n] = static_cast<int>(n);
  if (options.oks_threshold < 1.0) {
    OksOptions oks;
    oks.threshold = options.oks_threshold;
    oks.original = options.rules != Rules::kDefault;
    oks.interrupt = options.interrupt;
    kept = suppress_poses({keypoints.data(), scores.data(), areas.data(), people, k}, sigmas.data(), oks);
  }
  poses.count = static_cast<int>(kept.size());
  poses.n_keypoints = k;
  poses.keypoints.clear(), poses.keypoint_scores.clear(), poses.scores.clear();
  for (const int n : kept) {
    for (std::size_t i = static_cast<std::size_t>(n * k); i < static_cast<std::size_t>((n + 1) * k); ++i) {
      poses.keypoints.push_back(narrow(keypoints[3 * i]));
      poses.keypoints.push_back(narrow(keypoints[3 * i + 1]));
      poses.keypoint_scores.push_back(narrow(values[i]));
    }
    poses.scores.push_back(narrow(scores[static_cast<std::size_t>(n)]));
  }
  poses.keypoint_probabilities = poses.keypoint_scores;
}

}  // namespace personlab::simple_baseline

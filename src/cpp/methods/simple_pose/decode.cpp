// The whole decoder of Simple Pose: its stages in a row, people from bodies, and batches of images.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/parallel.hpp"
#include "methods/simple_pose/stages.hpp"

namespace personlab::simple_pose {
namespace {

// Scores of bodies: those of the originals, or the mean over a person's keypoints, absent ones counting 0.
double score_of(const BodyList& bodies, std::size_t j, int n_keypoints, const MapOptions& options) {
  return options.is_original() ? 1.0 - 1.0 / bodies.totals[j] : bodies.totals[j] / n_keypoints;
}

// From cells, or pixels for the originals, to pixels of the image.
struct ToImage {
  double scale_x = 1.0, scale_y = 1.0, shift_x = 0.0, shift_y = 0.0;
  double last_x = std::numeric_limits<double>::infinity(), last_y = last_x;  // originals may leave the image
  ToImage(const MapView& view, ImageSize size, bool original) {
    if (original) return;
    last_x = size.width - 1, last_y = size.height - 1;
    scale_x = static_cast<double>(view.keypoints.stride) * size.width / view.inner.width;
    scale_y = static_cast<double>(view.keypoints.stride) * size.height / view.inner.height;
    shift_x = 0.5 * scale_x - 0.5;
    shift_y = 0.5 * scale_y - 0.5;
  }
  double x_of(const MapPeak& peak) const { return bound(peak.x * scale_x + shift_x, last_x); }
  double y_of(const MapPeak& peak) const { return bound(peak.y * scale_y + shift_y, last_y); }
  static double bound(double v, double last) { return is_finite(last) ? clamp(v, 0.0, last) : v; }
};

// Writes the bodies as people, best first. A keypoint without a peak has score 0; it lies at the mean of the others, or
// at (0, 0) by the originals' rules.
void write_people(const MapBatch& image, const LimbSkeleton& skeleton, const MapOptions& options,
                  const MapScratch& scratch, Poses& poses) {
  const BodyList& bodies = scratch.bodies;
  const std::size_t k = skeleton.people.size(), all = static_cast<std::size_t>(bodies.n_keypoints);
  std::vector<std::size_t> order;
  std::vector<double> scores(static_cast<std::size_t>(bodies.count));
  for (std::size_t j = 0; j < scores.size(); ++j) {
    scores[j] = score_of(bodies, j, bodies.n_keypoints, options);
    if (is_finite(scores[j])) order.push_back(j);
  }
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return scores[a] != scores[b] ? scores[a] > scores[b] : a < b; });
  order.resize(std::min(order.size(), static_cast<std::size_t>(options.max_poses)));
  const ToImage to_image(image.views.front(), image.size, options.is_original());
  poses.count = static_cast<int>(order.size());
  poses.n_keypoints = static_cast<int>(k);
  poses.keypoints.assign(2 * k * order.size(), 0.0F);
  poses.keypoint_scores.assign(k * order.size(), 0.0F);
  poses.keypoint_probabilities.assign(k * order.size(), 0.0F);
  poses.scores.resize(order.size());
  for (std::size_t n = 0; n < order.size(); ++n) {
    const std::size_t j = order[n];
    double mean_x = 0.0, mean_y = 0.0;
    int present = 0;
    for (std::size_t m = 0; m < k; ++m) {
      const std::size_t part = j * all + static_cast<std::size_t>(skeleton.people[m]), at = n * k + m;
      const int id = bodies.peaks[part];
      if (id < 0) continue;
      const MapPeak& peak = scratch.peaks.all[static_cast<std::size_t>(id)];
      const double x = to_image.x_of(peak), y = to_image.y_of(peak);
      poses.keypoints[2 * at] = narrow(x);
      poses.keypoints[2 * at + 1] = narrow(y);
      mean_x += x, mean_y += y, ++present;
      if (options.is_original()) {
        poses.keypoint_scores[at] = x > 0.0 || y > 0.0 ? 1.0F : 0.0F;
      } else {
        poses.keypoint_scores[at] = narrow(0.5 * (clamp(peak.score, 0.0, 1.0) + bodies.limbs[part]));
      }
      poses.keypoint_probabilities[at] = narrow(clamp(peak.score, 0.0, 1.0));
    }
    poses.scores[n] = narrow(scores[j]);
    if (options.is_original() || present == 0) continue;
    for (std::size_t m = 0; m < k; ++m) {
      const std::size_t at = n * k + m;
      if (bodies.peaks[j * all + static_cast<std::size_t>(skeleton.people[m])] >= 0) continue;
      poses.keypoints[2 * at] = narrow(mean_x / present);
      poses.keypoints[2 * at + 1] = narrow(mean_y / present);
    }
  }
}

}  // namespace

void decode_steps(const MapBatch& image, const LimbSkeleton& skeleton, const MapOptions& options, MapScratch& scratch) {
  const ImageSize size = image.size;
  if (size.height == 0 || size.width == 0) {
    scratch.peaks.all.clear();
    scratch.peaks.first.assign(static_cast<std::size_t>(skeleton.n_keypoints) + 1, 0);
    scratch.connections.clear();
    scratch.bodies.clear(skeleton.n_keypoints);
    return;
  }
  if (options.is_original()) {
    scratch.enlargements.resize(image.views.size());
    for (std::size_t v = 0; v < image.views.size(); ++v) {
      const MapView& view = image.views[v];
      Enlargement& to = scratch.enlargements[v];
      to.rows.set(view.keypoints.height, view.keypoints.stride, view.inner.height, size.height);
      to.columns.set(view.keypoints.width, view.keypoints.stride, view.inner.width, size.width);
    }
  }
  find_peaks(image, options, scratch);
  score_limbs(image, skeleton, options, scratch);
  if (options.is_original())
    assemble_original(skeleton, options, scratch);
  else
    assemble(skeleton, options, scratch);
}

void decode_batch(const MapBatch& batch, const LimbSkeleton& skeleton, const MapOptions& options,
                  std::vector<MapScratch>& scratch, std::vector<Poses>& poses) {
  const int workers = std::max(1, std::min(batch.images, options.threads));
  if (scratch.size() < static_cast<std::size_t>(workers)) scratch.resize(static_cast<std::size_t>(workers));
  poses.resize(static_cast<std::size_t>(batch.images));
  MapOptions each = options;
  if (workers > 1) each.threads = 1;
  parallel_for(batch.images, workers, options.interrupt, [&](int n, int worker) {
    MapScratch& mine = scratch[static_cast<std::size_t>(worker)];
    MapBatch image{1, {}, batch.size};
    for (const MapView& view : batch.views) image.views.push_back(view.image(n));
    decode_steps(image, skeleton, each, mine);
    write_people(image, skeleton, each, mine, poses[static_cast<std::size_t>(n)]);
  });
}

}  // namespace personlab::simple_pose

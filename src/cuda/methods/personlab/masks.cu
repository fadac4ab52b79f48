// Mask association: each foreground pixel goes to the poses whose keypoints its refined long offsets point at.
//
// A thread per pixel; those of the background leave at once. A pixel's offsets are followed once for each keypoint, and
// as long as any pose can still have the pixel: the weighted distance of a pose only grows from keypoint to keypoint.
// Everything is in float32, as on the CPU.
#include <cmath>

#include "methods/personlab/places.cuh"

namespace personlab {
namespace cuda {
namespace {

constexpr int kPatchAcross = 8, kPatchDown = 4;  // pixels of a warp: they read the same few cells
constexpr int kTileAcross = 16, kTileDown = 8;   // of a block
constexpr int kPixels = kTileAcross * kTileDown;
constexpr int kPoses = 8;   // whose distances a thread sums up at a time
constexpr int kAtOnce = 2;  // keypoints followed side by side: the next reads of one do not wait for the other's
constexpr int kKept = 18;   // keypoints, in whole steps of kAtOnce, whose points are kept for the next kPoses poses
static_assert(kKept % kAtOnce == 0);

// Memory for the offsets of so many images at a time; more images come one lot after the other.
constexpr std::size_t kMostPairBytes = std::size_t{128} << 20;

struct Point {
  float x, y;  // input pixels
};

// What a block needs to know of the fields it reads.
struct Grids {
  const OffsetPair *long_pairs, *short_pairs;  // (images, K, h, w), the latter null where not given
  int n_keypoints, height, width;
  float inverse_stride;  // cells per input pixel
  int long_steps, short_steps;

  __host__ __device__ std::size_t cells() const {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  }
};

// An offset that is not finite, or leads too far for float32, counts as (0, 0).
__device__ Point moved(const OffsetPair* plane, const Site<float>& site, Point point) {
  const OffsetPair a = plane[site.top_left], b = plane[site.top_right];
  const OffsetPair c = plane[site.bottom_left], d = plane[site.bottom_right];
  const float dx = lerp2(a.dx, b.dx, c.dx, d.dx, site.tx, site.ty);
  const float dy = lerp2(a.dy, b.dy, c.dy, d.dy, site.tx, site.ty);
  const Point to{point.x + dx, point.y + dy};
  return is_finite(to.x) && is_finite(to.y) ? to : point;
}

// `steps` times G += offsets(G), for keypoints side by side.
__device__ void follow(const Grids& grids, const OffsetPair* const planes[kAtOnce], int steps, Point points[kAtOnce]) {
  for (int step = 0; step < steps; ++step) {
    PERSONLAB_UNROLL
    for (int u = 0; u < kAtOnce; ++u) {
      const Site<float> site =
          site_at(points[u].x * grids.inverse_stride, points[u].y * grids.inverse_stride, grids.height, grids.width, 1);
      points[u] = moved(planes[u], site, points[u]);
    }
  }
}

// G_k of one pixel for the keypoints from k on; past the last one, the last one's.
__device__ void refine(const Grids& grids, int image, int k, const Site<float>& pixel, Point at,
                       Point points[kAtOnce]) {
  const OffsetPair* planes[kAtOnce];
  std::size_t first[kAtOnce];
  PERSONLAB_UNROLL
  for (int u = 0; u < kAtOnce; ++u) {
    const int own = k + u < grids.n_keypoints ? k + u : grids.n_keypoints - 1;
    first[u] = (static_cast<std::size_t>(image) * grids.n_keypoints + own) * grids.cells();
    planes[u] = grids.long_pairs + first[u];
    points[u] = moved(planes[u], pixel, at);
  }
  follow(grids, planes, grids.long_steps, points);
  if (grids.short_pairs == nullptr) return;
  PERSONLAB_UNROLL
  for (int u = 0; u < kAtOnce; ++u) planes[u] = grids.short_pairs + first[u];
  follow(grids, planes, grids.short_steps, points);
}

// --- what is made of the arguments first -----------------------------------------------------------------------------

// The offsets of some images side by side.
__device__ void pair_up(const Field& field, std::size_t i, OffsetPair* pairs) {
  const std::size_t cells = field.cells(), plane = i / cells;
  const int channels = field.planes / 2, cell = static_cast<int>(i % cells);
  const int image = static_cast<int>(plane / channels), k = static_cast<int>(plane % channels);
  pairs[i] = {field.plane(image, 2 * k)[cell], field.plane(image, 2 * k + 1)[cell]};
}

// The power of two that brings weights to 1 or just below it where they are no probabilities, so that no sum of
// distances overflows or gets lost: only their ratios count.
__device__ double scale_of(float largest) {
  const bool is_usual = largest <= 1.0F && largest >= 1e-6F;
  return is_usual || !(largest > 0.0F) || !is_finite(largest) ? 1.0 : ldexp(1.0, -ilogb(largest) - 1);
}

// One pose, and how far it reaches; a pose that lies nowhere, or has no weight, owns nothing.
__device__ void prepare_pose(const float* keypoints, const float* weights, int n_keypoints, float threshold,
                             MaskTarget* targets, float* unit) {
  double total = 0.0;
  float left = kInfinity, top = kInfinity, right = -kInfinity, bottom = -kInfinity, largest = 0.0F;
  int sound = 1;
  for (int k = 0; k < n_keypoints; ++k) {  // no branches: the reads of one keypoint do not wait for the one before
    const float x = keypoints[2 * k], y = keypoints[2 * k + 1], weight = weights[k];
    total += static_cast<double>(weight);
    sound &= static_cast<int>(weight >= 0.0F) & static_cast<int>(x >= -kFarthest) & static_cast<int>(x <= kFarthest) &
             static_cast<int>(y >= -kFarthest) & static_cast<int>(y <= kFarthest);
    left = x < left ? x : left;
    right = x > right ? x : right;
    top = y < top ? y : top;
    bottom = y > bottom ? y : bottom;
    largest = weight > largest ? weight : largest;
  }
  const double area = (static_cast<double>(right) - static_cast<double>(left)) *
                      (static_cast<double>(bottom) - static_cast<double>(top));
  const double scale = scale_of(largest), size = sqrt(area > 1.0 ? area : 1.0) * total * scale;
  const bool owns = sound != 0 && total > 0.0 && is_finite(total);
  const float reach = owns ? static_cast<float>(size * static_cast<double>(threshold)) : -1.0F;
  for (int k = 0; k < n_keypoints; ++k) {
    // Without weight a pose that owns nothing is at distance 0 of every pixel, past its reach.
    const auto weight = owns ? static_cast<float>(static_cast<double>(weights[k]) * scale) : 0.0F;
    targets[k] = {keypoints[2 * k], keypoints[2 * k + 1], weight, reach};
  }
  *unit = static_cast<float>(size);
}

// The place of a pose among those of its image, highest score first, NaN last, ties in their order.
__device__ int rank_of(int j, const float* scores, int count) {
  const float own = scores[j];
  int ahead = 0;
  for (int other = 0; other < count; ++other) {
    const float score = scores[other];
    const bool is_tied = score == own || (score != score && own != own);
    ahead += score > own || (own != own && score == score) || (is_tied && other < j) ? 1 : 0;
  }
  return ahead;
}

// How near the poses of a pixel have come that one pose after the other, highest score first, has to yield it to.
struct Rivals {
  float above = kInfinity;  // the nearest of those with a score above `level`
  float level = kInfinity;
  float least = kInfinity;  // the nearest of those at this level

  // Whether a pose has to yield; a score that is NaN is neither above nor below another.
  __device__ bool take(float score, float distance) {
    if (score != level) {
      above = least < above ? least : above;
      level = score;
      least = kInfinity;
    }
    least = distance < least ? distance : least;
    return above < distance && score == score;
  }
};

// Poses first, which take longest; then places, then pairs.
__global__ void prepare(Field long_offsets, Field short_offsets, PoseBatch poses, MaskScratch scratch, int pose_slots,
                        int places, std::size_t pairs, int height, int width, float threshold, bool exclusive) {
  std::size_t i = static_cast<std::size_t>(blockIdx.x) * kBlock + threadIdx.x;
  if (i < static_cast<std::size_t>(pose_slots)) {
    const int image = static_cast<int>(i) / poses.most, j = static_cast<int>(i) % poses.most;
    if (j >= poses.count(image)) return;
    const std::size_t first = poses.first_row(image), row = first + static_cast<std::size_t>(j);
    const std::size_t k = static_cast<std::size_t>(poses.n_keypoints);
    const int place = exclusive ? rank_of(j, poses.scores + first, poses.count(image)) : j;
    const std::size_t to = first + static_cast<std::size_t>(place);
    prepare_pose(poses.keypoints + row * 2 * k, poses.weights + row * k, poses.n_keypoints, threshold,
                 scratch.targets + to * k, scratch.unit + to);
    scratch.order[to] = j;
    scratch.scores[to] = poses.scores[row];
    return;
  }
  i -= static_cast<std::size_t>(pose_slots);
  if (i < static_cast<std::size_t>(places)) {
    const int p = static_cast<int>(i);
    scratch.places[p] = place_on(long_offsets, height, width, p);
    return;
  }
  i -= static_cast<std::size_t>(places);
  if (i >= pairs) return;
  pair_up(long_offsets, i, scratch.long_pairs);
  if (scratch.short_pairs != nullptr) pair_up(short_offsets, i, scratch.short_pairs);
}

// --- pixels ----------------------------------------------------------------------------------------------------------

// The pixel of a thread.
struct Pixel {
  int x, y;

  __device__ explicit Pixel(int width) {
    const int tiles = (width + kTileAcross - 1) / kTileAcross, tile = static_cast<int>(blockIdx.x);
    const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
    constexpr int kPatches = kTileAcross / kPatchAcross;
    x = tile % tiles * kTileAcross + warp % kPatches * kPatchAcross + lane % kPatchAcross;
    y = tile / tiles * kTileDown + warp / kPatches * kPatchDown + lane / kPatchAcross;
  }
};
static_assert(kPatchAcross * kPatchDown == kWarp);

// Images `from` to `to` of the batch, the fields of the first of them at the beginning of `grids`.
__global__ void __launch_bounds__(kPixels)
    give_pixels(Field segmentation, Grids grids, PoseBatch poses, MaskScratch scratch, int from, int to, int height,
                int width, float lowest, bool exclusive, std::uint8_t* masks) {
  __shared__ Point kept[kKept][kPixels];  // each thread its own
  const Pixel pixel(width);
  if (pixel.x >= width || pixel.y >= height) return;
  const PixelPlace x = scratch.places[pixel.x], y = scratch.places[width + pixel.y];
  const Site<float> site = site_between(segmentation, x, y);
  const int n_keypoints = grids.n_keypoints;
  const std::size_t area = static_cast<std::size_t>(height) * width;
  const std::size_t own = static_cast<std::size_t>(pixel.y) * width + pixel.x;

  for (int image = from + static_cast<int>(blockIdx.y); image < to; image += static_cast<int>(gridDim.y)) {
    const int count = poses.count(image);
    if (count == 0 || !(read(segmentation.plane(image, 0), site) >= lowest)) continue;
    const std::size_t row = poses.first_row(image);
    int known = 0;  // keypoints that are kept
    Rivals rivals;
    for (int first = 0; first < count; first += kPoses) {
      float sums[kPoses];
      PERSONLAB_UNROLL
      for (int a = 0; a < kPoses; ++a) sums[a] = 0.0F;
      unsigned open = count - first < kPoses ? (1U << (count - first)) - 1U : (1U << kPoses) - 1U;
      for (int k = 0; k < n_keypoints && open != 0; k += kAtOnce) {
        Point points[kAtOnce];
        if (k < known) {
          PERSONLAB_UNROLL
          for (int u = 0; u < kAtOnce; ++u) points[u] = kept[k + u][threadIdx.x];
        } else {
          refine(grids, image - from, k, site, {x.position, y.position}, points);
          if (k < kKept) {
            PERSONLAB_UNROLL
            for (int u = 0; u < kAtOnce; ++u) kept[k + u][threadIdx.x] = points[u];
            known = k + kAtOnce;
          }
        }
        PERSONLAB_UNROLL
        for (int u = 0; u < kAtOnce; ++u) {
          if (k + u >= n_keypoints) break;
          const MaskTarget* targets = scratch.targets + (row + static_cast<std::size_t>(first)) * n_keypoints + k + u;
          PERSONLAB_UNROLL
          for (int a = 0; a < kPoses; ++a) {
            if ((open >> a & 1U) == 0) continue;
            const MaskTarget target = targets[static_cast<std::ptrdiff_t>(a) * n_keypoints];
            const float dx = points[u].x - target.x, dy = points[u].y - target.y;
            sums[a] += target.weight == 0.0F ? 0.0F : target.weight * sqrtf(dx * dx + dy * dy);
            if (!(sums[a] <= target.reach)) open &= ~(1U << a);
          }
        }
      }
      PERSONLAB_UNROLL
      for (int a = 0; a < kPoses; ++a) {
        if ((open >> a & 1U) == 0) continue;
        const std::size_t place = row + static_cast<std::size_t>(first + a);
        if (exclusive && rivals.take(scratch.scores[place], sums[a] / scratch.unit[place])) continue;
        masks[(row + static_cast<std::size_t>(scratch.order[place])) * area + own] = 1;
      }
    }
  }
}

}  // namespace

MaskScratch::MaskScratch(Arena& arena, const PoseBatch& poses, const Field& long_offsets, bool short_too, int height,
                         int width) {
  const std::size_t each = static_cast<std::size_t>(poses.n_keypoints) * long_offsets.cells();
  const std::size_t bytes = each * sizeof(OffsetPair) * (short_too ? 2 : 1),
                    all = static_cast<std::size_t>(long_offsets.images);
  const std::size_t fit = bytes > 0 && bytes < kMostPairBytes ? kMostPairBytes / bytes : 1;
  at_once = static_cast<int>(fit < all ? fit : all);
  const std::size_t rows = static_cast<std::size_t>(poses.rows);
  long_pairs = arena.take<OffsetPair>(static_cast<std::size_t>(at_once) * each);
  short_pairs = short_too ? arena.take<OffsetPair>(static_cast<std::size_t>(at_once) * each) : nullptr;
  order = arena.take<int>(rows);
  targets = arena.take<MaskTarget>(rows * static_cast<std::size_t>(poses.n_keypoints));
  unit = arena.take<float>(rows);
  scores = arena.take<float>(rows);
  places = arena.take<PixelPlace>(static_cast<std::size_t>(height) + static_cast<std::size_t>(width));
}

void associate_pixels(const PoseBatch& poses, const Field& segmentation, const Field& long_offsets,
                      const Field* short_offsets, int height, int width, const MaskOptions& options, Arena& arena,
                      cudaStream_t stream, std::uint8_t* masks) {
  const std::size_t area = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  if (poses.rows == 0 || area == 0) return;
  check(cudaMemsetAsync(masks, 0, static_cast<std::size_t>(poses.rows) * area, stream), "clearing masks");
  if (poses.n_keypoints == 0 || segmentation.cells() == 0) return;
  const bool short_too = short_offsets != nullptr && options.short_refine_steps > 0;
  const MaskScratch scratch(arena, poses, long_offsets, short_too, height, width);
  const Grids grids{scratch.long_pairs,        scratch.short_pairs,
                    poses.n_keypoints,         segmentation.height,
                    segmentation.width,        1.0F / static_cast<float>(segmentation.stride),
                    options.long_refine_steps, options.short_refine_steps};
  const std::size_t each = static_cast<std::size_t>(poses.n_keypoints) * long_offsets.cells();
  const unsigned tiles = blocks_for(width, kTileAcross) * blocks_for(height, kTileDown);
  for (int from = 0; from < segmentation.images; from += scratch.at_once) {
    const int count = segmentation.images - from < scratch.at_once ? segmentation.images - from : scratch.at_once;
    const std::size_t pairs = static_cast<std::size_t>(count) * each;
    // Places and poses are there from the first time on.
    const int places = from == 0 ? height + width : 0, slots = from == 0 ? segmentation.images * poses.most : 0;
    const std::size_t items = pairs + static_cast<std::size_t>(places) + static_cast<std::size_t>(slots);
    launch(prepare, dim3(blocks_for(items)), dim3(kBlock), stream, long_offsets.part(from, count),
           short_too ? short_offsets->part(from, count) : Field{}, poses, scratch, slots, places, pairs, height, width,
           options.distance_threshold, options.exclusive);
    const unsigned rows = static_cast<unsigned>(count) < kMostRows ? static_cast<unsigned>(count) : kMostRows;
    launch(give_pixels, dim3(tiles, rows), dim3(kPixels), stream, segmentation, grids, poses, scratch, from,
           from + count, height, width, logit_of(static_cast<double>(options.mask_threshold)), options.exclusive,
           masks);
  }
}

}  // namespace cuda
}  // namespace personlab

// Mask association: each foreground pixel goes to the poses whose keypoints its refined long offsets point at.
//
// A thread per pixel; those of the background leave at once. A pixel's offsets are followed once for each keypoint, and
// as long as any pose can still have the pixel: the weighted distance of a pose only grows from keypoint to keypoint.
// Everything is in float32, as on the CPU.
#include "methods/personlab/follow.hpp"
#include "methods/personlab/stages.cuh"
#include "methods/personlab/vote_unit.hpp"

namespace personlab {
namespace cuda {
namespace {

constexpr int kPatchAcross = 8, kPatchDown = 4;  // pixels of a warp: they read the same few cells
constexpr int kTileAcross = 16, kTileDown = 8;   // of a block
constexpr int kPixels = kTileAcross * kTileDown;
constexpr int kPoses = 8;   // distances that a thread sums up at a time
constexpr int kAtOnce = 2;  // keypoints followed side by side: the next reads of one do not wait for the other's
constexpr int kKept = 18;   // keypoints, in whole steps of kAtOnce, whose points are kept for the next kPoses poses
static_assert(kKept % kAtOnce == 0);

// Interleaved offsets of as many images as fit; more images follow in further rounds.
constexpr std::size_t kMaxPairBytes = std::size_t{128} << 20;

// The offsets of a round of images, and how often they are followed.
struct MaskOffsets {
  const OffsetPair *long_pairs, *short_pairs;  // (images, K, h, w), the latter null where they are not followed
  int n_keypoints, height, width;
  float inverse_stride;  // cells per input pixel
  int long_steps, short_steps;

  __host__ __device__ std::size_t cells() const {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  }
};

// An offset that is not finite, or leads too far for float32, counts as (0, 0).
__device__ Point<float> moved(const OffsetPair* plane, const Site<float>& site, Point<float> point) {
  const OffsetPair a = plane[site.top_left], b = plane[site.top_right];
  const OffsetPair c = plane[site.bottom_left], d = plane[site.bottom_right];
  const float dx = lerp2(a.dx, b.dx, c.dx, d.dx, site.tx, site.ty);
  const float dy = lerp2(a.dy, b.dy, c.dy, d.dy, site.tx, site.ty);
  const Point<float> to{point.x + dx, point.y + dy};
  return is_finite(to.x) && is_finite(to.y) ? to : point;
}

// `steps` times G += offsets(G), for keypoints side by side.
__device__ void follow(const MaskOffsets& offsets, const OffsetPair* const planes[kAtOnce], int steps,
                       Point<float> points[kAtOnce]) {
  for (int step = 0; step < steps; ++step) {
    PERSONLAB_UNROLL
    for (int u = 0; u < kAtOnce; ++u) {
      const Site<float> site = site_at(points[u].x * offsets.inverse_stride, points[u].y * offsets.inverse_stride,
                                       offsets.height, offsets.width, 1);
      points[u] = moved(planes[u], site, points[u]);
    }
  }
}

// G_k of one pixel for the keypoints from k on; past the last one, the last one's.
__device__ void refine(const MaskOffsets& offsets, int image, int k, const Site<float>& pixel, Point<float> at,
                       Point<float> points[kAtOnce]) {
  const OffsetPair* planes[kAtOnce];
  std::size_t first[kAtOnce];
  PERSONLAB_UNROLL
  for (int u = 0; u < kAtOnce; ++u) {
    const int own = k + u < offsets.n_keypoints ? k + u : offsets.n_keypoints - 1;
    first[u] = (static_cast<std::size_t>(image) * offsets.n_keypoints + own) * offsets.cells();
    planes[u] = offsets.long_pairs + first[u];
    points[u] = moved(planes[u], pixel, at);
  }
  follow(offsets, planes, offsets.long_steps, points);
  if (offsets.short_pairs == nullptr) return;
  PERSONLAB_UNROLL
  for (int u = 0; u < kAtOnce; ++u) planes[u] = offsets.short_pairs + first[u];
  follow(offsets, planes, offsets.short_steps, points);
}

// Distances of a pixel's poses so far, which come highest score first: one yields the pixel to a nearer one of a higher
// score.
struct Rivals {
  float above = kInfinity;  // of the nearest with a score above `level`
  float level = kInfinity;
  float at_level = kInfinity;  // of the nearest at this level

  // Adds a pose, and returns whether it yields; a score that is NaN is neither above nor below another.
  __device__ bool add(float score, float distance) {
    if (score != level) {
      above = at_level < above ? at_level : above;
      level = score;
      at_level = kInfinity;
    }
    at_level = distance < at_level ? distance : at_level;
    return above < distance && score == score;
  }
};

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

// Images `from` to `to` of the batch, which are images 0 to `to` - `from` of `offsets`.
__global__ void __launch_bounds__(kPixels)
    assign_pixels(DeviceField segmentation, MaskOffsets offsets, PoseBatch poses, DeviceMaskScratch scratch, int from,
                  int to, int height, int width, float min_logit, bool exclusive, std::uint8_t* masks) {
  __shared__ Point<float> kept[kKept][kPixels];  // each thread its own
  const Pixel pixel(width);
  if (pixel.x >= width || pixel.y >= height) return;
  const PixelPlace x = scratch.places[pixel.x], y = scratch.places[width + pixel.y];
  const Site<float> site = site_between(segmentation, x, y);
  const int n_keypoints = offsets.n_keypoints;
  const std::size_t area = static_cast<std::size_t>(height) * width;
  const std::size_t own = static_cast<std::size_t>(pixel.y) * width + pixel.x;

  for (int image = from + static_cast<int>(blockIdx.y); image < to; image += static_cast<int>(gridDim.y)) {
    const int count = poses.count(image);
    if (count == 0 || !(read(segmentation.plane(image, 0), site) >= min_logit)) continue;
    const std::size_t row = poses.first_row(image);
    int n_kept = 0;  // keypoints
    Rivals rivals;
    for (int first = 0; first < count; first += kPoses) {
      float sums[kPoses];
      PERSONLAB_UNROLL
      for (int a = 0; a < kPoses; ++a) sums[a] = 0.0F;
      unsigned open = count - first < kPoses ? (1U << (count - first)) - 1U : (1U << kPoses) - 1U;
      for (int k = 0; k < n_keypoints && open != 0; k += kAtOnce) {
        Point<float> points[kAtOnce];
        if (k < n_kept) {
          PERSONLAB_UNROLL
          for (int u = 0; u < kAtOnce; ++u) points[u] = kept[k + u][threadIdx.x];
        } else {
          refine(offsets, image - from, k, site, {x.position, y.position}, points);
          if (k < kKept) {
            PERSONLAB_UNROLL
            for (int u = 0; u < kAtOnce; ++u) kept[k + u][threadIdx.x] = points[u];
            n_kept = k + kAtOnce;
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
        if (exclusive && rivals.add(scratch.scores[place], sums[a] / scratch.unit[place])) continue;
        masks[(row + static_cast<std::size_t>(scratch.order[place])) * area + own] = 1;
      }
    }
  }
}

}  // namespace

DeviceMaskScratch::DeviceMaskScratch(Arena& arena, const PoseBatch& poses, const DeviceField& long_offsets,
                                     bool with_short, int height, int width) {
  const std::size_t each = static_cast<std::size_t>(poses.n_keypoints) * long_offsets.cells();
  const std::size_t bytes = each * sizeof(OffsetPair) * (with_short ? 2 : 1),
                    all = static_cast<std::size_t>(long_offsets.images);
  const std::size_t fit = bytes > 0 && bytes < kMaxPairBytes ? kMaxPairBytes / bytes : 1;
  at_once = static_cast<int>(fit < all ? fit : all);
  const std::size_t rows = static_cast<std::size_t>(poses.rows);
  long_pairs = arena.take<OffsetPair>(static_cast<std::size_t>(at_once) * each);
  short_pairs = with_short ? arena.take<OffsetPair>(static_cast<std::size_t>(at_once) * each) : nullptr;
  order = arena.take<int>(rows);
  targets = arena.take<MaskTarget>(rows * static_cast<std::size_t>(poses.n_keypoints));
  unit = arena.take<float>(rows);
  scores = arena.take<float>(rows);
  places = arena.take<PixelPlace>(static_cast<std::size_t>(height) + static_cast<std::size_t>(width));
}

void associate_pixels(const PoseBatch& poses, const DeviceField& segmentation, const DeviceField& long_offsets,
                      const DeviceField* short_offsets, int height, int width, const MaskOptions& options, Arena& arena,
                      cudaStream_t stream, std::uint8_t* masks) {
  const std::size_t area = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  if (poses.rows == 0 || area == 0) return;
  check(cudaMemsetAsync(masks, 0, static_cast<std::size_t>(poses.rows) * area, stream), "clearing masks");
  if (poses.n_keypoints == 0 || segmentation.cells() == 0) return;
  const bool with_short = short_offsets != nullptr && options.short_refine_steps > 0;
  const DeviceMaskScratch scratch(arena, poses, long_offsets, with_short, height, width);
  const MaskOffsets offsets{scratch.long_pairs,        scratch.short_pairs,
                            poses.n_keypoints,         segmentation.height,
                            segmentation.width,        1.0F / static_cast<float>(segmentation.stride),
                            options.long_refine_steps, options.short_refine_steps};
  const unsigned tiles = blocks_for(width, kTileAcross) * blocks_for(height, kTileDown);
  for (int from = 0; from < segmentation.images; from += scratch.at_once) {
    const int count = segmentation.images - from < scratch.at_once ? segmentation.images - from : scratch.at_once;
    prepare_masks(long_offsets.part(from, count), with_short ? short_offsets->part(from, count) : DeviceField{}, poses,
                  from == 0 ? segmentation.images : 0, height, width, options, stream, scratch);
    const dim3 grid(tiles, grid_rows(static_cast<std::size_t>(count)));
    launch(assign_pixels, grid, dim3(kPixels), stream, segmentation, offsets, poses, scratch, from, from + count,
           height, width, logit_of(static_cast<double>(options.mask_threshold)), options.exclusive, masks);
  }
}

}  // namespace cuda
}  // namespace personlab

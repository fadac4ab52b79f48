// Prints what the public Decoder refuses and accepts, for test_find_package.py to compare.
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <personlab/decoder.hpp>
#include <personlab/interrupt.hpp>
#include <personlab/options.hpp>
#include <personlab/types.hpp>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace personlab;

constexpr int kHeight = 4, kWidth = 5, kStride = 8;

// Two images, all of one value.
struct Images {
  std::vector<float> values;
  PoseFields poses;
  MaskFields masks;

  explicit Images(float logit) : values(std::size_t{2} * 64 * kHeight * kWidth, logit) {
    const auto field = [&](int planes) { return Field{values.data(), planes, kHeight, kWidth, kStride}; };
    poses = {2, field(17), field(34), field(64)};
    masks = {2, field(1), field(34), field(34)};
  }
};

void refuse(const char* what, const std::function<void()>& call) {
  try {
    call();
    std::printf("%s: accepted\n", what);
  } catch (const std::invalid_argument& error) {
    std::printf("%s\n", error.what());
  }
}

void refuse_fields(const char* what, const std::function<void(PoseFields&, DecodeOptions&)>& change) {
  Images images(-20.0F);
  DecodeOptions options;
  change(images.poses, options);
  refuse(what, [&] { Decoder().decode_poses(images.poses, options); });
}

void refuse_masks(const char* what,
                  const std::function<void(std::vector<Poses>&, MaskFields&, ImageSize&, MaskOptions&)>& change) {
  Images images(-20.0F);
  std::vector<Poses> poses = Decoder().decode_poses(images.poses);
  ImageSize size{25, 33};
  MaskOptions options;
  change(poses, images.masks, size, options);
  refuse(what, [&] { Decoder().decode_masks(poses, images.masks, size, options); });
}

void refuse_all() {
  refuse_fields("planes", [](PoseFields& fields, DecodeOptions&) { fields.heatmaps.planes = 16; });
  refuse_fields("grid", [](PoseFields& fields, DecodeOptions&) {
    std::swap(fields.short_offsets.height, fields.short_offsets.width);
  });
  refuse_fields("null", [](PoseFields& fields, DecodeOptions&) { fields.mid_offsets.data = nullptr; });
  refuse_fields("element", [](PoseFields& fields, DecodeOptions&) { fields.mid_offsets.element = Element::kFloat16; });
  refuse_fields("no element",
                [](PoseFields& fields, DecodeOptions&) { fields.heatmaps.element = static_cast<Element>(3); });
  refuse_fields("alignment", [](PoseFields& fields, DecodeOptions&) {
    fields.heatmaps.data = reinterpret_cast<const void*>(std::uintptr_t{0x1002});  // refused before it is read
  });
  refuse_fields("stride", [](PoseFields& fields, DecodeOptions&) { fields.heatmaps.stride = 0; });
  refuse_fields("images", [](PoseFields& fields, DecodeOptions&) { fields.images = -1; });
  refuse_fields("height", [](PoseFields& fields, DecodeOptions&) { fields.heatmaps.height = -1; });
  refuse_fields("large", [](PoseFields& fields, DecodeOptions&) { fields.heatmaps.height = kMaxInput / kStride + 1; });
  refuse_fields("lattice", [](PoseFields& fields, DecodeOptions& options) {
    fields.heatmaps.height = fields.heatmaps.width = 4097;
    options.hough_stride = 1;
  });
  refuse_fields("hough_stride", [](PoseFields&, DecodeOptions& options) { options.hough_stride = 0; });
  refuse_fields("min_score", [](PoseFields&, DecodeOptions& options) { options.min_score = std::nanf(""); });
  refuse_fields("threads", [](PoseFields&, DecodeOptions& options) { options.threads = 1025; });
  refuse_fields("scoring",
                [](PoseFields&, DecodeOptions& options) { options.scoring = static_cast<DecodeOptions::Scoring>(2); });
  refuse_masks("poses", [](std::vector<Poses>& poses, MaskFields&, ImageSize&, MaskOptions&) { poses.pop_back(); });
  refuse_masks("scores", [](std::vector<Poses>& poses, MaskFields&, ImageSize&, MaskOptions&) {
    poses[1].scores.push_back(1.0F);
  });
  refuse_masks("count", [](std::vector<Poses>& poses, MaskFields&, ImageSize& size, MaskOptions&) {
    size = {kMaxInput, kMaxInput};
    poses[1].count = 1 << 24;  // whose pixels are 2^64
  });
  refuse_masks("images of masks",
               [](std::vector<Poses>&, MaskFields& fields, ImageSize&, MaskOptions&) { fields.images = -1; });
  refuse_masks("long_offsets", [](std::vector<Poses>&, MaskFields& fields, ImageSize&, MaskOptions&) {
    fields.long_offsets.planes = 33;
  });
  refuse_masks("size", [](std::vector<Poses>&, MaskFields&, ImageSize& size, MaskOptions&) { size.width = -1; });
  refuse_masks("score_power",
               [](std::vector<Poses>&, MaskFields&, ImageSize&, MaskOptions& options) { options.score_power = -1.0F; });
  refuse("edges", [] { Skeleton(2, {{0, 2}}, {0.1F, 0.1F}); });
  refuse("sigmas", [] { Skeleton(2, {{0, 1}}, {0.1F}); });
  refuse("n_keypoints", [] { Skeleton(0, {}, {}); });
  refuse("ask", [] { Interrupt interrupt(nullptr); });
}

void accept_the_ends() {
  const Images background(-20.0F);
  Decoder one;
  Decoder decoder(std::move(one));
  std::vector<Poses> poses = decoder.decode_poses(background.poses);
  std::printf("background: %zu images of %d people\n", poses.size(), poses[0].count + poses[1].count);
  std::vector<Masks> masks = decoder.decode_masks(poses, background.masks, {25, 33});
  std::printf("no masks: %zu and %zu numbers\n", masks[0].pixels.size(), masks[1].scores.size());
  PoseFields empty = background.poses;
  empty.heatmaps.height = empty.short_offsets.height = empty.mid_offsets.height = 0;
  std::printf("no cells: %d people\n", decoder.decode_poses(empty)[1].count);
  empty.images = 0;
  empty.heatmaps = {nullptr, 17, kHeight, kWidth, kStride};
  empty.short_offsets = {nullptr, 34, kHeight, kWidth, kStride};
  empty.mid_offsets = {nullptr, 64, kHeight, kWidth, kStride};
  std::printf("no images: %zu\n", decoder.decode_poses(empty).size());
  std::printf("moved from: %zu images\n", one.decode_poses(background.poses).size());
  const Skeleton pair(2, {{0, 1}}, {0.1F, 0.1F});
  PoseFields two = background.poses;
  two.heatmaps.planes = 2, two.short_offsets.planes = two.mid_offsets.planes = 4;
  std::printf("another skeleton: %d keypoints\n", decoder.decode_poses(two, {}, pair)[0].n_keypoints);
}

void end_early() {
  Images everybody(5.0F);
  Interrupt interrupt([] { return Interrupt::Answer::kEnd; });
  std::this_thread::sleep_for(std::chrono::milliseconds(60));  // it is not asked before
  DecodeOptions options;
  options.interrupt = &interrupt;
  try {
    Decoder().decode_poses(everybody.poses, options);
    std::printf("not interrupted\n");
  } catch (const Interrupted& error) {
    std::printf("%s\n", error.what());
  }
}

}  // namespace

int main() {
  refuse_all();
  accept_the_ends();
  end_early();
}

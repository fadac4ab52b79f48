// The public Decoder: checks arguments once, then runs the stages in scratch that it owns.
#include "personlab/decoder.hpp"

#include "methods/personlab/checks.hpp"
#include "methods/personlab/decode.hpp"
#include "methods/personlab/stages.hpp"

namespace personlab {

struct Decoder::Scratch {
  std::vector<DecodeScratch> images;
  MaskBuffers masks;
};

Decoder::Decoder() = default;
Decoder::~Decoder() = default;
Decoder::Decoder(Decoder&& other) noexcept = default;
Decoder& Decoder::operator=(Decoder&& other) noexcept = default;

Decoder::Scratch& Decoder::scratch() {
  if (scratch_ == nullptr) scratch_ = std::make_unique<Scratch>();
  return *scratch_;
}

std::vector<Poses> Decoder::decode_poses(const PoseFields& fields, const DecodeOptions& options,
                                         const Skeleton& skeleton) {
  check(options);
  check(fields, skeleton, options);
  std::vector<Poses> poses;
  decode_batch(fields, skeleton, options, scratch().images, poses);
  return poses;
}

std::vector<Masks> Decoder::decode_masks(const std::vector<Poses>& poses, const MaskFields& fields, ImageSize size,
                                         const MaskOptions& options) {
  check(options);
  check(poses, fields, size);
  const std::size_t pixels = static_cast<std::size_t>(size.height) * static_cast<std::size_t>(size.width);
  std::vector<Masks> results(poses.size());
  for (std::size_t i = 0; i < poses.size(); ++i) {
    const Poses& people = poses[i];
    const int n = static_cast<int>(i);
    const bool short_too = fields.short_offsets.data != nullptr;
    const Field short_offsets = short_too ? fields.short_offsets.image(n) : Field();
    Masks& masks = results[i];
    masks.count = people.count;
    masks.size = size;
    masks.pixels.resize(static_cast<std::size_t>(people.count) * pixels);
    masks.scores.resize(static_cast<std::size_t>(people.count));
    associate_pixels({people.keypoints.data(), people.keypoint_probabilities.data(), people.scores.data(), people.count,
                      people.n_keypoints},
                     fields.segmentation.image(n), fields.long_offsets.image(n), short_too ? &short_offsets : nullptr,
                     size.height, size.width, options, masks.pixels.data(), /*clear=*/true, masks.scores.data(),
                     scratch().masks);
  }
  return results;
}

}  // namespace personlab

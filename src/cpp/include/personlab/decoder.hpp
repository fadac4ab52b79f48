// Decodes the fields of a network: poses, masks and mask scores of batches of images (PersonLab, ECCV 2018, section 3).
#pragma once

#include <memory>
#include <vector>

#include "personlab/export.hpp"
#include "personlab/options.hpp"
#include "personlab/types.hpp"

namespace personlab {

// Owns the scratch memory of decoding and keeps it from call to call. One thread at a time uses a Decoder; any number
// of Decoders work side by side. Before anything is allocated, calls throw std::invalid_argument for arguments that
// are out of range or do not fit together: "heatmaps: expected 17 planes, got 16". They throw Interrupted where
// options.interrupt ends them.
class PERSONLAB_API Decoder {
 public:
  Decoder();
  ~Decoder();
  Decoder(Decoder&& other) noexcept;
  Decoder& operator=(Decoder&& other) noexcept;

  // Returns the poses of each of the N images (section 3.1). options.threads share the images of a batch, or the
  // parts of a single image.
  std::vector<Poses> decode_poses(const PoseFields& fields, const DecodeOptions& options = {},
                                  const Skeleton& skeleton = coco_person());

  // Returns the masks, and their scores, of the poses of each of the N images (section 3.2). The fields are stretched
  // over an image of this size, corner pixel on corner pixel. A pose that is not finite, or has a negative
  // probability, owns no pixel.
  std::vector<Masks> decode_masks(const std::vector<Poses>& poses,  // (N)
                                  const MaskFields& fields, ImageSize size, const MaskOptions& options = {});

 private:
  struct Scratch;
  Scratch& scratch();
  std::unique_ptr<Scratch> scratch_;  // from the first call on
};

}  // namespace personlab

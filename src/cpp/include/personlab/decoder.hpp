// Decodes the fields of a network: poses, masks and mask scores of batches of images (PersonLab, ECCV 2018, section 3).
#pragma once

#include <memory>
#include <vector>

#include "personlab/export.hpp"
#include "personlab/options.hpp"
#include "personlab/types.hpp"

namespace personlab {

// Owns the scratch memory of decoding, which it keeps from call to call. One thread at a time may use a Decoder; any number
// of them may work side by side. All calls throw std::invalid_argument, before anything is allocated, for arguments that do not
// fit together or are out of range: "heatmaps: expected 17 planes, got 16"; and Interrupted where options.interrupt ends them.
class PERSONLAB_API Decoder {
 public:
  Decoder();
  ~Decoder();
  Decoder(Decoder&& other) noexcept;
  Decoder& operator=(Decoder&& other) noexcept;

  // Returns the poses of each of the N images (section 3.1). Images of a batch share options.threads; so do parts of a single one.
  std::vector<Poses> decode_poses(const PoseFields& fields, const DecodeOptions& options = {},
                                  const Skeleton& skeleton = coco_person());

  // Returns the masks, and their scores, of the poses of each of the N images (section 3.2). The fields are stretched over an
  // image of this size, corner pixel on corner pixel. A pose that is not finite, or with a negative probability, owns no pixel.
  std::vector<Masks> decode_masks(const std::vector<Poses>& poses,  // (N)
                                  const MaskFields& fields, ImageSize size, const MaskOptions& options = {});

 private:
  struct Scratch;
  std::unique_ptr<Scratch> scratch_;
};

}  // namespace personlab

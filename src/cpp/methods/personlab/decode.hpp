// Whole decodings: fields of images in, poses out, by the paper's decoder or PoseNet's.
#pragma once

#include <vector>

#include "base/types.hpp"
#include "methods/personlab/scratch.hpp"

namespace personlab {

// The paper's decoder, section 3.1; leaves its result in scratch.poses and scratch.ranking.
void decode_personlab(const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets,
                      const Skeleton& skeleton, const DecodeOptions& options, DecodeScratch& scratch);

// The decoder of Google's PoseNet, number for number; leaves its result in the same places.
void decode_posenet(const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets,
                    const Skeleton& skeleton, const DecodeOptions& options, DecodeScratch& scratch);

// Decodes all images of a batch, whose arguments have been checked. options.threads share the images, or the parts of a
// single image.
void decode_batch(const PoseFields& fields, const Skeleton& skeleton, const DecodeOptions& options,
                  std::vector<DecodeScratch>& scratch,  // at least one for each thread after the call
                  std::vector<Poses>& poses);           // resized to N

}  // namespace personlab

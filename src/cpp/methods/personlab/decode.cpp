// The paper's decoder: its stages in a row.
#include "methods/personlab/stages.hpp"

namespace personlab {

void decode_personlab(const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets,
                      const Skeleton& skeleton, const DecodeOptions& options, DecodeScratch& scratch) {
  hough_vote(heatmaps, short_offsets, options, scratch.hough, scratch.hough_scratch);
  find_peaks(scratch.hough, options, scratch.peaks);
  group_poses(scratch.peaks, heatmaps, short_offsets, mid_offsets, skeleton, options, scratch.poses, scratch.grow);
  score_poses(scratch.poses, scratch.hough, skeleton, options, true, scratch.score, scratch.ranking);
  sharpen_keypoints(scratch.hough, options, scratch.ranking.index, scratch.poses);
}

}  // namespace personlab

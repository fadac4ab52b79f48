// Times and counts of the stages of one decoding, for `personlab bench`.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.hpp"

namespace personlab {

struct StageTimes {
  // Seconds, one for each round. The scan, a plain read of the heatmaps, is part of the votes, and timed by itself too.
  std::vector<double> scan, vote, peaks, group, score;
  std::vector<double> add;  // in the same rounds: as many votes as were cast, all to one tile

  std::int64_t votes = 0;       // lattice points whose probability reaches the threshold
  std::int64_t high_tiles = 0;  // of Hough scores, with one that may be a peak
  std::int64_t poses = 0;       // grown
  std::int64_t scored = 0;      // keypoints with a probability
};

// Runs the stages of `decode_personlab` round after round, on the calling thread or as many as the options say.
StageTimes time_stages(const Field& heatmaps, const Field& short_offsets, const Field& mid_offsets,
                       const Skeleton& skeleton, const DecodeOptions& options, int rounds);

}  // namespace personlab

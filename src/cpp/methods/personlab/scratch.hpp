// Memory that the stages of pose decoding work in: owned by the caller, kept from call to call.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/types.hpp"
#include "methods/personlab/hough_plane.hpp"
#include "methods/personlab/kernels.hpp"
#include "methods/personlab/keypoint_grid.hpp"
#include "methods/personlab/pose_list.hpp"
#include "methods/personlab/votes.hpp"

namespace personlab {

// What one thread of Hough voting works in.
struct HoughWorker {
  std::vector<std::uint64_t> high;  // a bit for each cell: whether its logit reaches the threshold
  std::array<int, 4> shape{};       // what `points` were placed for
  CellPoints points;
  Ballots ballots;
};

struct HoughScratch {
  std::vector<HoughWorker> workers;
  std::vector<VoteSums> sums;
};

// A target keypoint waiting to join the pose that is growing.
struct Reached {
  float score;  // the key it waits by: probability, or logit
  int keypoint;
  double x, y;  // input pixels
};

// Where best-first search stands: waiting targets, those being followed on, and the keypoints found; and where poses
// lie that have been found before.
struct GrowScratch {
  std::vector<Reached> queue, sources;
  std::vector<std::uint8_t> done;  // (K)
  KeypointGrid grid;
};

// What scoring works in.
struct ScoreScratch {
  // A pose and what its instance score is, or is not above.
  struct Candidate {
    double score;
    int rank;  // in the order of soft NMS
    int row;   // of its keypoint scores, or -1
  };
  KeypointGrid grid;
  std::vector<int> order;            // (P) poses by rank
  std::vector<double> means;         // (P) of keypoint scores
  std::vector<std::uint8_t> free;    // (P, K) by pose
  std::vector<Candidate> waiting, together, best;
  std::vector<float> rows;           // (R, K) s_jk of poses that were scored
};

// Everything that decoding one image works in.
struct DecodeScratch {
  std::vector<HoughPlane> hough;
  HoughScratch hough_scratch;
  std::vector<std::uint64_t> high;  // a bit for each cell that may be a seed
  std::vector<Peak> peaks;
  std::vector<std::uint64_t> order;  // of PoseNet's seeds: keys that hold their places among the peaks
  GrowScratch grow;
  PoseList poses;
  ScoreScratch score;
  Ranking ranking;
};

}  // namespace personlab

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

// Working memory of one thread of Hough voting.
struct HoughWorker {
  std::vector<std::uint64_t> high;  // a bit for each cell: whether its logit reaches the threshold
  std::array<int, 4> shape{};       // of `points`
  CellPoints points;
  VoteBatch batch;
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

// State of best-first search.
struct GrowScratch {
  std::vector<Reached> queue;      // targets that wait
  std::vector<Reached> sources;    // keypoints whose edges are followed next
  std::vector<std::uint8_t> done;  // (K)
  KeypointGrid grid;               // of the poses before
};

// Working memory of scoring.
struct ScoreScratch {
  // A pose and its instance score, or an upper bound.
  struct Candidate {
    double score;
    int rank;  // in the order of soft NMS
    int row;   // of its keypoint scores, or -1
  };
  KeypointGrid grid;
  std::vector<int> order;          // (P) poses by rank
  std::vector<double> means;       // (P) of keypoint scores
  std::vector<std::uint8_t> free;  // (P, K) by pose
  std::vector<Candidate> queue;    // heap, the best on top
  std::vector<Candidate> batch;    // scored side by side
  std::vector<Candidate> best;     // heap, the worst on top
  std::vector<float> rows;         // (R, K) s_jk of poses that were scored
};

inline bool ranks_before(const ScoreScratch::Candidate& a, const ScoreScratch::Candidate& b) {
  return a.score != b.score ? a.score > b.score : a.rank < b.rank;
}

// Working memory of decoding one image.
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

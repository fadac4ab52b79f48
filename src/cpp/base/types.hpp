// Non-owning views, options and results of the decoding core, and the one order that all candidates are sorted by.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/elements.hpp"
#include "methods/personlab/hough_tile.hpp"

namespace personlab {

class Interrupt;

// A stack of planes on a grid of field cells; cell (i, j) lies at input pixel (x = j * stride, y = i * stride).
// Offset fields (C, 2, h, w) are stacks of 2C planes: plane 2c holds dx, plane 2c + 1 holds dy, in input pixels.
struct Field {
  const void* data = nullptr;  // (planes, height, width)
  int planes = 0;
  int height = 0;
  int width = 0;
  int stride = 1;  // input pixels
  Element element = Element::kFloat32;

  std::size_t cells() const { return static_cast<std::size_t>(height) * static_cast<std::size_t>(width); }
  std::size_t element_size() const { return element == Element::kFloat32 ? sizeof(float) : sizeof(std::uint16_t); }
  template <typename T = float>  // T is what the elements are
  const T* plane(int p) const {
    return static_cast<const T*>(data) + static_cast<std::size_t>(p) * cells();
  }
  const void* cell(int p, std::size_t i) const {  // of plane p, in raster order
    return static_cast<const char*>(data) + (static_cast<std::size_t>(p) * cells() + i) * element_size();
  }
  int last_x() const { return (width - 1) * stride; }   // input pixel of the last column
  int last_y() const { return (height - 1) * stride; }  // input pixel of the last row
};

// Calls work(T()) for the type T of a field's elements.
template <typename Work>
auto with_elements(const Field& field, const Work& work) {
  switch (field.element) {
    case Element::kFloat16:
      return work(Float16());
    case Element::kBfloat16:
      return work(Bfloat16());
    default:
      return work(float());
  }
}

// K keypoint types joined by 2E directed edges, those that leave one keypoint side by side.
struct Skeleton {
  struct Edge {
    int channel;  // of the mid-range offsets
    int target;   // keypoint
  };
  int n_keypoints = 0;
  std::vector<Edge> edges;   // (2E), grouped by source
  std::vector<int> first;    // (K + 1), edges of keypoint k: first[k] .. first[k + 1]
  std::vector<float> sigmas;  // (K), of OKS
  bool acyclic = true;        // whether at most one way leads from any keypoint to any other

  Skeleton(int n_keypoints, const std::vector<std::pair<int, int>>& pairs, const std::vector<float>& sigmas);
  int n_edges() const { return static_cast<int>(edges.size()) / 2; }
};

struct DecodeOptions {
  int hough_stride;      // g, input pixels
  float disk_radius;     // R, input pixels
  float vote_threshold;  // probability
  float peak_threshold;  // Hough score
  float nms_radius;      // input pixels
  int refine_steps;
  bool expected_oks;  // else score by the heatmap
  bool posenet;       // Google's decoder, else the paper's
  float min_score;    // instance score
  int max_poses;
  int threads;
  bool rank_by_mean;         // soft NMS in the order of mean keypoint scores, else in that of the seeds
  bool mean_instance_score;  // instance score is the mean of the free keypoint scores, else their root mean square
  float sharpen;             // sigma of the final mean shift, input pixels; 0 = none
  Interrupt* interrupt = nullptr;  // asked during long calls, on the CPU
};

struct MaskOptions {
  float mask_threshold;      // probability
  float distance_threshold;  // in units of a pose's size
  int long_refine_steps;
  int short_refine_steps;
  bool exclusive;
  int threads;
  float score_power;  // of the mean person probability in mask scores
  Interrupt* interrupt = nullptr;  // asked during long calls, on the CPU
};

// The number of the lowest bit that is set, of a word that is not 0.
inline int lowest_bit(std::uint64_t word) {
#if defined(__GNUC__) || defined(__clang__)
  return __builtin_ctzll(word);
#else
  int bit = 0;
  for (; (word & 1) == 0; word >>= 1) ++bit;
  return bit;
#endif
}

// A local maximum of the Hough scores.
struct Peak {
  float score;
  int keypoint;
  float x, y;  // input pixels
};

// The order of candidates in every stage: score descending, ties by keypoint, y, x ascending.
template <typename Candidate>
PERSONLAB_HD bool precedes(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score > b.score;
  if (a.keypoint != b.keypoint) return a.keypoint < b.keypoint;
  if (a.y != b.y) return a.y < b.y;
  return a.x < b.x;
}

// Poses while they are being made: coordinates in double, so that they are rounded once, at the end.
struct PoseList {
  int n_keypoints = 0;
  int count = 0;
  std::vector<double> keypoints;     // (count, K, 2) input pixels
  std::vector<float> probabilities;  // (count, K) p_k(y_jk)
  std::vector<std::uint8_t> free;    // (count, K) whether no pose before has the keypoint within nms_radius; or empty

  void clear(int k) {
    n_keypoints = k;
    count = 0;
    keypoints.clear();
    probabilities.clear();
    free.clear();
  }
  const double* pose(int j) const { return keypoints.data() + static_cast<std::size_t>(j) * 2 * n_keypoints; }
  const float* probability(int j) const { return probabilities.data() + static_cast<std::size_t>(j) * n_keypoints; }
};

// Which poses are kept, best first, and their scores.
struct Ranking {
  std::vector<int> index;             // (Q)
  std::vector<float> keypoint_scores;  // (Q, K) s_jk
  std::vector<float> scores;          // (Q)
};

// Scores on the Hough lattice of one keypoint type, stored only where votes fell: tiles of kTile x kTile points. The
// lattice has a margin of one point around it, always 0, so lattice point (row, column) lies at (row + 1, column + 1).
struct HoughPlane {
  static constexpr int kTile = kHoughTile;
  static constexpr int kTilePoints = kTile * kTile;

  int rows = 0, columns = 0;            // of the lattice, without the margin
  int tile_rows = 0, tile_columns = 0;  // of the lattice with its margin
  std::vector<std::int32_t> slot;       // (tile_rows, tile_columns): place in `scores`, -1 where no vote fell
  std::vector<std::int32_t> touched;    // tiles with a slot, in the order of their slots
  std::vector<float> highest;           // (slots) no score of the tile is above it
  std::vector<float> scores;            // (slots or more, kTile, kTile)

  // Empties the plane for a lattice of this size.
  void reset(int lattice_rows, int lattice_columns);
  // Gives a tile a slot and returns its scores, for the caller to fill.
  float* add(int tile);
  // Score at a lattice point; row and column from -1 to rows and columns.
  float at(int row, int column) const {
    const int i = row + 1, j = column + 1;
    const std::int32_t s = slot[static_cast<std::size_t>(i / kTile) * tile_columns + j / kTile];
    return s < 0 ? 0.0F : scores[static_cast<std::size_t>(s) * kTilePoints + (i % kTile) * kTile + j % kTile];
  }
};

}  // namespace personlab

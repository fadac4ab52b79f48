// Input, options and skeleton of decoding maps of keypoints and limbs.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/interrupt.hpp"
#include "personlab/types.hpp"

namespace personlab::simple_pose {

constexpr int kMaxMapStride = 256;  // input pixels from cell to cell

enum class Rules : std::uint8_t { kDefault, kPartB, kDemo, kPartA };
enum class Position : std::uint8_t { kParabola, kCentroid, kSwappedCentroid, kCell };

// How people are read from maps: the options and defaults of Python's SimplePoseOptions.
struct MapOptions {
  double peak_threshold = 0.1;  // local maxima below it are no candidates; >= 1e-9
  double limb_threshold = 0.1;  // samples up to it do not support a limb; >= 0
  double min_support = 0.8;     // share of samples that support a limb; 0 .. 1
  int max_samples = 10;         // along a limb; 2 .. 1024
  Position position = Position::kParabola;
  int box_radius = 2;           // of the centroid's box, image pixels; 0 .. 64
  double length_ratio = 16.0;   // of a limb to the longest of its body, at most
  double merge_ratio = 0.7;     // of a limb's score to the lowest of two bodies, at least
  bool resolve_shared = false;  // whether of two bodies that share a keypoint type one loses an end
  int min_keypoints = 1;        // of a body
  double min_score = 0.45;      // mean of keypoint and limb scores of a body
  int max_peaks = 256;          // of one type, the highest
  double max_reach = 4.0;       // of a limb to the shortest sure one of its first peak, at most; >= 1
  int max_poses = 1000;         // people kept, best first
  int threads = 1;              // that share the work of one call; 1 .. 1024
  Rules rules = Rules::kDefault;
  Interrupt* interrupt = nullptr;  // or null

  bool is_original() const { return rules != Rules::kDefault; }
};

// Throws std::invalid_argument where an option is out of range.
void check(const MapOptions& options);

// K keypoint types joined by E limbs, and which of them are the keypoints of people; immutable.
struct LimbSkeleton {
  const int n_keypoints;
  const std::vector<std::pair<int, int>> limbs;  // (E) keypoints at the first and the second end
  const std::vector<int> people;                 // (Q) keypoint type of each keypoint of a person

  // Throws std::invalid_argument where an index is out of range.
  LimbSkeleton(int n_keypoints, std::vector<std::pair<int, int>> limbs, std::vector<int> people);
  int n_limbs() const { return static_cast<int>(limbs.size()); }
};

// The maps of images at one scale. The centre of cell (i, j) is input pixel ((j + .5) * stride - .5, likewise i); the
// first `inner` pixels of the input show the image.
struct MapView {
  Field keypoints;  // K planes
  Field limbs;      // E planes
  ImageSize inner;

  // Rows and columns of cells that show the image.
  int rows() const { return (inner.height + keypoints.stride - 1) / keypoints.stride; }
  int columns() const { return (inner.width + keypoints.stride - 1) / keypoints.stride; }
  MapView image(int n) const { return {keypoints.image(n), limbs.image(n), inner}; }
};

// The maps of N images of one size.
struct MapBatch {
  int images = 1;
  std::vector<MapView> views;  // scales, at least one; one alone for the default rules
  ImageSize size;              // of the image
};

// A peak of a keypoint's map.
struct MapPeak {
  int anchor_x, anchor_y;  // cell, or pixel of the image for originals
  double x, y;             // the same unit
  double score;
};

// Peaks by type, each row by row; a peak's place in `all` is its id.
struct MapPeaks {
  std::vector<MapPeak> all;
  std::vector<int> first;  // (K + 1)
};

// Two peaks that a limb joins.
struct Connection {
  int limb, a, b;              // ids of the peaks
  int i, j;                    // their places among the peaks of their types
  double score, length, rank;  // length in image pixels
};

// Bodies, in the order in which they began.
struct BodyList {
  int n_keypoints = 0;
  int count = 0;
  std::vector<int> peaks;       // (count, K) id or -1
  std::vector<double> limbs;    // (count, K) score of the limb that holds the peak
  std::vector<double> totals;   // (count)
  std::vector<int> sizes;       // (count)
  std::vector<double> longest;  // (count) limb, image pixels

  void clear(int k) {
    n_keypoints = k;
    count = 0;
    peaks.clear(), limbs.clear(), totals.clear(), sizes.clear(), longest.clear();
  }
};

}  // namespace personlab::simple_pose

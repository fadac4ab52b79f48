// Input and output of decoding: views of a network's fields, the skeleton, poses and masks.
//
// Coordinates are (x, y) pixels of the network input, x right, y down; an integer value is a pixel centre. Sizes are
// (H, W).
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "personlab/export.hpp"

namespace personlab {

constexpr int kMaxStride = 4096;    // input pixels from cell to cell
constexpr int kMaxInput = 1 << 20;  // input pixels each way: up to there float32 tells eighths of a pixel apart
constexpr int kMaxGrid = 1 << 30;   // cells, or Hough lattice points, of one keypoint type, and images of a batch

// Element type of a field; 16 bits become float32, exactly, where they are read. The numbers are part of the interface.
enum class Element : std::uint8_t { kFloat32, kFloat16, kBfloat16 };

// A view of planes on a grid of cells, in C order; cell (i, j) lies at input pixel (x = j * stride, y = i * stride).
// Offset fields (C, 2, h, w) are 2C planes: plane 2c holds dx, plane 2c + 1 holds dy, in input pixels.
struct Field {
  const void* data = nullptr;  // (planes, height, width), aligned; of a batch (N, planes, height, width)
  int planes = 0;              // of one image
  int height = 0;
  int width = 0;
  int stride = 1;  // input pixels
  Element element = Element::kFloat32;

  std::size_t cells() const { return static_cast<std::size_t>(height) * static_cast<std::size_t>(width); }
  std::size_t element_size() const { return element == Element::kFloat32 ? sizeof(float) : sizeof(std::uint16_t); }
  template <typename T = float>  // T is the element type
  const T* plane(int p) const {
    return static_cast<const T*>(data) + static_cast<std::size_t>(p) * cells();
  }
  const void* cell(int p, std::size_t i) const {  // of plane p, in raster order
    return static_cast<const char*>(data) + (static_cast<std::size_t>(p) * cells() + i) * element_size();
  }
  Field image(int n) const {  // of a batch
    Field field = *this;
    const std::size_t bytes = static_cast<std::size_t>(planes) * cells() * element_size();
    field.data = static_cast<const char*>(data) + static_cast<std::size_t>(n) * bytes;
    return field;
  }
  int last_x() const { return (width - 1) * stride; }   // input pixel of the last column
  int last_y() const { return (height - 1) * stride; }  // input pixel of the last row
};

// The fields of N images that poses come from, on one grid, of one element type.
struct PoseFields {
  int images = 1;       // N
  Field heatmaps;       // K planes of logits
  Field short_offsets;  // 2K planes, to the nearest keypoint of type k
  Field mid_offsets;    // 4E planes, along each directed edge

  PoseFields image(int n) const { return {1, heatmaps.image(n), short_offsets.image(n), mid_offsets.image(n)}; }
};

// The fields of N images that masks come from, on one grid.
struct MaskFields {
  int images = 1;       // N
  Field segmentation;   // 1 plane of logits
  Field long_offsets;   // 2K planes, from a person's pixel to keypoint k
  Field short_offsets;  // 2K planes; without data, refinement by short offsets is left out
};

// K keypoint types joined by 2E directed edges; immutable.
struct PERSONLAB_API Skeleton {
  struct Edge {
    int channel;  // of the mid-range offsets
    int target;   // keypoint
  };
  const int n_keypoints;
  const std::vector<Edge> edges;    // (2E), grouped by source
  const std::vector<int> first;     // (K + 1), edges of keypoint k: first[k] .. first[k + 1]
  const std::vector<float> sigmas;  // (K), of OKS
  const bool acyclic;               // whether at most one way leads from any keypoint to any other

  // Edge e of E (parent, child) is directed edge e, and directed edge E + e from child to parent.
  // Throws std::invalid_argument where keypoints, edges and sigmas disagree.
  Skeleton(int n_keypoints, const std::vector<std::pair<int, int>>& edges, const std::vector<float>& sigmas);
  int n_edges() const { return static_cast<int>(edges.size()) / 2; }
};

// COCO's 17 keypoints and sigmas, joined by the 16 edges of the published PersonLab networks.
PERSONLAB_API const Skeleton& coco_person();

// Poses of one image, best first.
struct Poses {
  int count = 0;  // P
  int n_keypoints = 0;
  std::vector<float> keypoints;               // (P, K, 2) input pixels
  std::vector<float> keypoint_scores;         // (P, K) s_jk
  std::vector<float> keypoint_probabilities;  // (P, K) p_jk, by which masks weigh
  std::vector<float> scores;                  // (P) instance scores
};

// Size of an image, pixels.
struct ImageSize {
  int height = 0;
  int width = 0;
};

// Masks of the poses of one image, and their scores.
struct Masks {
  int count = 0;  // P
  ImageSize size;
  std::vector<std::uint8_t> pixels;  // (P, H, W) 0 or 1
  std::vector<float> scores;         // (P) instance score times the mean person probability over the mask to a power
};

}  // namespace personlab

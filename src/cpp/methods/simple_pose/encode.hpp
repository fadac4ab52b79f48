// The contract of training targets: the maps of a perfect network for annotated people.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/interrupt.hpp"

namespace personlab::simple_pose {

enum class Overlap : std::uint8_t { kMax, kMean };
enum class TargetRules : std::uint8_t { kDefault, kPartB, kPartA };

// How people become maps; sigmas in input pixels.
struct TargetOptions {
  double keypoint_sigma = 9.0;
  double limb_sigma = 7.0;
  double threshold = 0.015;  // values of a person below it are 0
  Overlap overlap = Overlap::kMax;
  TargetRules rules = TargetRules::kDefault;
  int threads = 1;
  Interrupt* interrupt = nullptr;  // or null
};

// Throws std::invalid_argument where an option is out of range.
void check(const TargetOptions& options);

// Annotations of one image; masks are 0..255, how much of each pixel is so.
struct People {
  const float* keypoints;       // (P, K, 3): x, y in input pixels, finite where v > 0, which says labelled
  const std::uint8_t* people;   // (H, W) is a person, or null
  const std::uint8_t* counted;  // (H, W) counts, or null
  int count;                    // P
  int height, width;            // H, W of the network input, multiples of the stride
};

// What the maps show.
struct MapParts {
  int n_keypoints;                         // K
  std::vector<std::pair<int, int>> limbs;  // (L) of keypoints
};

// Targets on the h x w cells; cell i has its centre at pixel s * i + (s - 1) / 2.
struct MapViews {
  float* limbs;      // (L, h, w)
  float* keypoints;  // (K, h, w)
  float* person;     // (h, w)
  float* brightest;  // (h, w) max over the keypoints
  float* weights;    // (h, w) how much a cell counts
};

// Training targets of one image, Simple Pose section 3.1. Writes every cell; the same bytes for any number of threads.
void encode_maps(const People& people, const MapParts& parts, int stride, const TargetOptions& options,
                 const MapViews& maps);

}  // namespace personlab::simple_pose

// Per-point maths of discs around keypoints, on every backend.
#pragma once

#include "base/host_device.hpp"

namespace personlab {

// A Hough score above this, or below its negative, counts as not finite: sums over a disc could overflow.
constexpr float kLargestScore = 79228162514264337593543950336.0F;  // 2^96

// Distance of lattice point `point`, of a lattice of stride g, from a keypoint along one axis, input pixels.
PERSONLAB_HD float disc_distance(int point, int g, double centre) {
  return static_cast<float>(static_cast<double>(point) * g - centre);
}

// Whether a lattice point lies in a disc, from its squared `disc_distance` along the axes. In float32, so that points
// on the very edge are decided alike on every backend.
PERSONLAB_HD bool in_disc(float across2, float down2, float radius2) { return across2 <= radius2 - down2; }

// Sharpening: the disc's radius, and what the weighted Hough scores in it have to add up to for a keypoint to move.
constexpr double kSharpenRadius = 3.0;  // sigmas
constexpr double kSharpenMinMass = 1e-6;

}  // namespace personlab

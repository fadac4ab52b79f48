// Ranges of the options of decoding maps, and of a skeleton with limbs.
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "methods/simple_pose/maps.hpp"

namespace personlab::simple_pose {
namespace {

constexpr double kUnbounded = std::numeric_limits<double>::max();

[[noreturn]] void refuse(const char* name, const std::string& expected, const std::string& actual) {
  throw std::invalid_argument(std::string(name) + ": expected " + expected + ", got " + actual);
}

void check_number(const char* name, double value, double low, double high = kUnbounded) {
  if (value >= low && value <= high) return;
  refuse(name, "a finite number from " + std::to_string(low) + " to " + std::to_string(high), std::to_string(value));
}

void check_integer(const char* name, int value, int low, int high = std::numeric_limits<int>::max()) {
  if (value >= low && value <= high) return;
  refuse(name, "an integer from " + std::to_string(low) + " to " + std::to_string(high), std::to_string(value));
}

}  // namespace

void check(const MapOptions& options) {
  check_number("peak_threshold", options.peak_threshold, 1e-9);
  check_number("limb_threshold", options.limb_threshold, 0.0);
  check_number("min_support", options.min_support, 0.0, 1.0);
  check_integer("max_samples", options.max_samples, 2, 1024);
  check_integer("box_radius", options.box_radius, 0, 64);
  check_number("length_ratio", options.length_ratio, 0.0);
  check_number("max_reach", options.max_reach, 1.0);
  check_number("merge_ratio", options.merge_ratio, 0.0);
  check_integer("min_keypoints", options.min_keypoints, 1);
  check_number("min_score", options.min_score, 0.0);
  check_integer("max_peaks", options.max_peaks, 0);
  check_integer("max_poses", options.max_poses, 0);
  check_integer("threads", options.threads, 1, 1024);
}

LimbSkeleton::LimbSkeleton(int keypoints, std::vector<std::pair<int, int>> pairs, std::vector<int> chosen)
    : n_keypoints(keypoints), limbs(std::move(pairs)), people(std::move(chosen)) {
  check_integer("n_keypoints", n_keypoints, 1);
  for (const auto& [a, b] : limbs) {
    check_integer("limbs", a, 0, n_keypoints - 1);
    check_integer("limbs", b, 0, n_keypoints - 1);
    if (a == b) refuse("limbs", "two different keypoints", std::to_string(a) + " twice");
  }
  for (const int k : people) check_integer("people", k, 0, n_keypoints - 1);
}

}  // namespace personlab::simple_pose

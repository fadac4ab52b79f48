// Keypoints of poses by position: finding one nearby takes the same time for any number of poses.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/sampling.hpp"

namespace personlab {

// A few poses are searched one by one; more are in a hash table of square cells, each a list of keypoints.
class KeypointGrid {
 public:
  // Empties the grid for lookups within a radius among poses of K keypoints.
  void reset(int n_keypoints, double radius) {
    count_ = static_cast<std::size_t>(n_keypoints);
    radius2_ = radius * radius;
    const double cell = std::max(2.0 * radius, kMinCell);
    reach_ = radius + 1e-6 * cell;  // rounding never hides a keypoint within the radius
    inverse_ = 1.0 / cell;
    few_.clear();
    entries_.clear();
    first_.clear();
  }

  // Whether a keypoint of this type lies within the radius.
  bool has_near(int keypoint, double x, double y) const {
    if (first_.empty()) {
      for (std::size_t i = 2 * static_cast<std::size_t>(keypoint); i < few_.size(); i += 2 * count_)
        if (is_near(few_[i], few_[i + 1], x, y)) return true;
      return false;
    }
    const std::int32_t j0 = cell(x - reach_), j1 = cell(x + reach_), i1 = cell(y + reach_);
    for (std::int32_t i = cell(y - reach_); i <= i1; ++i) {
      for (std::int32_t j = j0; j <= j1; ++j) {
        for (std::int32_t e = first_[bucket(keypoint, i, j)]; e >= 0;) {
          const Entry& entry = entries_[static_cast<std::size_t>(e)];
          if (entry.keypoint == keypoint && is_near(entry.x, entry.y, x, y)) return true;
          e = entry.next;
        }
      }
    }
    return false;
  }

  // Adds the keypoints of a pose (K, 2).
  void add(const double* pose) {
    if (first_.empty()) {
      few_.insert(few_.end(), pose, pose + 2 * count_);
      if (few_.size() <= 2 * kFew * count_) return;
      first_.assign(kFirstBuckets, -1);
      for (std::size_t i = 0; i < few_.size(); i += 2 * count_) insert(few_.data() + i);
    } else {
      insert(pose);
    }
  }

 private:
  static constexpr double kMinCell = 4.0;  // input pixels
  static constexpr std::size_t kFew = 32;  // poses
  static constexpr std::size_t kFirstBuckets = 1024;

  struct Entry {
    double x, y;                  // input pixels
    std::int32_t keypoint, next;  // `next` of the same bucket, or -1
  };

  bool is_near(double px, double py, double x, double y) const {
    const double dx = px - x, dy = py - y;
    return dx * dx + dy * dy <= radius2_;
  }

  std::int32_t cell(double v) const { return floor_int(clamp(v * inverse_, -1073741824.0, 1073741824.0)); }

  std::size_t bucket(int keypoint, std::int32_t i, std::int32_t j) const {
    std::uint32_t hash = static_cast<std::uint32_t>(i) * 0x9e3779b1U ^ static_cast<std::uint32_t>(j) * 0x85ebca77U ^
                         static_cast<std::uint32_t>(keypoint) * 0xc2b2ae3dU;
    hash = (hash ^ hash >> 15) * 0x2c1b3c6dU;
    return (hash ^ hash >> 13) & (first_.size() - 1);
  }

  void link(std::int32_t e) {
    Entry& entry = entries_[static_cast<std::size_t>(e)];
    std::int32_t& first = first_[bucket(entry.keypoint, cell(entry.y), cell(entry.x))];
    entry.next = first;
    first = e;
  }

  void insert(const double* pose) {
    for (std::size_t k = 0; k < count_; ++k) {
      if (entries_.size() == first_.size()) rehash();
      entries_.push_back({pose[2 * k], pose[2 * k + 1], static_cast<std::int32_t>(k), -1});
      link(static_cast<std::int32_t>(entries_.size()) - 1);
    }
  }

  // Distributes the entries over four times as many buckets.
  void rehash() {
    first_.assign(4 * first_.size(), -1);
    for (std::size_t e = 0; e < entries_.size(); ++e) link(static_cast<std::int32_t>(e));
  }

  std::size_t count_ = 0;  // keypoints of a pose
  double radius2_ = 0.0, reach_ = 0.0, inverse_ = 1.0;
  std::vector<double> few_;  // (poses, K, 2)
  std::vector<Entry> entries_;
  std::vector<std::int32_t> first_;  // entry of each bucket, the others behind it; none for few poses
};

}  // namespace personlab

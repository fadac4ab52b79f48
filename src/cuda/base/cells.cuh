// Neighbours of a point without a look at every other: points in lists by cells of a grid, in a hash table.
//
// Lists are in any order and may hold points of other cells: callers go over a whole list and check each point.
#pragma once

#include "base/device.cuh"
#include "base/sampling.hpp"

namespace personlab {
namespace cuda {

// Up to so many points, callers check all of them and no lists are made.
constexpr int kFewPoints = 4096;

class CellLists {
 public:
  CellLists() = default;
  // For up to `rows` rows of `per_row` points in each image; without lists where the rows are few.
  CellLists(Arena& arena, int images, int rows, int per_row) {
    if (rows <= kFewPoints) return;
    capacity_ = rows * per_row;
    buckets_ = 1;
    while (buckets_ <= capacity_ / 2) buckets_ *= 2;
    heads_ = arena.take<int>(static_cast<std::size_t>(images) * buckets_);
    next_ = arena.take<int>(static_cast<std::size_t>(images) * capacity_);
  }

  // Empties the lists, for points that are near within `radius`.
  void clear(double radius, int images, cudaStream_t stream) {
    if (buckets_ == 0) return;
    side_ = clamp(radius, 1.0, 1e300);
    check(cudaMemsetAsync(heads_, 0xff, static_cast<std::size_t>(images) * buckets_ * sizeof *heads_, stream),
          "clearing lists");
  }

  __host__ __device__ bool in_use() const { return buckets_ > 0; }

  // The list that a point of type k is in. Point i < capacity joins it by next(i) = atomicExch(list, i).
  __device__ int* list(int image, int k, double x, double y) const { return heads_ + head(image, k, cell(x), cell(y)); }
  __device__ int& next(int image, int i) const { return next_[at(image, capacity_) + i]; }

  // Of the kAround cells that may hold points near this one, the point's own first: the first point of list `around`.
  static constexpr int kAround = 9;
  __device__ int first(int image, int k, double x, double y, int around) const {
    // 0, 1, -1 from the own cell: cells are larger than the radius by more than rounding, so these hold all near
    // points.
    const int right = (around % 3 + 1) % 3 - 1, down = (around / 3 + 1) % 3 - 1;
    return heads_[head(image, k, cell(x) - right, cell(y) - down)];
  }

 private:
  static __device__ std::size_t at(int image, int each) { return static_cast<std::size_t>(image) * each; }
  __device__ int cell(double v) const {
    constexpr double kMargin = 1.0 + 1e-6, kFar = 1e9;  // of the side; cells
    return floor_int(clamp(v / side_ / kMargin, -kFar, kFar));
  }
  __device__ std::size_t head(int image, int k, int column, int row) const {
    unsigned hash = static_cast<unsigned>(column) * 0x9e3779b1U ^ static_cast<unsigned>(row) * 0x85ebca77U ^
                    static_cast<unsigned>(k) * 0xc2b2ae3dU;
    hash ^= hash >> 15;
    hash *= 0x2c1b3c6dU;
    hash ^= hash >> 13;
    return at(image, buckets_) + (hash & static_cast<unsigned>(buckets_ - 1));
  }

  int* heads_ = nullptr;  // (N, buckets) first point of a list, -1 for none
  int* next_ = nullptr;   // (N, capacity)
  int buckets_ = 0, capacity_ = 0;
  double side_ = 1.0;  // input pixels
};

}  // namespace cuda
}  // namespace personlab

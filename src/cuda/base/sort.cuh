// Stable sorting of each image's list on the device: n log n steps for lists of any length, one launch for lists that
// fit a run.
#pragma once

#include "base/lists.cuh"

namespace personlab {
namespace cuda {

constexpr int kRun = 4096;  // items of a run, each placed by counting those that precede it

// A warp for each item counts its place in its run; equal items keep their order.
template <typename Item>
__global__ void sort_runs(Lists<Item> from, Lists<Item> to) {
  const int image = static_cast<int>(blockIdx.y), count = from.count(image), warps = kBlock / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const Item* const list = from.of(image);
  for (int i = static_cast<int>(blockIdx.x) * warps + warp; i < count; i += static_cast<int>(gridDim.x) * warps) {
    const int first = i / kRun * kRun, last = count - first < kRun ? count : first + kRun;
    const Item own = list[i];
    int ahead = 0;
    for (int other = first + lane; other < last; other += kWarp) {
      const Item item = list[other];
      ahead += precedes(item, own) || (other < i && !precedes(own, item)) ? 1 : 0;
    }
    ahead = sum_warp(ahead);
    if (lane == 0) to.of(image)[first + ahead] = own;
  }
}

// Merges runs of `width` two by two: an item's place is its own, and how many items of the other run precede it. Lists
// of up to `sorted_count` items are sorted already and stay as they are.
template <typename Item>
__global__ void merge_runs(Lists<Item> from, Lists<Item> to, int width, int sorted_count) {
  const int image = static_cast<int>(blockIdx.y), count = from.count(image);
  if (count <= sorted_count) return;
  const Item* const list = from.of(image);
  for (int i = static_cast<int>(blockIdx.x * kBlock + threadIdx.x); i < count;
       i += static_cast<int>(gridDim.x) * kBlock) {
    const Item own = list[i];
    const bool is_left = i / width % 2 == 0;
    const int other = (i / width + (is_left ? 1 : -1)) * width;  // where the other run begins, or past the list
    int low = other, high = count - other < width ? count : other + width;
    while (low < high) {
      const int middle = low + (high - low) / 2;
      const Item item = list[middle];
      const bool before = is_left ? precedes(item, own) : !precedes(own, item);
      low = before ? middle + 1 : low;
      high = before ? high : middle;
    }
    const int passed = low - other;
    to.of(image)[is_left ? i + passed : i - width + passed] = own;
  }
}

// Sorts from `list`, whose items are overwritten, to `sorted`; both share their counts.
template <typename Item>
void sort(const Lists<Item>& list, int images, cudaStream_t stream, const Lists<Item>& sorted) {
  launch<Threads::kTogether>(sort_runs<Item>, loop_grid(list.capacity, kBlock / kWarp, images), dim3(kBlock), stream,
                             list, sorted);
  const dim3 grid = loop_grid(list.capacity, kBlock, images);
  for (int width = kRun; width < list.capacity; width *= 4) {  // two at a time: to `list` and back to `sorted`
    launch(merge_runs<Item>, grid, dim3(kBlock), stream, sorted, list, width, width);
    launch(merge_runs<Item>, grid, dim3(kBlock), stream, list, sorted, 2 * width, width);
  }
}

}  // namespace cuda
}  // namespace personlab

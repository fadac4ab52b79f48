// The kernel table of a second method: tables stand side by side, and vectors compute as scalars do.
#pragma once

#include <cstdint>

namespace personlab {
namespace second {

constexpr int kCount = 32;  // values: a multiple of any register

// Results of the vector vocabulary on two arrays a and b, one for each lane; those of comparisons are bits.
struct Results {
  float min[kCount], max[kCount], selected[kCount], root[kCount], floor[kCount], exp[kCount], sigmoid[kCount],
      half[kCount];
  std::int32_t truncated[kCount];
  std::uint32_t ge, gt, le;
  bool any_gt[kCount], all_ge[kCount];  // of the register that the lane is in
};

struct Kernels {
  void (*compute)(const float* a, const float* b, const std::uint16_t* half, Results& results);
};

const Kernels& kernels();

}  // namespace second
}  // namespace personlab

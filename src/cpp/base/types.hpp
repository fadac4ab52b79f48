// Views, options, and the one order that all candidates are sorted by.
#pragma once

#include <cstdint>

#include "base/elements.hpp"
#include "base/host_device.hpp"
#include "personlab/options.hpp"
#include "personlab/types.hpp"

namespace personlab {

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

// The number of bits that are set; by hand, for without an instruction of the processor's it would be a call.
inline int count_bits(std::uint64_t word) {
  word -= word >> 1 & 0x5555555555555555;
  word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
  word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
  return static_cast<int>(word * 0x0101010101010101 >> 56);
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

}  // namespace personlab

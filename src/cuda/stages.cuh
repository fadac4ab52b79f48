// The contract of decoding on a GPU: the stages of ../cpp/stages.hpp for a batch of N pictures, with a stream.
//
// All memory belongs to the caller and lies on the device. Nothing here waits for the device: results are there once the
// stream has come so far.
#pragma once

#include "device.cuh"

namespace personlab {
namespace cuda {

// The lattice of pixels that are multiples of g, and what votes are worth on it.
struct Lattice {
  int rows = 0, columns = 0;
  int stride = 1;         // g, input pixels
  float lowest = 0.0F;    // logit of the vote threshold
  float inverse = 1.0F;   // lattice points per input pixel
  float unit = 1.0F;      // fixed-point value of a certain vote
  double scale = 1.0;     // score of a fixed-point value of 1
  bool wide = false;      // whether sums may go beyond 2^31

  Lattice(const Field& heatmaps, const DecodeOptions& options);
  __host__ __device__ std::size_t points() const { return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns); }
  // The score of a sum, rounded as the CPU core rounds it.
  __device__ float score(unsigned long long sum) const {
    return wide ? static_cast<float>(static_cast<double>(sum) * scale)
                : static_cast<float>(static_cast<long long>(sum)) * static_cast<float>(scale);
  }
};

// Hough voting, section 3.1.1: sums of votes, fixed point.
void hough_vote(const Field& heatmaps,       // (N, K, h, w)
                const Field& short_offsets,  // (N, 2K, h, w)
                const Lattice& lattice, cudaStream_t stream,
                unsigned long long* sums);  // (N, K, rows, columns)

// The scores of these sums.
void hough_scores(const unsigned long long* sums, std::size_t count, const Lattice& lattice, cudaStream_t stream,
                  float* scores);  // (count)

}  // namespace cuda
}  // namespace personlab

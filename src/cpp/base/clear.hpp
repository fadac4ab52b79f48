// Making memory zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace personlab {

// Makes n bytes zero that are not read soon: past the caches, where the processor can, which takes less time once these
// are smaller than all that is cleared. Other threads see it after `finish_clearing`.
inline void clear_past_caches(std::uint8_t* bytes, std::size_t n) {
#if defined(__SSE2__)
  constexpr std::size_t kLine = 64;
  const std::size_t start = (kLine - reinterpret_cast<std::uintptr_t>(bytes) % kLine) % kLine;
  if (n >= start + kLine) {
    const std::size_t lines = (n - start) / kLine * kLine;
    std::memset(bytes, 0, start);
    const __m128i zero = _mm_setzero_si128();
    for (std::uint8_t *at = bytes + start, *end = at + lines; at < end; at += 16)
      _mm_stream_si128(reinterpret_cast<__m128i*>(at), zero);
    bytes += start + lines;
    n -= start + lines;
  }
#endif
  std::memset(bytes, 0, n);
}

inline void finish_clearing() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

}  // namespace personlab

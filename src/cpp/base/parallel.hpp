// Runs independent pieces of one call on several threads.
#pragma once

#include <algorithm>

#include "base/interrupt.hpp"

namespace personlab {

// Pieces of work, without its type.
struct Pieces {
  int count;
  const void* work;
  void (*run)(const void* work, int piece, int worker);
  Interrupt* interrupt;  // or null
};

// Runs all pieces on the calling thread, as worker 0, and on up to `workers` - 1 idle helper threads.
void share(const Pieces& pieces, int workers);

// Calls work(piece, worker) for every piece 0 .. pieces - 1, begun in this order; worker < min(threads, pieces) is the
// thread's number, for scratch of its own. Rethrows the first exception once all threads have ended; throws Interrupted
// where the interrupt ends the call.
template <typename Work>
void parallel_for(int pieces, int threads, Interrupt* interrupt, const Work& work) {
  const int workers = std::min(threads, pieces);
  if (workers > 1) {
    const auto run = [](const void* own, int piece, int worker) { (*static_cast<const Work*>(own))(piece, worker); };
    share({pieces, &work, run, interrupt}, workers);
  } else {
    for (int piece = 0; piece < pieces; ++piece) {
      poll(interrupt);
      work(piece, 0);
    }
  }
}

template <typename Work>
void parallel_for(int pieces, int threads, const Work& work) {
  parallel_for(pieces, threads, nullptr, work);
}

}  // namespace personlab

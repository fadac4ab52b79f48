// Independent pieces of one call on several threads.
#pragma once

#include <algorithm>

namespace personlab {

// Work on pieces, whatever its type is.
struct Pieces {
  int count;
  const void* work;
  void (*run)(const void* work, int piece, int worker);
};

// Runs all pieces on the calling thread, as worker 0, and on up to `workers` - 1 others, whichever of them have nothing else
// to do.
void share(const Pieces& pieces, int workers);

// Calls work(piece, worker) for every piece 0 .. pieces - 1, begun in this order; worker < min(threads, pieces) names the
// thread, so that each can have scratch of its own. The first exception is thrown again here once all threads have ended.
template <typename Work>
void parallel_for(int pieces, int threads, const Work& work) {
  const int workers = std::min(threads, pieces);
  if (workers > 1) {
    share({pieces, &work, [](const void* own, int piece, int worker) { (*static_cast<const Work*>(own))(piece, worker); }},
          workers);
  } else {
    for (int piece = 0; piece < pieces; ++piece) work(piece, 0);
  }
}

}  // namespace personlab

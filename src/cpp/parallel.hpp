// Independent pieces of one call on several threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace personlab {

// Calls work(piece, worker) for every piece 0 .. pieces - 1; worker < min(threads, pieces) names the thread, so that each
// can have scratch of its own. The first exception is thrown again here once all threads have ended.
template <typename Work>
void parallel_for(int pieces, int threads, const Work& work) {
  const int workers = std::min(threads, pieces);
  if (workers <= 1) {
    for (int piece = 0; piece < pieces; ++piece) work(piece, 0);
    return;
  }
  std::atomic<int> next{0};
  std::exception_ptr failure;
  std::mutex failing;
  const auto run = [&](int worker) {
    try {
      for (int piece = next++; piece < pieces; piece = next++) work(piece, worker);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(failing);
      if (!failure) failure = std::current_exception();
      next = pieces;
    }
  };
  std::vector<std::thread> pool;
  pool.reserve(static_cast<std::size_t>(workers) - 1);
  try {
    for (int worker = 1; worker < workers; ++worker) pool.emplace_back(run, worker);
  } catch (...) {
    // No more threads or no memory for them: those that started and this one do all the work.
  }
  run(0);
  for (std::thread& thread : pool) thread.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace personlab

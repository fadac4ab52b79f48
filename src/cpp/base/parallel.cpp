// The threads that help callers with their pieces: the core's one piece of state that no caller owns, because starting threads
// takes as long as decoding a small image.
//
// Helpers start when a call first asks for them, and sleep while there is nothing to do. A caller works on its own pieces too,
// and waits for nobody but the helpers that are inside its call already: where all are busy elsewhere it does everything
// itself, so that calls from many threads, and calls within calls, cannot hold each other up.
#include "base/parallel.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#ifndef _WIN32
#include <pthread.h>
#include <signal.h>
#endif

namespace personlab {
namespace {

// Helpers between two calls, and callers whose last pieces are with helpers, look this long before they sleep: waking up takes
// about as long.
constexpr std::chrono::microseconds kLook{30};

// Callers whose last pieces are with helpers ask this often whether the call is to end.
constexpr std::chrono::milliseconds kAsk{2};

template <typename Condition>
void look_for(const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + kLook;
  while (!condition() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
}

// One call that is under way, on its caller's stack.
struct Call {
  Call(const Pieces& all, int most) : pieces(all), helpers(most) {}

  const Pieces& pieces;
  const int helpers;                // that it asks for
  int joined = 0;                   // helpers that have come, guarded by the pool
  Call* following = nullptr;        // in the pool's list, guarded by the pool
  std::atomic<int> inside{0};       // helpers at work
  std::atomic<int> next{0};         // piece
  std::atomic<bool> failed{false};  // whose first setter sets `failure`
  std::exception_ptr failure;

  void run(int worker) {
    try {
      for (int piece = next++; piece < pieces.count; piece = next++) {
        poll(pieces.interrupt);
        pieces.run(pieces.work, piece, worker);
      }
    } catch (...) {
      next = pieces.count;
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  }
};

// Signals are for the program's own threads; those that tell of a fault of the very thread stay with it.
class SignalsBlocked {
 public:
  SignalsBlocked() {
#ifndef _WIN32
    sigset_t all;
    sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
#endif
  }
  ~SignalsBlocked() {
#ifndef _WIN32
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
#endif
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
#ifndef _WIN32
  sigset_t before_;
#endif
};

class Pool {
 public:
  // Opens a call to helpers.
  void open(Call& call) {
    int woken;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      Call** last = &open_;
      while (*last != nullptr) last = &(*last)->following;
      *last = &call;
      waiting_ = true;
      wanted_ += call.helpers;
      woken = std::min(call.helpers, sleeping_);
      grow(call.helpers);
    }
    for (; woken > 0; --woken) wake_.notify_one();
  }

  // Closes it, once no helper is inside any more.
  void close(Call& call) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (call.joined < call.helpers) take_off(call);
      wanted_ -= call.helpers;
    }
    const auto left = [&] { return call.inside == 0; };
    look_for(left);
    if (left()) return;
    std::unique_lock<std::mutex> lock(mutex_);
    if (call.pieces.interrupt == nullptr) return done_.wait(lock, left);
    while (!done_.wait_for(lock, kAsk, left)) {
      lock.unlock();
      call.pieces.interrupt->check();  // helpers see the answer
      lock.lock();
    }
  }

 private:
  // Starts helpers until there are as many as all calls under way ask for, or this one if it asks for more than the machine
  // has processors.
  void grow(int helpers) {
    if (threads_ >= wanted_) return;
    const int most = std::min(wanted_, std::max(helpers, static_cast<int>(std::thread::hardware_concurrency()) - 1));
    const SignalsBlocked blocked;
    try {
      for (; threads_ < most; ++threads_) std::thread(&Pool::help, this).detach();
    } catch (const std::system_error&) {
      // No more threads: those there are and the callers do all the work.
    } catch (const std::bad_alloc&) {
    }
  }

  void help() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      ++sleeping_;
      wake_.wait(lock, [&] { return open_ != nullptr; });
      --sleeping_;
      do {
        while (open_ != nullptr) join(*open_, lock);
        lock.unlock();
        look_for([&] { return waiting_.load(); });
        lock.lock();
      } while (open_ != nullptr);
    }
  }

  void join(Call& call, std::unique_lock<std::mutex>& lock) {
    const int worker = ++call.joined;
    if (call.joined == call.helpers) take_off(call);
    ++call.inside;
    lock.unlock();
    call.run(worker);
    lock.lock();
    if (--call.inside == 0) done_.notify_all();  // the call may be gone by now
  }

  void take_off(const Call& call) {
    Call** at = &open_;
    while (*at != &call) at = &(*at)->following;
    *at = call.following;
    waiting_ = open_ != nullptr;
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Call* open_ = nullptr;             // calls that helpers may still join, the oldest first
  std::atomic<bool> waiting_{false};  // whether there are any
  int threads_ = 0, sleeping_ = 0;
  int wanted_ = 0;  // helpers that all calls under way ask for
};

// Helpers may sleep in it until the process ends, so it is never destroyed. A forked child has none of its parent's threads and
// no use for what they were in the middle of: its pool is a new one in the old one's place.
alignas(Pool) unsigned char home[sizeof(Pool)];

Pool& pool() { return *std::launder(reinterpret_cast<Pool*>(home)); }

void make_pool() { new (home) Pool; }

// Whether there may be helpers at all.
const bool kReady = [] {
  make_pool();
#ifdef _WIN32
  return true;
#else
  return pthread_atfork(nullptr, nullptr, make_pool) == 0;
#endif
}();

}  // namespace

void share(const Pieces& pieces, int workers) {
  Call call(pieces, workers - 1);
  if (kReady) pool().open(call);
  call.run(0);
  if (kReady) pool().close(call);
  if (call.failure) std::rethrow_exception(call.failure);
}

}  // namespace personlab

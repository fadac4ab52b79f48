// The thread pool: the core's only state that no caller owns, because starting threads takes as long as decoding a
// small image.
//
// Helper threads start when a call first needs them, and sleep between calls. A caller works on its own pieces too, and
// waits only for helpers that have joined its call: where all are busy it does everything itself, so that calls from
// many threads, and nested calls, cannot deadlock.
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

// Helpers between two calls, and callers that wait for helpers, spin this long before they sleep: waking takes about as
// long.
constexpr std::chrono::microseconds kSpin{30};

// Callers that wait for helpers poll for an interrupt this often.
constexpr std::chrono::milliseconds kPoll{2};

template <typename Condition>
void spin_until(const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  while (!condition() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
}

// A running call, on its caller's stack.
struct Call {
  Call(const Pieces& all, int max_helpers) : pieces(all), helpers(max_helpers) {}

  const Pieces& pieces;
  const int helpers;                // max number
  int joined = 0;                   // helpers so far, guarded by the pool
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
      fail();
    }
  }

  // Checks for an interrupt on behalf of helpers. What the caller's function throws must wait until they have left.
  void check() {
    try {
      pieces.interrupt->check();
    } catch (...) {
      fail();
    }
  }

 private:
  // Ends the call with the exception that is being handled, unless another one came first.
  void fail() {
    next = pieces.count;
    if (!failed.exchange(true)) failure = std::current_exception();
  }
};

// Blocks signals in helper threads, but for those of the thread's own faults.
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
  // Offers a call to helpers.
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

  // Withdraws a call, and waits until no helper is inside.
  void close(Call& call) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (call.joined < call.helpers) remove(call);
      wanted_ -= call.helpers;
    }
    const auto left = [&] { return call.inside == 0; };
    spin_until(left);
    if (left()) return;
    std::unique_lock<std::mutex> lock(mutex_);
    if (call.pieces.interrupt == nullptr) return done_.wait(lock, left);
    while (!done_.wait_for(lock, kPoll, left)) {
      lock.unlock();
      call.check();  // helpers see the answer
      lock.lock();
    }
  }

 private:
  // Starts helpers, up to the number that all running calls want, but no more than processors, or than this call wants.
  void grow(int helpers) {
    if (threads_ >= wanted_) return;
    const int max_threads =
        std::min(wanted_, std::max(helpers, static_cast<int>(std::thread::hardware_concurrency()) - 1));
    const SignalsBlocked blocked;
    try {
      for (; threads_ < max_threads; ++threads_) std::thread(&Pool::help, this).detach();
    } catch (const std::system_error&) {
      // No more threads: helpers so far and callers do all the work.
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
        spin_until([&] { return waiting_.load(); });
        lock.lock();
      } while (open_ != nullptr);
    }
  }

  void join(Call& call, std::unique_lock<std::mutex>& lock) {
    const int worker = ++call.joined;
    if (call.joined == call.helpers) remove(call);
    ++call.inside;
    lock.unlock();
    call.run(worker);
    lock.lock();
    if (--call.inside == 0) done_.notify_all();  // the call may be gone by now
  }

  void remove(const Call& call) {
    Call** at = &open_;
    while (*at != &call) at = &(*at)->following;
    *at = call.following;
    waiting_ = open_ != nullptr;
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Call* open_ = nullptr;              // calls that helpers may join, the oldest first
  std::atomic<bool> waiting_{false};  // whether open_ has any
  int threads_ = 0, sleeping_ = 0;
  int wanted_ = 0;  // by all running calls
};

// Helpers may sleep in it until the process ends, so it is never destroyed. A forked child has none of its parent's
// threads: it gets a new pool in place of the old one.
alignas(Pool) unsigned char home[sizeof(Pool)];

Pool& pool() { return *std::launder(reinterpret_cast<Pool*>(home)); }

void make_pool() { new (home) Pool; }

// Whether helpers may be used.
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

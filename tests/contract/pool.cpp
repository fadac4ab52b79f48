// Checks of the threads that share the pieces of a call, which no call from Python can make; test_threads.py runs them.
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/parallel.hpp"

namespace {

using personlab::parallel_for;

void expect(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::_Exit(1);
}

template <typename Condition>
void await(const Condition& condition, const char* what) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    expect(std::chrono::steady_clock::now() < end, what);
    std::this_thread::yield();
  }
}

// A call whose pieces all wait for each other needs as many threads at once.
void meet(int threads) {
  std::atomic<int> here{0};
  std::vector<std::atomic<bool>> taken(static_cast<std::size_t>(threads));
  parallel_for(threads, threads, [&](int, int worker) {
    expect(!taken[static_cast<std::size_t>(worker)].exchange(true), "no two threads have the same number");
    ++here;
    await([&] { return here == threads; }, "every piece has a thread of its own");
  });
}

// A call of two pieces that last until it is let go, on a thread of its own.
class Stuck {
 public:
  Stuck() {
    await([&] { return inside_ == 2; }, "both pieces begin");
  }
  ~Stuck() {
    let_go_ = true;
    caller_.join();
  }

 private:
  std::atomic<int> inside_{0};
  std::atomic<bool> let_go_{false};
  std::thread caller_{[this] {
    parallel_for(2, 2, [&](int, int) {
      ++inside_;
      await([&] { return let_go_.load(); }, "the call is let go");
    });
  }};
};

void pieces() {
  for (int threads = 1; threads <= 9; ++threads) {
    for (const int count : {0, 1, 2, 7, 1000}) {
      std::vector<int> done(static_cast<std::size_t>(count)), by(static_cast<std::size_t>(threads));  // unguarded
      parallel_for(count, threads, [&](int piece, int worker) {
        ++done[static_cast<std::size_t>(piece)];
        ++by[static_cast<std::size_t>(worker)];
      });
      int total = 0;
      for (const int n : by) total += n;
      for (const int n : done) expect(n == 1, "each piece is worked on once");
      expect(total == count, "no two threads have the same number at once");
    }
  }
  for (const int threads : {2, 5, 3}) meet(threads);
}

void callers() {
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int caller = 0; caller < 8; ++caller)
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round)
        parallel_for(5, 3, [&](int, int) { parallel_for(4, 1 + round % 4, [&](int, int) { ++done; }); });
    });
  for (std::thread& thread : threads) thread.join();
  expect(done == 8 * 200 * 20, "calls from many threads, and calls within calls, do all their pieces");
}

void busy() {
  const int callers = static_cast<int>(std::thread::hardware_concurrency()) + 3;  // callers, more than helpers can be
  std::atomic<int> here{0};
  std::vector<std::thread> threads;
  std::atomic<bool> let_go{false};
  for (int caller = 0; caller < callers; ++caller)
    threads.emplace_back([&] {
      parallel_for(2, 2, [&](int, int) {
        ++here;
        await([&] { return let_go.load(); }, "the call is let go");
      });
    });
  // Callers outnumber helpers, so that some of the calls have none.
  await([&] { return here > callers; }, "callers do not wait for helpers");
  std::atomic<int> done{0};
  parallel_for(50, 2, [&](int, int) { ++done; });
  expect(done == 50, "a caller whom nobody helps does everything itself");
  let_go = true;
  for (std::thread& thread : threads) thread.join();
}

void exceptions() {
  for (int round = 0; round < 50; ++round) {
    std::atomic<bool> thrown{false};
    std::atomic<int> begun{0};
    std::string caught;
    try {
      parallel_for(1000, 2, [&](int, int worker) {
        ++begun;
        if (worker == 1) {
          thrown = true;
          throw std::runtime_error("of a helper");
        }
        await([&] { return thrown.load(); }, "a helper comes");
        std::this_thread::sleep_for(std::chrono::milliseconds(1));  // so that the exception gets ahead
      });
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    expect(caught == "of a helper", "what a helper throws reaches the caller");
    expect(begun < 1000, "no more pieces begin after that");
    try {
      parallel_for(8, 4, [](int, int) { throw std::out_of_range("of everyone"); });
      expect(false, "it reaches the caller when all throw, too");
    } catch (const std::out_of_range&) {
      meet(2);
    }
  }
}

void interrupts() {
  for (int round = 0; round < 3; ++round) {
    personlab::Interrupt interrupt([]() -> personlab::Interrupt::Answer { throw std::runtime_error("of the caller"); });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // it is not asked before
    std::atomic<int> inside{0};
    std::string caught;
    try {
      parallel_for(2, 2, &interrupt, [&](int, int worker) {
        ++inside;
        if (worker == 0) await([&] { return inside == 2; }, "a helper comes");
        if (worker == 1) std::this_thread::sleep_for(std::chrono::milliseconds(300));  // the caller waits, and asks
        --inside;
      });
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    expect(inside == 0, "a call whose interrupt throws waits for its helpers");
    expect(caught == "of the caller", "what an interrupt throws reaches the caller");
    meet(2);
  }
}

void forks() {
  meet(3);
  const Stuck parent;
  for (int round = 0; round < 20; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      meet(2);
      const pid_t grandchild = fork();
      if (grandchild == 0) {
        meet(3);
        std::exit(0);
      }
      int status = 1;
      waitpid(grandchild, &status, 0);
      meet(3);
      std::exit(WIFEXITED(status) ? WEXITSTATUS(status) : 2);
    }
    int status = 1;
    waitpid(child, &status, 0);
    expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a forked child has helpers of its own");
    meet(2);
  }
}

void idle() {
  meet(4);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  expect(std::clock() - before < CLOCKS_PER_SEC / 100, "helpers that have nothing to do take no time");
}

void signals() {
  sigset_t usual, pending;
  sigemptyset(&usual);
  sigaddset(&usual, SIGUSR1);
  meet(4);
  pthread_sigmask(SIG_BLOCK, &usual, nullptr);
  kill(getpid(), SIGUSR1);  // ends the process if any thread takes it
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  sigpending(&pending);
  expect(sigismember(&pending, SIGUSR1) == 1, "signals wait for the program's own threads");
}

}  // namespace

int main(int, char** arguments) {
  const struct {
    const char* name;
    void (*run)();
  } checks[] = {{"pieces", pieces},         {"callers", callers}, {"busy", busy}, {"exceptions", exceptions},
                {"interrupts", interrupts}, {"forks", forks},     {"idle", idle}, {"signals", signals}};
  for (const auto& check : checks) {
    if (check.name != std::string(arguments[1])) continue;
    check.run();
    return 0;
  }
  return 2;
}

// How a long call learns that it is to end early. The core knows no signals, only whom to ask.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

namespace personlab {

struct Interrupted {};  // thrown by a call that ends early

class Interrupt {
 public:
  enum class Answer { kGoOn, kEnd, kNeverAsk };

  // `ask` is called by the thread that makes this, every so often while its call lasts.
  explicit Interrupt(Answer (*ask)()) : ask_(ask) {}

  bool ended() const { return end_.load(std::memory_order_relaxed); }

  // Whether the call is to end; any of its threads may want to know.
  bool check() {
    if (!ended() && std::this_thread::get_id() == owner_) look();
    return ended();
  }

 private:
  static constexpr std::chrono::milliseconds kEvery{40};
  static constexpr unsigned kTicks = 16;  // looks at the clock are as many times fewer

  void look() {
    if (++ticks_ % kTicks != 0) return;
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return;
    const Answer answer = ask_();
    end_ = answer == Answer::kEnd;
    next_ = answer == Answer::kNeverAsk ? std::chrono::steady_clock::time_point::max() : now + kEvery;
  }

  Answer (*ask_)();
  const std::thread::id owner_ = std::this_thread::get_id();
  std::atomic<bool> end_{false};
  unsigned ticks_ = 0;
  std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now() + kEvery;
};

// Throws Interrupted where the call is to end.
inline void poll(Interrupt* interrupt) {
  if (interrupt != nullptr && interrupt->check()) throw Interrupted();
}

}  // namespace personlab

// Ends a long call early. The library handles no signals: it asks the caller's function now and then.
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "personlab/export.hpp"

namespace personlab {

// Thrown by a call that ends early.
class PERSONLAB_API Interrupted : public std::exception {
 public:
  const char* what() const noexcept override { return "interrupted"; }
};

class Interrupt {
 public:
  enum class Answer { kGoOn, kEnd, kNeverAsk };

  // `ask` is called by the thread that constructs this, about every 40 ms while its call lasts. What it
  // throws ends the call too, which throws it once its threads have ended.
  //
  // Throws std::invalid_argument where it is empty.
  explicit Interrupt(std::function<Answer()> ask) : ask_(std::move(ask)) {
    if (!ask_) throw std::invalid_argument("ask: expected a function, got none");
  }

  bool ended() const { return end_.load(std::memory_order_relaxed); }

  // Returns whether the call is to end; any of its threads may call this.
  bool check() {
    if (!ended() && std::this_thread::get_id() == owner_) look();
    return ended();
  }

 private:
  static constexpr std::chrono::milliseconds kEvery{40};
  static constexpr unsigned kTicks = 16;  // checks per reading of the clock

  void look() {
    if (++ticks_ % kTicks != 0) return;
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return;
    const Answer answer = ask_();
    end_ = answer == Answer::kEnd;
    next_ = answer == Answer::kNeverAsk ? std::chrono::steady_clock::time_point::max() : now + kEvery;
  }

  std::function<Answer()> ask_;
  const std::thread::id owner_ = std::this_thread::get_id();
  std::atomic<bool> end_{false};
  unsigned ticks_ = 0;
  std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now() + kEvery;
};

}  // namespace personlab

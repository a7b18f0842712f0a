#include "dptf/thread_team.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>
#if defined(__SSE2__)
#include <xmmintrin.h>
#else
#include <cfenv>
#endif

namespace dptf {
namespace {

/// Work that is worth a helper, in nanoseconds.
constexpr int64_t kWorthwhile = 15000;
/// Pieces of the part of a participant.
constexpr int64_t kPieces = 4;
/// How long a caller looks out for the end of the last piece before it gives its core away.
constexpr std::chrono::microseconds kPatience{50};

inline void pause() {
#if defined(__SSE2__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Waits for at most kPatience; whether the condition holds.
template <typename Condition>
bool look_out(const Condition& holds) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  do {
    for (int k = 0; k < 32; ++k) {
      if (holds()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return holds();
}

/// How the caller rounds and treats denormal numbers: helpers have to get the same bits.
class FloatingState {
 public:
#if defined(__SSE2__)
  FloatingState() : state_(_mm_getcsr() & ~0x3fu) {}  // without the flags of what happened so far
  void apply() const { _mm_setcsr(state_); }

 private:
  unsigned state_;
#else
  FloatingState() { std::fegetenv(&state_); }
  void apply() const { std::fesetenv(&state_); }

 private:
  std::fenv_t state_;
#endif
};

/// A loop that runs.
class Loop {
 public:
  Loop(int64_t n, int parts, const std::function<void(int64_t, int64_t)>& body) : body_(body), parts_(parts) {
    for (int k = 0; k < parts; ++k) {
      const int64_t begin = n * k / parts;
      parts_[k].next = begin;
      parts_[k].end = n * (k + 1) / parts;
      parts_[k].piece = std::max<int64_t>(1, (parts_[k].end - begin + kPieces - 1) / kPieces);
    }
  }

  /// Helpers that may still touch this loop.
  std::atomic<int> pending{0};

  void help() {
    state_.apply();
    work();
  }

  /// Takes part until nothing is left to begin.
  void work() noexcept {
    const size_t mine = joined_++;
    for (size_t k = 0; k < parts_.size(); ++k) {
      Part& part = parts_[(mine + k) % parts_.size()];
      while (!failed_) {
        const int64_t begin = part.next.fetch_add(part.piece, std::memory_order_relaxed);
        if (begin >= part.end) break;
        try {
          body_(begin, std::min(begin + part.piece, part.end));
        } catch (...) {
          if (!failed_.exchange(true)) error_ = std::current_exception();
        }
      }
    }
  }

  void rethrow() {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  struct alignas(64) Part {
    std::atomic<int64_t> next{0};
    int64_t end = 0, piece = 1;
  };
  const std::function<void(int64_t, int64_t)>& body_;
  std::vector<Part> parts_;
  std::atomic<size_t> joined_{0};
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
  FloatingState state_;
};

/// A thread that sleeps until a loop needs it; as long as the process.
class Helper {
 public:
  Helper() {
    std::thread([this] { live(); }).detach();
  }

  /// Asks for help with a loop; false if it is busy.
  bool call(Loop* loop) {
    Loop* idle = nullptr;
    if (!loop_.compare_exchange_strong(idle, loop)) return false;
    if (asleep_) {
      std::lock_guard<std::mutex> lock(mutex_);
      wake_.notify_one();
    }
    return true;
  }

  /// Withdraws the call; false if the helper has begun.
  bool dismiss(Loop* loop) { return loop_.compare_exchange_strong(loop, nullptr); }

 private:
  bool called() const {
    Loop* loop = loop_;
    return loop && loop != busy();
  }
  static Loop* busy() { return reinterpret_cast<Loop*>(alignof(Loop)); }

  void live() {
    for (;;) {
      if (!called()) {
        std::unique_lock<std::mutex> lock(mutex_);
        asleep_ = true;
        wake_.wait(lock, [this] { return called(); });
        asleep_ = false;
      }
      Loop* loop = loop_;
      if (!loop || !loop_.compare_exchange_strong(loop, busy())) continue;  // dismissed
      loop->help();
      loop_ = nullptr;
      loop->pending.fetch_sub(1);
    }
  }

  std::atomic<Loop*> loop_{nullptr};  // null: idle
  std::atomic<bool> asleep_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
};

/// All helpers of the process; more are started when a larger number of threads is asked for.
class Team {
 public:
  /// Helpers 0 to n - 1, or fewer if the system has no more threads to give.
  const std::vector<Helper*>& first(int n) {
    thread_local std::vector<Helper*> known;
    if (static_cast<int>(known.size()) < n) {
      std::lock_guard<std::mutex> lock(mutex_);
      try {
        while (static_cast<int>(all_.size()) < n) all_.push_back(new Helper);
      } catch (const std::system_error&) {
      }
      known = all_;
    }
    return known;
  }

  static Team& instance() {
    static Team* team = new Team;  // helpers may still look at it while the process ends
    return *team;
  }

 private:
  std::mutex mutex_;
  std::vector<Helper*> all_;
};

void run(int threads, int64_t n, int64_t cost, const std::function<void(int64_t, int64_t)>& body) {
  const int64_t worth = std::min<int64_t>(n, n * std::max<int64_t>(cost, 1) / kWorthwhile);
  const int parts = static_cast<int>(std::min<int64_t>(threads, worth));
  if (parts < 2) return serial_for(n, cost, body);
  Loop loop(n, parts, body);
  std::vector<Helper*> called;
  for (Helper* helper : Team::instance().first(threads - 1)) {
    if (static_cast<int>(called.size()) == parts - 1) break;
    loop.pending.fetch_add(1);
    if (helper->call(&loop))
      called.push_back(helper);
    else
      loop.pending.fetch_sub(1);
  }
  loop.work();
  const auto done = [&loop] { return loop.pending == 0; };
  if (!done()) {
    for (Helper* helper : called)
      if (helper->dismiss(&loop)) loop.pending.fetch_sub(1);
    while (!look_out(done)) std::this_thread::yield();
  }
  loop.rethrow();
}

}  // namespace

ParallelFor team_parallel(int threads) {
  return [threads](int64_t n, int64_t cost, const std::function<void(int64_t, int64_t)>& body) {
    run(threads, n, cost, body);
  };
}

}  // namespace dptf

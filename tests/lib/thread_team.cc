// Loops on several threads: everything once, loops inside loops and beside each other, exceptions, rounding.
#include "dptf/thread_team.h"

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

constexpr int64_t kCostly = 1000000;  // worth helpers, however few the pieces
int failures = 0;

void check(bool ok, const char* what) {
  if (!ok) ++failures;
  std::printf("%s %s\n", ok ? "ok" : "FAILED", what);
}

/// 1/3 as this thread rounds; below 1/3 if it rounds to the nearest.
double third() {
  volatile double one = 1.0, three = 3.0;
  return one / three;
}

/// Whether every index was visited once.
bool covers(int threads, int64_t n, int64_t cost) {
  std::vector<std::atomic<int>> seen(n);
  dptf::team_parallel(threads)(n, cost, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) ++seen[k];
  });
  for (const auto& times : seen)
    if (times != 1) return false;
  return true;
}

}  // namespace

int main() {
  bool all = true;
  for (int threads : {1, 2, 3, 8})
    for (int64_t n : {0, 1, 2, 3, 7, 100, 1001})
      for (int64_t cost : {int64_t{0}, int64_t{100}, kCostly})
        for (int round = 0; round < 20; ++round) all = all && covers(threads, n, cost);
  check(all, "every index once");

  const auto parallel = dptf::team_parallel(4);
  std::mutex mutex;
  size_t most = 0;
  for (int round = 0; round < 50 && most < 4; ++round) {  // on a busy machine a helper may come too late
    std::set<std::thread::id> workers;
    parallel(8, kCostly, [&](int64_t, int64_t) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      std::lock_guard<std::mutex> lock(mutex);
      workers.insert(std::this_thread::get_id());
    });
    most = workers.count(std::this_thread::get_id()) ? std::max(most, workers.size()) : 99;
  }
  check(most == 4, "caller and three helpers");

  std::atomic<int64_t> sum{0};
  parallel(10, kCostly, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k)
      parallel(10, kCostly, [&, k](int64_t b, int64_t e) {
        for (int64_t j = b; j < e; ++j) sum += 10 * k + j;
      });
  });
  check(sum == 4950, "loops inside a loop");

  std::vector<std::thread> callers;
  std::atomic<int> good{0};
  for (int t = 0; t < 6; ++t)
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) good += covers(3, 50, kCostly);
    });
  for (auto& caller : callers) caller.join();
  check(good == 1200, "callers in several threads");

  bool caught = false;
  try {
    parallel(100, kCostly, [](int64_t begin, int64_t end) {
      if (begin <= 70 && 70 < end) throw std::invalid_argument("70");
    });
  } catch (const std::invalid_argument& e) {
    caught = e.what() == std::string("70");
  }
  check(caught && covers(4, 100, kCostly), "an exception reaches the caller, and the team goes on");

  const double nearest = third();
  std::fesetround(FE_UPWARD);
  std::atomic<int> upward{0};
  parallel(8, kCostly, [&](int64_t begin, int64_t end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (third() > nearest) upward += static_cast<int>(end - begin);
  });
  std::fesetround(FE_TONEAREST);
  check(upward == 8, "helpers round as the caller does");
  return failures != 0;
}

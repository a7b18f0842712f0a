// Means through shared memory: threads stand for the ranks, each with an object of its own.
#include "dptf/shared_mean.h"

#include <cmath>
#include <cstdio>
#include <thread>
#include <vector>

namespace {

int failures = 0;

void check(bool ok, const char* what) {
  if (!ok) ++failures;
  std::printf("%s %s\n", ok ? "ok" : "FAILED", what);
}

/// Whether arrays of several lengths, of both types in turn, get the means of all ranks, and all ranks the
/// same bits.
bool means(int ranks) {
  std::vector<std::vector<char>> memory(ranks, std::vector<char>(dptf::SharedMean::kAreaBytes + 64));
  std::vector<char*> areas;
  for (auto& m : memory) areas.push_back(m.data() + (64 - reinterpret_cast<uintptr_t>(m.data()) % 64));
  std::vector<dptf::SharedMean> objects;
  for (int r = 0; r < ranks; ++r) objects.emplace_back(r, areas);

  const int64_t piece = dptf::SharedMean::kSlotBytes / sizeof(double);
  const std::vector<int64_t> lengths = {0, 1, 511, 513, piece - 1, piece, 1, 3 * piece + 7};
  std::vector<std::vector<double>> wide(ranks);
  std::vector<std::vector<float>> narrow(ranks);
  const auto work = [&](int r) {
    for (int64_t n : lengths) {
      std::vector<double> a(n), b(n);
      std::vector<float> c(n), d(n);
      for (int64_t i = 0; i < n; ++i) c[i] = static_cast<float>(a[i] = (r + 1.0) / (i % 1000 + 3.0));
      objects[r](a.data(), b.data(), n);
      objects[r](c.data(), d.data(), n);
      wide[r].insert(wide[r].end(), b.begin(), b.end());
      narrow[r].insert(narrow[r].end(), d.begin(), d.end());
    }
  };
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r) threads.emplace_back(work, r);
  for (auto& t : threads) t.join();

  size_t k = 0;
  for (int64_t n : lengths)
    for (int64_t i = 0; i < n; ++i, ++k) {
      const double mean = (ranks + 1) / 2.0 / (i % 1000 + 3.0);
      if (std::abs(wide[0][k] - mean) > 1e-15 * ranks || std::abs(narrow[0][k] - mean) > 1e-6) return false;
    }
  for (int r = 1; r < ranks; ++r)
    if (wide[r] != wide[0] || narrow[r] != narrow[0]) return false;
  return k == wide[0].size();
}

}  // namespace

int main() {
  check(means(1), "one rank");
  check(means(2), "two ranks");
  check(means(5), "five ranks");
  return failures;
}

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>
#include <thread>
#include <utility>
#include <vector>

namespace dptf {

/// Means of arrays over a few processes of one machine, through memory that they share.
///
/// Every process owns an area with a counter and two slots. It copies a piece of its array to a slot, counts,
/// waits until all have counted, and adds the pieces of all in the order of ranks: each process gets the same
/// bits. While one slot is read the other one is filled, so there is one meeting per piece.
class SharedMean {
 public:
  /// Memory of a process: a line for the counter, two slots.
  static constexpr int64_t kSlotBytes = int64_t{1} << 22, kLine = 64, kAreaBytes = kLine + 2 * kSlotBytes;

  /// `areas`: addresses of the memory of all ranks in this process. Every rank makes its object before any of
  /// them adds.
  SharedMean(int rank, std::vector<char*> areas) : rank_(rank), areas_(std::move(areas)) {
    new (areas_[rank_]) Counter(0);
  }

  /// `out` becomes the mean of the ranks' `in`, n elements; called by all ranks in the same order.
  template <typename T>
  void operator()(const T* in, T* out, int64_t n) {
    constexpr int64_t kPiece = kSlotBytes / sizeof(T);
    for (int64_t first = 0; first < n; first += kPiece) {
      const int64_t m = std::min(kPiece, n - first);
      std::memcpy(slot<T>(rank_), in + first, m * sizeof(T));
      meet();
      mean(out + first, m);
      ++turn_;
    }
  }

 private:
  using Counter = std::atomic<uint64_t>;
  static_assert(Counter::is_always_lock_free, "a lock would belong to one process");

  Counter& counter(int rank) const { return *reinterpret_cast<Counter*>(areas_[rank]); }

  template <typename T>
  T* slot(int rank) const {
    return reinterpret_cast<T*>(areas_[rank] + kLine + (turn_ & 1) * kSlotBytes);
  }

  void meet() {
    counter(rank_).store(turn_ + 1, std::memory_order_release);
    for (size_t r = 0; r < areas_.size(); ++r)
      // There may be fewer cores than ranks: who waits long lets others work.
      for (int spins = 0; counter(static_cast<int>(r)).load(std::memory_order_acquire) <= turn_; ++spins)
        if (spins > kSpins) std::this_thread::yield();
  }

  template <typename T>
  void mean(T* out, int64_t n) const {
    constexpr int64_t kBlock = 512;  // stays in the first cache over all ranks
    const int ranks = static_cast<int>(areas_.size());
    const T share = T(1) / ranks;
    for (int64_t first = 0; first < n; first += kBlock) {
      const int64_t m = std::min(kBlock, n - first);
      T* to = out + first;
      std::memcpy(to, slot<T>(0) + first, m * sizeof(T));
      for (int r = 1; r < ranks; ++r) {
        const T* from = slot<T>(r) + first;
        for (int64_t i = 0; i < m; ++i) to[i] += from[i];
      }
      for (int64_t i = 0; i < m; ++i) to[i] *= share;
    }
  }

  static constexpr int kSpins = 2000;
  int rank_;
  std::vector<char*> areas_;
  uint64_t turn_ = 0;
};

}  // namespace dptf

#include "kept_memory.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "dptf/memory_size.h"
#include "tensorflow/core/platform/logging.h"

namespace dptf {
namespace {

/// Blocks are multiples of this, which is a large page of the usual machines.
constexpr int64_t kUnit = 2 << 20;
constexpr double kShare = 0.125;

int64_t share() {
  static const int64_t bytes = static_cast<int64_t>(kShare * memory_total() / processes_here());
  return bytes;
}

int64_t budget() {
  if (const char* given = std::getenv("DPTF_KEEP"); given && *given) {
    const double value = parse_bytes(given);
    if (value >= 0) return static_cast<int64_t>(value);
    static const bool told = [&] {
      LOG(ERROR) << "DPTF_KEEP is '" << given
                 << "', which is no number of bytes (for instance 500M, 2G, or 0); it is ignored";
      return true;
    }();
    (void)told;
  }
  // Who limits evaluations counts on what they need, not on what they can use.
  return given_memory() != 0 ? 0 : share();
}

}  // namespace

KeptMemory& KeptMemory::instance() {
  static KeptMemory* memory = new KeptMemory;
  return *memory;
}

void* KeptMemory::AllocateRaw(size_t, size_t bytes) {
  // A sixteenth more, so that the next step, which needs about as much, finds room in the block.
  const int64_t need = static_cast<int64_t>(bytes), size = (need + need / 16 + kUnit - 1) / kUnit * kUnit;
  std::lock_guard<std::mutex> lock(mutex_);
  budget_ = budget();
  if (need > budget_) return nullptr;
  auto best = idle_.end();
  for (auto b = idle_.begin(); b != idle_.end(); ++b)
    if (b->size >= need && b->size <= 2 * size && (best == idle_.end() || b->size < best->size)) best = b;
  Block block;
  if (best != idle_.end()) {
    block = *best;
    idle_.erase(best);
  } else {
    release_idle(size);
    if (total_ + size > budget_ || !fits(size)) return nullptr;
    if (posix_memalign(&block.at, kUnit, size) != 0) return nullptr;
    block.size = size;
#if defined(__linux__)
    madvise(block.at, size, MADV_HUGEPAGE);
#endif
    total_ += size;
  }
  used_[block.at] = block.size;
  return block.at;
}

void KeptMemory::DeallocateRaw(void* at) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = used_.find(at);
  if (found == used_.end()) return;
  idle_.push_back({at, found->second});
  used_.erase(found);
}

/// Whether the machine holds `size` more bytes beside the most that this process needed without.
bool KeptMemory::fits(int64_t size) {
  peak_ = std::max(peak_, memory_info("VmHWM:") - total_);
  const double limit = std::min(memory_total(), memory_info("MemAvailable:") + memory_info("VmRSS:"));
  return limit == 0 || peak_ + total_ + size <= limit;
}

/// Gives idle blocks back to the system until `wanted` more bytes are within the budget.
void KeptMemory::release_idle(int64_t wanted) {
  while (total_ + wanted > budget_ && !idle_.empty()) {
    std::free(idle_.back().at);
    total_ -= idle_.back().size;
    idle_.pop_back();
  }
}

}  // namespace dptf

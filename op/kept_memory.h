#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "tensorflow/core/framework/allocator.h"

namespace dptf {

/// Memory for what a forward pass keeps for the backward pass of the same step, within a budget. Large blocks
/// are used again in the next step: the system would have to clear every page of a new one.
class KeptMemory : public tensorflow::Allocator {
 public:
  /// That of the process; its budget in bytes is DPTF_KEEP, or an eighth of the memory of the machine or job,
  /// shared by the processes; nothing while DPTF_MEMORY limits evaluations.
  static KeptMemory& instance();

  std::string Name() override { return "dptf_kept"; }
  /// Null when the budget does not suffice: then the caller does without.
  void* AllocateRaw(size_t alignment, size_t bytes) override;
  void DeallocateRaw(void* block) override;

 private:
  struct Block {
    void* at = nullptr;
    int64_t size = 0;
  };
  bool fits(int64_t size);
  void release_idle(int64_t wanted);

  int64_t budget_ = 0;  // as the environment says at the moment
  std::mutex mutex_;
  std::map<void*, int64_t> used_;
  std::vector<Block> idle_;
  int64_t total_ = 0;  // of both
  double peak_ = 0;    // of the process without them
};

}  // namespace dptf

#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "dptf/aligned.h"

namespace dptf {

/// Memory for vector loops that is not set to zero first.
template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t n) : p_(AlignedAllocator<T>().allocate(std::max<int64_t>(n, 1))) {}
  T* data() { return p_.get(); }

 private:
  struct Free {
    void operator()(T* p) const { AlignedAllocator<T>().deallocate(p, 0); }
  };
  std::unique_ptr<T, Free> p_;
};

}  // namespace dptf

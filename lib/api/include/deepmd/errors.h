#pragma once

#include <stdexcept>
#include <string>

namespace deepmd {

/// Base of every exception of this library; what() starts with "DeePMD-kit Error: ".
struct deepmd_exception : public std::runtime_error {
  deepmd_exception() : std::runtime_error("DeePMD-kit Error!") {}
  explicit deepmd_exception(const std::string& msg) : std::runtime_error("DeePMD-kit Error: " + msg) {}
};

/// Memory exhausted.
struct deepmd_exception_oom : public deepmd_exception {
  using deepmd_exception::deepmd_exception;
};

/// A neighbor list that is too large for the device.
struct deepmd_exception_nlist_capacity : public deepmd_exception {
  using deepmd_exception::deepmd_exception;
};

/// An error reported by TensorFlow.
struct tf_exception : public deepmd_exception {
  tf_exception() : deepmd_exception("TensorFlow Error!") {}
  explicit tf_exception(const std::string& msg) : deepmd_exception("TensorFlow Error: " + msg) {}
};

}  // namespace deepmd

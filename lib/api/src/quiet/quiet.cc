// TensorFlow writes notes (processor features, missing CUDA drivers) to standard error while its library is
// being loaded, before any code of a program that links it runs, and whatever TF_CPP_MIN_LOG_LEVEL says. This
// library is linked with -z initfirst: its constructor runs before all others of the program.
#include <cstdlib>
#include <cstring>

#include "absl/log/globals.h"

namespace {

/// Whether the user asked for notes: TF_CPP_MIN_LOG_LEVEL is 0 or 1. The environment comes as an argument,
/// since the C library may not have set itself up yet.
bool notes_wanted(char** environment) {
  constexpr char kName[] = "TF_CPP_MIN_LOG_LEVEL=";
  for (; environment && *environment; ++environment)
    if (!std::strncmp(*environment, kName, sizeof kName - 1)) {
      const char* value = *environment + sizeof kName - 1;
      return value[0] == '0' || value[0] == '1';
    }
  return false;
}

// The level is a plain number that needs no initialisation.
__attribute__((constructor)) void begin(int, char**, char** environment) {
  if (!notes_wanted(environment)) absl::SetMinLogLevel(absl::LogSeverityAtLeast::kInfinity);
}

}  // namespace

namespace deepmd {
/// Called when TensorFlow's library has been loaded.
__attribute__((visibility("default"))) void end_quiet_load() {
  if (absl::MinLogLevel() == absl::LogSeverityAtLeast::kInfinity)
    absl::SetMinLogLevel(absl::LogSeverityAtLeast::kError);
}
}  // namespace deepmd

// The TensorFlow version this library was compiled against; the loader compares it with the running one,
// because custom ops are only binary compatible within one minor version.
#include "tensorflow/core/public/version.h"

#define DPTF_STRINGIFY_(x) #x
#define DPTF_STRINGIFY(x) DPTF_STRINGIFY_(x)

extern "C" __attribute__((visibility("default"))) const char* dptf_op_tensorflow_version() {
#ifdef TF_VERSION_STRING
  return TF_VERSION_STRING;
#else
  return DPTF_STRINGIFY(TF_MAJOR_VERSION) "." DPTF_STRINGIFY(TF_MINOR_VERSION);
#endif
}

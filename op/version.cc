// The TensorFlow version this library was compiled against; the loader compares it with the running one,
// because custom ops are only binary compatible within one minor version.
extern "C" __attribute__((visibility("default"))) const char* dptf_op_tensorflow_version() {
  return DPTF_TF_VERSION;
}

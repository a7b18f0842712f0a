#pragma once

#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "deepmd/DeepBaseModel.h"
#include "deepmd/c_api.h"

// A handle is the C++ object and the first error. Handles of models derive from DP_DeepBaseModel (or
// ...Devi), so that the functions of the base serve all of them. Getters on a handle without a model answer 0
// and record an error.
struct DP_Nlist {
  deepmd::InputNlist nl;
  std::string exception;
};
struct DP_DeepBaseModel {
  virtual ~DP_DeepBaseModel() = default;
  virtual deepmd::DeepBaseModel& model() = 0;
  std::string exception;
};
struct DP_DeepBaseModelDevi {
  virtual ~DP_DeepBaseModelDevi() = default;
  virtual deepmd::DeepBaseModelDevi& model() = 0;
  std::string exception;
};

#define DP_EXPORT extern "C" __attribute__((visibility("default")))

namespace deepmd_c {

/// Runs f and keeps the text of whatever it throws; the first error stays.
template <typename Handle, typename F>
void guarded(Handle* handle, F&& f) {
  if (!handle) return;
  try {
    f();
  } catch (const std::exception& e) {
    if (handle->exception.empty()) handle->exception = e.what();
  } catch (...) {
    if (handle->exception.empty()) handle->exception = "DeePMD-kit Error: unknown exception";
  }
}

inline const char* copy(const std::string& text) {
  char* out = new char[text.size() + 1];
  std::memcpy(out, text.c_str(), text.size() + 1);
  return out;
}

template <typename Handle, typename R, typename F>
R get(Handle* handle, R fallback, F&& f) {
  R out = fallback;
  guarded(handle, [&] { out = f(handle->model()); });
  return out;
}

template <typename V>
std::vector<V> given(const V* p, size_t n) {
  return p ? std::vector<V>(p, p + n) : std::vector<V>();
}

/// Numbers of aparam for the frames of a call; atoms are counted before ignored ones are removed.
template <typename Model>
size_t aparam_size(const Model& model, int nframes, int natom, int nghost) {
  return static_cast<size_t>(nframes) * (model.is_aparam_nall() ? natom : natom - nghost) *
         model.dim_aparam();
}

}  // namespace deepmd_c

#define DP_DEFINE_GETTERS(CLASS)                                                     \
  DP_EXPORT double DP_##CLASS##GetCutoff(DP_##CLASS* dp) {                           \
    return deepmd_c::get(dp, 0.0, [](auto& p) { return p.cutoff(); });               \
  }                                                                                  \
  DP_EXPORT int DP_##CLASS##GetNumbTypes(DP_##CLASS* dp) {                           \
    return deepmd_c::get(dp, 0, [](auto& p) { return p.numb_types(); });             \
  }                                                                                  \
  DP_EXPORT int DP_##CLASS##GetNumbTypesSpin(DP_##CLASS* dp) {                       \
    return deepmd_c::get(dp, 0, [](auto& p) { return p.numb_types_spin(); });        \
  }                                                                                  \
  DP_EXPORT int DP_##CLASS##GetDimFParam(DP_##CLASS* dp) {                           \
    return deepmd_c::get(dp, 0, [](auto& p) { return p.dim_fparam(); });             \
  }                                                                                  \
  DP_EXPORT int DP_##CLASS##GetDimAParam(DP_##CLASS* dp) {                           \
    return deepmd_c::get(dp, 0, [](auto& p) { return p.dim_aparam(); });             \
  }                                                                                  \
  DP_EXPORT bool DP_##CLASS##IsAParamNAll(DP_##CLASS* dp) {                          \
    return deepmd_c::get(dp, false, [](auto& p) { return p.is_aparam_nall(); });     \
  }                                                                                  \
  DP_EXPORT bool DP_##CLASS##HasDefaultFParam(DP_##CLASS* dp) {                      \
    return deepmd_c::get(dp, false, [](auto& p) { return p.has_default_fparam(); }); \
  }                                                                                  \
  DP_EXPORT const char* DP_##CLASS##CheckOK(DP_##CLASS* dp) {                        \
    return deepmd_c::copy(dp ? dp->exception : "null handle");                       \
  }

/// A function that only other backends have; it leaves an error in the handle, whatever else it is given.
#define DP_DEFINE_ABSENT(CLASS, NAME)                                                                   \
  DP_EXPORT void DP_##CLASS##NAME(DP_##CLASS* dp, ...) {                                                \
    deepmd_c::guarded(dp, [] {                                                                          \
      throw deepmd::deepmd_exception("DP_" #CLASS #NAME " is not supported by the TensorFlow backend"); \
    });                                                                                                 \
  }

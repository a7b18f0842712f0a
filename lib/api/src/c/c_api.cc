#include "deepmd/c_api.h"

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "deepmd/DeepPot.h"

// A handle: the C++ object and the first error. Getters on a handle without a model answer 0 and record an error.
struct DP_Nlist {
  deepmd::InputNlist nl;
  std::string exception;
};
struct DP_DeepBaseModel {
  virtual ~DP_DeepBaseModel() = default;
  deepmd::DeepPot pot;
  std::string exception;
};
struct DP_DeepPot : public DP_DeepBaseModel {};
struct DP_DeepBaseModelDevi {
  virtual ~DP_DeepBaseModelDevi() = default;
  deepmd::DeepPotModelDevi pot;
  std::string exception;
};
struct DP_DeepPotModelDevi : public DP_DeepBaseModelDevi {};

#define DP_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

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

const char* copy(const std::string& text) {
  char* out = new char[text.size() + 1];
  std::memcpy(out, text.c_str(), text.size() + 1);
  return out;
}

template <typename Handle, typename R, typename F>
R get(Handle* handle, R fallback, F&& f) {
  R out = fallback;
  guarded(handle, [&] { out = f(handle->pot); });
  return out;
}

template <typename V>
std::vector<V> given(const V* p, size_t n) {
  return p ? std::vector<V>(p, p + n) : std::vector<V>();
}

/// Numbers of aparam for the frames of a call; atoms are counted before ignored ones are removed.
template <typename Model>
size_t aparam_size(const Model& model, int nframes, int natom, int nghost) {
  return static_cast<size_t>(nframes) * (model.is_aparam_nall() ? natom : natom - nghost) * model.dim_aparam();
}

template <typename V>
void compute(DP_DeepBaseModel* dp, int nframes, int natom, const V* coord, const int* atype, const V* cell, int nghost,
             const DP_Nlist* nlist, int ago, const V* fparam, const V* aparam, bool mixed, double* energy, V* force,
             V* virial, V* atomic_energy, V* atomic_virial) {
  guarded(dp, [&] {
    std::vector<double> ener(nframes > 0 ? nframes : 0);
    const auto f = given(fparam, static_cast<size_t>(nframes) * dp->pot.dim_fparam());
    const auto a = given(aparam, aparam_size(dp->pot, nframes, natom, nghost));
    dp->pot.compute_raw(nframes, natom, coord, atype, cell, nghost, nlist ? &nlist->nl : nullptr, ago, f, a, mixed,
                        ener.data(), force, virial, atomic_energy, atomic_virial);
    if (energy) std::copy(ener.begin(), ener.end(), energy);
  });
}

template <typename V>
void compute(DP_DeepBaseModelDevi* dp, int nframes, int natom, const V* coord, const int* atype, const V* cell, int nghost,
             const DP_Nlist* nlist, int ago, const V* fparam, const V* aparam, bool, double* energy, V* force, V* virial,
             V* atomic_energy, V* atomic_virial) {
  guarded(dp, [&] {
    if (nframes > 1) throw deepmd::deepmd_exception("model deviation takes one frame at a time");
    const auto f = given(fparam, dp->pot.dim_fparam());
    const auto a = given(aparam, aparam_size(dp->pot, 1, natom, nghost));
    const auto shifted = [](V* p, size_t n) { return p ? p + n : nullptr; };
    for (size_t k = 0; k < dp->pot.size(); ++k) {
      double e = 0;
      dp->pot.model(k).compute_raw(1, natom, coord, atype, cell, nghost, nlist ? &nlist->nl : nullptr, ago, f, a, false, &e,
                                   shifted(force, k * natom * 3), shifted(virial, k * 9),
                                   shifted(atomic_energy, k * natom), shifted(atomic_virial, k * natom * 9));
      if (energy) energy[k] = e;
    }
  });
}

}  // namespace

DP_EXPORT DP_Nlist* DP_NewNlist(int inum, int* ilist, int* numneigh, int** firstneigh) {
  auto* out = new DP_Nlist;
  out->nl = deepmd::InputNlist(inum, ilist, numneigh, firstneigh);
  return out;
}
DP_EXPORT DP_Nlist* DP_NewNlist_comm(int inum, int* ilist, int* numneigh, int** firstneigh, int nswap, int* sendnum,
                                     int* recvnum, int* firstrecv, int** sendlist, int* sendproc, int* recvproc,
                                     void* world, int nprocs) {
  auto* out = new DP_Nlist;
  out->nl = deepmd::InputNlist(inum, ilist, numneigh, firstneigh, nswap, sendnum, recvnum, firstrecv, sendlist, sendproc,
                               recvproc, world, nprocs);
  return out;
}
DP_EXPORT void DP_NlistSetMask(DP_Nlist* nl, int mask) {
  if (nl) nl->nl.set_mask(mask);
}
DP_EXPORT void DP_NlistSetMapping(DP_Nlist* nl, int* mapping) {
  if (nl) nl->nl.set_mapping(mapping);
}
DP_EXPORT void DP_DeleteNlist(DP_Nlist* nl) { delete nl; }
DP_EXPORT const char* DP_NlistCheckOK(DP_Nlist* nl) { return copy(nl ? nl->exception : "null handle"); }

DP_EXPORT DP_DeepPot* DP_NewDeepPotWithParam2(const char* model, const int gpu_rank, const char* content, const int size) {
  auto* out = new DP_DeepPot;
  guarded(out, [&] { out->pot.init(model, gpu_rank, content && size > 0 ? std::string(content, size) : std::string()); });
  return out;
}
DP_EXPORT DP_DeepPot* DP_NewDeepPot(const char* model) { return DP_NewDeepPotWithParam2(model, 0, nullptr, 0); }
DP_EXPORT DP_DeepPot* DP_NewDeepPotWithParam(const char* model, const int gpu_rank, const char* content) {
  if (!content || !*content) return DP_NewDeepPotWithParam2(model, gpu_rank, nullptr, 0);
  auto* out = new DP_DeepPot;
  out->exception = "DeePMD-kit Error: DP_NewDeepPotWithParam cannot know the length of the content; use DP_NewDeepPotWithParam2";
  return out;
}
DP_EXPORT void DP_DeleteDeepPot(DP_DeepPot* dp) { delete dp; }

DP_EXPORT DP_DeepPotModelDevi* DP_NewDeepPotModelDeviWithParam(const char** models, const int n_models, const int gpu_rank,
                                                               const char** contents, const int n_contents,
                                                               const int* sizes) {
  auto* out = new DP_DeepPotModelDevi;
  guarded(out, [&] {
    std::vector<std::string> names(models, models + n_models), bytes;
    for (int k = 0; k < n_contents; ++k) bytes.emplace_back(contents[k], sizes[k]);
    out->pot.init(names, gpu_rank, bytes);
  });
  return out;
}
DP_EXPORT DP_DeepPotModelDevi* DP_NewDeepPotModelDevi(const char** models, int n_models) {
  return DP_NewDeepPotModelDeviWithParam(models, n_models, 0, nullptr, 0, nullptr);
}
DP_EXPORT void DP_DeleteDeepPotModelDevi(DP_DeepPotModelDevi* dp) { delete dp; }
DP_EXPORT void DP_DeleteDeepBaseModel(DP_DeepBaseModel* dp) { delete dp; }
DP_EXPORT void DP_DeleteDeepBaseModelDevi(DP_DeepBaseModelDevi* dp) { delete dp; }

#define DP_DEFINE_COMPUTE(CLASS, SUFFIX, REAL)                                                                           \
  DP_EXPORT void DP_##CLASS##Compute##SUFFIX(DP_##CLASS* dp, const int natom, const REAL* coord, const int* atype,       \
                                             const REAL* cell, double* energy, REAL* force, REAL* virial,                \
                                             REAL* atomic_energy, REAL* atomic_virial) {                                 \
    compute<REAL>(dp, 1, natom, coord, atype, cell, 0, nullptr, 0, nullptr, nullptr, false, energy, force, virial,       \
                  atomic_energy, atomic_virial);                                                                         \
  }                                                                                                                      \
  DP_EXPORT void DP_##CLASS##ComputeNList##SUFFIX(                                                                       \
      DP_##CLASS* dp, const int natom, const REAL* coord, const int* atype, const REAL* cell, const int nghost,          \
      const DP_Nlist* nlist, const int ago, double* energy, REAL* force, REAL* virial, REAL* atomic_energy,              \
      REAL* atomic_virial) {                                                                                             \
    compute<REAL>(dp, 1, natom, coord, atype, cell, nghost, nlist, ago, nullptr, nullptr, false, energy, force, virial,  \
                  atomic_energy, atomic_virial);                                                                         \
  }                                                                                                                      \
  DP_EXPORT void DP_##CLASS##Compute##SUFFIX##2(                                                                         \
      DP_##CLASS * dp, const int nframes, const int natom, const REAL* coord, const int* atype, const REAL* cell,        \
      const REAL* fparam, const REAL* aparam, double* energy, REAL* force, REAL* virial, REAL* atomic_energy,            \
      REAL* atomic_virial) {                                                                                             \
    compute<REAL>(dp, nframes, natom, coord, atype, cell, 0, nullptr, 0, fparam, aparam, false, energy, force, virial,   \
                  atomic_energy, atomic_virial);                                                                         \
  }                                                                                                                      \
  DP_EXPORT void DP_##CLASS##ComputeNList##SUFFIX##2(                                                                    \
      DP_##CLASS * dp, const int nframes, const int natom, const REAL* coord, const int* atype, const REAL* cell,        \
      const int nghost, const DP_Nlist* nlist, const int ago, const REAL* fparam, const REAL* aparam, double* energy,    \
      REAL* force, REAL* virial, REAL* atomic_energy, REAL* atomic_virial) {                                             \
    compute<REAL>(dp, nframes, natom, coord, atype, cell, nghost, nlist, ago, fparam, aparam, false, energy, force,      \
                  virial, atomic_energy, atomic_virial);                                                                 \
  }                                                                                                                      \
  DP_EXPORT void DP_##CLASS##Compute##SUFFIX##3(                                                                         \
      DP_##CLASS * dp, const int nframes, const int natom, const REAL* coord, const int* atype, const REAL* cell,        \
      const REAL* fparam, const REAL* aparam, const double*, double* energy, REAL* force, REAL* virial,                  \
      REAL* atomic_energy, REAL* atomic_virial) {                                                                        \
    compute<REAL>(dp, nframes, natom, coord, atype, cell, 0, nullptr, 0, fparam, aparam, false, energy, force, virial,   \
                  atomic_energy, atomic_virial);                                                                         \
  }                                                                                                                      \
  DP_EXPORT void DP_##CLASS##ComputeNList##SUFFIX##3(                                                                    \
      DP_##CLASS * dp, const int nframes, const int natom, const REAL* coord, const int* atype, const REAL* cell,        \
      const int nghost, const DP_Nlist* nlist, const int ago, const REAL* fparam, const REAL* aparam, const double*,     \
      double* energy, REAL* force, REAL* virial, REAL* atomic_energy, REAL* atomic_virial) {                             \
    compute<REAL>(dp, nframes, natom, coord, atype, cell, nghost, nlist, ago, fparam, aparam, false, energy, force,      \
                  virial, atomic_energy, atomic_virial);                                                                 \
  }
DP_DEFINE_COMPUTE(DeepPot, , double)
DP_DEFINE_COMPUTE(DeepPot, f, float)
DP_DEFINE_COMPUTE(DeepPotModelDevi, , double)
DP_DEFINE_COMPUTE(DeepPotModelDevi, f, float)

#define DP_DEFINE_MIXED(SUFFIX, REAL)                                                                                    \
  DP_EXPORT void DP_DeepPotComputeMixedType##SUFFIX(                                                                     \
      DP_DeepPot* dp, const int nframes, const int natoms, const REAL* coord, const int* atype, const REAL* cell,        \
      const REAL* fparam, const REAL* aparam, double* energy, REAL* force, REAL* virial, REAL* atomic_energy,            \
      REAL* atomic_virial) {                                                                                             \
    compute<REAL>(dp, nframes, natoms, coord, atype, cell, 0, nullptr, 0, fparam, aparam, true, energy, force, virial,   \
                  atomic_energy, atomic_virial);                                                                         \
  }
DP_DEFINE_MIXED(, double)
DP_DEFINE_MIXED(f, float)

#define DP_DEFINE_GETTERS(CLASS)                                                                                          \
  DP_EXPORT double DP_##CLASS##GetCutoff(DP_##CLASS* dp) {                                                                \
    return get(dp, 0.0, [](auto& p) { return p.cutoff(); });                                                              \
  }                                                                                                                       \
  DP_EXPORT int DP_##CLASS##GetNumbTypes(DP_##CLASS* dp) {                                                                \
    return get(dp, 0, [](auto& p) { return p.numb_types(); });                                                            \
  }                                                                                                                       \
  DP_EXPORT int DP_##CLASS##GetNumbTypesSpin(DP_##CLASS* dp) {                                                            \
    return get(dp, 0, [](auto& p) { return p.numb_types_spin(); });                                                       \
  }                                                                                                                       \
  DP_EXPORT int DP_##CLASS##GetDimFParam(DP_##CLASS* dp) {                                                                \
    return get(dp, 0, [](auto& p) { return p.dim_fparam(); });                                                            \
  }                                                                                                                       \
  DP_EXPORT int DP_##CLASS##GetDimAParam(DP_##CLASS* dp) {                                                                \
    return get(dp, 0, [](auto& p) { return p.dim_aparam(); });                                                            \
  }                                                                                                                       \
  DP_EXPORT bool DP_##CLASS##IsAParamNAll(DP_##CLASS* dp) {                                                               \
    return get(dp, false, [](auto& p) { return p.is_aparam_nall(); });                                                    \
  }                                                                                                                       \
  DP_EXPORT bool DP_##CLASS##HasDefaultFParam(DP_##CLASS* dp) {                                                           \
    return get(dp, false, [](auto& p) { return p.has_default_fparam(); });                                                \
  }                                                                                                                       \
  DP_EXPORT const char* DP_##CLASS##CheckOK(DP_##CLASS* dp) { return copy(dp ? dp->exception : "null handle"); }
DP_DEFINE_GETTERS(DeepPot)
DP_DEFINE_GETTERS(DeepPotModelDevi)
DP_DEFINE_GETTERS(DeepBaseModel)
DP_DEFINE_GETTERS(DeepBaseModelDevi)

DP_EXPORT int DP_DeepPotGetDimChgSpin(DP_DeepPot*) { return 0; }
DP_EXPORT int DP_DeepPotModelDeviGetDimChgSpin(DP_DeepPotModelDevi*) { return 0; }
DP_EXPORT const char* DP_DeepBaseModelGetTypeMap(DP_DeepBaseModel* dp) {
  std::string names;
  guarded(dp, [&] { dp->pot.get_type_map(names); });
  return copy(names);
}
DP_EXPORT const char* DP_DeepPotGetTypeMap(DP_DeepPot* dp) { return DP_DeepBaseModelGetTypeMap(dp); }
DP_EXPORT const char* DP_DeepPotGetRuntimeReport(DP_DeepPot* dp) {
  std::string text;
  guarded(dp, [&] { text = dp->pot.runtime_report(); });
  return copy(text);
}

DP_EXPORT void DP_ConvertPbtxtToPb(const char* pbtxt, const char* pb) {
  try {
    deepmd::convert_pbtxt_to_pb(pbtxt, pb);
  } catch (const std::exception& e) {
    // The signature has no way to report; a missing output file is the sign.
    std::fprintf(stderr, "%s\n", e.what());
  }
}
DP_EXPORT void DP_PrintSummary(const char* pre) { deepmd::print_summary(pre ? pre : ""); }
DP_EXPORT const char* DP_ReadFileToChar2(const char* model, int* size) {
  std::string content;
  bool failed = false;
  try {
    deepmd::read_file_to_string(model, content);
  } catch (const std::exception& e) {
    content = e.what();
    failed = true;
  }
  if (size) *size = failed ? -static_cast<int>(content.size()) : static_cast<int>(content.size());
  return copy(content);
}
DP_EXPORT const char* DP_ReadFileToChar(const char* model) { return DP_ReadFileToChar2(model, nullptr); }

DP_EXPORT void DP_SelectByType(const int natoms, const int* atype, const int nghost, const int nsel_type,
                               const int* sel_type, int* fwd_map, int* nreal, int* bkw_map, int* nghost_real) {
  std::vector<int> fwd, bkw;
  int ghosts = 0;
  deepmd::select_by_type(fwd, bkw, ghosts, {}, std::vector<int>(atype, atype + natoms), nghost,
                         std::vector<int>(sel_type, sel_type + nsel_type));
  if (fwd_map) std::copy(fwd.begin(), fwd.end(), fwd_map);
  if (bkw_map) std::copy(bkw.begin(), bkw.end(), bkw_map);
  if (nreal) *nreal = static_cast<int>(bkw.size());
  if (nghost_real) *nghost_real = ghosts;
}
DP_EXPORT void DP_SelectMapInt(const int* in, const int* fwd_map, const int stride, const int nall1, const int nall2,
                               int* out) {
  std::vector<int> result;
  deepmd::select_map(result, std::vector<int>(in, in + static_cast<size_t>(stride) * nall1),
                     std::vector<int>(fwd_map, fwd_map + nall1), stride, 1, nall1, nall2);
  if (out) std::copy(result.begin(), result.end(), out);
}
DP_EXPORT void DP_DeleteChar(const char* text) { delete[] text; }

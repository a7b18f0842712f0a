#include <algorithm>

#include "deepmd/DataModifier.h"
#include "deepmd/DeepTensor.h"
#include "handles.h"

struct DP_DeepTensor {
  deepmd::DeepTensor model;
  std::vector<int> sel_types;
  std::string exception;
};
struct DP_DipoleChargeModifier {
  deepmd::DipoleChargeModifier model;
  std::vector<int> sel_types;
  std::string exception;
};

namespace {

using deepmd_c::copy;
using deepmd_c::guarded;

template <typename Handle>
Handle* create(const char* file, int gpu_rank, const char* scope) {
  auto* out = new Handle;
  guarded(out, [&] {
    out->model.init(file, gpu_rank, scope ? scope : "");
    out->sel_types = out->model.sel_types();
  });
  return out;
}

template <typename V>
V* array(const std::vector<V>& values) {
  V* out = new V[values.size()];
  std::copy(values.begin(), values.end(), out);
  return out;
}

template <typename V>
void compute(DP_DeepTensor* dt, int natom, const V* coord, const int* atype, const V* cell, int nghost,
             const DP_Nlist* nlist, V* global, V* force, V* virial, V** tensor, V* atomic_virial, int* size) {
  if (tensor) *tensor = nullptr;
  if (size) *size = 0;
  guarded(dt, [&] {
    std::vector<V> g, f, v, t, a;
    dt->model.compute_raw(natom, coord, atype, cell, nghost, nlist ? &nlist->nl : nullptr,
                          global ? &g : nullptr, force ? &f : nullptr, virial ? &v : nullptr,
                          tensor ? &t : nullptr, atomic_virial ? &a : nullptr);
    if (global) std::copy(g.begin(), g.end(), global);
    if (force) std::copy(f.begin(), f.end(), force);
    if (virial) std::copy(v.begin(), v.end(), virial);
    if (atomic_virial) std::copy(a.begin(), a.end(), atomic_virial);
    if (tensor) *tensor = array(t);
    if (tensor && size) *size = static_cast<int>(t.size());
  });
}

template <typename Handle, typename R, typename F>
R ask(Handle* handle, R fallback, F&& f) {
  guarded(handle, [&] { fallback = f(handle->model); });
  return fallback;
}

}  // namespace

DP_EXPORT DP_DeepTensor* DP_NewDeepTensorWithParam(const char* model, const int gpu_rank, const char* scope) {
  return create<DP_DeepTensor>(model, gpu_rank, scope);
}
DP_EXPORT DP_DeepTensor* DP_NewDeepTensor(const char* model) { return create<DP_DeepTensor>(model, 0, ""); }
DP_EXPORT void DP_DeleteDeepTensor(DP_DeepTensor* dt) { delete dt; }

#define DP_DEFINE_TENSOR(SUFFIX, REAL)                                                                       \
  DP_EXPORT void DP_DeepTensorComputeTensor##SUFFIX(DP_DeepTensor* dt, const int natom, const REAL* coord,   \
                                                    const int* atype, const REAL* cell, REAL** tensor,       \
                                                    int* size) {                                             \
    compute<REAL>(dt, natom, coord, atype, cell, 0, nullptr, nullptr, nullptr, nullptr, tensor, nullptr,     \
                  size);                                                                                     \
  }                                                                                                          \
  DP_EXPORT void DP_DeepTensorComputeTensorNList##SUFFIX(                                                    \
      DP_DeepTensor* dt, const int natom, const REAL* coord, const int* atype, const REAL* cell,             \
      const int nghost, const DP_Nlist* nlist, REAL** tensor, int* size) {                                   \
    compute<REAL>(dt, natom, coord, atype, cell, nghost, nlist, nullptr, nullptr, nullptr, tensor, nullptr,  \
                  size);                                                                                     \
  }                                                                                                          \
  DP_EXPORT void DP_DeepTensorCompute##SUFFIX(DP_DeepTensor* dt, const int natom, const REAL* coord,         \
                                              const int* atype, const REAL* cell, REAL* global_tensor,       \
                                              REAL* force, REAL* virial, REAL** atomic_tensor,               \
                                              REAL* atomic_virial, int* size_at) {                           \
    compute<REAL>(dt, natom, coord, atype, cell, 0, nullptr, global_tensor, force, virial, atomic_tensor,    \
                  atomic_virial, size_at);                                                                   \
  }                                                                                                          \
  DP_EXPORT void DP_DeepTensorComputeNList##SUFFIX(                                                          \
      DP_DeepTensor* dt, const int natom, const REAL* coord, const int* atype, const REAL* cell,             \
      const int nghost, const DP_Nlist* nlist, REAL* global_tensor, REAL* force, REAL* virial,               \
      REAL** atomic_tensor, REAL* atomic_virial, int* size_at) {                                             \
    compute<REAL>(dt, natom, coord, atype, cell, nghost, nlist, global_tensor, force, virial, atomic_tensor, \
                  atomic_virial, size_at);                                                                   \
  }                                                                                                          \
  DP_EXPORT void DP_DeleteArray##SUFFIX(REAL* array) { delete[] array; }
DP_DEFINE_TENSOR(, double)
DP_DEFINE_TENSOR(f, float)

DP_EXPORT double DP_DeepTensorGetCutoff(DP_DeepTensor* dt) {
  return ask(dt, 0.0, [](auto& m) { return m.cutoff(); });
}
DP_EXPORT int DP_DeepTensorGetNumbTypes(DP_DeepTensor* dt) {
  return ask(dt, 0, [](auto& m) { return m.numb_types(); });
}
DP_EXPORT int DP_DeepTensorGetOutputDim(DP_DeepTensor* dt) {
  return ask(dt, 0, [](auto& m) { return m.output_dim(); });
}
DP_EXPORT int DP_DeepTensorGetNumbSelTypes(DP_DeepTensor* dt) {
  return dt ? static_cast<int>(dt->sel_types.size()) : 0;
}
DP_EXPORT int* DP_DeepTensorGetSelTypes(DP_DeepTensor* dt) { return dt ? dt->sel_types.data() : nullptr; }
DP_EXPORT const char* DP_DeepTensorGetTypeMap(DP_DeepTensor* dt) {
  std::string names;
  guarded(dt, [&] { dt->model.get_type_map(names); });
  return copy(names);
}
DP_EXPORT const char* DP_DeepTensorCheckOK(DP_DeepTensor* dt) {
  return copy(dt ? dt->exception : "null handle");
}

DP_EXPORT DP_DipoleChargeModifier* DP_NewDipoleChargeModifierWithParam(const char* model, const int gpu_rank,
                                                                       const char* scope) {
  return create<DP_DipoleChargeModifier>(model, gpu_rank, scope);
}
DP_EXPORT DP_DipoleChargeModifier* DP_NewDipoleChargeModifier(const char* model) {
  return create<DP_DipoleChargeModifier>(model, 0, "");
}
DP_EXPORT void DP_DeleteDipoleChargeModifier(DP_DipoleChargeModifier* dcm) { delete dcm; }

#define DP_DEFINE_MODIFIER(SUFFIX, REAL)                                                                    \
  DP_EXPORT void DP_DipoleChargeModifierComputeNList##SUFFIX(                                               \
      DP_DipoleChargeModifier* dcm, const int natom, const REAL* coord, const int* atype, const REAL* cell, \
      const int* pairs, const int npairs, const REAL* delef, const int nghost, const DP_Nlist* nlist,       \
      REAL* dfcorr, REAL* dvcorr) {                                                                         \
    guarded(dcm, [&] {                                                                                      \
      if (!nlist) throw deepmd::deepmd_exception("a neighbor list is needed");                              \
      const std::vector<REAL> x(coord, coord + 3 * static_cast<size_t>(natom)),                             \
          ef(delef, delef + 3 * static_cast<size_t>(natom - nghost)),                                       \
          box(cell ? cell : nullptr, cell ? cell + 9 : nullptr);                                            \
      const std::vector<int> type(atype, atype + natom);                                                    \
      std::vector<std::pair<int, int>> both;                                                                \
      for (int k = 0; k < npairs; ++k) both.emplace_back(pairs[2 * k], pairs[2 * k + 1]);                   \
      std::vector<REAL> f, v;                                                                               \
      dcm->model.compute(f, v, x, type, box, both, ef, nghost, nlist->nl);                                  \
      if (dfcorr) std::copy(f.begin(), f.end(), dfcorr);                                                    \
      if (dvcorr) std::copy(v.begin(), v.end(), dvcorr);                                                    \
    });                                                                                                     \
  }
DP_DEFINE_MODIFIER(, double)
DP_DEFINE_MODIFIER(f, float)

DP_EXPORT double DP_DipoleChargeModifierGetCutoff(DP_DipoleChargeModifier* dcm) {
  return ask(dcm, 0.0, [](auto& m) { return m.cutoff(); });
}
DP_EXPORT int DP_DipoleChargeModifierGetNumbTypes(DP_DipoleChargeModifier* dcm) {
  return ask(dcm, 0, [](auto& m) { return m.numb_types(); });
}
DP_EXPORT int DP_DipoleChargeModifierGetNumbSelTypes(DP_DipoleChargeModifier* dcm) {
  return dcm ? static_cast<int>(dcm->sel_types.size()) : 0;
}
DP_EXPORT int* DP_DipoleChargeModifierGetSelTypes(DP_DipoleChargeModifier* dcm) {
  return dcm ? dcm->sel_types.data() : nullptr;
}
DP_EXPORT const char* DP_DipoleChargeModifierCheckOK(DP_DipoleChargeModifier* dcm) {
  return copy(dcm ? dcm->exception : "null handle");
}

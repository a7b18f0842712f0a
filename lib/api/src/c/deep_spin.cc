#include <algorithm>

#include "deepmd/DeepSpin.h"
#include "handles.h"

struct DP_DeepSpin : public DP_DeepBaseModel {
  deepmd::DeepSpin pot;
  deepmd::DeepBaseModel& model() override { return pot; }
};
struct DP_DeepSpinModelDevi : public DP_DeepBaseModelDevi {
  deepmd::DeepSpinModelDevi pot;
  deepmd::DeepBaseModelDevi& model() override { return pot; }
};

namespace {

using deepmd_c::aparam_size;
using deepmd_c::given;
using deepmd_c::guarded;

template <typename V>
void compute(DP_DeepSpin* dp, int nframes, int natom, const V* coord, const V* spin, const int* atype,
             const V* cell, int nghost, const DP_Nlist* nlist, int ago, const V* fparam, const V* aparam,
             double* energy, V* force, V* force_mag, V* virial, V* atomic_energy, V* atomic_virial) {
  guarded(dp, [&] {
    std::vector<double> ener(nframes > 0 ? nframes : 0);
    const auto f = given(fparam, static_cast<size_t>(nframes) * dp->pot.dim_fparam());
    const auto a = given(aparam, aparam_size(dp->pot, nframes, natom, nghost));
    dp->pot.compute_raw(nframes, natom, coord, spin, atype, cell, nghost, nlist ? &nlist->nl : nullptr, ago,
                        f, a, ener.data(), force, force_mag, virial, atomic_energy, atomic_virial);
    if (energy) std::copy(ener.begin(), ener.end(), energy);
  });
}

template <typename V>
void compute(DP_DeepSpinModelDevi* dp, int nframes, int natom, const V* coord, const V* spin,
             const int* atype, const V* cell, int nghost, const DP_Nlist* nlist, int ago, const V* fparam,
             const V* aparam, double* energy, V* force, V* force_mag, V* virial, V* atomic_energy,
             V* atomic_virial) {
  guarded(dp, [&] {
    if (nframes > 1) throw deepmd::deepmd_exception("model deviation takes one frame at a time");
    const auto f = given(fparam, dp->pot.dim_fparam());
    const auto a = given(aparam, aparam_size(dp->pot, 1, natom, nghost));
    const auto shifted = [](V* p, size_t n) { return p ? p + n : nullptr; };
    for (size_t k = 0; k < dp->pot.size(); ++k) {
      double e = 0;
      dp->pot.model(k).compute_raw(1, natom, coord, spin, atype, cell, nghost, nlist ? &nlist->nl : nullptr,
                                   ago, f, a, &e, shifted(force, k * natom * 3),
                                   shifted(force_mag, k * natom * 3), shifted(virial, k * 9),
                                   shifted(atomic_energy, k * natom), shifted(atomic_virial, k * natom * 9));
      if (energy) energy[k] = e;
    }
  });
}

}  // namespace

DP_EXPORT DP_DeepSpin* DP_NewDeepSpinWithParam2(const char* model, const int gpu_rank, const char* content,
                                                const int size) {
  auto* out = new DP_DeepSpin;
  guarded(out, [&] {
    out->pot.init(model, gpu_rank, content && size > 0 ? std::string(content, size) : std::string());
  });
  return out;
}
DP_EXPORT DP_DeepSpin* DP_NewDeepSpin(const char* model) {
  return DP_NewDeepSpinWithParam2(model, 0, nullptr, 0);
}
DP_EXPORT void DP_DeleteDeepSpin(DP_DeepSpin* dp) { delete dp; }
DP_EXPORT DP_DeepSpinModelDevi* DP_NewDeepSpinModelDeviWithParam(const char** models, const int n_models,
                                                                 const int gpu_rank, const char** contents,
                                                                 const int n_contents, const int* sizes) {
  auto* out = new DP_DeepSpinModelDevi;
  guarded(out, [&] {
    std::vector<std::string> names(models, models + n_models), bytes;
    for (int k = 0; k < n_contents; ++k) bytes.emplace_back(contents[k], sizes[k]);
    out->pot.init(names, gpu_rank, bytes);
  });
  return out;
}
DP_EXPORT DP_DeepSpinModelDevi* DP_NewDeepSpinModelDevi(const char** models, int n_models) {
  return DP_NewDeepSpinModelDeviWithParam(models, n_models, 0, nullptr, 0, nullptr);
}
DP_EXPORT void DP_DeleteDeepSpinModelDevi(DP_DeepSpinModelDevi* dp) { delete dp; }

#define DP_SPIN_HEAD(CLASS, REAL)                                                                            \
  DP_##CLASS *dp, const int nframes, const int natom, const REAL *coord, const REAL *spin, const int *atype, \
      const REAL *cell
#define DP_SPIN_OUT(REAL) \
  double *energy, REAL *force, REAL *force_mag, REAL *virial, REAL *atomic_energy, REAL *atomic_virial
#define DP_SPIN_CALL(REAL, NGHOST, NLIST, AGO)                                                            \
  compute<REAL>(dp, nframes, natom, coord, spin, atype, cell, NGHOST, NLIST, AGO, fparam, aparam, energy, \
                force, force_mag, virial, atomic_energy, atomic_virial)
#define DP_DEFINE_SPIN(CLASS, SUFFIX, REAL)                                                                  \
  DP_EXPORT void DP_##CLASS##Compute##SUFFIX##2(DP_SPIN_HEAD(CLASS, REAL), const REAL* fparam,               \
                                                const REAL* aparam, DP_SPIN_OUT(REAL)) {                     \
    DP_SPIN_CALL(REAL, 0, nullptr, 0);                                                                       \
  }                                                                                                          \
  DP_EXPORT void DP_##CLASS##ComputeNList##SUFFIX##2(                                                        \
      DP_SPIN_HEAD(CLASS, REAL), const int nghost, const DP_Nlist* nlist, const int ago, const REAL* fparam, \
      const REAL* aparam, DP_SPIN_OUT(REAL)) {                                                               \
    DP_SPIN_CALL(REAL, nghost, nlist, ago);                                                                  \
  }                                                                                                          \
  DP_EXPORT void DP_##CLASS##Compute##SUFFIX##3(DP_SPIN_HEAD(CLASS, REAL), const REAL* fparam,               \
                                                const REAL* aparam, const double*, DP_SPIN_OUT(REAL)) {      \
    DP_SPIN_CALL(REAL, 0, nullptr, 0);                                                                       \
  }                                                                                                          \
  DP_EXPORT void DP_##CLASS##ComputeNList##SUFFIX##3(                                                        \
      DP_SPIN_HEAD(CLASS, REAL), const int nghost, const DP_Nlist* nlist, const int ago, const REAL* fparam, \
      const REAL* aparam, const double*, DP_SPIN_OUT(REAL)) {                                                \
    DP_SPIN_CALL(REAL, nghost, nlist, ago);                                                                  \
  }
DP_DEFINE_SPIN(DeepSpin, , double)
DP_DEFINE_SPIN(DeepSpin, f, float)
DP_DEFINE_SPIN(DeepSpinModelDevi, , double)
DP_DEFINE_SPIN(DeepSpinModelDevi, f, float)

DP_DEFINE_GETTERS(DeepSpin)
DP_DEFINE_GETTERS(DeepSpinModelDevi)
DP_EXPORT int DP_DeepSpinGetDimChgSpin(DP_DeepSpin*) { return 0; }
DP_EXPORT int DP_DeepSpinModelDeviGetDimChgSpin(DP_DeepSpinModelDevi*) { return 0; }
DP_EXPORT const char* DP_DeepSpinGetTypeMap(DP_DeepSpin* dp) { return DP_DeepBaseModelGetTypeMap(dp); }

#include "deepmd/DeepSpin.h"
#include "energy_model.h"

struct DP_DeepSpin : public DP_DeepBaseModel {
  deepmd::DeepSpin pot;
  deepmd::DeepBaseModel& model() override { return pot; }
};
struct DP_DeepSpinModelDevi : public DP_DeepBaseModelDevi {
  deepmd::DeepSpinModelDevi pot;
  deepmd::DeepBaseModelDevi& model() override { return pot; }
};

namespace {

using deepmd_c::Outputs;

template <typename V>
void compute(DP_DeepSpin* dp, int nframes, int natom, const V* coord, const V* spin, const int* atype,
             const V* cell, int nghost, const DP_Nlist* nlist, int ago, const V* fparam, const V* aparam,
             const double* charge_spin, double* energy, const Outputs<V>& out) {
  deepmd_c::evaluate_one(
      dp, nframes, natom, nghost, fparam, aparam, energy, out,
      [&](auto& pot, const auto& f, const auto& a, double* e, const Outputs<V>& o) {
        pot.compute_raw(nframes, natom, coord, spin, atype, cell, nghost, nlist ? &nlist->nl : nullptr, ago,
                        f, a, e, o.force, o.force_mag, o.virial, o.atomic_energy, o.atomic_virial,
                        deepmd_c::given(charge_spin, static_cast<size_t>(nframes) * pot.dim_chg_spin()));
      });
}

template <typename V>
void compute(DP_DeepSpinModelDevi* dp, int nframes, int natom, const V* coord, const V* spin,
             const int* atype, const V* cell, int nghost, const DP_Nlist* nlist, int ago, const V* fparam,
             const V* aparam, const double* charge_spin, double* energy, const Outputs<V>& out) {
  deepmd_c::evaluate_each(
      dp, nframes, natom, nghost, fparam, aparam, energy, out,
      [&](auto& pot, const auto& f, const auto& a, double* e, const Outputs<V>& o) {
        pot.compute_raw(1, natom, coord, spin, atype, cell, nghost, nlist ? &nlist->nl : nullptr, ago, f, a,
                        e, o.force, o.force_mag, o.virial, o.atomic_energy, o.atomic_virial,
                        deepmd_c::given(charge_spin, static_cast<size_t>(nframes) * pot.dim_chg_spin()));
      });
}

}  // namespace

DP_EXPORT DP_DeepSpin* DP_NewDeepSpinWithParam2(const char* model, const int gpu_rank, const char* content,
                                                const int size) {
  return deepmd_c::new_model<DP_DeepSpin>(model, gpu_rank, content, size);
}
DP_EXPORT DP_DeepSpin* DP_NewDeepSpin(const char* model) {
  return DP_NewDeepSpinWithParam2(model, 0, nullptr, 0);
}
DP_EXPORT void DP_DeleteDeepSpin(DP_DeepSpin* dp) { delete dp; }
DP_EXPORT DP_DeepSpinModelDevi* DP_NewDeepSpinModelDeviWithParam(const char** models, const int n_models,
                                                                 const int gpu_rank, const char** contents,
                                                                 const int n_contents, const int* sizes) {
  return deepmd_c::new_models<DP_DeepSpinModelDevi>(models, n_models, gpu_rank, contents, n_contents, sizes);
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
#define DP_SPIN_CALL(REAL, NGHOST, NLIST, AGO, CHARGE_SPIN)                                       \
  compute<REAL>(dp, nframes, natom, coord, spin, atype, cell, NGHOST, NLIST, AGO, fparam, aparam, \
                CHARGE_SPIN, energy, {force, force_mag, virial, atomic_energy, atomic_virial})
#define DP_DEFINE_SPIN(CLASS, SUFFIX, REAL)                                                                  \
  DP_EXPORT void DP_##CLASS##Compute##SUFFIX##2(DP_SPIN_HEAD(CLASS, REAL), const REAL* fparam,               \
                                                const REAL* aparam, DP_SPIN_OUT(REAL)) {                     \
    DP_SPIN_CALL(REAL, 0, nullptr, 0, nullptr);                                                              \
  }                                                                                                          \
  DP_EXPORT void DP_##CLASS##ComputeNList##SUFFIX##2(                                                        \
      DP_SPIN_HEAD(CLASS, REAL), const int nghost, const DP_Nlist* nlist, const int ago, const REAL* fparam, \
      const REAL* aparam, DP_SPIN_OUT(REAL)) {                                                               \
    DP_SPIN_CALL(REAL, nghost, nlist, ago, nullptr);                                                         \
  }                                                                                                          \
  DP_EXPORT void DP_##CLASS##Compute##SUFFIX##3(DP_SPIN_HEAD(CLASS, REAL), const REAL* fparam,               \
                                                const REAL* aparam, const double* charge_spin,               \
                                                DP_SPIN_OUT(REAL)) {                                         \
    DP_SPIN_CALL(REAL, 0, nullptr, 0, charge_spin);                                                          \
  }                                                                                                          \
  DP_EXPORT void DP_##CLASS##ComputeNList##SUFFIX##3(                                                        \
      DP_SPIN_HEAD(CLASS, REAL), const int nghost, const DP_Nlist* nlist, const int ago, const REAL* fparam, \
      const REAL* aparam, const double* charge_spin, DP_SPIN_OUT(REAL)) {                                    \
    DP_SPIN_CALL(REAL, nghost, nlist, ago, charge_spin);                                                     \
  }
DP_DEFINE_SPIN(DeepSpin, , double)
DP_DEFINE_SPIN(DeepSpin, f, float)
DP_DEFINE_SPIN(DeepSpinModelDevi, , double)
DP_DEFINE_SPIN(DeepSpinModelDevi, f, float)

DP_DEFINE_GETTERS(DeepSpin)
DP_DEFINE_GETTERS(DeepSpinModelDevi)
DP_EXPORT int DP_DeepSpinGetDimChgSpin(DP_DeepSpin* dp) {
  return deepmd_c::get(dp, 0, [](auto& p) { return p.dim_chg_spin(); });
}
DP_EXPORT int DP_DeepSpinModelDeviGetDimChgSpin(DP_DeepSpinModelDevi* dp) {
  return deepmd_c::get(dp, 0, [](auto& p) { return p.dim_chg_spin(); });
}
DP_EXPORT const char* DP_DeepSpinGetTypeMap(DP_DeepSpin* dp) { return DP_DeepBaseModelGetTypeMap(dp); }
DP_EXPORT bool DP_DeepSpinUsesCanonicalGraphInference(DP_DeepSpin*) { return false; }
DP_EXPORT bool DP_DeepSpinUsesNativeSpinScheme(DP_DeepSpin*) { return false; }
DP_DEFINE_ABSENT(DeepSpin, ComputeCanonicalGraphGPU)
DP_DEFINE_ABSENT(DeepSpin, SetChargeSpin)
DP_DEFINE_ABSENT(DeepSpinModelDevi, SetChargeSpin)

#include "deepmd/DeepPot.h"
#include "energy_model.h"

struct DP_DeepPot : public DP_DeepBaseModel {
  deepmd::DeepPot pot;
  deepmd::DeepBaseModel& model() override { return pot; }
};
struct DP_DeepPotModelDevi : public DP_DeepBaseModelDevi {
  deepmd::DeepPotModelDevi pot;
  deepmd::DeepBaseModelDevi& model() override { return pot; }
};

namespace {

using deepmd_c::aparam_size;
using deepmd_c::copy;
using deepmd_c::given;
using deepmd_c::guarded;
using deepmd_c::Outputs;

template <typename V>
void compute(DP_DeepPot* dp, int nframes, int natom, const V* coord, const int* atype, const V* cell,
             int nghost, const DP_Nlist* nlist, int ago, const V* fparam, const V* aparam,
             const double* charge_spin, bool mixed, double* energy, V* force, V* virial, V* atomic_energy,
             V* atomic_virial) {
  const Outputs<V> out = {force, nullptr, virial, atomic_energy, atomic_virial};
  deepmd_c::evaluate_one(
      dp, nframes, natom, nghost, fparam, aparam, energy, out,
      [&](auto& pot, const auto& f, const auto& a, double* e, const Outputs<V>& o) {
        pot.compute_raw(nframes, natom, coord, atype, cell, nghost, nlist ? &nlist->nl : nullptr, ago, f, a,
                        mixed, e, o.force, o.virial, o.atomic_energy, o.atomic_virial,
                        deepmd_c::given(charge_spin, static_cast<size_t>(nframes) * pot.dim_chg_spin()));
      });
}

template <typename V>
void compute(DP_DeepPotModelDevi* dp, int nframes, int natom, const V* coord, const int* atype, const V* cell,
             int nghost, const DP_Nlist* nlist, int ago, const V* fparam, const V* aparam,
             const double* charge_spin, bool, double* energy, V* force, V* virial, V* atomic_energy,
             V* atomic_virial) {
  const Outputs<V> out = {force, nullptr, virial, atomic_energy, atomic_virial};
  deepmd_c::evaluate_each(
      dp, nframes, natom, nghost, fparam, aparam, energy, out,
      [&](auto& pot, const auto& f, const auto& a, double* e, const Outputs<V>& o) {
        pot.compute_raw(1, natom, coord, atype, cell, nghost, nlist ? &nlist->nl : nullptr, ago, f, a, false,
                        e, o.force, o.virial, o.atomic_energy, o.atomic_virial,
                        deepmd_c::given(charge_spin, static_cast<size_t>(nframes) * pot.dim_chg_spin()));
      });
}

}  // namespace

DP_EXPORT DP_DeepPot* DP_NewDeepPotWithParam2(const char* model, const int gpu_rank, const char* content,
                                              const int size) {
  return deepmd_c::new_model<DP_DeepPot>(model, gpu_rank, content, size);
}
DP_EXPORT DP_DeepPot* DP_NewDeepPotWithPrecision(const char* model, const int gpu_rank, const char* content,
                                                 const int size, const char* precision) {
  return deepmd_c::new_model<DP_DeepPot>(model, gpu_rank, content, size,
                                         [&](auto& pot) { pot.set_precision(precision ? precision : ""); });
}
DP_EXPORT DP_DeepPot* DP_NewDeepPot(const char* model) {
  return DP_NewDeepPotWithParam2(model, 0, nullptr, 0);
}
DP_EXPORT DP_DeepPot* DP_NewDeepPotWithParam(const char* model, const int gpu_rank, const char* content) {
  if (!content || !*content) return DP_NewDeepPotWithParam2(model, gpu_rank, nullptr, 0);
  auto* out = new DP_DeepPot;
  out->exception =
      "DeePMD-kit Error: DP_NewDeepPotWithParam cannot know the length of the content; use "
      "DP_NewDeepPotWithParam2";
  return out;
}
DP_EXPORT void DP_DeleteDeepPot(DP_DeepPot* dp) { delete dp; }

DP_EXPORT DP_DeepPotModelDevi* DP_NewDeepPotModelDeviWithParam(const char** models, const int n_models,
                                                               const int gpu_rank, const char** contents,
                                                               const int n_contents, const int* sizes) {
  return deepmd_c::new_models<DP_DeepPotModelDevi>(models, n_models, gpu_rank, contents, n_contents, sizes);
}
DP_EXPORT DP_DeepPotModelDevi* DP_NewDeepPotModelDevi(const char** models, int n_models) {
  return DP_NewDeepPotModelDeviWithParam(models, n_models, 0, nullptr, 0, nullptr);
}
DP_EXPORT void DP_DeleteDeepPotModelDevi(DP_DeepPotModelDevi* dp) { delete dp; }

#define DP_DEFINE_COMPUTE(CLASS, SUFFIX, REAL)                                                               \
  DP_EXPORT void DP_##CLASS##Compute##SUFFIX(                                                                \
      DP_##CLASS* dp, const int natom, const REAL* coord, const int* atype, const REAL* cell,                \
      double* energy, REAL* force, REAL* virial, REAL* atomic_energy, REAL* atomic_virial) {                 \
    compute<REAL>(dp, 1, natom, coord, atype, cell, 0, nullptr, 0, nullptr, nullptr, nullptr, false, energy, \
                  force, virial, atomic_energy, atomic_virial);                                              \
  }                                                                                                          \
  DP_EXPORT void DP_##CLASS##ComputeNList##SUFFIX(                                                           \
      DP_##CLASS* dp, const int natom, const REAL* coord, const int* atype, const REAL* cell,                \
      const int nghost, const DP_Nlist* nlist, const int ago, double* energy, REAL* force, REAL* virial,     \
      REAL* atomic_energy, REAL* atomic_virial) {                                                            \
    compute<REAL>(dp, 1, natom, coord, atype, cell, nghost, nlist, ago, nullptr, nullptr, nullptr, false,    \
                  energy, force, virial, atomic_energy, atomic_virial);                                      \
  }                                                                                                          \
  DP_EXPORT void DP_##CLASS##Compute##SUFFIX##2(                                                             \
      DP_##CLASS * dp, const int nframes, const int natom, const REAL* coord, const int* atype,              \
      const REAL* cell, const REAL* fparam, const REAL* aparam, double* energy, REAL* force, REAL* virial,   \
      REAL* atomic_energy, REAL* atomic_virial) {                                                            \
    compute<REAL>(dp, nframes, natom, coord, atype, cell, 0, nullptr, 0, fparam, aparam, nullptr, false,     \
                  energy, force, virial, atomic_energy, atomic_virial);                                      \
  }                                                                                                          \
  DP_EXPORT void DP_##CLASS##ComputeNList##SUFFIX##2(                                                        \
      DP_##CLASS * dp, const int nframes, const int natom, const REAL* coord, const int* atype,              \
      const REAL* cell, const int nghost, const DP_Nlist* nlist, const int ago, const REAL* fparam,          \
      const REAL* aparam, double* energy, REAL* force, REAL* virial, REAL* atomic_energy,                    \
      REAL* atomic_virial) {                                                                                 \
    compute<REAL>(dp, nframes, natom, coord, atype, cell, nghost, nlist, ago, fparam, aparam, nullptr,       \
                  false, energy, force, virial, atomic_energy, atomic_virial);                               \
  }                                                                                                          \
  DP_EXPORT void DP_##CLASS##Compute##SUFFIX##3(                                                             \
      DP_##CLASS * dp, const int nframes, const int natom, const REAL* coord, const int* atype,              \
      const REAL* cell, const REAL* fparam, const REAL* aparam, const double* charge_spin, double* energy,   \
      REAL* force, REAL* virial, REAL* atomic_energy, REAL* atomic_virial) {                                 \
    compute<REAL>(dp, nframes, natom, coord, atype, cell, 0, nullptr, 0, fparam, aparam, charge_spin, false, \
                  energy, force, virial, atomic_energy, atomic_virial);                                      \
  }                                                                                                          \
  DP_EXPORT void DP_##CLASS##ComputeNList##SUFFIX##3(                                                        \
      DP_##CLASS * dp, const int nframes, const int natom, const REAL* coord, const int* atype,              \
      const REAL* cell, const int nghost, const DP_Nlist* nlist, const int ago, const REAL* fparam,          \
      const REAL* aparam, const double* charge_spin, double* energy, REAL* force, REAL* virial,              \
      REAL* atomic_energy, REAL* atomic_virial) {                                                            \
    compute<REAL>(dp, nframes, natom, coord, atype, cell, nghost, nlist, ago, fparam, aparam, charge_spin,   \
                  false, energy, force, virial, atomic_energy, atomic_virial);                               \
  }
DP_DEFINE_COMPUTE(DeepPot, , double)
DP_DEFINE_COMPUTE(DeepPot, f, float)
DP_DEFINE_COMPUTE(DeepPotModelDevi, , double)
DP_DEFINE_COMPUTE(DeepPotModelDevi, f, float)

#define DP_DEFINE_MIXED(SUFFIX, REAL)                                                                      \
  DP_EXPORT void DP_DeepPotComputeMixedType##SUFFIX(                                                       \
      DP_DeepPot* dp, const int nframes, const int natoms, const REAL* coord, const int* atype,            \
      const REAL* cell, const REAL* fparam, const REAL* aparam, double* energy, REAL* force, REAL* virial, \
      REAL* atomic_energy, REAL* atomic_virial) {                                                          \
    compute<REAL>(dp, nframes, natoms, coord, atype, cell, 0, nullptr, 0, fparam, aparam, nullptr, true,   \
                  energy, force, virial, atomic_energy, atomic_virial);                                    \
  }
DP_DEFINE_MIXED(, double)
DP_DEFINE_MIXED(f, float)

DP_DEFINE_GETTERS(DeepPot)
DP_DEFINE_GETTERS(DeepPotModelDevi)

DP_EXPORT int DP_DeepPotGetDimChgSpin(DP_DeepPot* dp) {
  return deepmd_c::get(dp, 0, [](auto& p) { return p.dim_chg_spin(); });
}
DP_EXPORT int DP_DeepPotModelDeviGetDimChgSpin(DP_DeepPotModelDevi* dp) {
  return deepmd_c::get(dp, 0, [](auto& p) { return p.dim_chg_spin(); });
}
/* Evaluations that stay on a device, and charges and spins of a frame, belong to other backends. */
DP_DEFINE_ABSENT(DeepPot, ComputeEdgesGPU)
DP_DEFINE_ABSENT(DeepPot, ComputeEdgesGPUFloat32)
DP_DEFINE_ABSENT(DeepPot, ComputeCanonicalGraphGPU)
DP_DEFINE_ABSENT(DeepPot, SetChargeSpin)
DP_DEFINE_ABSENT(DeepPotModelDevi, SetChargeSpin)
DP_EXPORT bool DP_DeepPotSupportsDeviceEdgeInference(DP_DeepPot*) { return false; }
DP_EXPORT bool DP_DeepPotUsesFP32EdgeVectors(DP_DeepPot*) { return false; }
DP_EXPORT bool DP_DeepPotUsesCanonicalGraphInference(DP_DeepPot*) { return false; }
DP_EXPORT bool DP_DeepPotHasDefaultChgSpin(DP_DeepPot* dp) {
  return deepmd_c::get(dp, false, [](auto& p) { return p.has_default_chg_spin(); });
}
DP_EXPORT const char* DP_DeepPotGetTypeMap(DP_DeepPot* dp) { return DP_DeepBaseModelGetTypeMap(dp); }
DP_EXPORT const char* DP_DeepPotGetRuntimeReport(DP_DeepPot* dp) {
  std::string text;
  guarded(dp, [&] { text = dp->pot.runtime_report(); });
  return copy(text);
}
DP_EXPORT bool DP_DeepPotHasUncertainty(DP_DeepPot* dp) {
  bool has = false;
  guarded(dp, [&] { has = dp->pot.has_uncertainty(); });
  return has;
}
DP_EXPORT void DP_DeepPotComputeUncertainty(DP_DeepPot* dp, const int natom, const double* coord,
                                            const int* atype, const double* cell, const double* fparam,
                                            const double* aparam, double* deviation) {
  guarded(dp, [&] {
    const std::vector<double> x(coord, coord + 3 * natom);
    const std::vector<double> box = cell ? std::vector<double>(cell, cell + 9) : std::vector<double>();
    std::vector<double> out;
    dp->pot.compute_uncertainty(out, x, std::vector<int>(atype, atype + natom), box,
                                given(fparam, dp->pot.dim_fparam()),
                                given(aparam, aparam_size(dp->pot, 1, natom, 0)));
    std::copy(out.begin(), out.end(), deviation);
  });
}
DP_EXPORT void DP_DeepPotComputeVarianceNList(DP_DeepPot* dp, const int natom, const double* coord,
                                              const int* atype, const double* cell, const int nghost,
                                              const DP_Nlist* nlist, const int ago, const double* fparam,
                                              const double* aparam, const double* charge_spin,
                                              double* variance, double* energy, double* force, double* virial,
                                              double* atomic_energy, double* atomic_virial) {
  guarded(dp, [&] {
    dp->pot.compute_variance(
        variance, natom, coord, atype, cell, nghost, nlist ? &nlist->nl : nullptr, ago,
        given(fparam, dp->pot.dim_fparam()), given(aparam, aparam_size(dp->pot, 1, natom, nghost)),
        given(charge_spin, dp->pot.dim_chg_spin()), energy, force, virial, atomic_energy, atomic_virial);
  });
}
DP_EXPORT void DP_DeepPotGetUncertaintyRule(DP_DeepPot* dp, double* rule) {
  guarded(dp, [&] {
    const deepmd::UncertaintyRule r = dp->pot.uncertainty_rule();
    const double numbers[5] = {r.scale, r.floor, r.cutoff, r.exponent, r.share};
    std::copy(numbers, numbers + 5, rule);
  });
}
DP_EXPORT int DP_DeepPotGetMessageWidth(DP_DeepPot* dp) {
  int width = 0;
  guarded(dp, [&] { width = dp->pot.message_width(); });
  return width;
}

#pragma once

#include <string>
#include <vector>

#include "common.hpp"

namespace deepmd {
namespace hpp {
namespace detail {

// The C functions by type of the numbers, with a neighbor list or without.
#define DPTF_HPP_COMPUTE(CLASS, SUFFIX, REAL)                                                             \
  inline void compute(DP_##CLASS* dp, int nframes, int natoms, const REAL* coord, const int* atype,       \
                      const REAL* box, int nghost, const DP_Nlist* nlist, int ago, const REAL* fparam,    \
                      const REAL* aparam, const double* charge_spin, double* ener, REAL* force,           \
                      REAL* virial, REAL* atom_energy, REAL* atom_virial) {                               \
    if (nlist)                                                                                            \
      DP_##CLASS##ComputeNList##SUFFIX##3(dp, nframes, natoms, coord, atype, box, nghost, nlist, ago,     \
                                          fparam, aparam, charge_spin, ener, force, virial, atom_energy,  \
                                          atom_virial);                                                   \
    else                                                                                                  \
      DP_##CLASS##Compute##SUFFIX##3(dp, nframes, natoms, coord, atype, box, fparam, aparam, charge_spin, \
                                     ener, force, virial, atom_energy, atom_virial);                      \
  }
DPTF_HPP_COMPUTE(DeepPot, , double)
DPTF_HPP_COMPUTE(DeepPot, f, float)
DPTF_HPP_COMPUTE(DeepPotModelDevi, , double)
DPTF_HPP_COMPUTE(DeepPotModelDevi, f, float)
#undef DPTF_HPP_COMPUTE
#define DPTF_HPP_MIXED(SUFFIX, REAL)                                                                        \
  inline void compute_mixed_type(DP_DeepPot* dp, int nframes, int natoms, const REAL* coord,                \
                                 const int* atype, const REAL* box, const REAL* fparam, const REAL* aparam, \
                                 double* ener, REAL* force, REAL* virial, REAL* atom_energy,                \
                                 REAL* atom_virial) {                                                       \
    DP_DeepPotComputeMixedType##SUFFIX(dp, nframes, natoms, coord, atype, box, fparam, aparam, ener, force, \
                                       virial, atom_energy, atom_virial);                                   \
  }
DPTF_HPP_MIXED(, double)
DPTF_HPP_MIXED(f, float)
#undef DPTF_HPP_MIXED

}  // namespace detail

/// Energies (eV), forces (eV/Å) and virials (eV) of a frozen energy model; see deepmd/DeepPot.h for shapes
/// and meaning. `ener` is a double (one frame) or a std::vector<double>; numbers are double or float. Errors
/// are deepmd_exceptions.
class DeepPot : public DeepBaseModel {
 public:
  DeepPot() = default;
  DeepPot(const std::string& model, const int& gpu_rank = 0, const std::string& file_content = "") {
    init(model, gpu_rank, file_content);
  }
  void init(const std::string& model, const int& gpu_rank = 0, const std::string& file_content = "") {
    if (loaded_already()) return;
    own(reinterpret_cast<DP_DeepBaseModel*>(
        DP_NewDeepPotWithPrecision(model.c_str(), gpu_rank, file_content.data(),
                                   static_cast<int>(file_content.size()), precision_.c_str())));
  }
  /// Numbers of a frame's charge and spin multiplicity: 2, or 0 for models that take none.
  int dim_chg_spin() const { return DP_DeepPotGetDimChgSpin(dp()); }
  /// Before init(): "float32" or "float64", see deepmd/DeepPot.h.
  void set_precision(const std::string& precision) {
    if (dpbase_) throw deepmd_exception("the precision is set before the model is loaded");
    precision_ = precision;
  }

#include "energy_arguments.hpp"
#define DPTF_HPP_FRAME \
  const std::vector<VALUETYPE>&coord, const std::vector<int>&atype, const std::vector<VALUETYPE>&box
#define DPTF_HPP_OUT std::vector<VALUETYPE>&force, std::vector<VALUETYPE>&virial
  template <typename VALUETYPE, typename ENERGYVTYPE>
  void compute(ENERGYVTYPE& ener, DPTF_HPP_OUT, DPTF_HPP_FRAME, DPTF_HPP_TAIL) {
    run(ener, force, virial, none<VALUETYPE>(), none<VALUETYPE>(), coord, atype, box, fparam, aparam,
        charge_spin, 0, nullptr, 0);
  }
  template <typename VALUETYPE, typename ENERGYVTYPE>
  void compute(ENERGYVTYPE& ener, DPTF_HPP_OUT, DPTF_HPP_ATOMIC, DPTF_HPP_FRAME, DPTF_HPP_TAIL) {
    run(ener, force, virial, &atom_energy, &atom_virial, coord, atype, box, fparam, aparam, charge_spin, 0,
        nullptr, 0);
  }
  template <typename VALUETYPE, typename ENERGYVTYPE>
  void compute(ENERGYVTYPE& ener, DPTF_HPP_OUT, DPTF_HPP_FRAME, DPTF_HPP_LIST, DPTF_HPP_TAIL) {
    run(ener, force, virial, none<VALUETYPE>(), none<VALUETYPE>(), coord, atype, box, fparam, aparam,
        charge_spin, nghost, lmp_list.nl, ago);
  }
  template <typename VALUETYPE, typename ENERGYVTYPE>
  void compute(ENERGYVTYPE& ener, DPTF_HPP_OUT, DPTF_HPP_ATOMIC, DPTF_HPP_FRAME, DPTF_HPP_LIST,
               DPTF_HPP_TAIL) {
    run(ener, force, virial, &atom_energy, &atom_virial, coord, atype, box, fparam, aparam, charge_spin,
        nghost, lmp_list.nl, ago);
  }
  /// Frames with different types: atype has nframes*natoms entries.
  template <typename VALUETYPE, typename ENERGYVTYPE>
  void compute_mixed_type(ENERGYVTYPE& ener, DPTF_HPP_OUT, const int& nframes, DPTF_HPP_FRAME,
                          DPTF_HPP_TAIL) {
    run_mixed(ener, force, virial, none<VALUETYPE>(), none<VALUETYPE>(), nframes, coord, atype, box, fparam,
              aparam, charge_spin);
  }
  template <typename VALUETYPE, typename ENERGYVTYPE>
  void compute_mixed_type(ENERGYVTYPE& ener, DPTF_HPP_OUT, DPTF_HPP_ATOMIC, const int& nframes,
                          DPTF_HPP_FRAME, DPTF_HPP_TAIL) {
    run_mixed(ener, force, virial, &atom_energy, &atom_virial, nframes, coord, atype, box, fparam, aparam,
              charge_spin);
  }

 private:
  std::string precision_;
  DP_DeepPot* dp() const { return reinterpret_cast<DP_DeepPot*>(loaded()); }
  template <typename T>
  static std::vector<T>* none() {
    return nullptr;
  }
  template <typename T, typename E>
  void run(E& ener, std::vector<T>& force, std::vector<T>& virial, std::vector<T>* atom_energy,
           std::vector<T>* atom_virial, const std::vector<T>& coord, const std::vector<int>& atype,
           const std::vector<T>& box, const std::vector<T>& fparam, const std::vector<T>& aparam,
           const std::vector<double>& charge_spin, int nghost, const DP_Nlist* list, int ago) const {
    DP_DeepPot* const handle = dp();
    const size_t natoms = atype.size(), nframes = detail::count_frames(coord, box, natoms);
    const size_t rows = is_aparam_nall() ? natoms : natoms - nghost;
    const std::vector<T> f = detail::tile(fparam, nframes, dim_fparam(), "fparam");
    const std::vector<T> a = detail::tile(aparam, nframes, rows * dim_aparam(), "aparam");
    const std::vector<double> c = detail::tile(charge_spin, nframes, dim_chg_spin(), "charge_spin");
    double* const e = detail::energies(ener, nframes);
    T *const fo = detail::sized(&force, nframes * natoms * 3), *const vi =
                                                                   detail::sized(&virial, nframes * 9);
    T *const ae = detail::sized(atom_energy, nframes * natoms), *const av = detail::sized(
                                                                    atom_virial, nframes * natoms * 9);
    detail::compute(handle, static_cast<int>(nframes), static_cast<int>(natoms), coord.data(), atype.data(),
                    detail::pointer(box), nghost, list, ago, detail::pointer(f), detail::pointer(a),
                    detail::pointer(c), e, fo, vi, ae, av);
    check();
  }
  template <typename T, typename E>
  void run_mixed(E& ener, std::vector<T>& force, std::vector<T>& virial, std::vector<T>* atom_energy,
                 std::vector<T>* atom_virial, int nframes, const std::vector<T>& coord,
                 const std::vector<int>& atype, const std::vector<T>& box, const std::vector<T>& fparam,
                 const std::vector<T>& aparam, const std::vector<double>& charge_spin) const {
    DP_DeepPot* const handle = dp();
    const size_t n = nframes, natoms = n ? atype.size() / n : 0;
    if (!charge_spin.empty()) throw deepmd_exception("frames of different types take no charge_spin here");
    if (detail::count_frames(coord, box, natoms) != n)
      throw deepmd_exception("coord has " + std::to_string(coord.size()) + " numbers for " +
                             std::to_string(n) + " frames of " + std::to_string(natoms) + " atoms");
    const std::vector<T> f = detail::tile(fparam, n, dim_fparam(), "fparam");
    const std::vector<T> a = detail::tile(aparam, n, natoms * dim_aparam(), "aparam");
    double* const e = detail::energies(ener, n);
    T *const fo = detail::sized(&force, n * natoms * 3), *const vi = detail::sized(&virial, n * 9);
    detail::compute_mixed_type(handle, nframes, static_cast<int>(natoms), coord.data(), atype.data(),
                               detail::pointer(box), detail::pointer(f), detail::pointer(a), e, fo, vi,
                               detail::sized(atom_energy, n * natoms),
                               detail::sized(atom_virial, n * natoms * 9));
    check();
  }
};

/// Several models on the same configuration (one frame), and the deviations between them.
class DeepPotModelDevi : public DeepBaseModelDevi {
 public:
  DeepPotModelDevi() = default;
  DeepPotModelDevi(const std::vector<std::string>& models, const int& gpu_rank = 0,
                   const std::vector<std::string>& file_content = std::vector<std::string>()) {
    init(models, gpu_rank, file_content);
  }
  void init(const std::vector<std::string>& models, const int& gpu_rank = 0,
            const std::vector<std::string>& file_content = std::vector<std::string>()) {
    if (loaded_already()) return;
    own(reinterpret_cast<DP_DeepBaseModelDevi*>(
            detail::new_models(DP_NewDeepPotModelDeviWithParam, models, gpu_rank, file_content)),
        models.size());
  }

  int dim_chg_spin() const { return DP_DeepPotModelDeviGetDimChgSpin(dp()); }

#define DPTF_HPP_ALL                                                       \
  std::vector<ENERGYTYPE>&ener, std::vector<std::vector<VALUETYPE>>&force, \
      std::vector<std::vector<VALUETYPE>>&virial
  template <typename VALUETYPE>
  void compute(DPTF_HPP_ALL, DPTF_HPP_FRAME, DPTF_HPP_TAIL) {
    run(ener, force, virial, none<VALUETYPE>(), none<VALUETYPE>(), coord, atype, box, fparam, aparam,
        charge_spin, 0, nullptr, 0);
  }
  template <typename VALUETYPE>
  void compute(DPTF_HPP_ALL, DPTF_HPP_ALL_ATOMIC, DPTF_HPP_FRAME, DPTF_HPP_TAIL) {
    run(ener, force, virial, &atom_energy, &atom_virial, coord, atype, box, fparam, aparam, charge_spin, 0,
        nullptr, 0);
  }
  template <typename VALUETYPE>
  void compute(DPTF_HPP_ALL, DPTF_HPP_FRAME, DPTF_HPP_LIST, DPTF_HPP_TAIL) {
    run(ener, force, virial, none<VALUETYPE>(), none<VALUETYPE>(), coord, atype, box, fparam, aparam,
        charge_spin, nghost, lmp_list.nl, ago);
  }
  template <typename VALUETYPE>
  void compute(DPTF_HPP_ALL, DPTF_HPP_ALL_ATOMIC, DPTF_HPP_FRAME, DPTF_HPP_LIST, DPTF_HPP_TAIL) {
    run(ener, force, virial, &atom_energy, &atom_virial, coord, atype, box, fparam, aparam, charge_spin,
        nghost, lmp_list.nl, ago);
  }
#undef DPTF_HPP_TAIL
#undef DPTF_HPP_FRAME
#undef DPTF_HPP_OUT
#undef DPTF_HPP_ATOMIC
#undef DPTF_HPP_LIST
#undef DPTF_HPP_ALL
#undef DPTF_HPP_ALL_ATOMIC

 private:
  DP_DeepPotModelDevi* dp() const { return reinterpret_cast<DP_DeepPotModelDevi*>(loaded()); }
  template <typename T>
  static std::vector<std::vector<T>>* none() {
    return nullptr;
  }
  template <typename T>
  void run(std::vector<double>& ener, std::vector<std::vector<T>>& force, std::vector<std::vector<T>>& virial,
           std::vector<std::vector<T>>* atom_energy, std::vector<std::vector<T>>* atom_virial,
           const std::vector<T>& coord, const std::vector<int>& atype, const std::vector<T>& box,
           const std::vector<T>& fparam, const std::vector<T>& aparam, const std::vector<double>& charge_spin,
           int nghost, const DP_Nlist* list, int ago) const {
    DP_DeepPotModelDevi* const handle = dp();
    const size_t natoms = atype.size(), k = numb_models;
    if (detail::count_frames(coord, box, natoms) != 1)
      throw deepmd_exception("model deviation takes one frame at a time");
    const size_t rows = is_aparam_nall() ? natoms : natoms - nghost;
    const std::vector<T> f = detail::tile(fparam, 1, dim_fparam(), "fparam");
    const std::vector<T> a = detail::tile(aparam, 1, rows * dim_aparam(), "aparam");
    const std::vector<double> c = detail::tile(charge_spin, 1, dim_chg_spin(), "charge_spin");
    ener.resize(k);
    std::vector<T> fo(k * natoms * 3), vi(k * 9), ae(atom_energy ? k * natoms : 0),
        av(atom_virial ? k * natoms * 9 : 0);
    T *const pe = atom_energy ? ae.data() : nullptr, *const pv = atom_virial ? av.data() : nullptr;
    const int n = static_cast<int>(natoms);
    detail::compute(handle, 1, n, coord.data(), atype.data(), detail::pointer(box), nghost, list, ago,
                    detail::pointer(f), detail::pointer(a), detail::pointer(c), ener.data(), fo.data(),
                    vi.data(), pe, pv);
    check();
    force = split(fo, natoms * 3);
    virial = split(vi, 9);
    if (atom_energy) *atom_energy = split(ae, natoms);
    if (atom_virial) *atom_virial = split(av, natoms * 9);
  }
};

}  // namespace hpp
}  // namespace deepmd

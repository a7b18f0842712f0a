#pragma once

#include <string>
#include <vector>

#include "common.hpp"

namespace deepmd {
namespace hpp {
namespace detail {

// The C functions by type of the numbers, with a neighbor list or without.
#define DPTF_HPP_COMPUTE(CLASS, SUFFIX, REAL)                                                                \
  inline void compute(DP_##CLASS* dp, int nframes, int natoms, const REAL* coord, const REAL* spin,          \
                      const int* atype, const REAL* box, int nghost, const DP_Nlist* nlist, int ago,         \
                      const REAL* fparam, const REAL* aparam, const double* charge_spin, double* ener,       \
                      REAL* force, REAL* force_mag, REAL* virial, REAL* atom_energy, REAL* atom_virial) {    \
    if (nlist)                                                                                               \
      DP_##CLASS##ComputeNList##SUFFIX##3(dp, nframes, natoms, coord, spin, atype, box, nghost, nlist, ago,  \
                                          fparam, aparam, charge_spin, ener, force, force_mag, virial,       \
                                          atom_energy, atom_virial);                                         \
    else                                                                                                     \
      DP_##CLASS##Compute##SUFFIX##3(dp, nframes, natoms, coord, spin, atype, box, fparam, aparam,           \
                                     charge_spin, ener, force, force_mag, virial, atom_energy, atom_virial); \
  }
DPTF_HPP_COMPUTE(DeepSpin, , double)
DPTF_HPP_COMPUTE(DeepSpin, f, float)
DPTF_HPP_COMPUTE(DeepSpinModelDevi, , double)
DPTF_HPP_COMPUTE(DeepSpinModelDevi, f, float)
#undef DPTF_HPP_COMPUTE

}  // namespace detail

#include "energy_arguments.hpp"
#define DPTF_HPP_FRAME                                                                                 \
  const std::vector<VALUETYPE>&coord, const std::vector<VALUETYPE>&spin, const std::vector<int>&atype, \
      const std::vector<VALUETYPE>&box
#define DPTF_HPP_OUT \
  std::vector<VALUETYPE>&force, std::vector<VALUETYPE>&force_mag, std::vector<VALUETYPE>&virial

/// Energies, forces and magnetic forces of a model with spins; see deepmd/DeepSpin.h.
class DeepSpin : public DeepBaseModel {
 public:
  DeepSpin() = default;
  DeepSpin(const std::string& model, const int& gpu_rank = 0, const std::string& file_content = "") {
    init(model, gpu_rank, file_content);
  }
  void init(const std::string& model, const int& gpu_rank = 0, const std::string& file_content = "") {
    if (loaded_already()) return;
    own(reinterpret_cast<DP_DeepBaseModel*>(DP_NewDeepSpinWithParam2(
        model.c_str(), gpu_rank, file_content.data(), static_cast<int>(file_content.size()))));
  }

  /// Numbers of a frame's charge and spin multiplicity: 2, or 0 for models that take none.
  int dim_chg_spin() const { return DP_DeepSpinGetDimChgSpin(dp()); }

  template <typename VALUETYPE, typename ENERGYVTYPE>
  void compute(ENERGYVTYPE& ener, DPTF_HPP_OUT, DPTF_HPP_FRAME, DPTF_HPP_TAIL) {
    run<VALUETYPE>(ener, force, force_mag, virial, nullptr, nullptr, coord, spin, atype, box, fparam, aparam,
                   charge_spin, 0, nullptr, 0);
  }
  template <typename VALUETYPE, typename ENERGYVTYPE>
  void compute(ENERGYVTYPE& ener, DPTF_HPP_OUT, DPTF_HPP_ATOMIC, DPTF_HPP_FRAME, DPTF_HPP_TAIL) {
    run<VALUETYPE>(ener, force, force_mag, virial, &atom_energy, &atom_virial, coord, spin, atype, box,
                   fparam, aparam, charge_spin, 0, nullptr, 0);
  }
  template <typename VALUETYPE, typename ENERGYVTYPE>
  void compute(ENERGYVTYPE& ener, DPTF_HPP_OUT, DPTF_HPP_FRAME, DPTF_HPP_LIST, DPTF_HPP_TAIL) {
    run<VALUETYPE>(ener, force, force_mag, virial, nullptr, nullptr, coord, spin, atype, box, fparam, aparam,
                   charge_spin, nghost, lmp_list.nl, ago);
  }
  template <typename VALUETYPE, typename ENERGYVTYPE>
  void compute(ENERGYVTYPE& ener, DPTF_HPP_OUT, DPTF_HPP_ATOMIC, DPTF_HPP_FRAME, DPTF_HPP_LIST,
               DPTF_HPP_TAIL) {
    run<VALUETYPE>(ener, force, force_mag, virial, &atom_energy, &atom_virial, coord, spin, atype, box,
                   fparam, aparam, charge_spin, nghost, lmp_list.nl, ago);
  }

 private:
  DP_DeepSpin* dp() const { return reinterpret_cast<DP_DeepSpin*>(loaded()); }
  template <typename T, typename E>
  void run(E& ener, std::vector<T>& force, std::vector<T>& force_mag, std::vector<T>& virial,
           std::vector<T>* atom_energy, std::vector<T>* atom_virial, const std::vector<T>& coord,
           const std::vector<T>& spin, const std::vector<int>& atype, const std::vector<T>& box,
           const std::vector<T>& fparam, const std::vector<T>& aparam, const std::vector<double>& charge_spin,
           int nghost, const DP_Nlist* list, int ago) const {
    DP_DeepSpin* const handle = dp();
    const size_t natoms = atype.size(), nframes = detail::count_frames(coord, box, natoms);
    detail::same_size(spin, coord, "spin");
    const size_t rows = is_aparam_nall() ? natoms : natoms - nghost;
    const std::vector<T> f = detail::tile(fparam, nframes, dim_fparam(), "fparam");
    const std::vector<T> a = detail::tile(aparam, nframes, rows * dim_aparam(), "aparam");
    const std::vector<double> c = detail::tile(charge_spin, nframes, dim_chg_spin(), "charge_spin");
    detail::compute(
        handle, static_cast<int>(nframes), static_cast<int>(natoms), coord.data(), spin.data(), atype.data(),
        detail::pointer(box), nghost, list, ago, detail::pointer(f), detail::pointer(a), detail::pointer(c),
        detail::energies(ener, nframes), detail::sized(&force, nframes * natoms * 3),
        detail::sized(&force_mag, nframes * natoms * 3), detail::sized(&virial, nframes * 9),
        detail::sized(atom_energy, nframes * natoms), detail::sized(atom_virial, nframes * natoms * 9));
    check();
  }
};

/// Several models with spins on the same configuration (one frame).
class DeepSpinModelDevi : public DeepBaseModelDevi {
 public:
  DeepSpinModelDevi() = default;
  DeepSpinModelDevi(const std::vector<std::string>& models, const int& gpu_rank = 0,
                    const std::vector<std::string>& file_content = std::vector<std::string>()) {
    init(models, gpu_rank, file_content);
  }
  void init(const std::vector<std::string>& models, const int& gpu_rank = 0,
            const std::vector<std::string>& file_content = std::vector<std::string>()) {
    if (loaded_already()) return;
    own(reinterpret_cast<DP_DeepBaseModelDevi*>(
            detail::new_models(DP_NewDeepSpinModelDeviWithParam, models, gpu_rank, file_content)),
        models.size());
  }

  int dim_chg_spin() const { return DP_DeepSpinModelDeviGetDimChgSpin(dp()); }

#define DPTF_HPP_ALL                                                       \
  std::vector<ENERGYTYPE>&ener, std::vector<std::vector<VALUETYPE>>&force, \
      std::vector<std::vector<VALUETYPE>>&force_mag, std::vector<std::vector<VALUETYPE>>&virial
  template <typename VALUETYPE>
  void compute(DPTF_HPP_ALL, DPTF_HPP_FRAME, DPTF_HPP_TAIL) {
    run<VALUETYPE>(ener, force, force_mag, virial, nullptr, nullptr, coord, spin, atype, box, fparam, aparam,
                   charge_spin, 0, nullptr, 0);
  }
  template <typename VALUETYPE>
  void compute(DPTF_HPP_ALL, DPTF_HPP_ALL_ATOMIC, DPTF_HPP_FRAME, DPTF_HPP_TAIL) {
    run<VALUETYPE>(ener, force, force_mag, virial, &atom_energy, &atom_virial, coord, spin, atype, box,
                   fparam, aparam, charge_spin, 0, nullptr, 0);
  }
  template <typename VALUETYPE>
  void compute(DPTF_HPP_ALL, DPTF_HPP_FRAME, DPTF_HPP_LIST, DPTF_HPP_TAIL) {
    run<VALUETYPE>(ener, force, force_mag, virial, nullptr, nullptr, coord, spin, atype, box, fparam, aparam,
                   charge_spin, nghost, lmp_list.nl, ago);
  }
  template <typename VALUETYPE>
  void compute(DPTF_HPP_ALL, DPTF_HPP_ALL_ATOMIC, DPTF_HPP_FRAME, DPTF_HPP_LIST, DPTF_HPP_TAIL) {
    run<VALUETYPE>(ener, force, force_mag, virial, &atom_energy, &atom_virial, coord, spin, atype, box,
                   fparam, aparam, charge_spin, nghost, lmp_list.nl, ago);
  }
#undef DPTF_HPP_TAIL
#undef DPTF_HPP_FRAME
#undef DPTF_HPP_OUT
#undef DPTF_HPP_ATOMIC
#undef DPTF_HPP_LIST
#undef DPTF_HPP_ALL
#undef DPTF_HPP_ALL_ATOMIC

 private:
  DP_DeepSpinModelDevi* dp() const { return reinterpret_cast<DP_DeepSpinModelDevi*>(loaded()); }
  template <typename T>
  void run(std::vector<double>& ener, std::vector<std::vector<T>>& force,
           std::vector<std::vector<T>>& force_mag, std::vector<std::vector<T>>& virial,
           std::vector<std::vector<T>>* atom_energy, std::vector<std::vector<T>>* atom_virial,
           const std::vector<T>& coord, const std::vector<T>& spin, const std::vector<int>& atype,
           const std::vector<T>& box, const std::vector<T>& fparam, const std::vector<T>& aparam,
           const std::vector<double>& charge_spin, int nghost, const DP_Nlist* list, int ago) const {
    DP_DeepSpinModelDevi* const handle = dp();
    const size_t natoms = atype.size(), k = numb_models;
    if (detail::count_frames(coord, box, natoms) != 1)
      throw deepmd_exception("model deviation takes one frame at a time");
    detail::same_size(spin, coord, "spin");
    const size_t rows = is_aparam_nall() ? natoms : natoms - nghost;
    const std::vector<T> f = detail::tile(fparam, 1, dim_fparam(), "fparam");
    const std::vector<T> a = detail::tile(aparam, 1, rows * dim_aparam(), "aparam");
    const std::vector<double> c = detail::tile(charge_spin, 1, dim_chg_spin(), "charge_spin");
    ener.resize(k);
    std::vector<T> fo(k * natoms * 3), fm(k * natoms * 3), vi(k * 9), ae(atom_energy ? k * natoms : 0),
        av(atom_virial ? k * natoms * 9 : 0);
    detail::compute(handle, 1, static_cast<int>(natoms), coord.data(), spin.data(), atype.data(),
                    detail::pointer(box), nghost, list, ago, detail::pointer(f), detail::pointer(a),
                    detail::pointer(c), ener.data(), fo.data(), fm.data(), vi.data(),
                    atom_energy ? ae.data() : nullptr, atom_virial ? av.data() : nullptr);
    check();
    force = split(fo, natoms * 3);
    force_mag = split(fm, natoms * 3);
    virial = split(vi, 9);
    if (atom_energy) *atom_energy = split(ae, natoms);
    if (atom_virial) *atom_virial = split(av, natoms * 9);
  }
};

}  // namespace hpp
}  // namespace deepmd

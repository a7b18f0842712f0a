#pragma once

#include <iostream>
#include <string>
#include <vector>

#include "common.hpp"

namespace deepmd {
namespace hpp {
namespace detail {

// The C functions by type of the numbers.
inline void compute(DP_DeepPot* dp, int nframes, int natoms, const double* coord, const int* atype,
                    const double* box, const double* fparam, const double* aparam, double* ener,
                    double* force, double* virial, double* atom_energy, double* atom_virial) {
  DP_DeepPotCompute2(dp, nframes, natoms, coord, atype, box, fparam, aparam, ener, force, virial, atom_energy,
                     atom_virial);
}
inline void compute(DP_DeepPot* dp, int nframes, int natoms, const float* coord, const int* atype,
                    const float* box, const float* fparam, const float* aparam, double* ener, float* force,
                    float* virial, float* atom_energy, float* atom_virial) {
  DP_DeepPotComputef2(dp, nframes, natoms, coord, atype, box, fparam, aparam, ener, force, virial,
                      atom_energy, atom_virial);
}
inline void compute(DP_DeepPot* dp, int nframes, int natoms, const double* coord, const int* atype,
                    const double* box, int nghost, const DP_Nlist* nlist, int ago, const double* fparam,
                    const double* aparam, double* ener, double* force, double* virial, double* atom_energy,
                    double* atom_virial) {
  DP_DeepPotComputeNList2(dp, nframes, natoms, coord, atype, box, nghost, nlist, ago, fparam, aparam, ener,
                          force, virial, atom_energy, atom_virial);
}
inline void compute(DP_DeepPot* dp, int nframes, int natoms, const float* coord, const int* atype,
                    const float* box, int nghost, const DP_Nlist* nlist, int ago, const float* fparam,
                    const float* aparam, double* ener, float* force, float* virial, float* atom_energy,
                    float* atom_virial) {
  DP_DeepPotComputeNListf2(dp, nframes, natoms, coord, atype, box, nghost, nlist, ago, fparam, aparam, ener,
                           force, virial, atom_energy, atom_virial);
}
inline void compute_mixed_type(DP_DeepPot* dp, int nframes, int natoms, const double* coord, const int* atype,
                               const double* box, const double* fparam, const double* aparam, double* ener,
                               double* force, double* virial, double* atom_energy, double* atom_virial) {
  DP_DeepPotComputeMixedType(dp, nframes, natoms, coord, atype, box, fparam, aparam, ener, force, virial,
                             atom_energy, atom_virial);
}
inline void compute_mixed_type(DP_DeepPot* dp, int nframes, int natoms, const float* coord, const int* atype,
                               const float* box, const float* fparam, const float* aparam, double* ener,
                               float* force, float* virial, float* atom_energy, float* atom_virial) {
  DP_DeepPotComputeMixedTypef(dp, nframes, natoms, coord, atype, box, fparam, aparam, ener, force, virial,
                              atom_energy, atom_virial);
}
inline void compute(DP_DeepPotModelDevi* dp, int nframes, int natoms, const double* coord, const int* atype,
                    const double* box, const double* fparam, const double* aparam, double* ener,
                    double* force, double* virial, double* atom_energy, double* atom_virial) {
  DP_DeepPotModelDeviCompute2(dp, nframes, natoms, coord, atype, box, fparam, aparam, ener, force, virial,
                              atom_energy, atom_virial);
}
inline void compute(DP_DeepPotModelDevi* dp, int nframes, int natoms, const float* coord, const int* atype,
                    const float* box, const float* fparam, const float* aparam, double* ener, float* force,
                    float* virial, float* atom_energy, float* atom_virial) {
  DP_DeepPotModelDeviComputef2(dp, nframes, natoms, coord, atype, box, fparam, aparam, ener, force, virial,
                               atom_energy, atom_virial);
}
inline void compute(DP_DeepPotModelDevi* dp, int nframes, int natoms, const double* coord, const int* atype,
                    const double* box, int nghost, const DP_Nlist* nlist, int ago, const double* fparam,
                    const double* aparam, double* ener, double* force, double* virial, double* atom_energy,
                    double* atom_virial) {
  DP_DeepPotModelDeviComputeNList2(dp, nframes, natoms, coord, atype, box, nghost, nlist, ago, fparam, aparam,
                                   ener, force, virial, atom_energy, atom_virial);
}
inline void compute(DP_DeepPotModelDevi* dp, int nframes, int natoms, const float* coord, const int* atype,
                    const float* box, int nghost, const DP_Nlist* nlist, int ago, const float* fparam,
                    const float* aparam, double* ener, float* force, float* virial, float* atom_energy,
                    float* atom_virial) {
  DP_DeepPotModelDeviComputeNListf2(dp, nframes, natoms, coord, atype, box, nghost, nlist, ago, fparam,
                                    aparam, ener, force, virial, atom_energy, atom_virial);
}

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
    if (dpbase_) {
      std::cerr << "WARNING: deep-potential should not be initialized twice, do nothing at the second call "
                   "of initializer"
                << std::endl;
      return;
    }
    own(reinterpret_cast<DP_DeepBaseModel*>(DP_NewDeepPotWithParam2(
        model.c_str(), gpu_rank, file_content.data(), static_cast<int>(file_content.size()))));
  }

#define DPTF_HPP_TAIL                                                   \
  const std::vector<VALUETYPE>&fparam = std::vector<VALUETYPE>(),       \
        const std::vector<VALUETYPE>&aparam = std::vector<VALUETYPE>(), \
        const std::vector<double>& = std::vector<double>()
#define DPTF_HPP_FRAME \
  const std::vector<VALUETYPE>&coord, const std::vector<int>&atype, const std::vector<VALUETYPE>&box
#define DPTF_HPP_OUT std::vector<VALUETYPE>&force, std::vector<VALUETYPE>&virial
#define DPTF_HPP_ATOMIC std::vector<VALUETYPE>&atom_energy, std::vector<VALUETYPE>&atom_virial
#define DPTF_HPP_LIST const int nghost, const InputNlist &lmp_list, const int &ago
  template <typename VALUETYPE, typename ENERGYVTYPE>
  void compute(ENERGYVTYPE& ener, DPTF_HPP_OUT, DPTF_HPP_FRAME, DPTF_HPP_TAIL) {
    run(ener, force, virial, none<VALUETYPE>(), none<VALUETYPE>(), coord, atype, box, fparam, aparam, 0,
        nullptr, 0);
  }
  template <typename VALUETYPE, typename ENERGYVTYPE>
  void compute(ENERGYVTYPE& ener, DPTF_HPP_OUT, DPTF_HPP_ATOMIC, DPTF_HPP_FRAME, DPTF_HPP_TAIL) {
    run(ener, force, virial, &atom_energy, &atom_virial, coord, atype, box, fparam, aparam, 0, nullptr, 0);
  }
  template <typename VALUETYPE, typename ENERGYVTYPE>
  void compute(ENERGYVTYPE& ener, DPTF_HPP_OUT, DPTF_HPP_FRAME, DPTF_HPP_LIST, DPTF_HPP_TAIL) {
    run(ener, force, virial, none<VALUETYPE>(), none<VALUETYPE>(), coord, atype, box, fparam, aparam, nghost,
        lmp_list.nl, ago);
  }
  template <typename VALUETYPE, typename ENERGYVTYPE>
  void compute(ENERGYVTYPE& ener, DPTF_HPP_OUT, DPTF_HPP_ATOMIC, DPTF_HPP_FRAME, DPTF_HPP_LIST,
               DPTF_HPP_TAIL) {
    run(ener, force, virial, &atom_energy, &atom_virial, coord, atype, box, fparam, aparam, nghost,
        lmp_list.nl, ago);
  }
  /// Frames with different types: atype has nframes*natoms entries.
  template <typename VALUETYPE, typename ENERGYVTYPE>
  void compute_mixed_type(ENERGYVTYPE& ener, DPTF_HPP_OUT, const int& nframes, DPTF_HPP_FRAME,
                          DPTF_HPP_TAIL) {
    run_mixed(ener, force, virial, none<VALUETYPE>(), none<VALUETYPE>(), nframes, coord, atype, box, fparam,
              aparam);
  }
  template <typename VALUETYPE, typename ENERGYVTYPE>
  void compute_mixed_type(ENERGYVTYPE& ener, DPTF_HPP_OUT, DPTF_HPP_ATOMIC, const int& nframes,
                          DPTF_HPP_FRAME, DPTF_HPP_TAIL) {
    run_mixed(ener, force, virial, &atom_energy, &atom_virial, nframes, coord, atype, box, fparam, aparam);
  }

 private:
  DP_DeepPot* dp() const { return reinterpret_cast<DP_DeepPot*>(loaded()); }
  template <typename T>
  static std::vector<T>* none() {
    return nullptr;
  }
  template <typename T>
  static T* sized(std::vector<T>* v, size_t n) {
    if (!v) return nullptr;
    v->resize(n);
    return v->data();
  }
  template <typename T, typename E>
  void run(E& ener, std::vector<T>& force, std::vector<T>& virial, std::vector<T>* atom_energy,
           std::vector<T>* atom_virial, const std::vector<T>& coord, const std::vector<int>& atype,
           const std::vector<T>& box, const std::vector<T>& fparam, const std::vector<T>& aparam, int nghost,
           const DP_Nlist* list, int ago) const {
    DP_DeepPot* const handle = dp();
    const size_t natoms = atype.size(), nframes = detail::count_frames(coord, box, natoms);
    const size_t rows = is_aparam_nall() ? natoms : natoms - nghost;
    const std::vector<T> f = detail::tile(fparam, nframes, dim_fparam(), "fparam");
    const std::vector<T> a = detail::tile(aparam, nframes, rows * dim_aparam(), "aparam");
    double* const e = detail::energies(ener, nframes);
    T *const fo = sized(&force, nframes * natoms * 3), *const vi = sized(&virial, nframes * 9);
    T *const ae = sized(atom_energy, nframes * natoms), *const av = sized(atom_virial, nframes * natoms * 9);
    if (list)
      detail::compute(handle, static_cast<int>(nframes), static_cast<int>(natoms), coord.data(), atype.data(),
                      detail::pointer(box), nghost, list, ago, detail::pointer(f), detail::pointer(a), e, fo,
                      vi, ae, av);
    else
      detail::compute(handle, static_cast<int>(nframes), static_cast<int>(natoms), coord.data(), atype.data(),
                      detail::pointer(box), detail::pointer(f), detail::pointer(a), e, fo, vi, ae, av);
    check();
  }
  template <typename T, typename E>
  void run_mixed(E& ener, std::vector<T>& force, std::vector<T>& virial, std::vector<T>* atom_energy,
                 std::vector<T>* atom_virial, int nframes, const std::vector<T>& coord,
                 const std::vector<int>& atype, const std::vector<T>& box, const std::vector<T>& fparam,
                 const std::vector<T>& aparam) const {
    DP_DeepPot* const handle = dp();
    const size_t n = nframes, natoms = n ? atype.size() / n : 0;
    if (detail::count_frames(coord, box, natoms) != n)
      throw deepmd_exception("coord has " + std::to_string(coord.size()) + " numbers for " +
                             std::to_string(n) + " frames of " + std::to_string(natoms) + " atoms");
    const std::vector<T> f = detail::tile(fparam, n, dim_fparam(), "fparam");
    const std::vector<T> a = detail::tile(aparam, n, natoms * dim_aparam(), "aparam");
    double* const e = detail::energies(ener, n);
    T *const fo = sized(&force, n * natoms * 3), *const vi = sized(&virial, n * 9);
    detail::compute_mixed_type(handle, nframes, static_cast<int>(natoms), coord.data(), atype.data(),
                               detail::pointer(box), detail::pointer(f), detail::pointer(a), e, fo, vi,
                               sized(atom_energy, n * natoms), sized(atom_virial, n * natoms * 9));
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
    if (dpbase_) {
      std::cerr << "WARNING: deep-potential should not be initialized twice, do nothing at the second call "
                   "of initializer"
                << std::endl;
      return;
    }
    std::vector<const char*> names, contents;
    std::vector<int> sizes;
    for (const auto& m : models) names.push_back(m.c_str());
    for (const auto& c : file_content) {
      contents.push_back(c.data());
      sizes.push_back(static_cast<int>(c.size()));
    }
    own(reinterpret_cast<DP_DeepBaseModelDevi*>(DP_NewDeepPotModelDeviWithParam(
            names.data(), static_cast<int>(names.size()), gpu_rank, contents.data(),
            static_cast<int>(contents.size()), sizes.data())),
        models.size());
  }

#define DPTF_HPP_ALL                                                       \
  std::vector<ENERGYTYPE>&ener, std::vector<std::vector<VALUETYPE>>&force, \
      std::vector<std::vector<VALUETYPE>>&virial
#define DPTF_HPP_ALL_ATOMIC \
  std::vector<std::vector<VALUETYPE>>&atom_energy, std::vector<std::vector<VALUETYPE>>&atom_virial
  template <typename VALUETYPE>
  void compute(DPTF_HPP_ALL, DPTF_HPP_FRAME, DPTF_HPP_TAIL) {
    run(ener, force, virial, none<VALUETYPE>(), none<VALUETYPE>(), coord, atype, box, fparam, aparam, 0,
        nullptr, 0);
  }
  template <typename VALUETYPE>
  void compute(DPTF_HPP_ALL, DPTF_HPP_ALL_ATOMIC, DPTF_HPP_FRAME, DPTF_HPP_TAIL) {
    run(ener, force, virial, &atom_energy, &atom_virial, coord, atype, box, fparam, aparam, 0, nullptr, 0);
  }
  template <typename VALUETYPE>
  void compute(DPTF_HPP_ALL, DPTF_HPP_FRAME, DPTF_HPP_LIST, DPTF_HPP_TAIL) {
    run(ener, force, virial, none<VALUETYPE>(), none<VALUETYPE>(), coord, atype, box, fparam, aparam, nghost,
        lmp_list.nl, ago);
  }
  template <typename VALUETYPE>
  void compute(DPTF_HPP_ALL, DPTF_HPP_ALL_ATOMIC, DPTF_HPP_FRAME, DPTF_HPP_LIST, DPTF_HPP_TAIL) {
    run(ener, force, virial, &atom_energy, &atom_virial, coord, atype, box, fparam, aparam, nghost,
        lmp_list.nl, ago);
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
           const std::vector<T>& fparam, const std::vector<T>& aparam, int nghost, const DP_Nlist* list,
           int ago) const {
    DP_DeepPotModelDevi* const handle = dp();
    const size_t natoms = atype.size(), k = numb_models;
    if (detail::count_frames(coord, box, natoms) != 1)
      throw deepmd_exception("model deviation takes one frame at a time");
    const size_t rows = is_aparam_nall() ? natoms : natoms - nghost;
    const std::vector<T> f = detail::tile(fparam, 1, dim_fparam(), "fparam");
    const std::vector<T> a = detail::tile(aparam, 1, rows * dim_aparam(), "aparam");
    ener.resize(k);
    std::vector<T> fo(k * natoms * 3), vi(k * 9), ae(atom_energy ? k * natoms : 0),
        av(atom_virial ? k * natoms * 9 : 0);
    T *const pe = atom_energy ? ae.data() : nullptr, *const pv = atom_virial ? av.data() : nullptr;
    const int n = static_cast<int>(natoms);
    if (list)
      detail::compute(handle, 1, n, coord.data(), atype.data(), detail::pointer(box), nghost, list, ago,
                      detail::pointer(f), detail::pointer(a), ener.data(), fo.data(), vi.data(), pe, pv);
    else
      detail::compute(handle, 1, n, coord.data(), atype.data(), detail::pointer(box), detail::pointer(f),
                      detail::pointer(a), ener.data(), fo.data(), vi.data(), pe, pv);
    check();
    force = split(fo, natoms * 3);
    virial = split(vi, 9);
    if (atom_energy) *atom_energy = split(ae, natoms);
    if (atom_virial) *atom_virial = split(av, natoms * 9);
  }
};

}  // namespace hpp
}  // namespace deepmd

#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common.hpp"

namespace deepmd {
namespace hpp {
namespace detail {

// The C functions by type of the numbers, with a neighbor list or without.
#define DPTF_HPP_TENSOR(SUFFIX, REAL)                                                                        \
  inline void compute(DP_DeepTensor* dt, int natoms, const REAL* coord, const int* atype, const REAL* box,   \
                      int nghost, const DP_Nlist* nlist, REAL** tensor, int* size) {                         \
    if (nlist)                                                                                               \
      DP_DeepTensorComputeTensorNList##SUFFIX(dt, natoms, coord, atype, box, nghost, nlist, tensor, size);   \
    else                                                                                                     \
      DP_DeepTensorComputeTensor##SUFFIX(dt, natoms, coord, atype, box, tensor, size);                       \
  }                                                                                                          \
  inline void compute(DP_DeepTensor* dt, int natoms, const REAL* coord, const int* atype, const REAL* box,   \
                      int nghost, const DP_Nlist* nlist, REAL* global, REAL* force, REAL* virial,            \
                      REAL** tensor, REAL* atom_virial, int* size) {                                         \
    if (nlist)                                                                                               \
      DP_DeepTensorComputeNList##SUFFIX(dt, natoms, coord, atype, box, nghost, nlist, global, force, virial, \
                                        tensor, atom_virial, size);                                          \
    else                                                                                                     \
      DP_DeepTensorCompute##SUFFIX(dt, natoms, coord, atype, box, global, force, virial, tensor,             \
                                   atom_virial, size);                                                       \
  }                                                                                                          \
  inline void compute(DP_DipoleChargeModifier* dcm, int natoms, const REAL* coord, const int* atype,         \
                      const REAL* box, const int* pairs, int npairs, const REAL* delef, int nghost,          \
                      const DP_Nlist* nlist, REAL* dfcorr, REAL* dvcorr) {                                   \
    DP_DipoleChargeModifierComputeNList##SUFFIX(dcm, natoms, coord, atype, box, pairs, npairs, delef,        \
                                                nghost, nlist, dfcorr, dvcorr);                              \
  }                                                                                                          \
  inline void release(REAL* array) { DP_DeleteArray##SUFFIX(array); }
DPTF_HPP_TENSOR(, double)
DPTF_HPP_TENSOR(f, float)
#undef DPTF_HPP_TENSOR

/// Takes over an array of the library.
template <typename T>
void take_array(T* array, int size, std::vector<T>& out) {
  out.assign(array, array + size);
  release(array);
}

}  // namespace detail

/// Dipoles, polarizabilities and the like of a frozen tensor model, one frame at a time; see
/// deepmd/DeepTensor.h.
class DeepTensor {
 public:
  DeepTensor() : dt_(nullptr, DP_DeleteDeepTensor) {}
  DeepTensor(const std::string& model, const int& gpu_rank = 0, const std::string& name_scope = "")
      : DeepTensor() {
    init(model, gpu_rank, name_scope);
  }
  void init(const std::string& model, const int& gpu_rank = 0, const std::string& name_scope = "") {
    if (detail::warn_second(dt_ != nullptr)) return;
    dt_.reset(DP_NewDeepTensorWithParam(model.c_str(), gpu_rank, name_scope.c_str()));
    try {
      check();
    } catch (...) {
      dt_.reset();
      throw;
    }
  }

#define DPTF_HPP_FRAME \
  const std::vector<VALUETYPE>&coord, const std::vector<int>&atype, const std::vector<VALUETYPE>&box
#define DPTF_HPP_LIST const int nghost, const InputNlist &lmp_list
#define DPTF_HPP_SUM \
  std::vector<VALUETYPE>&global, std::vector<VALUETYPE>&force, std::vector<VALUETYPE>&virial
#define DPTF_HPP_ATOMIC std::vector<VALUETYPE>&atom_tensor, std::vector<VALUETYPE>&atom_virial
  template <typename VALUETYPE>
  void compute(std::vector<VALUETYPE>& value, DPTF_HPP_FRAME) {
    run_tensor(value, coord, atype, box, 0, nullptr);
  }
  template <typename VALUETYPE>
  void compute(std::vector<VALUETYPE>& value, DPTF_HPP_FRAME, DPTF_HPP_LIST) {
    run_tensor(value, coord, atype, box, nghost, lmp_list.nl);
  }
  template <typename VALUETYPE>
  void compute(DPTF_HPP_SUM, DPTF_HPP_FRAME) {
    run<VALUETYPE>(global, force, virial, nullptr, nullptr, coord, atype, box, 0, nullptr);
  }
  template <typename VALUETYPE>
  void compute(DPTF_HPP_SUM, DPTF_HPP_FRAME, DPTF_HPP_LIST) {
    run<VALUETYPE>(global, force, virial, nullptr, nullptr, coord, atype, box, nghost, lmp_list.nl);
  }
  template <typename VALUETYPE>
  void compute(DPTF_HPP_SUM, DPTF_HPP_ATOMIC, DPTF_HPP_FRAME) {
    run<VALUETYPE>(global, force, virial, &atom_tensor, &atom_virial, coord, atype, box, 0, nullptr);
  }
  template <typename VALUETYPE>
  void compute(DPTF_HPP_SUM, DPTF_HPP_ATOMIC, DPTF_HPP_FRAME, DPTF_HPP_LIST) {
    run<VALUETYPE>(global, force, virial, &atom_tensor, &atom_virial, coord, atype, box, nghost, lmp_list.nl);
  }

  double cutoff() const { return DP_DeepTensorGetCutoff(loaded()); }
  int numb_types() const { return DP_DeepTensorGetNumbTypes(loaded()); }
  int output_dim() const { return DP_DeepTensorGetOutputDim(loaded()); }
  std::vector<int> sel_types() const {
    const int* const types = DP_DeepTensorGetSelTypes(loaded());
    return std::vector<int>(types, types + DP_DeepTensorGetNumbSelTypes(loaded()));
  }
  void get_type_map(std::string& type_map) const {
    type_map = detail::take(DP_DeepTensorGetTypeMap(loaded()));
  }
  void print_summary(const std::string& pre) const { DP_PrintSummary(pre.c_str()); }

 private:
  DP_DeepTensor* loaded() const {
    if (!dt_) throw deepmd_exception("no model is loaded");
    return dt_.get();
  }
  void check() const { detail::check(DP_DeepTensorCheckOK(loaded())); }
  template <typename T>
  void run_tensor(std::vector<T>& value, const std::vector<T>& coord, const std::vector<int>& atype,
                  const std::vector<T>& box, int nghost, const DP_Nlist* list) const {
    detail::one_frame(coord, box, atype.size());
    T* tensor = nullptr;
    int size = 0;
    detail::compute(loaded(), static_cast<int>(atype.size()), coord.data(), atype.data(),
                    detail::pointer(box), nghost, list, &tensor, &size);
    detail::take_array(tensor, size, value);
    check();
  }
  template <typename T>
  void run(std::vector<T>& global, std::vector<T>& force, std::vector<T>& virial, std::vector<T>* atom_tensor,
           std::vector<T>* atom_virial, const std::vector<T>& coord, const std::vector<int>& atype,
           const std::vector<T>& box, int nghost, const DP_Nlist* list) const {
    detail::one_frame(coord, box, atype.size());
    const size_t natoms = atype.size(), dim = output_dim();
    T* tensor = nullptr;
    int size = 0;
    detail::compute(loaded(), static_cast<int>(natoms), coord.data(), atype.data(), detail::pointer(box),
                    nghost, list, detail::sized(&global, dim), detail::sized(&force, dim * natoms * 3),
                    detail::sized(&virial, dim * 9), atom_tensor ? &tensor : nullptr,
                    detail::sized(atom_virial, dim * natoms * 9), &size);
    if (atom_tensor) detail::take_array(tensor, size, *atom_tensor);
    check();
  }
  std::unique_ptr<DP_DeepTensor, void (*)(DP_DeepTensor*)> dt_;
};

/// Forces on atoms from the electrostatic forces on the charges that their dipoles displace; see
/// deepmd/DataModifier.h.
class DipoleChargeModifier {
 public:
  DipoleChargeModifier() : dcm_(nullptr, DP_DeleteDipoleChargeModifier) {}
  DipoleChargeModifier(const std::string& model, const int& gpu_rank = 0, const std::string& name_scope = "")
      : DipoleChargeModifier() {
    init(model, gpu_rank, name_scope);
  }
  void init(const std::string& model, const int& gpu_rank = 0, const std::string& name_scope = "") {
    if (detail::warn_second(dcm_ != nullptr)) return;
    dcm_.reset(DP_NewDipoleChargeModifierWithParam(model.c_str(), gpu_rank, name_scope.c_str()));
    try {
      check();
    } catch (...) {
      dcm_.reset();
      throw;
    }
  }

  template <typename VALUETYPE>
  void compute(std::vector<VALUETYPE>& dfcorr, std::vector<VALUETYPE>& dvcorr, DPTF_HPP_FRAME,
               const std::vector<std::pair<int, int>>& pairs, const std::vector<VALUETYPE>& delef,
               DPTF_HPP_LIST) {
    detail::one_frame(coord, box, atype.size());
    std::vector<int> flat;
    for (const auto& p : pairs) {
      flat.push_back(p.first);
      flat.push_back(p.second);
    }
    if (delef.size() != 3 * (atype.size() - nghost))
      throw deepmd_exception("delef has " + std::to_string(delef.size()) + " numbers for " +
                             std::to_string(atype.size() - nghost) + " local atoms");
    detail::compute(loaded(), static_cast<int>(atype.size()), coord.data(), atype.data(),
                    detail::pointer(box), flat.data(), static_cast<int>(pairs.size()), delef.data(), nghost,
                    lmp_list.nl, detail::sized(&dfcorr, 3 * atype.size()), detail::sized(&dvcorr, 9));
    check();
  }
#undef DPTF_HPP_FRAME
#undef DPTF_HPP_LIST
#undef DPTF_HPP_SUM
#undef DPTF_HPP_ATOMIC

  double cutoff() const { return DP_DipoleChargeModifierGetCutoff(loaded()); }
  int numb_types() const { return DP_DipoleChargeModifierGetNumbTypes(loaded()); }
  std::vector<int> sel_types() const {
    const int* const types = DP_DipoleChargeModifierGetSelTypes(loaded());
    return std::vector<int>(types, types + DP_DipoleChargeModifierGetNumbSelTypes(loaded()));
  }
  void print_summary(const std::string& pre) const { DP_PrintSummary(pre.c_str()); }

 private:
  DP_DipoleChargeModifier* loaded() const {
    if (!dcm_) throw deepmd_exception("no model is loaded");
    return dcm_.get();
  }
  void check() const { detail::check(DP_DipoleChargeModifierCheckOK(loaded())); }
  std::unique_ptr<DP_DipoleChargeModifier, void (*)(DP_DipoleChargeModifier*)> dcm_;
};

}  // namespace hpp
}  // namespace deepmd

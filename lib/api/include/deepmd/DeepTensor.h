#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common.h"

namespace deepmd {

class DeepTensorImpl;

/// Dipoles, polarizabilities and the like of a frozen tensor model, one frame at a time.
///
/// Atomic tensors are given for the local atoms of the selected types, in the caller's order; the derivatives
/// of the summed tensor have one block per component. `name_scope` is where the model sits inside another
/// graph. Every function may throw deepmd_exception.
class DeepTensor {
 public:
  DeepTensor();
  ~DeepTensor();
  DeepTensor(const std::string& model, const int& gpu_rank = 0, const std::string& name_scope = "");
  void init(const std::string& model, const int& gpu_rank = 0, const std::string& name_scope = "");

#define DPTF_TENSOR_FRAME \
  const std::vector<VALUETYPE>&coord, const std::vector<int>&atype, const std::vector<VALUETYPE>&box
#define DPTF_TENSOR_LIST const int &nghost, const InputNlist &inlist
#define DPTF_TENSOR_SUM \
  std::vector<VALUETYPE>&global, std::vector<VALUETYPE>&force, std::vector<VALUETYPE>&virial
#define DPTF_TENSOR_ATOMIC std::vector<VALUETYPE>&atom_tensor, std::vector<VALUETYPE>&atom_virial
  template <typename VALUETYPE>
  void compute(std::vector<VALUETYPE>& value, DPTF_TENSOR_FRAME);
  template <typename VALUETYPE>
  void compute(std::vector<VALUETYPE>& value, DPTF_TENSOR_FRAME, DPTF_TENSOR_LIST);
  template <typename VALUETYPE>
  void compute(DPTF_TENSOR_SUM, DPTF_TENSOR_FRAME);
  template <typename VALUETYPE>
  void compute(DPTF_TENSOR_SUM, DPTF_TENSOR_FRAME, DPTF_TENSOR_LIST);
  template <typename VALUETYPE>
  void compute(DPTF_TENSOR_SUM, DPTF_TENSOR_ATOMIC, DPTF_TENSOR_FRAME);
  template <typename VALUETYPE>
  void compute(DPTF_TENSOR_SUM, DPTF_TENSOR_ATOMIC, DPTF_TENSOR_FRAME, DPTF_TENSOR_LIST);

  /// The general form. Null outputs are not evaluated; box and inlist may be null.
  template <typename VALUETYPE>
  void compute_raw(int natoms, const VALUETYPE* coord, const int* atype, const VALUETYPE* box, int nghost,
                   const InputNlist* inlist, std::vector<VALUETYPE>* global, std::vector<VALUETYPE>* force,
                   std::vector<VALUETYPE>* virial, std::vector<VALUETYPE>* atom_tensor,
                   std::vector<VALUETYPE>* atom_virial);

  double cutoff() const;
  int numb_types() const;
  int output_dim() const;
  const std::vector<int>& sel_types() const;
  void get_type_map(std::string& type_map) const;
  void print_summary(const std::string& pre) const;

 private:
  std::unique_ptr<DeepTensorImpl> impl_;
  DeepTensorImpl& loaded() const;
};

}  // namespace deepmd

#pragma once
#include <memory>

#include "compute.h"
#include "tensor_model.h"

namespace LAMMPS_NS {

/// `compute ID group deeptensor/atom model.pb`: the tensor of every atom, zero for types that have none.
class ComputeDeepTensor : public Compute {
 public:
  ComputeDeepTensor(class LAMMPS*, int, char**);
  ~ComputeDeepTensor() override;
  void init() override;
  void init_list(int, class NeighList*) override;
  void compute_peratom() override;
  double memory_usage() override;

 private:
  std::unique_ptr<TensorModel> model_;
  class NeighList* list_ = nullptr;
  int rows_ = 0;
  double length_unit_ = 1;
};

}  // namespace LAMMPS_NS

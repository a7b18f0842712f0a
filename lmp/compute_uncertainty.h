#pragma once
#include "compute.h"

namespace LAMMPS_NS {

/// `compute ID group deepmd/uncertainty/atom`: expected error of the force components of every atom, of the
/// first model of pair_style deepmd, written by `dp uncertainty`.
class ComputeDeepmdUncertainty : public Compute {
 public:
  ComputeDeepmdUncertainty(class LAMMPS*, int, char**);
  ~ComputeDeepmdUncertainty() override;
  void init() override;
  void compute_peratom() override;
  double memory_usage() override;

 private:
  class PairDeepMD* pair_ = nullptr;
  int nmax_ = 0;
};

}  // namespace LAMMPS_NS

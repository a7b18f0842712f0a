#pragma once
#include <string>

#include "compute.h"

namespace LAMMPS_NS {

/// `compute ID group deepmd/fparam/dedn SOURCE [delta]`: derivative of the energy of pair_style deepmd in its
/// one frame parameter, by central difference at the value of SOURCE (v_name, c_ID, c_ID[i], f_ID, f_ID[i]).
class ComputeFparamDedn : public Compute {
 public:
  ComputeFparamDedn(class LAMMPS*, int, char**);
  void init() override;
  double compute_scalar() override;

 private:
  double source();
  class PairDeepMD* pair_ = nullptr;
  // Exactly one of the three is set, in init().
  class Compute* compute_ = nullptr;
  class Fix* fix_ = nullptr;
  int variable_ = -1;
  char kind_;      // v, c or f
  int index_ = 0;  // entry from 1, 0: the scalar
  std::string name_;
  double delta_ = 1e-6;
};

}  // namespace LAMMPS_NS

#pragma once
#include <complex>
#include <vector>

#include "kspace.h"

namespace LAMMPS_NS {

/// `kspace_style pppm/dplr accuracy`: electrostatics of Gaussian charges in reciprocal space, with the forces
/// kept for fix dplr instead of being added to those of the atoms.
///
/// The sum over reciprocal vectors is done as such (no mesh), so it is exact: the vectors are those of
/// `kspace_modify mesh`, or as many as the accuracy asks for. There is no self-energy and no real-space part;
/// `kspace_modify gewald` gives the splitting parameter of the training.
class KSpaceDPLR : public KSpace {
 public:
  explicit KSpaceDPLR(class LAMMPS*);
  void settings(int, char**) override;
  void init() override;
  void setup() override;
  void compute(int, int) override;
  double memory_usage() override;
  /// Electrostatic force on every local atom.
  const std::vector<double>& electric_forces() const { return forces_; }

 private:
  struct Mode {
    int m[3];
    double k[3], weight;
  };
  std::vector<Mode> modes_;
  std::vector<std::complex<double>> phases_[3], sums_;
  std::vector<double> forces_;
  int half_[3] = {0, 0, 0};
  double inverse_[9] = {}, volume_ = 0;
  void phases(int nlocal);
};

}  // namespace LAMMPS_NS

#pragma once
#include <string>
#include <vector>

#include "pointers.h"

namespace LAMMPS_NS {

/// The electron temperatures on the grid of a `fix ttm`, read through the state that the fix writes to a
/// restart file: its class has no public header, but that state (grid sizes, seed, temperatures) is a format
/// that LAMMPS keeps.
class ElectronTemperature : protected Pointers {
 public:
  ElectronTemperature(class LAMMPS* lmp, std::string keyword, std::string id)
      : Pointers(lmp), keyword_(std::move(keyword)), id_(std::move(id)) {}

  const std::string& id() const { return id_; }
  /// Stops with the reason when the fix has no such grid.
  void check() const;
  /// Takes the temperatures of this moment; collective.
  void update();
  /// Temperature of the grid cell that holds a point.
  double at(const double* x) const;
  /// Mean over the cells that are not empty (ttm/mod keeps vacuum cells at zero).
  double mean() const;
  /// Bit of the fix's group in the masks of atoms.
  int group_bit() const;

 private:
  class Fix* fix() const;
  std::string keyword_, id_;
  int n_[3] = {};
  std::vector<double> cells_;  // [iz][iy][ix]
};

}  // namespace LAMMPS_NS

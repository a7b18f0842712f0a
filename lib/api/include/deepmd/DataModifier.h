#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common.h"

namespace deepmd {

class DipoleChargeModifierImpl;

/// Forces on atoms from the electrostatic forces on the charges that their dipoles displace.
///
/// `pairs` holds (real atom, its displaced charge) as local indices; displaced charges have types outside
/// those of the dipole model. `delef` (nloc*3) is the electrostatic force on every local atom, displaced
/// charges included. dfcorr (nall*3) is the force on every real atom: its own electrostatic force, that on
/// its displaced charge, and what the dipoles pass on; displaced charges get zero. dvcorr (9) is the virial
/// of the last part.
class DipoleChargeModifier {
 public:
  DipoleChargeModifier();
  ~DipoleChargeModifier();
  DipoleChargeModifier(const std::string& model, const int& gpu_rank = 0, const std::string& name_scope = "");
  void init(const std::string& model, const int& gpu_rank = 0, const std::string& name_scope = "");

  template <typename VALUETYPE>
  void compute(std::vector<VALUETYPE>& dfcorr, std::vector<VALUETYPE>& dvcorr,
               const std::vector<VALUETYPE>& coord, const std::vector<int>& atype,
               const std::vector<VALUETYPE>& box, const std::vector<std::pair<int, int>>& pairs,
               const std::vector<VALUETYPE>& delef, const int nghost, const InputNlist& inlist);

  double cutoff() const;
  int numb_types() const;
  std::vector<int> sel_types() const;
  const std::vector<int>& sel_types_ref() const;
  void print_summary(const std::string& pre) const;

 private:
  std::unique_ptr<DipoleChargeModifierImpl> impl_;
  DipoleChargeModifierImpl& loaded() const;
};

}  // namespace deepmd

#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "fix.h"
#include "tensor_model.h"

namespace LAMMPS_NS {

/// `fix ID group dplr model FILE type_associate A V ... bond_type B ... [efield Ex Ey Ez] [pair_deepmd_index
/// I]`: places the displaced charges of a DPLR model and hands the electrostatic forces of kspace_style
/// pppm/dplr, and those of an electric field, on to the real atoms.
class FixDPLR : public Fix {
 public:
  FixDPLR(class LAMMPS*, int, char**);
  ~FixDPLR() override;
  int setmask() override;
  void init() override;
  void setup_pre_exchange() override { follow(false); }
  void setup_pre_force(int) override;
  void setup(int) override;
  void min_setup(int vflag) override { setup(vflag); }
  void pre_exchange() override;
  void pre_force(int) override;
  void post_force(int) override;
  void min_pre_exchange() override { pre_exchange(); }
  void min_pre_force(int vflag) override { pre_force(vflag); }
  void min_post_force(int vflag) override { post_force(vflag); }
  int pack_reverse_comm(int, int, double*) override;
  void unpack_reverse_comm(int, int*, double*) override;
  double compute_scalar() override;
  double compute_vector(int) override;

 private:
  struct Pair {
    int real, charge;
  };
  /// Bonds between a real atom and its displaced charge that this process knows; the real atom may be a
  /// ghost.
  std::vector<Pair> bonded() const;
  void follow(bool velocity);
  void gather();
  void update_field();

  std::string file_;
  std::unique_ptr<TensorModel> model_;
  struct ModifierHandle;
  std::unique_ptr<ModifierHandle> modifier_;
  std::map<int, int> charge_of_;  // type of the displaced charge, by type of the real atom
  std::set<int> bond_types_;
  int pair_index_ = 0;
  class PairDeepMD* pair_ = nullptr;
  class KSpaceDPLR* kspace_ = nullptr;
  std::vector<Pair> pairs_;
  std::vector<double> dipoles_, coord_,
      forces_;  // dipoles of pairs_, coordinates and forces of all atoms, in LAMMPS units
  std::vector<int> type_;
  double box_[9] = {};
  DP_Nlist* nlist_ = nullptr;
  std::string field_name_[3];
  double field_[3] = {}, field_sums_[4] = {};  // energy, force
  bool has_field_ = false, reduced_ = false;
};

}  // namespace LAMMPS_NS

#pragma once
#include <memory>
#include <string>
#include <vector>

#include "model.h"
#include "pair.h"
#include "parameter_source.h"

namespace LAMMPS_NS {

/// `pair_style deepmd`: one model drives the run; several give the deviation of their forces and virials as
/// well.
class PairDeepMD : public Pair {
 public:
  explicit PairDeepMD(class LAMMPS*, bool spin = false);
  ~PairDeepMD() override;
  void compute(int, int) override;
  void settings(int, char**) override;
  void coeff(int, char**) override;
  void init_style() override;
  double init_one(int, int) override;
  void* extract(const char*, int&) override;
  void write_restart(FILE*) override {}
  void read_restart(FILE*) override;
  int pack_forward_comm(int, int*, double*, int, int*) override;
  void unpack_forward_comm(int, int, double*) override;
  int pack_reverse_comm(int, int, double*) override;
  void unpack_reverse_comm(int, int*, double*) override;
  double memory_usage() override;
  /// Model type of LAMMPS type k+1, -1: ignored; and the length of one angstrom, for fixes that share the
  /// model.
  const std::vector<int>& model_types() const { return type_of_; }
  double length_unit() const { return length_unit_; }
  double energy_unit() const { return energy_unit_; }
  int number_of_models() const { return static_cast<int>(models_.size()); }
  int dim_fparam() const { return models_.empty() ? 0 : models_[0]->dim_fparam(); }
  /// This rank's share of dE/d(fparam) in LAMMPS units, of one model with one frame parameter; collective.
  double fparam_derivative(double fparam, double delta);
  bool has_uncertainty() const { return !models_.empty() && models_[0]->has_uncertainty(); }
  /// Expected errors of the force components of the local atoms in LAMMPS units; collective.
  void uncertainty(double* out);

 private:
  void allocate();
  void load_models(const std::vector<std::string>& files, const std::string& precision);
  void set_units();
  void set_threads();
  void gather_atoms();
  void check_names();
  void check_masses();
  void check_fragments();
  bool takes_part() const;
  void prepare_messages();
  static int forward_rows(void* self, double* rows, int width);
  static int reverse_rows(void* self, double* rows, int width);
  void tally(const DeepmdOutput& out, int eflag, int vflag);
  /// Whether some compute asks for uncertainties on this step.
  bool uncertainty_wanted() const;
  void write_deviation();
  void open_deviation_file();

  const bool spin_;
  const char* const style_;  // how messages call it
  std::vector<std::unique_ptr<DeepmdModel>> models_;
  std::vector<std::string> names_;  // of the model's types
  std::vector<int> type_of_;        // model type of LAMMPS type k+1, -1: ignored
  int named_ = 0;                   // LAMMPS types that pair_coeff gave a name or a place
  bool by_place_ = false;           // named by their places alone, and the model knows more types
  std::vector<DeepmdOutput> out_;   // one for each model
  DeepmdInput in_;
  ParameterSource fparam_, aparam_;
  double energy_unit_ = 1, length_unit_ = 1;  // LAMMPS units in one eV, one angstrom
  double cutoff_ = 0;                         // in LAMMPS units
  double** scale_ = nullptr;
  // Models that pass messages: numbers per atom that are exchanged, the rows in exchange, owners of all
  // atoms.
  int message_width_ = 0, width_ = 0;
  double* rows_ = nullptr;
  std::vector<int> owner_;

  // Variances of the local atoms, and whether the evaluation of the forces gave them.
  std::vector<double> variance_;
  bool has_variance_ = false;
  bool forces_summed_ = false;  // those of ghosts are with their owners
  int out_freq_ = 100;
  std::string out_file_ = "model_devi.out";
  bool out_atomic_ = false, relative_ = false, relative_v_ = false, append_ = false;
  double eps_ = 0, eps_v_ = 0;
  FILE* deviation_file_ = nullptr;
};

/// `pair_style deepspin`: the same for models with spins (atom_style spin).
class PairDeepSpin : public PairDeepMD {
 public:
  explicit PairDeepSpin(class LAMMPS* lmp) : PairDeepMD(lmp, true) {}
};

}  // namespace LAMMPS_NS

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "DeepBaseModel.h"
#include "argument_lists.h"
#include "common.h"

namespace deepmd {

class DeepPotImpl;

/// Energies (eV), forces (eV/Å) and virials (eV) of a frozen energy model.
///
/// Arrays are flat: coord nframes*natoms*3 (Å), atype natoms (the same for all frames), box nframes*9 (rows
/// are the cell vectors; empty: open boundary). fparam has 0, dim_fparam or nframes*dim_fparam numbers,
/// aparam 0, n*dim_aparam or nframes*n*dim_aparam with n local atoms (all atoms when is_aparam_nall()). With
/// a neighbor list the last nghost atoms are ghosts; their forces are returned on their own rows, to be added
/// to their owners by the caller. Atoms with a type outside 0..numb_types()-1 are ignored and get zeros.
/// `ago` is the number of steps since the list was rebuilt: with ago > 0 the list and the types of the last
/// call with ago == 0 are used again, only positions may differ. Every function may throw deepmd_exception.
/// One object serves one thread at a time.
/// Expected error of a force from variances: sqrt(scale^2 m + floor^2 + share^2 |force|^2) eV/Å, where m is
/// the mean of the variances of the atom (weight 1) and of its neighbors (weight (1 - (r/cutoff)^2)^exponent
/// within cutoff, Å).
struct UncertaintyRule {
  double scale = 0, floor = 0, cutoff = 0, exponent = 0, share = 0;
};

class DeepPot : public DeepBaseModel {
 public:
  DeepPot();
  ~DeepPot() override;
  DeepPot(const std::string& model, const int& gpu_rank = 0, const std::string& file_content = "");
  void init(const std::string& model, const int& gpu_rank = 0, const std::string& file_content = "");
  /// Own addition, before init(): "float32" or "float64" computes in that precision where the fused kernels
  /// run the model, whatever that of the graph; runtime_report() tells, and tells the errors.
  void set_precision(const std::string& precision);

#define DPTF_FRAME \
  const std::vector<VALUETYPE>&coord, const std::vector<int>&atype, const std::vector<VALUETYPE>&box
#define DPTF_OUT std::vector<VALUETYPE>&force, std::vector<VALUETYPE>&virial
  template <typename VALUETYPE>
  void compute(ENERGYTYPE& ener, DPTF_OUT, DPTF_FRAME, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(std::vector<ENERGYTYPE>& ener, DPTF_OUT, DPTF_FRAME, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(ENERGYTYPE& ener, DPTF_OUT, DPTF_ATOMIC, DPTF_FRAME, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(std::vector<ENERGYTYPE>& ener, DPTF_OUT, DPTF_ATOMIC, DPTF_FRAME, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(ENERGYTYPE& ener, DPTF_OUT, DPTF_FRAME, DPTF_LIST, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(std::vector<ENERGYTYPE>& ener, DPTF_OUT, DPTF_FRAME, DPTF_LIST, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(ENERGYTYPE& ener, DPTF_OUT, DPTF_ATOMIC, DPTF_FRAME, DPTF_LIST, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(std::vector<ENERGYTYPE>& ener, DPTF_OUT, DPTF_ATOMIC, DPTF_FRAME, DPTF_LIST, DPTF_TAIL);
  /// Frames with different types: atype has nframes*natoms entries.
  template <typename VALUETYPE>
  void compute_mixed_type(ENERGYTYPE& ener, DPTF_OUT, const int& nframes, DPTF_FRAME, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute_mixed_type(std::vector<ENERGYTYPE>& ener, DPTF_OUT, const int& nframes, DPTF_FRAME, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute_mixed_type(ENERGYTYPE& ener, DPTF_OUT, DPTF_ATOMIC, const int& nframes, DPTF_FRAME, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute_mixed_type(std::vector<ENERGYTYPE>& ener, DPTF_OUT, DPTF_ATOMIC, const int& nframes,
                          DPTF_FRAME, DPTF_TAIL);

  /// The general form. Null output pointers are not evaluated; inlist may be null.
  template <typename VALUETYPE>
  void compute_raw(int nframes, int natoms, const VALUETYPE* coord, const int* atype, const VALUETYPE* box,
                   int nghost, const InputNlist* inlist, int ago, const std::vector<VALUETYPE>& fparam,
                   const std::vector<VALUETYPE>& aparam, bool mixed_type, ENERGYTYPE* ener, VALUETYPE* force,
                   VALUETYPE* virial, VALUETYPE* atom_energy, VALUETYPE* atom_virial,
                   const std::vector<double>& charge_spin = std::vector<double>());

  /// Whether the model knows the uncertainty of its forces (written by `dp uncertainty`).
  bool has_uncertainty() const;
  /// Expected error of the force components of every atom of one frame, eV/Å.
  void compute_uncertainty(std::vector<double>& std, const std::vector<double>& coord,
                           const std::vector<int>& atype, const std::vector<double>& box,
                           const std::vector<double>& fparam = {}, const std::vector<double>& aparam = {});
  /// For engines with ghosts: the variance of every local atom (natoms numbers, 0 for ghosts), which the
  /// engine hands to the ghosts and averages, see UncertaintyRule. What compute() gives comes from the same
  /// evaluation; null is not evaluated.
  void compute_variance(double* variance, int natoms, const double* coord, const int* atype,
                        const double* box, int nghost, const InputNlist* inlist, int ago,
                        const std::vector<double>& fparam, const std::vector<double>& aparam,
                        const std::vector<double>& charge_spin = {}, ENERGYTYPE* ener = nullptr,
                        double* force = nullptr, double* virial = nullptr, double* atom_energy = nullptr,
                        double* atom_virial = nullptr);
  UncertaintyRule uncertainty_rule() const;

 private:
  std::unique_ptr<DeepPotImpl> impl_;
  std::string precision_;
  const ModelHead& head() const override;
};

/// Several models on the same configuration, and the deviations between them.
class DeepPotModelDevi : public DeepBaseModelDevi {
 public:
  DeepPotModelDevi();
  ~DeepPotModelDevi() override;
  DeepPotModelDevi(const std::vector<std::string>& models, const int& gpu_rank = 0,
                   const std::vector<std::string>& file_contents = std::vector<std::string>());
  void init(const std::vector<std::string>& models, const int& gpu_rank = 0,
            const std::vector<std::string>& file_contents = std::vector<std::string>());

#define DPTF_ALL                                                                     \
  std::vector<ENERGYTYPE>&all_energy, std::vector<std::vector<VALUETYPE>>&all_force, \
      std::vector<std::vector<VALUETYPE>>&all_virial
  template <typename VALUETYPE>
  void compute(DPTF_ALL, DPTF_FRAME, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(DPTF_ALL, DPTF_ALL_ATOMIC, DPTF_FRAME, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(DPTF_ALL, DPTF_FRAME, DPTF_LIST, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(DPTF_ALL, DPTF_ALL_ATOMIC, DPTF_FRAME, DPTF_LIST, DPTF_TAIL);

  double cutoff() const override;
  size_t size() const { return models_.size(); }
  DeepPot& model(size_t k) { return *models_.at(k); }

 private:
  std::vector<std::unique_ptr<DeepPot>> models_;
  const DeepBaseModel& first() const override;
};

}  // namespace deepmd

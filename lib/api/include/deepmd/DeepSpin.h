#pragma once

#include <memory>
#include <string>
#include <vector>

#include "DeepBaseModel.h"
#include "argument_lists.h"
#include "common.h"

namespace deepmd {

class DeepSpinImpl;

/// Energies, forces and magnetic forces (minus the derivative in the spin) of a model with spins.
///
/// As DeepPot, with `spin` (nframes*natoms*3, in the unit of the training data) after `coord`, and
/// `force_mag` after `force`. Types are those of real atoms; the virtual atoms of the model are made here.
/// Magnetic forces of atoms without a spin are zero.
class DeepSpin : public DeepBaseModel {
 public:
  DeepSpin();
  ~DeepSpin() override;
  DeepSpin(const std::string& model, const int& gpu_rank = 0, const std::string& file_content = "");
  void init(const std::string& model, const int& gpu_rank = 0, const std::string& file_content = "");

#define DPTF_SPIN_OUT \
  std::vector<VALUETYPE>&force, std::vector<VALUETYPE>&force_mag, std::vector<VALUETYPE>&virial
#define DPTF_SPIN_FRAME                                                                                \
  const std::vector<VALUETYPE>&coord, const std::vector<VALUETYPE>&spin, const std::vector<int>&atype, \
      const std::vector<VALUETYPE>&box
  template <typename VALUETYPE>
  void compute(ENERGYTYPE& ener, DPTF_SPIN_OUT, DPTF_SPIN_FRAME, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(std::vector<ENERGYTYPE>& ener, DPTF_SPIN_OUT, DPTF_SPIN_FRAME, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(ENERGYTYPE& ener, DPTF_SPIN_OUT, DPTF_ATOMIC, DPTF_SPIN_FRAME, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(std::vector<ENERGYTYPE>& ener, DPTF_SPIN_OUT, DPTF_ATOMIC, DPTF_SPIN_FRAME, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(ENERGYTYPE& ener, DPTF_SPIN_OUT, DPTF_SPIN_FRAME, DPTF_LIST, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(std::vector<ENERGYTYPE>& ener, DPTF_SPIN_OUT, DPTF_SPIN_FRAME, DPTF_LIST, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(ENERGYTYPE& ener, DPTF_SPIN_OUT, DPTF_ATOMIC, DPTF_SPIN_FRAME, DPTF_LIST, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(std::vector<ENERGYTYPE>& ener, DPTF_SPIN_OUT, DPTF_ATOMIC, DPTF_SPIN_FRAME, DPTF_LIST,
               DPTF_TAIL);

  /// The general form. Null output pointers are not evaluated; inlist may be null.
  template <typename VALUETYPE>
  void compute_raw(int nframes, int natoms, const VALUETYPE* coord, const VALUETYPE* spin, const int* atype,
                   const VALUETYPE* box, int nghost, const InputNlist* inlist, int ago,
                   const std::vector<VALUETYPE>& fparam, const std::vector<VALUETYPE>& aparam,
                   ENERGYTYPE* ener, VALUETYPE* force, VALUETYPE* force_mag, VALUETYPE* virial,
                   VALUETYPE* atom_energy, VALUETYPE* atom_virial,
                   const std::vector<double>& charge_spin = std::vector<double>());

 private:
  std::unique_ptr<DeepSpinImpl> impl_;
  const ModelHead& head() const override;
};

/// Several models with spins on the same configuration (one frame).
class DeepSpinModelDevi : public DeepBaseModelDevi {
 public:
  DeepSpinModelDevi();
  ~DeepSpinModelDevi() override;
  DeepSpinModelDevi(const std::vector<std::string>& models, const int& gpu_rank = 0,
                    const std::vector<std::string>& file_contents = std::vector<std::string>());
  void init(const std::vector<std::string>& models, const int& gpu_rank = 0,
            const std::vector<std::string>& file_contents = std::vector<std::string>());
  size_t size() const { return models_.size(); }
  DeepSpin& model(size_t k) { return *models_.at(k); }

#define DPTF_SPIN_ALL                                                                \
  std::vector<ENERGYTYPE>&all_energy, std::vector<std::vector<VALUETYPE>>&all_force, \
      std::vector<std::vector<VALUETYPE>>&all_force_mag, std::vector<std::vector<VALUETYPE>>&all_virial
  template <typename VALUETYPE>
  void compute(DPTF_SPIN_ALL, DPTF_SPIN_FRAME, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(DPTF_SPIN_ALL, DPTF_ALL_ATOMIC, DPTF_SPIN_FRAME, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(DPTF_SPIN_ALL, DPTF_SPIN_FRAME, DPTF_LIST, DPTF_TAIL);
  template <typename VALUETYPE>
  void compute(DPTF_SPIN_ALL, DPTF_ALL_ATOMIC, DPTF_SPIN_FRAME, DPTF_LIST, DPTF_TAIL);

 private:
  std::vector<std::unique_ptr<DeepSpin>> models_;
  const DeepBaseModel& first() const override;
};

}  // namespace deepmd

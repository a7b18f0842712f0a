#include <algorithm>

#include "DeepPot.h"
#include "call_arrays.h"

namespace deepmd {

DeepPotModelDevi::DeepPotModelDevi() = default;
DeepPotModelDevi::~DeepPotModelDevi() = default;
DeepPotModelDevi::DeepPotModelDevi(const std::vector<std::string>& models, const int& gpu_rank,
                                   const std::vector<std::string>& file_contents) {
  init(models, gpu_rank, file_contents);
}

void DeepPotModelDevi::init(const std::vector<std::string>& models, const int& gpu_rank,
                            const std::vector<std::string>& file_contents) {
  if (models_.empty()) models_ = load_models<DeepPot>(models, gpu_rank, file_contents);
}

const DeepBaseModel& DeepPotModelDevi::first() const {
  if (models_.empty()) throw deepmd_exception("no model is loaded");
  return *models_[0];
}

#undef DPTF_TAIL
#define DPTF_TAIL                                                           \
  const std::vector<VALUETYPE>&fparam, const std::vector<VALUETYPE>&aparam, \
      const std::vector<double>&charge_spin
#define DPTF_EACH(...)             \
  first();                         \
  const size_t n = models_.size(); \
  all_energy.resize(n);            \
  all_force.resize(n);             \
  all_virial.resize(n);            \
  for (size_t k = 0; k < n; ++k) models_[k]->compute(all_energy[k], all_force[k], all_virial[k], __VA_ARGS__)

template <typename VALUETYPE>
void DeepPotModelDevi::compute(DPTF_ALL, DPTF_FRAME, DPTF_TAIL) {
  DPTF_EACH(coord, atype, box, fparam, aparam, charge_spin);
}
template <typename VALUETYPE>
void DeepPotModelDevi::compute(DPTF_ALL, DPTF_ALL_ATOMIC, DPTF_FRAME, DPTF_TAIL) {
  all_atom_energy.resize(models_.size());
  all_atom_virial.resize(models_.size());
  DPTF_EACH(all_atom_energy[k], all_atom_virial[k], coord, atype, box, fparam, aparam, charge_spin);
}
template <typename VALUETYPE>
void DeepPotModelDevi::compute(DPTF_ALL, DPTF_FRAME, DPTF_LIST, DPTF_TAIL) {
  DPTF_EACH(coord, atype, box, nghost, inlist, ago, fparam, aparam, charge_spin);
}
template <typename VALUETYPE>
void DeepPotModelDevi::compute(DPTF_ALL, DPTF_ALL_ATOMIC, DPTF_FRAME, DPTF_LIST, DPTF_TAIL) {
  all_atom_energy.resize(models_.size());
  all_atom_virial.resize(models_.size());
  DPTF_EACH(all_atom_energy[k], all_atom_virial[k], coord, atype, box, nghost, inlist, ago, fparam, aparam,
            charge_spin);
}

double DeepPotModelDevi::cutoff() const {
  double most = first().cutoff();
  for (const auto& m : models_) most = std::max(most, m->cutoff());
  return most;
}

#define DPTF_INSTANTIATE(V)                                                                                 \
  template void DeepPotModelDevi::compute<V>(                                                               \
      std::vector<ENERGYTYPE>&, std::vector<std::vector<V>>&, std::vector<std::vector<V>>&,                 \
      const std::vector<V>&, const std::vector<int>&, const std::vector<V>&, const std::vector<V>&,         \
      const std::vector<V>&, const std::vector<double>&);                                                   \
  template void DeepPotModelDevi::compute<V>(                                                               \
      std::vector<ENERGYTYPE>&, std::vector<std::vector<V>>&, std::vector<std::vector<V>>&,                 \
      std::vector<std::vector<V>>&, std::vector<std::vector<V>>&, const std::vector<V>&,                    \
      const std::vector<int>&, const std::vector<V>&, const std::vector<V>&, const std::vector<V>&,         \
      const std::vector<double>&);                                                                          \
  template void DeepPotModelDevi::compute<V>(                                                               \
      std::vector<ENERGYTYPE>&, std::vector<std::vector<V>>&, std::vector<std::vector<V>>&,                 \
      const std::vector<V>&, const std::vector<int>&, const std::vector<V>&, const int&, const InputNlist&, \
      const int&, const std::vector<V>&, const std::vector<V>&, const std::vector<double>&);                \
  template void DeepPotModelDevi::compute<V>(                                                               \
      std::vector<ENERGYTYPE>&, std::vector<std::vector<V>>&, std::vector<std::vector<V>>&,                 \
      std::vector<std::vector<V>>&, std::vector<std::vector<V>>&, const std::vector<V>&,                    \
      const std::vector<int>&, const std::vector<V>&, const int&, const InputNlist&, const int&,            \
      const std::vector<V>&, const std::vector<V>&, const std::vector<double>&);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace deepmd

#include <cmath>

#include "DeepPot.h"

namespace deepmd {

DeepPotModelDevi::DeepPotModelDevi() = default;
DeepPotModelDevi::~DeepPotModelDevi() = default;
DeepPotModelDevi::DeepPotModelDevi(const std::vector<std::string>& models, const int& gpu_rank,
                                   const std::vector<std::string>& file_contents) {
  init(models, gpu_rank, file_contents);
}

void DeepPotModelDevi::init(const std::vector<std::string>& models, const int& gpu_rank,
                            const std::vector<std::string>& file_contents) {
  if (!models_.empty()) return;
  if (models.empty()) throw deepmd_exception("model deviation needs at least one model");
  if (!file_contents.empty() && file_contents.size() != models.size())
    throw deepmd_exception("file contents are given for " + std::to_string(file_contents.size()) + " of " +
                           std::to_string(models.size()) + " models");
  std::vector<std::unique_ptr<DeepPot>> all;
  for (size_t k = 0; k < models.size(); ++k) {
    all.push_back(
        std::make_unique<DeepPot>(models[k], gpu_rank, file_contents.empty() ? "" : file_contents[k]));
    std::string names, first_names;
    all[k]->get_type_map(names);
    all[0]->get_type_map(first_names);
    if (all[k]->numb_types() != all[0]->numb_types() || names != first_names)
      throw deepmd_exception("models " + models[0] + " and " + models[k] + " have different types ('" +
                             first_names + "' and '" + names + "')");
  }
  models_ = std::move(all);
}

const DeepPot& DeepPotModelDevi::first() const {
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
int DeepPotModelDevi::numb_types() const { return first().numb_types(); }
int DeepPotModelDevi::numb_types_spin() const { return 0; }
int DeepPotModelDevi::dim_fparam() const { return first().dim_fparam(); }
int DeepPotModelDevi::dim_aparam() const { return first().dim_aparam(); }
int DeepPotModelDevi::dim_chg_spin() const { return 0; }
bool DeepPotModelDevi::is_aparam_nall() const { return first().is_aparam_nall(); }
bool DeepPotModelDevi::has_default_fparam() const { return false; }

template <typename VALUETYPE>
void DeepPotModelDevi::compute_avg(VALUETYPE& avg, const std::vector<VALUETYPE>& xx) {
  double sum = 0;
  for (VALUETYPE x : xx) sum += x;
  avg = static_cast<VALUETYPE>(xx.empty() ? 0.0 : sum / xx.size());
}

template <typename VALUETYPE>
void DeepPotModelDevi::compute_avg(std::vector<VALUETYPE>& avg,
                                   const std::vector<std::vector<VALUETYPE>>& xx) {
  avg.assign(xx.empty() ? 0 : xx[0].size(), VALUETYPE(0));
  for (const auto& x : xx)
    for (size_t i = 0; i < avg.size(); ++i) avg[i] += x[i] / static_cast<VALUETYPE>(xx.size());
}

template <typename VALUETYPE>
void DeepPotModelDevi::compute_std(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                                   const std::vector<std::vector<VALUETYPE>>& xx, const int& stride) {
  std.assign(avg.size() / stride, VALUETYPE(0));
  for (size_t i = 0; i < std.size(); ++i) {
    double sum = 0;
    for (const auto& x : xx)
      for (int s = 0; s < stride; ++s) {
        const double d = x[i * stride + s] - avg[i * stride + s];
        sum += d * d;
      }
    std[i] = static_cast<VALUETYPE>(std::sqrt(sum / xx.size()));
  }
}

template <typename VALUETYPE>
void DeepPotModelDevi::compute_std_e(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                                     const std::vector<std::vector<VALUETYPE>>& xx) {
  compute_std(std, avg, xx, 1);
}
template <typename VALUETYPE>
void DeepPotModelDevi::compute_std_f(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                                     const std::vector<std::vector<VALUETYPE>>& xx) {
  compute_std(std, avg, xx, 3);
}

template <typename VALUETYPE>
void DeepPotModelDevi::compute_relative_std(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                                            const VALUETYPE eps, const int& stride) {
  for (size_t i = 0; i < std.size(); ++i) {
    double norm = 0;
    for (int s = 0; s < stride; ++s) norm += static_cast<double>(avg[i * stride + s]) * avg[i * stride + s];
    std[i] = static_cast<VALUETYPE>(std[i] / (std::sqrt(norm) + eps));
  }
}
template <typename VALUETYPE>
void DeepPotModelDevi::compute_relative_std_f(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                                              const VALUETYPE eps) {
  compute_relative_std(std, avg, eps, 3);
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
      const std::vector<V>&, const std::vector<V>&, const std::vector<double>&);                            \
  template void DeepPotModelDevi::compute_avg<V>(V&, const std::vector<V>&);                                \
  template void DeepPotModelDevi::compute_avg<V>(std::vector<V>&, const std::vector<std::vector<V>>&);      \
  template void DeepPotModelDevi::compute_std<V>(std::vector<V>&, const std::vector<V>&,                    \
                                                 const std::vector<std::vector<V>>&, const int&);           \
  template void DeepPotModelDevi::compute_std_e<V>(std::vector<V>&, const std::vector<V>&,                  \
                                                   const std::vector<std::vector<V>>&);                     \
  template void DeepPotModelDevi::compute_std_f<V>(std::vector<V>&, const std::vector<V>&,                  \
                                                   const std::vector<std::vector<V>>&);                     \
  template void DeepPotModelDevi::compute_relative_std<V>(std::vector<V>&, const std::vector<V>&, const V,  \
                                                          const int&);                                      \
  template void DeepPotModelDevi::compute_relative_std_f<V>(std::vector<V>&, const std::vector<V>&, const V);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace deepmd

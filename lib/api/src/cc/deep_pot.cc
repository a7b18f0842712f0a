#include <iostream>

#include "DeepPot.h"
#include "deep_pot_impl.h"

namespace deepmd {

DeepPot::DeepPot() = default;
DeepPot::~DeepPot() = default;
DeepPot::DeepPot(const std::string& model, const int& gpu_rank, const std::string& file_content) {
  init(model, gpu_rank, file_content);
}

void DeepPot::init(const std::string& model, const int& gpu_rank, const std::string& file_content) {
  if (impl_) {
    std::cerr << "WARNING: deep-potential should not be initialized twice, do nothing at the second call of "
                 "initializer"
              << std::endl;
    return;
  }
  const auto dot = model.rfind('.');
  if (dot == std::string::npos || model.substr(dot) != ".pb")
    throw deepmd_exception("Unsupported model file format: " + model + " (this library runs .pb graphs)");
  impl_ = std::make_unique<DeepPotImpl>(model, gpu_rank, file_content);
}

const ModelHead& DeepPot::head() const {
  if (!impl_) throw deepmd_exception("no model is loaded");
  return *impl_;
}

template <typename VALUETYPE>
void DeepPot::compute_raw(int nframes, int natoms, const VALUETYPE* coord, const int* atype,
                          const VALUETYPE* box, int nghost, const InputNlist* inlist, int ago,
                          const std::vector<VALUETYPE>& fparam, const std::vector<VALUETYPE>& aparam,
                          bool mixed_type, ENERGYTYPE* ener, VALUETYPE* force, VALUETYPE* virial,
                          VALUETYPE* atom_energy, VALUETYPE* atom_virial) {
  head();
  impl_->compute(nframes, natoms, coord, atype, box, nghost, inlist, ago, fparam, aparam, mixed_type, ener,
                 force, virial, atom_energy, atom_virial);
}

bool DeepPot::has_uncertainty() const { return head().graph.has("o_atom_variance"); }

UncertaintyRule DeepPot::uncertainty_rule() const {
  const auto& graph = head().graph;
  UncertaintyRule rule;
  rule.scale = graph.scalar<double>("uncertainty_attr/scale");
  rule.floor = graph.scalar<double>("uncertainty_attr/floor");
  rule.cutoff = graph.scalar<double>("uncertainty_attr/cutoff");
  rule.exponent = graph.scalar<double>("uncertainty_attr/exponent");
  return rule;
}

void DeepPot::compute_variance(double* variance, int natoms, const double* coord, const int* atype,
                               const double* box, int nghost, const InputNlist* inlist, int ago,
                               const std::vector<double>& fparam, const std::vector<double>& aparam) {
  head();
  impl_->compute_atomic("o_atom_variance", natoms, coord, atype, box, nghost, inlist, ago, fparam, aparam,
                        variance);
}

void DeepPot::compute_uncertainty(std::vector<double>& std, const std::vector<double>& coord,
                                  const std::vector<int>& atype, const std::vector<double>& box,
                                  const std::vector<double>& fparam, const std::vector<double>& aparam) {
  head();
  if (coord.size() != 3 * atype.size() || (!box.empty() && box.size() != 9))
    throw deepmd_exception("coord has " + std::to_string(coord.size()) + " and box " +
                           std::to_string(box.size()) + " numbers for one frame of " +
                           std::to_string(atype.size()) + " atoms");
  std.resize(atype.size());
  impl_->compute_atomic("o_atom_uncertainty", static_cast<int>(atype.size()), coord.data(), atype.data(),
                        box.empty() ? nullptr : box.data(), 0, nullptr, 0, fparam, aparam, std.data());
}

namespace {

/// Checks sizes, resizes outputs and calls the general form. Energies go to a scalar or to a vector.
template <typename VALUETYPE>
struct Call {
  DeepPot& model;
  const std::vector<VALUETYPE>&coord, &box;
  const std::vector<int>& atype;
  const std::vector<VALUETYPE>&fparam, &aparam;
  int nghost = 0;
  const InputNlist* list = nullptr;
  int ago = 0, mixed_frames = 0;

  void operator()(std::vector<ENERGYTYPE>& ener, std::vector<VALUETYPE>& force,
                  std::vector<VALUETYPE>& virial, std::vector<VALUETYPE>* atom_energy,
                  std::vector<VALUETYPE>* atom_virial) const {
    const size_t natoms = mixed_frames ? atype.size() / mixed_frames : atype.size();
    const size_t nframes = mixed_frames ? mixed_frames
                           : natoms     ? coord.size() / (3 * natoms)
                                        : (list ? 1 : box.size() / 9);
    if (coord.size() != nframes * natoms * 3)
      throw deepmd_exception("coord has " + std::to_string(coord.size()) +
                             " numbers, which is no multiple of 3 x " + std::to_string(natoms) + " atoms");
    if (!box.empty() && box.size() != nframes * 9)
      throw deepmd_exception("box has " + std::to_string(box.size()) + " numbers for " +
                             std::to_string(nframes) + " frames (9 each, or none)");
    ener.assign(nframes, 0.0);
    force.resize(nframes * natoms * 3);
    virial.resize(nframes * 9);
    if (atom_energy) atom_energy->resize(nframes * natoms);
    if (atom_virial) atom_virial->resize(nframes * natoms * 9);
    model.compute_raw(static_cast<int>(nframes), static_cast<int>(natoms), coord.data(), atype.data(),
                      box.empty() ? nullptr : box.data(), nghost, list, ago, fparam, aparam, mixed_frames > 0,
                      ener.data(), force.data(), virial.data(), atom_energy ? atom_energy->data() : nullptr,
                      atom_virial ? atom_virial->data() : nullptr);
  }
  void operator()(ENERGYTYPE& ener, std::vector<VALUETYPE>& force, std::vector<VALUETYPE>& virial,
                  std::vector<VALUETYPE>* atom_energy, std::vector<VALUETYPE>* atom_virial) const {
    std::vector<ENERGYTYPE> all;
    (*this)(all, force, virial, atom_energy, atom_virial);
    if (all.size() > 1)
      throw deepmd_exception("one energy was asked for " + std::to_string(all.size()) + " frames");
    ener = all.empty() ? 0.0 : all[0];
  }
};

}  // namespace

#undef DPTF_TAIL
#define DPTF_TAIL \
  const std::vector<VALUETYPE>&fparam, const std::vector<VALUETYPE>&aparam, const std::vector<double>&
#define DPTF_DEFINE(ENER)                                                                                  \
  template <typename VALUETYPE>                                                                            \
  void DeepPot::compute(ENER ener, DPTF_OUT, DPTF_FRAME, DPTF_TAIL) {                                      \
    Call<VALUETYPE>{*this, coord, box, atype, fparam, aparam}(ener, force, virial, nullptr, nullptr);      \
  }                                                                                                        \
  template <typename VALUETYPE>                                                                            \
  void DeepPot::compute(ENER ener, DPTF_OUT, DPTF_ATOMIC, DPTF_FRAME, DPTF_TAIL) {                         \
    Call<VALUETYPE>{*this, coord, box, atype, fparam, aparam}(ener, force, virial, &atom_energy,           \
                                                              &atom_virial);                               \
  }                                                                                                        \
  template <typename VALUETYPE>                                                                            \
  void DeepPot::compute(ENER ener, DPTF_OUT, DPTF_FRAME, DPTF_LIST, DPTF_TAIL) {                           \
    Call<VALUETYPE>{*this, coord, box, atype, fparam, aparam, nghost, &inlist, ago}(ener, force, virial,   \
                                                                                    nullptr, nullptr);     \
  }                                                                                                        \
  template <typename VALUETYPE>                                                                            \
  void DeepPot::compute(ENER ener, DPTF_OUT, DPTF_ATOMIC, DPTF_FRAME, DPTF_LIST, DPTF_TAIL) {              \
    Call<VALUETYPE>{*this, coord, box, atype, fparam, aparam, nghost, &inlist, ago}(                       \
        ener, force, virial, &atom_energy, &atom_virial);                                                  \
  }                                                                                                        \
  template <typename VALUETYPE>                                                                            \
  void DeepPot::compute_mixed_type(ENER ener, DPTF_OUT, const int& nframes, DPTF_FRAME, DPTF_TAIL) {       \
    Call<VALUETYPE>{*this, coord, box, atype, fparam, aparam, 0, nullptr, 0, nframes}(ener, force, virial, \
                                                                                      nullptr, nullptr);   \
  }                                                                                                        \
  template <typename VALUETYPE>                                                                            \
  void DeepPot::compute_mixed_type(ENER ener, DPTF_OUT, DPTF_ATOMIC, const int& nframes, DPTF_FRAME,       \
                                   DPTF_TAIL) {                                                            \
    Call<VALUETYPE>{*this, coord, box, atype, fparam, aparam, 0, nullptr, 0, nframes}(                     \
        ener, force, virial, &atom_energy, &atom_virial);                                                  \
  }
DPTF_DEFINE(ENERGYTYPE&)
DPTF_DEFINE(std::vector<ENERGYTYPE>&)

#define DPTF_INSTANTIATE_E(V, E)                                                                           \
  template void DeepPot::compute<V>(E, std::vector<V>&, std::vector<V>&, const std::vector<V>&,            \
                                    const std::vector<int>&, const std::vector<V>&, const std::vector<V>&, \
                                    const std::vector<V>&, const std::vector<double>&);                    \
  template void DeepPot::compute<V>(E, std::vector<V>&, std::vector<V>&, std::vector<V>&, std::vector<V>&, \
                                    const std::vector<V>&, const std::vector<int>&, const std::vector<V>&, \
                                    const std::vector<V>&, const std::vector<V>&,                          \
                                    const std::vector<double>&);                                           \
  template void DeepPot::compute<V>(E, std::vector<V>&, std::vector<V>&, const std::vector<V>&,            \
                                    const std::vector<int>&, const std::vector<V>&, const int&,            \
                                    const InputNlist&, const int&, const std::vector<V>&,                  \
                                    const std::vector<V>&, const std::vector<double>&);                    \
  template void DeepPot::compute<V>(E, std::vector<V>&, std::vector<V>&, std::vector<V>&, std::vector<V>&, \
                                    const std::vector<V>&, const std::vector<int>&, const std::vector<V>&, \
                                    const int&, const InputNlist&, const int&, const std::vector<V>&,      \
                                    const std::vector<V>&, const std::vector<double>&);                    \
  template void DeepPot::compute_mixed_type<V>(                                                            \
      E, std::vector<V>&, std::vector<V>&, const int&, const std::vector<V>&, const std::vector<int>&,     \
      const std::vector<V>&, const std::vector<V>&, const std::vector<V>&, const std::vector<double>&);    \
  template void DeepPot::compute_mixed_type<V>(                                                            \
      E, std::vector<V>&, std::vector<V>&, std::vector<V>&, std::vector<V>&, const int&,                   \
      const std::vector<V>&, const std::vector<int>&, const std::vector<V>&, const std::vector<V>&,        \
      const std::vector<V>&, const std::vector<double>&);
#define DPTF_INSTANTIATE(V)                                                                               \
  DPTF_INSTANTIATE_E(V, ENERGYTYPE&)                                                                      \
  DPTF_INSTANTIATE_E(V, std::vector<ENERGYTYPE>&)                                                         \
  template void DeepPot::compute_raw<V>(int, int, const V*, const int*, const V*, int, const InputNlist*, \
                                        int, const std::vector<V>&, const std::vector<V>&, bool,          \
                                        ENERGYTYPE*, V*, V*, V*, V*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace deepmd

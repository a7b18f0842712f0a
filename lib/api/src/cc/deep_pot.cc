#include <iostream>

#include "DeepPot.h"
#include "call_arrays.h"
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
  impl_ = std::make_unique<DeepPotImpl>(model, gpu_rank, file_content, precision_);
}

void DeepPot::set_precision(const std::string& precision) {
  if (impl_) throw deepmd_exception("the precision is set before the model is loaded");
  precision_ = precision;
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
                          VALUETYPE* atom_energy, VALUETYPE* atom_virial,
                          const std::vector<double>& charge_spin) {
  head();
  const PotResults<VALUETYPE> to{ener, force, virial, atom_energy, atom_virial};
  impl_->compute(nframes, natoms, coord, atype, box, nghost, inlist, ago, fparam, aparam, charge_spin,
                 mixed_type, to);
}

bool DeepPot::has_uncertainty() const { return head().graph.has("o_atom_variance"); }

UncertaintyRule DeepPot::uncertainty_rule() const {
  const auto& graph = head().graph;
  UncertaintyRule rule;
  rule.scale = graph.scalar<double>("uncertainty_attr/scale");
  rule.floor = graph.scalar<double>("uncertainty_attr/floor");
  rule.cutoff = graph.scalar<double>("uncertainty_attr/cutoff");
  rule.exponent = graph.scalar<double>("uncertainty_attr/exponent");
  rule.share = graph.scalar_or<double>("uncertainty_attr/share", 0.0);
  return rule;
}

void DeepPot::compute_variance(double* variance, int natoms, const double* coord, const int* atype,
                               const double* box, int nghost, const InputNlist* inlist, int ago,
                               const std::vector<double>& fparam, const std::vector<double>& aparam,
                               const std::vector<double>& charge_spin, ENERGYTYPE* ener, double* force,
                               double* virial, double* atom_energy, double* atom_virial) {
  head();
  const PotResults<double> to{ener, force, virial, atom_energy, atom_virial, "o_atom_variance", variance};
  impl_->compute(1, natoms, coord, atype, box, nghost, inlist, ago, fparam, aparam, charge_spin, false, to);
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
  PotResults<double> to;
  to.node = "o_atom_uncertainty";
  to.at_node = std.data();
  impl_->compute(1, static_cast<int>(atype.size()), coord.data(), atype.data(),
                 box.empty() ? nullptr : box.data(), 0, nullptr, 0, fparam, aparam, {}, false, to);
}

namespace {

/// Checks sizes, resizes outputs and calls the general form.
template <typename VALUETYPE>
struct Call {
  DeepPot& model;
  const std::vector<VALUETYPE>&coord, &box;
  const std::vector<int>& atype;
  const std::vector<VALUETYPE>&fparam, &aparam;
  const std::vector<double>& charge_spin;
  int nghost = 0;
  const InputNlist* list = nullptr;
  int ago = 0, mixed_frames = 0;

  template <typename Energy>
  void operator()(Energy& ener, std::vector<VALUETYPE>& force, std::vector<VALUETYPE>& virial,
                  std::vector<VALUETYPE>* atom_energy, std::vector<VALUETYPE>* atom_virial) const {
    const size_t natoms = mixed_frames ? atype.size() / mixed_frames : atype.size();
    const size_t nframes =
        natoms || !mixed_frames ? count_frames(coord, box, natoms, list != nullptr) : mixed_frames;
    if (mixed_frames && nframes != static_cast<size_t>(mixed_frames))
      throw deepmd_exception("coord has " + std::to_string(coord.size()) + " numbers for " +
                             std::to_string(mixed_frames) + " frames of " + std::to_string(natoms) +
                             " atoms");
    model.compute_raw(static_cast<int>(nframes), static_cast<int>(natoms), coord.data(), atype.data(),
                      box.empty() ? nullptr : box.data(), nghost, list, ago, fparam, aparam, mixed_frames > 0,
                      energies(ener, nframes), room(&force, nframes * natoms * 3), room(&virial, nframes * 9),
                      room(atom_energy, nframes * natoms), room(atom_virial, nframes * natoms * 9),
                      charge_spin);
  }
};

}  // namespace

#undef DPTF_TAIL
#define DPTF_TAIL                                                           \
  const std::vector<VALUETYPE>&fparam, const std::vector<VALUETYPE>&aparam, \
      const std::vector<double>&charge_spin
#define DPTF_DEFINE(ENER)                                                                                \
  template <typename VALUETYPE>                                                                          \
  void DeepPot::compute(ENER ener, DPTF_OUT, DPTF_FRAME, DPTF_TAIL) {                                    \
    Call<VALUETYPE>{*this, coord, box, atype, fparam, aparam, charge_spin}(ener, force, virial, nullptr, \
                                                                           nullptr);                     \
  }                                                                                                      \
  template <typename VALUETYPE>                                                                          \
  void DeepPot::compute(ENER ener, DPTF_OUT, DPTF_ATOMIC, DPTF_FRAME, DPTF_TAIL) {                       \
    Call<VALUETYPE>{*this, coord, box, atype, fparam, aparam, charge_spin}(ener, force, virial,          \
                                                                           &atom_energy, &atom_virial);  \
  }                                                                                                      \
  template <typename VALUETYPE>                                                                          \
  void DeepPot::compute(ENER ener, DPTF_OUT, DPTF_FRAME, DPTF_LIST, DPTF_TAIL) {                         \
    Call<VALUETYPE>{*this, coord, box, atype, fparam, aparam, charge_spin, nghost, &inlist, ago}(        \
        ener, force, virial, nullptr, nullptr);                                                          \
  }                                                                                                      \
  template <typename VALUETYPE>                                                                          \
  void DeepPot::compute(ENER ener, DPTF_OUT, DPTF_ATOMIC, DPTF_FRAME, DPTF_LIST, DPTF_TAIL) {            \
    Call<VALUETYPE>{*this, coord, box, atype, fparam, aparam, charge_spin, nghost, &inlist, ago}(        \
        ener, force, virial, &atom_energy, &atom_virial);                                                \
  }                                                                                                      \
  template <typename VALUETYPE>                                                                          \
  void DeepPot::compute_mixed_type(ENER ener, DPTF_OUT, const int& nframes, DPTF_FRAME, DPTF_TAIL) {     \
    Call<VALUETYPE>{*this, coord, box, atype, fparam, aparam, charge_spin, 0, nullptr, 0, nframes}(      \
        ener, force, virial, nullptr, nullptr);                                                          \
  }                                                                                                      \
  template <typename VALUETYPE>                                                                          \
  void DeepPot::compute_mixed_type(ENER ener, DPTF_OUT, DPTF_ATOMIC, const int& nframes, DPTF_FRAME,     \
                                   DPTF_TAIL) {                                                          \
    Call<VALUETYPE>{*this, coord, box, atype, fparam, aparam, charge_spin, 0, nullptr, 0, nframes}(      \
        ener, force, virial, &atom_energy, &atom_virial);                                                \
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
                                        ENERGYTYPE*, V*, V*, V*, V*, const std::vector<double>&);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace deepmd

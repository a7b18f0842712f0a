#include <algorithm>

#include "DataModifier.h"
#include "model_frame.h"

namespace deepmd {

using tensorflow::Tensor;

class DipoleChargeModifierImpl : public ModelFrame {
 public:
  DipoleChargeModifierImpl(const std::string& model, int gpu_rank, const std::string& scope)
      : ModelFrame(model, gpu_rank, scope) {
    for (const char* node : {"t_ef", "o_dm_force", "o_dm_av"})
      if (!head.graph.has(node))
        throw deepmd_exception("the graph " + model + " has no node " + node +
                               "; freeze an energy model that was trained with the modifier dipole_charge");
  }

  template <typename FP, typename V>
  void evaluate(const V* coord, const int* atype, const V* box, const std::vector<int>& partner,
                const std::vector<V>& delef, std::vector<V>& dfcorr, std::vector<V>& dvcorr) const {
    auto in = feeds<FP>(coord, atype, box, true);
    Tensor ef(tensorflow::DataTypeToEnum<FP>::v(),
              tensorflow::TensorShape({1, static_cast<int>(3 * rows.size())}));
    for (size_t k = 0; k < rows.size(); ++k)
      for (int d = 0; d < 3; ++d) ef.flat<FP>()(3 * k + d) = static_cast<FP>(delef[3 * partner[rows[k]] + d]);
    in.emplace_back("t_ef", ef);
    const std::vector<Tensor> out = head.graph.run(in, {"o_dm_force", "o_dm_av"});
    const auto force = out[0].flat<FP>(), virial = out[1].flat<FP>();
    for (size_t k = 0; k < at.size(); ++k) {
      for (int d = 0; d < 3; ++d) dfcorr[3 * at[k] + d] += static_cast<V>(force(3 * k + d));
      for (int d = 0; d < 9; ++d) dvcorr[d] += static_cast<V>(virial(9 * k + d));
    }
  }
};

DipoleChargeModifier::DipoleChargeModifier() = default;
DipoleChargeModifier::~DipoleChargeModifier() = default;
DipoleChargeModifier::DipoleChargeModifier(const std::string& model, const int& gpu_rank,
                                           const std::string& name_scope) {
  init(model, gpu_rank, name_scope);
}
void DipoleChargeModifier::init(const std::string& model, const int& gpu_rank,
                                const std::string& name_scope) {
  if (!impl_) impl_ = std::make_unique<DipoleChargeModifierImpl>(model, gpu_rank, name_scope);
}
DipoleChargeModifierImpl& DipoleChargeModifier::loaded() const {
  if (!impl_) throw deepmd_exception("no model is loaded");
  return *impl_;
}
double DipoleChargeModifier::cutoff() const { return loaded().head.rcut; }
int DipoleChargeModifier::numb_types() const { return loaded().head.ntypes; }
std::vector<int> DipoleChargeModifier::sel_types() const { return loaded().sel_type; }
const std::vector<int>& DipoleChargeModifier::sel_types_ref() const { return loaded().sel_type; }
void DipoleChargeModifier::print_summary(const std::string& pre) const { deepmd::print_summary(pre); }

template <typename V>
void DipoleChargeModifier::compute(std::vector<V>& dfcorr, std::vector<V>& dvcorr,
                                   const std::vector<V>& coord, const std::vector<int>& atype,
                                   const std::vector<V>& box, const std::vector<std::pair<int, int>>& pairs,
                                   const std::vector<V>& delef, const int nghost, const InputNlist& inlist) {
  DipoleChargeModifierImpl& model = loaded();
  const int natoms = static_cast<int>(atype.size()), nloc = natoms - nghost;
  if (coord.size() != 3 * atype.size() || static_cast<int>(delef.size()) < 3 * nloc)
    throw deepmd_exception("coord has " + std::to_string(coord.size()) + " numbers and delef " +
                           std::to_string(delef.size()) + " for " + std::to_string(nloc) + " local of " +
                           std::to_string(natoms) + " atoms");
  dfcorr.assign(3 * static_cast<size_t>(natoms), V(0));
  dvcorr.assign(9, V(0));
  std::vector<int> partner(natoms, -1);
  for (const auto& p : pairs) {
    if (p.first < 0 || p.first >= nloc || p.second < 0 || p.second >= nloc)
      throw deepmd_exception("the pair " + std::to_string(p.first) + ", " + std::to_string(p.second) +
                             " names an atom that is not local");
    partner[p.first] = p.second;
  }
  model.arrange(natoms, atype.data(), nghost, &inlist);
  for (const int i : model.rows)
    if (partner[i] < 0)
      throw deepmd_exception("atom " + std::to_string(i) + " has a dipole but no displaced charge");
  if (model.order.nloc > 0) {
    const V* cell = box.empty() ? nullptr : box.data();
    if (model.head.single)
      model.evaluate<float>(coord.data(), atype.data(), cell, partner, delef, dfcorr, dvcorr);
    else
      model.evaluate<double>(coord.data(), atype.data(), cell, partner, delef, dfcorr, dvcorr);
  }
  for (int k = 0; k < model.order.nloc; ++k) {
    const int i = model.at[k];
    for (int d = 0; d < 3; ++d) {
      dfcorr[3 * i + d] += delef[3 * i + d];
      if (partner[i] >= 0) dfcorr[3 * i + d] += delef[3 * partner[i] + d];
    }
  }
}

#define DPTF_INSTANTIATE(V)                                                                               \
  template void DipoleChargeModifier::compute<V>(std::vector<V>&, std::vector<V>&, const std::vector<V>&, \
                                                 const std::vector<int>&, const std::vector<V>&,          \
                                                 const std::vector<std::pair<int, int>>&,                 \
                                                 const std::vector<V>&, const int, const InputNlist&);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace deepmd

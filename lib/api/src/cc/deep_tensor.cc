#include <algorithm>
#include <numeric>

#include "DeepTensor.h"
#include "model_frame.h"

namespace deepmd {

using tensorflow::Tensor;

class DeepTensorImpl : public ModelFrame {
 public:
  DeepTensorImpl(const std::string& model, int gpu_rank, const std::string& scope)
      : ModelFrame(model, gpu_rank, scope), dim(head.graph.scalar<int>(prefix + "model_attr/output_dim")) {}

  template <typename FP, typename V>
  void evaluate(int natoms, const V* coord, const int* atype, const V* box, bool has_list,
                std::vector<V>* global, std::vector<V>* force, std::vector<V>* virial,
                std::vector<V>* atom_tensor, std::vector<V>* atom_virial) const {
    const std::string atomic = prefix + "o_" + head.type, summed = prefix + "o_global_" + head.type;
    std::vector<std::string> fetches;
    if (atom_tensor) fetches.push_back(atomic);
    if (global) fetches.push_back(summed);
    for (const auto& [wanted, name] :
         {std::pair(force != nullptr, "o_force"), std::pair(virial != nullptr, "o_virial"),
          std::pair(atom_virial != nullptr, "o_atom_virial")})
      if (wanted) fetches.push_back(prefix + name);
    for (const auto& name : fetches)
      if (!head.graph.has(name))
        throw deepmd_exception("the graph has no node " + name +
                               " (tensor models frozen before release 2.0 give atomic tensors only)");
    const std::vector<Tensor> out = head.graph.run(feeds<FP>(coord, atype, box, has_list), fetches);
    size_t next = 0;
    const auto value = [](const Tensor& t, int64_t i) {
      return t.dtype() == tensorflow::DT_FLOAT ? static_cast<double>(t.flat<float>()(i))
                                               : t.flat<double>()(i);
    };
    if (atom_tensor) {
      const Tensor& t = out[next++];
      // From the graph's order to the caller's.
      std::vector<int> by_atom(rows.size());
      std::iota(by_atom.begin(), by_atom.end(), 0);
      std::sort(by_atom.begin(), by_atom.end(), [&](int a, int b) { return rows[a] < rows[b]; });
      atom_tensor->resize(rows.size() * dim);
      for (size_t k = 0; k < rows.size(); ++k)
        for (int d = 0; d < dim; ++d)
          (*atom_tensor)[k * dim + d] = static_cast<V>(value(t, static_cast<int64_t>(by_atom[k]) * dim + d));
    }
    if (global) {
      const Tensor& t = out[next++];
      global->resize(dim);
      for (int d = 0; d < dim; ++d) (*global)[d] = static_cast<V>(value(t, d));
    }
    const int nall = static_cast<int>(at.size());
    const auto scatter = [&](const Tensor& t, int stride, std::vector<V>* to) {
      to->assign(static_cast<size_t>(dim) * natoms * stride, V(0));
      for (int c = 0; c < dim; ++c)
        for (int k = 0; k < nall; ++k)
          for (int s = 0; s < stride; ++s)
            (*to)[(static_cast<size_t>(c) * natoms + at[k]) * stride + s] =
                static_cast<V>(value(t, (static_cast<int64_t>(c) * nall + k) * stride + s));
    };
    if (force) scatter(out[next++], 3, force);
    if (virial) {
      const Tensor& t = out[next++];
      virial->resize(9 * dim);
      for (int k = 0; k < 9 * dim; ++k) (*virial)[k] = static_cast<V>(value(t, k));
    }
    if (atom_virial) scatter(out[next++], 9, atom_virial);
  }

  const int dim;
};

DeepTensor::DeepTensor() = default;
DeepTensor::~DeepTensor() = default;
DeepTensor::DeepTensor(const std::string& model, const int& gpu_rank, const std::string& name_scope) {
  init(model, gpu_rank, name_scope);
}
void DeepTensor::init(const std::string& model, const int& gpu_rank, const std::string& name_scope) {
  if (!impl_) impl_ = std::make_unique<DeepTensorImpl>(model, gpu_rank, name_scope);
}
DeepTensorImpl& DeepTensor::loaded() const {
  if (!impl_) throw deepmd_exception("no model is loaded");
  return *impl_;
}
double DeepTensor::cutoff() const { return loaded().head.rcut; }
int DeepTensor::numb_types() const { return loaded().head.ntypes; }
int DeepTensor::output_dim() const { return loaded().dim; }
const std::vector<int>& DeepTensor::sel_types() const { return loaded().sel_type; }
void DeepTensor::get_type_map(std::string& type_map) const { type_map = loaded().head.names; }
void DeepTensor::print_summary(const std::string& pre) const { deepmd::print_summary(pre); }

template <typename V>
void DeepTensor::compute_raw(int natoms, const V* coord, const int* atype, const V* box, int nghost,
                             const InputNlist* inlist, std::vector<V>* global, std::vector<V>* force,
                             std::vector<V>* virial, std::vector<V>* atom_tensor,
                             std::vector<V>* atom_virial) {
  DeepTensorImpl& model = loaded();
  model.arrange(natoms, atype, nghost, inlist);
  if (model.order.nloc == 0) {
    const size_t d = model.dim, n = natoms;
    if (global) global->assign(d, V(0));
    if (force) force->assign(d * n * 3, V(0));
    if (virial) virial->assign(d * 9, V(0));
    if (atom_tensor) atom_tensor->clear();
    if (atom_virial) atom_virial->assign(d * n * 9, V(0));
    return;
  }
  if (model.head.single)
    model.evaluate<float>(natoms, coord, atype, box, inlist != nullptr, global, force, virial, atom_tensor,
                          atom_virial);
  else
    model.evaluate<double>(natoms, coord, atype, box, inlist != nullptr, global, force, virial, atom_tensor,
                           atom_virial);
}

namespace {

template <typename V>
void check_sizes(const std::vector<V>& coord, const std::vector<int>& atype, const std::vector<V>& box) {
  if (coord.size() != 3 * atype.size() || (!box.empty() && box.size() != 9))
    throw deepmd_exception("coord has " + std::to_string(coord.size()) + " numbers and box " +
                           std::to_string(box.size()) + " for one frame of " + std::to_string(atype.size()) +
                           " atoms");
}

}  // namespace

#define DPTF_RAW(LIST, NGHOST, ...)                                                  \
  check_sizes(coord, atype, box);                                                    \
  compute_raw<VALUETYPE>(static_cast<int>(atype.size()), coord.data(), atype.data(), \
                         box.empty() ? nullptr : box.data(), NGHOST, LIST, __VA_ARGS__)
template <typename VALUETYPE>
void DeepTensor::compute(std::vector<VALUETYPE>& value, DPTF_TENSOR_FRAME) {
  DPTF_RAW(nullptr, 0, nullptr, nullptr, nullptr, &value, nullptr);
}
template <typename VALUETYPE>
void DeepTensor::compute(std::vector<VALUETYPE>& value, DPTF_TENSOR_FRAME, DPTF_TENSOR_LIST) {
  DPTF_RAW(&inlist, nghost, nullptr, nullptr, nullptr, &value, nullptr);
}
template <typename VALUETYPE>
void DeepTensor::compute(DPTF_TENSOR_SUM, DPTF_TENSOR_FRAME) {
  DPTF_RAW(nullptr, 0, &global, &force, &virial, nullptr, nullptr);
}
template <typename VALUETYPE>
void DeepTensor::compute(DPTF_TENSOR_SUM, DPTF_TENSOR_FRAME, DPTF_TENSOR_LIST) {
  DPTF_RAW(&inlist, nghost, &global, &force, &virial, nullptr, nullptr);
}
template <typename VALUETYPE>
void DeepTensor::compute(DPTF_TENSOR_SUM, DPTF_TENSOR_ATOMIC, DPTF_TENSOR_FRAME) {
  DPTF_RAW(nullptr, 0, &global, &force, &virial, &atom_tensor, &atom_virial);
}
template <typename VALUETYPE>
void DeepTensor::compute(DPTF_TENSOR_SUM, DPTF_TENSOR_ATOMIC, DPTF_TENSOR_FRAME, DPTF_TENSOR_LIST) {
  DPTF_RAW(&inlist, nghost, &global, &force, &virial, &atom_tensor, &atom_virial);
}

#define DPTF_V(V) std::vector<V>&
#define DPTF_F(V) const std::vector<V>&, const std::vector<int>&, const std::vector<V>&
#define DPTF_L const int&, const InputNlist&
#define DPTF_INSTANTIATE(V)                                                                               \
  template void DeepTensor::compute<V>(DPTF_V(V), DPTF_F(V));                                             \
  template void DeepTensor::compute<V>(DPTF_V(V), DPTF_F(V), DPTF_L);                                     \
  template void DeepTensor::compute<V>(DPTF_V(V), DPTF_V(V), DPTF_V(V), DPTF_F(V));                       \
  template void DeepTensor::compute<V>(DPTF_V(V), DPTF_V(V), DPTF_V(V), DPTF_F(V), DPTF_L);               \
  template void DeepTensor::compute<V>(DPTF_V(V), DPTF_V(V), DPTF_V(V), DPTF_V(V), DPTF_V(V), DPTF_F(V)); \
  template void DeepTensor::compute<V>(DPTF_V(V), DPTF_V(V), DPTF_V(V), DPTF_V(V), DPTF_V(V), DPTF_F(V),  \
                                       DPTF_L);                                                           \
  template void DeepTensor::compute_raw<V>(int, const V*, const int*, const V*, int, const InputNlist*,   \
                                           std::vector<V>*, std::vector<V>*, std::vector<V>*,             \
                                           std::vector<V>*, std::vector<V>*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace deepmd

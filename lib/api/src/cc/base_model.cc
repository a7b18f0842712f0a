#include <cmath>

#include "DeepBaseModel.h"
#include "model_head.h"

namespace deepmd {

namespace {
const std::string& checked(const std::string& model) {
  if (get_backend(model) != TensorFlow)
    throw deepmd_exception("Unsupported model file format: " + model +
                           " belongs to another backend, this "
                           "library runs .pb graphs; run: dp convert-backend");
  return model;
}
}  // namespace

ModelHead::ModelHead(const std::string& model, int gpu_rank, const std::string& content,
                     const std::string& scope, const std::string& precision)
    : graph(checked(model), gpu_rank, content, !scope.empty() && scope != "dipole_charge", precision),
      file(model) {
  const std::string pre = name_prefix(scope);
  std::string version = graph.text(pre + "model_attr/model_version", "0.0");
  if (!model_compatable(version))
    throw deepmd_exception("model " + model + " has version " + version +
                           ", this library runs 1.0 and 1.1; run: dp convert-from");
  type = graph.text(pre + "model_attr/model_type", "ener");
  single = graph.dtype(pre + "descrpt_attr/rcut") == tensorflow::DT_FLOAT;
  rcut = single ? graph.scalar<float>(pre + "descrpt_attr/rcut")
                : graph.scalar<double>(pre + "descrpt_attr/rcut");
  ntypes = graph.scalar<int>(pre + "descrpt_attr/ntypes");
  message_width = graph.scalar_or<int>(pre + "descrpt_attr/message_width", 0);
  dfparam = std::max(0, graph.scalar_or<int>(pre + "fitting_attr/dfparam", 0));
  daparam = std::max(0, graph.scalar_or<int>(pre + "fitting_attr/daparam", 0));
  if (dfparam) default_fparam = graph.numbers(pre + "fitting_attr/default_fparam");
  if (daparam) aparam_nall = graph.scalar_or<bool>(pre + "fitting_attr/aparam_nall", false);
  if (graph.has(pre + "t_charge_spin")) dim_chg_spin = 2;
  default_chg_spin = graph.op(pre + "t_charge_spin") == "PlaceholderWithDefault";
  ntypes_spin = graph.scalar_or<int>(pre + "spin_attr/ntypes_spin", 0);
  names = graph.text(pre + "model_attr/tmap", "");
  // The fused kernels keep nothing for an atom beyond their own blocks.
  const bool fused = graph.has("dptf_fused");
  bytes_per_atom = fused ? 0.0 : graph.scalar_or<double>(pre + "memory_attr/bytes_per_atom", 0.0);
  counts_memory = graph.has(pre + "memory_attr/counted");
  takes_field = graph.has(pre + "t_efield");
}

double DeepBaseModel::cutoff() const { return head().rcut; }
int DeepBaseModel::numb_types() const { return head().ntypes; }
int DeepBaseModel::numb_types_spin() const { return head().ntypes_spin; }
int DeepBaseModel::dim_fparam() const { return head().dfparam; }
int DeepBaseModel::dim_aparam() const { return head().daparam; }
int DeepBaseModel::dim_chg_spin() const { return head().dim_chg_spin; }
bool DeepBaseModel::is_aparam_nall() const { return head().aparam_nall; }
bool DeepBaseModel::has_default_fparam() const { return !head().default_fparam.empty(); }
bool DeepBaseModel::has_default_chg_spin() const { return head().default_chg_spin; }
void DeepBaseModel::get_type_map(std::string& type_map) const { type_map = head().names; }
void DeepBaseModel::print_summary(const std::string& pre) const { deepmd::print_summary(pre); }
std::string DeepBaseModel::runtime_report() const { return head().graph.report(); }
int DeepBaseModel::message_width() const { return head().message_width; }

template <typename VALUETYPE>
void DeepBaseModelDevi::compute_avg(VALUETYPE& avg, const std::vector<VALUETYPE>& xx) {
  double sum = 0;
  for (VALUETYPE x : xx) sum += x;
  avg = static_cast<VALUETYPE>(xx.empty() ? 0.0 : sum / xx.size());
}

template <typename VALUETYPE>
void DeepBaseModelDevi::compute_avg(std::vector<VALUETYPE>& avg,
                                    const std::vector<std::vector<VALUETYPE>>& xx) {
  avg.assign(xx.empty() ? 0 : xx[0].size(), VALUETYPE(0));
  for (const auto& x : xx)
    for (size_t i = 0; i < avg.size(); ++i) avg[i] += x[i] / static_cast<VALUETYPE>(xx.size());
}

template <typename VALUETYPE>
void DeepBaseModelDevi::compute_std(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
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
void DeepBaseModelDevi::compute_std_e(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                                      const std::vector<std::vector<VALUETYPE>>& xx) {
  compute_std(std, avg, xx, 1);
}
template <typename VALUETYPE>
void DeepBaseModelDevi::compute_std_f(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                                      const std::vector<std::vector<VALUETYPE>>& xx) {
  compute_std(std, avg, xx, 3);
}

template <typename VALUETYPE>
void DeepBaseModelDevi::compute_relative_std(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                                             const VALUETYPE eps, const int& stride) {
  for (size_t i = 0; i < std.size(); ++i) {
    double norm = 0;
    for (int s = 0; s < stride; ++s) norm += static_cast<double>(avg[i * stride + s]) * avg[i * stride + s];
    std[i] = static_cast<VALUETYPE>(std[i] / (std::sqrt(norm) + eps));
  }
}
template <typename VALUETYPE>
void DeepBaseModelDevi::compute_relative_std_f(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                                               const VALUETYPE eps) {
  compute_relative_std(std, avg, eps, 3);
}

#define DPTF_INSTANTIATE(V)                                                                                 \
  template void DeepBaseModelDevi::compute_avg<V>(V&, const std::vector<V>&);                               \
  template void DeepBaseModelDevi::compute_avg<V>(std::vector<V>&, const std::vector<std::vector<V>>&);     \
  template void DeepBaseModelDevi::compute_std<V>(std::vector<V>&, const std::vector<V>&,                   \
                                                  const std::vector<std::vector<V>>&, const int&);          \
  template void DeepBaseModelDevi::compute_std_e<V>(std::vector<V>&, const std::vector<V>&,                 \
                                                    const std::vector<std::vector<V>>&);                    \
  template void DeepBaseModelDevi::compute_std_f<V>(std::vector<V>&, const std::vector<V>&,                 \
                                                    const std::vector<std::vector<V>>&);                    \
  template void DeepBaseModelDevi::compute_relative_std<V>(std::vector<V>&, const std::vector<V>&, const V, \
                                                           const int&);                                     \
  template void DeepBaseModelDevi::compute_relative_std_f<V>(std::vector<V>&, const std::vector<V>&, const V);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace deepmd

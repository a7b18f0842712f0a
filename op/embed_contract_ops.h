#pragma once

#include <vector>

#include "device.h"
#include "dptf/embed_contract.h"

namespace dptf {

/// Inputs shared by the family, after `first` leading adjoints: env, nlist, atype, then nodes, x0, h, weight.
template <typename Device, typename T>
class EmbedOp : public OpKernel {
 public:
  explicit EmbedOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("sel", &sel_));
    OP_REQUIRES_OK(context, context->GetAttr("net_of", &net_of_));
    // With one entry of sel and several types, nlist holds the types of the neighbors.
    for (ntypes_ = sel_.size(); ntypes_ * ntypes_ < net_of_.size() && sel_.size() == 1;) ++ntypes_;
    OP_REQUIRES(context, net_of_.size() == ntypes_ * ntypes_,
                invalid_argument("net_of must have len(sel)^2 = ", sel_.size() * sel_.size(),
                                 " entries (a square number for one entry of sel), got ", net_of_.size()));
    for (int s : sel_) nnei_ += s;
  }

 protected:
  bool geometry(OpKernelContext* context, int first, EmbedContract<T>* p) const {
    const Tensor &env = context->input(first), &nlist = context->input(first + 1),
                 &atype = context->input(first + 2);
    p->n_atoms = atype.NumElements();
    p->nnei = nnei_;
    p->ntypes = static_cast<int>(ntypes_);
    p->mixed = ntypes_ > sel_.size();
    p->sel = sel_.data();
    p->net_of = net_of_.data();
    if (env.NumElements() != p->n_atoms * nnei_ * 4 || nlist.NumElements() != p->n_atoms * nnei_) {
      context->CtxFailure(invalid_argument("env has ", env.NumElements(), " and nlist ", nlist.NumElements(),
                                           " elements; ", p->n_atoms, " atoms with ", nnei_, " slots need ",
                                           p->n_atoms * nnei_ * 4, " and ", p->n_atoms * nnei_));
      return false;
    }
    p->env = env.flat<T>().data();
    p->nlist = nlist.flat<int>().data();
    p->atype = atype.flat<int>().data();
    for (int64_t i = 0; Device::kHost && i < p->n_atoms; ++i)
      if (p->atype[i] >= p->ntypes) {
        context->CtxFailure(
            invalid_argument("type ", p->atype[i], " of atom ", i, " is not below ", p->ntypes));
        return false;
      }
    for (int64_t k = 0; Device::kHost && p->mixed && k < nlist.NumElements(); ++k)
      if (p->nlist[k] >= p->ntypes) {
        context->CtxFailure(
            invalid_argument("neighbor type ", p->nlist[k], " of slot ", k, " is not below ", p->ntypes));
        return false;
      }
    return true;
  }

  /// With the memory of the small tables where sel and net_of cannot be read by the kernels.
  struct Problem : EmbedContract<T> {
    Tensor tables;
  };

  bool problem(OpKernelContext* context, int first, Problem* p) const {
    if (!geometry(context, first, p)) return false;
    const Tensor& nodes = context->input(first + 3);
    if (nodes.dims() != 4 || nodes.dim_size(2) != kTerms || nodes.dim_size(1) < 1) {
      context->CtxFailure(invalid_argument("nodes must be [nets, pieces, ", kTerms, ", width], got ",
                                           nodes.shape().DebugString()));
      return false;
    }
    p->n_nets = nodes.dim_size(0);
    p->n_pieces = nodes.dim_size(1);
    p->width = nodes.dim_size(3);
    for (int net : net_of_)
      if (net >= p->n_nets) {
        context->CtxFailure(invalid_argument("net_of names net ", net, " of ", p->n_nets));
        return false;
      }
    p->nodes = nodes.flat<T>().data();
    p->x0 = context->input(first + 4).scalar<T>()();
    p->h = context->input(first + 5).scalar<T>()();
    const Tensor& weight = context->input(first + 6);
    if (weight.NumElements() && (!p->mixed || weight.NumElements() != p->n_atoms * p->nnei)) {
      context->CtxFailure(invalid_argument("weight has ", weight.NumElements(),
                                           " elements; it needs one block of slots, ", p->n_atoms * p->nnei,
                                           " of them"));
      return false;
    }
    p->weight = weight.NumElements() ? weight.flat<T>().data() : nullptr;
    if constexpr (!Device::kHost) return tables_on_device(context, p);
    return true;
  }

  /// An adjoint that must have as many elements as the named quantity.
  const T* adjoint(OpKernelContext* context, int index, int64_t size, const char* what) const {
    const Tensor& t = context->input(index);
    if (t.NumElements() != size) {
      context->CtxFailure(
          invalid_argument("the adjoint of ", what, " has ", t.NumElements(), " elements, expected ", size));
      return nullptr;
    }
    return t.flat<T>().data();
  }

  /// Adjoints z and z_weight in front of the inputs.
  bool adjoint_rows(OpKernelContext* context, const EmbedContract<T>& p, EmbedRows<const T>* z) const {
    z->env = adjoint(context, 0, p.n_atoms * p.nnei * 4, "denv");
    const T* weight = adjoint(context, 1, p.weight ? p.n_atoms * p.nnei : 0, "dweight");
    z->weight = p.weight ? weight : nullptr;
    return context->status().ok();
  }

  /// Outputs denv and dweight for the input env at `first`.
  bool rows_output(OpKernelContext* context, int first, EmbedRows<T>* d) const {
    T* to[2] = {};
    for (int k = 0; k < 2; ++k) {
      Tensor* t = nullptr;
      const Tensor& like = context->input(k ? first + 6 : first);
      const absl::Status status = context->allocate_output(k, like.shape(), &t);
      if (!status.ok()) {
        context->CtxFailure(status);
        return false;
      }
      to[k] = like.NumElements() ? t->flat<T>().data() : nullptr;
    }
    *d = {to[0], to[1]};
    return true;
  }

 private:
  bool tables_on_device(OpKernelContext* context, Problem* p) const {
    const int64_t n = sel_.size(), m = net_of_.size();
    const TensorShape shape({n + m});
    const absl::Status status = context->allocate_temp(tensorflow::DT_INT32, shape, &p->tables);
    if (!status.ok()) {
      context->CtxFailure(status);
      return false;
    }
    int* const at = p->tables.template flat<int>().data();
    Device::run(context, [&](const auto& where) {
      upload(sel_.data(), n, at, where);
      upload(net_of_.data(), m, at + n, where);
    });
    p->sel = at;
    p->net_of = at + n;
    return context->status().ok();
  }

  std::vector<int> sel_, net_of_;
  int nnei_ = 0;
  size_t ntypes_ = 0;
};

template <typename Device, typename T>
class EmbedContractOp : public EmbedOp<Device, T> {
 public:
  using EmbedOp<Device, T>::EmbedOp;
  void Compute(OpKernelContext* context) override {
    typename EmbedOp<Device, T>::Problem p;
    if (!this->problem(context, 0, &p)) return;
    Tensor* a;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.n_atoms, 4, p.width}), &a));
    Device::run(context, [&](const auto& where) { embed_contract(p, a->flat<T>().data(), where); });
  }
};

template <typename Device, typename T>
class EmbedContractGradEnvOp : public EmbedOp<Device, T> {
 public:
  using EmbedOp<Device, T>::EmbedOp;
  void Compute(OpKernelContext* context) override {
    typename EmbedOp<Device, T>::Problem p;
    if (!this->problem(context, 1, &p)) return;
    const T* da = this->adjoint(context, 0, p.n_atoms * 4 * p.width, "a");
    EmbedRows<T> d;
    if (!da || !this->rows_output(context, 1, &d)) return;
    Device::run(context, [&](const auto& where) { embed_contract_grad_env(p, da, d, where); });
  }
};

template <typename Device, typename T>
class EmbedContractGradNodesOp : public EmbedOp<Device, T> {
 public:
  using EmbedOp<Device, T>::EmbedOp;
  void Compute(OpKernelContext* context) override {
    typename EmbedOp<Device, T>::Problem p;
    if (!this->problem(context, 1, &p)) return;
    const T* da = this->adjoint(context, 0, p.n_atoms * 4 * p.width, "a");
    if (!da) return;
    Tensor* dnodes;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(4).shape(), &dnodes));
    Device::run(context, [&](const auto& where) {
      embed_contract_grad_nodes(p, da, dnodes->flat<T>().data(), where);
    });
  }
};

template <typename Device, typename T>
class EmbedContractGradGradOp : public EmbedOp<Device, T> {
 public:
  using EmbedOp<Device, T>::EmbedOp;
  void Compute(OpKernelContext* context) override {
    typename EmbedOp<Device, T>::Problem p;
    if (!this->problem(context, 3, &p)) return;
    EmbedRows<const T> z;
    const T* da = this->adjoint(context, 2, p.n_atoms * 4 * p.width, "a");
    if (!da || !this->adjoint_rows(context, p, &z)) return;
    Tensor *dda, *dnodes;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(2).shape(), &dda));
    OP_REQUIRES_OK(context, context->allocate_output(1, context->input(6).shape(), &dnodes));
    Device::run(context, [&](const auto& where) {
      embed_contract_grad_grad(p, da, z, dda->flat<T>().data(), dnodes->flat<T>().data(), where);
    });
  }
};

template <typename Device, typename T>
class EmbedContractGradGradEnvOp : public EmbedOp<Device, T> {
 public:
  using EmbedOp<Device, T>::EmbedOp;
  void Compute(OpKernelContext* context) override {
    typename EmbedOp<Device, T>::Problem p;
    if (!this->problem(context, 3, &p)) return;
    EmbedRows<const T> z;
    EmbedRows<T> d;
    const T* da = this->adjoint(context, 2, p.n_atoms * 4 * p.width, "a");
    if (!da || !this->adjoint_rows(context, p, &z) || !this->rows_output(context, 3, &d)) return;
    Device::run(context, [&](const auto& where) { embed_contract_grad_grad_env(p, da, z, d, where); });
  }
};

}  // namespace dptf

// Ops of the tabulated embedding net (training path). The mathematics is in lib/; see dptf/embed_contract.h.
#include "dptf/embed_contract.h"

#include "op_utils.h"

namespace dptf {
namespace {

#define DPTF_EMBED_ATTRS .Attr("T: {float, double}").Attr("sel: list(int)").Attr("net_of: list(int)")

/// Inputs shared by the family, after `first` leading adjoints: env, nlist, atype, then nodes, x0, h.
template <typename T>
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
    for (int64_t i = 0; i < p->n_atoms; ++i)
      if (p->atype[i] >= p->ntypes) {
        context->CtxFailure(
            invalid_argument("type ", p->atype[i], " of atom ", i, " is not below ", p->ntypes));
        return false;
      }
    for (int64_t k = 0; p->mixed && k < nlist.NumElements(); ++k)
      if (p->nlist[k] >= p->ntypes) {
        context->CtxFailure(
            invalid_argument("neighbor type ", p->nlist[k], " of slot ", k, " is not below ", p->ntypes));
        return false;
      }
    return true;
  }

  bool problem(OpKernelContext* context, int first, EmbedContract<T>* p) const {
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

 private:
  std::vector<int> sel_, net_of_;
  int nnei_ = 0;
  size_t ntypes_ = 0;
};

REGISTER_OP("DptfEmbedGrid")
    .Input("env: T")
    .Input("nlist: int32")
    .Input("atype: int32")
    .Input("h: T")
    .Output("x0: T")
    .Output("x: T")
    .Attr("max_nodes: int = 65536") DPTF_EMBED_ATTRS.SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->Scalar());
      c->set_output(1, c->Vector(InferenceContext::kUnknownDim));
      return absl::OkStatus();
    });

template <typename T>
class EmbedGridOp : public EmbedOp<T> {
 public:
  explicit EmbedGridOp(OpKernelConstruction* context) : EmbedOp<T>(context) {
    OP_REQUIRES_OK(context, context->GetAttr("max_nodes", &max_nodes_));
  }
  void Compute(OpKernelContext* context) override {
    EmbedContract<T> p;
    if (!this->geometry(context, 0, &p)) return;
    const T h = context->input(3).scalar<T>()();
    T first = 0;
    int64_t n = 0;
    try {
      n = embed_grid(p, h, max_nodes_ / kTerms, &first);
    } catch (const std::exception& e) {
      context->CtxFailure(invalid_argument(e.what()));
      return;
    }
    Tensor *x0, *x;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({}), &x0));
    OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({n * kTerms}), &x));
    x0->scalar<T>()() = first;
    for (int64_t k = 0; k < n * kTerms; ++k)
      x->flat<T>()(k) =
          static_cast<T>(first + h * (static_cast<double>(k / kTerms) +
                                      0.5 * (1 + chebyshev_node(static_cast<int>(k % kTerms)))));
  }

 private:
  int64_t max_nodes_ = 0;
};

#define DPTF_EMBED_INPUTS \
  .Input("env: T").Input("nlist: int32").Input("atype: int32").Input("nodes: T").Input("x0: T").Input("h: T")

absl::Status contraction_shape(InferenceContext* c) {
  c->set_output(0, c->MakeShape({InferenceContext::kUnknownDim, 4, InferenceContext::kUnknownDim}));
  return absl::OkStatus();
}

REGISTER_OP("DptfEmbedContract")
DPTF_EMBED_INPUTS.Output("a: T") DPTF_EMBED_ATTRS.SetShapeFn(contraction_shape);

template <typename T>
class EmbedContractOp : public EmbedOp<T> {
 public:
  using EmbedOp<T>::EmbedOp;
  void Compute(OpKernelContext* context) override {
    EmbedContract<T> p;
    if (!this->problem(context, 0, &p)) return;
    Tensor* a;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.n_atoms, 4, p.width}), &a));
    embed_contract(p, a->flat<T>().data(), intra_op_parallel(context));
  }
};

REGISTER_OP("DptfEmbedContractGradEnv")
    .Input("da: T") DPTF_EMBED_INPUTS.Output("denv: T") DPTF_EMBED_ATTRS.SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->input(1));
      return absl::OkStatus();
    });

template <typename T>
class EmbedContractGradEnvOp : public EmbedOp<T> {
 public:
  using EmbedOp<T>::EmbedOp;
  void Compute(OpKernelContext* context) override {
    EmbedContract<T> p;
    if (!this->problem(context, 1, &p)) return;
    const T* da = this->adjoint(context, 0, p.n_atoms * 4 * p.width, "a");
    if (!da) return;
    Tensor* denv;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(1).shape(), &denv));
    embed_contract_grad_env(p, da, denv->flat<T>().data(), intra_op_parallel(context));
  }
};

REGISTER_OP("DptfEmbedContractGradNodes")
    .Input("da: T") DPTF_EMBED_INPUTS.Output("dnodes: T")
        DPTF_EMBED_ATTRS.SetShapeFn([](InferenceContext* c) {
          c->set_output(0, c->input(4));
          return absl::OkStatus();
        });

template <typename T>
class EmbedContractGradNodesOp : public EmbedOp<T> {
 public:
  using EmbedOp<T>::EmbedOp;
  void Compute(OpKernelContext* context) override {
    EmbedContract<T> p;
    if (!this->problem(context, 1, &p)) return;
    const T* da = this->adjoint(context, 0, p.n_atoms * 4 * p.width, "a");
    if (!da) return;
    Tensor* dnodes;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(4).shape(), &dnodes));
    embed_contract_grad_nodes(p, da, dnodes->flat<T>().data(), intra_op_parallel(context));
  }
};

// Gradient of DptfEmbedContractGradEnv with respect to da and the nodes: what training on forces needs.
REGISTER_OP("DptfEmbedContractGradGrad")
    .Input("z: T")
    .Input("da: T") DPTF_EMBED_INPUTS.Output("dda: T")
    .Output("dnodes: T") DPTF_EMBED_ATTRS.SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->input(1));
      c->set_output(1, c->input(5));
      return absl::OkStatus();
    });

template <typename T>
class EmbedContractGradGradOp : public EmbedOp<T> {
 public:
  using EmbedOp<T>::EmbedOp;
  void Compute(OpKernelContext* context) override {
    EmbedContract<T> p;
    if (!this->problem(context, 2, &p)) return;
    const T* z = this->adjoint(context, 0, p.n_atoms * p.nnei * 4, "denv");
    const T* da = this->adjoint(context, 1, p.n_atoms * 4 * p.width, "a");
    if (!z || !da) return;
    Tensor *dda, *dnodes;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(1).shape(), &dda));
    OP_REQUIRES_OK(context, context->allocate_output(1, context->input(5).shape(), &dnodes));
    embed_contract_grad_grad(p, da, z, dda->flat<T>().data(), dnodes->flat<T>().data(),
                             intra_op_parallel(context));
  }
};

// Gradient of DptfEmbedContractGradEnv with respect to env (second derivative in the geometry).
REGISTER_OP("DptfEmbedContractGradGradEnv")
    .Input("z: T")
    .Input("da: T") DPTF_EMBED_INPUTS.Output("denv: T") DPTF_EMBED_ATTRS.SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->input(2));
      return absl::OkStatus();
    });

template <typename T>
class EmbedContractGradGradEnvOp : public EmbedOp<T> {
 public:
  using EmbedOp<T>::EmbedOp;
  void Compute(OpKernelContext* context) override {
    EmbedContract<T> p;
    if (!this->problem(context, 2, &p)) return;
    const T* z = this->adjoint(context, 0, p.n_atoms * p.nnei * 4, "denv");
    const T* da = this->adjoint(context, 1, p.n_atoms * 4 * p.width, "a");
    if (!z || !da) return;
    Tensor* denv;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(2).shape(), &denv));
    embed_contract_grad_grad_env(p, da, z, denv->flat<T>().data(), intra_op_parallel(context));
  }
};

#define DPTF_REGISTER(T)                                                                                    \
  REGISTER_KERNEL_BUILDER(Name("DptfEmbedGrid").Device(DEVICE_CPU).TypeConstraint<T>("T"), EmbedGridOp<T>); \
  REGISTER_KERNEL_BUILDER(Name("DptfEmbedContract").Device(DEVICE_CPU).TypeConstraint<T>("T"),              \
                          EmbedContractOp<T>);                                                              \
  REGISTER_KERNEL_BUILDER(Name("DptfEmbedContractGradEnv").Device(DEVICE_CPU).TypeConstraint<T>("T"),       \
                          EmbedContractGradEnvOp<T>);                                                       \
  REGISTER_KERNEL_BUILDER(Name("DptfEmbedContractGradNodes").Device(DEVICE_CPU).TypeConstraint<T>("T"),     \
                          EmbedContractGradNodesOp<T>);                                                     \
  REGISTER_KERNEL_BUILDER(Name("DptfEmbedContractGradGrad").Device(DEVICE_CPU).TypeConstraint<T>("T"),      \
                          EmbedContractGradGradOp<T>);                                                      \
  REGISTER_KERNEL_BUILDER(Name("DptfEmbedContractGradGradEnv").Device(DEVICE_CPU).TypeConstraint<T>("T"),   \
                          EmbedContractGradGradEnvOp<T>);
DPTF_REGISTER(float)
DPTF_REGISTER(double)

}  // namespace
}  // namespace dptf

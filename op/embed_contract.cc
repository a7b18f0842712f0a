// Ops of the tabulated embedding net (training path). The mathematics is in lib/; see dptf/embed_contract.h.
#include "embed_contract_ops.h"

namespace dptf {
namespace {

#define DPTF_EMBED_ATTRS .Attr("T: {float, double}").Attr("sel: list(int)").Attr("net_of: list(int)")

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
class EmbedGridOp : public EmbedOp<OnCpu, T> {
 public:
  explicit EmbedGridOp(OpKernelConstruction* context) : EmbedOp<OnCpu, T>(context) {
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

// weight [n, nnei], or empty: 1.
#define DPTF_EMBED_INPUTS    \
  .Input("env: T")           \
      .Input("nlist: int32") \
      .Input("atype: int32") \
      .Input("nodes: T")     \
      .Input("x0: T")        \
      .Input("h: T")         \
      .Input("weight: T")

absl::Status contraction_shape(InferenceContext* c) {
  c->set_output(0, c->MakeShape({InferenceContext::kUnknownDim, 4, InferenceContext::kUnknownDim}));
  return absl::OkStatus();
}

REGISTER_OP("DptfEmbedContract")
DPTF_EMBED_INPUTS.Output("a: T") DPTF_EMBED_ATTRS.SetShapeFn(contraction_shape);

REGISTER_OP("DptfEmbedContractGradEnv")
    .Input("da: T") DPTF_EMBED_INPUTS.Output("denv: T")
    .Output("dweight: T") DPTF_EMBED_ATTRS.SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->input(1));
      c->set_output(1, c->input(7));
      return absl::OkStatus();
    });

REGISTER_OP("DptfEmbedContractGradNodes")
    .Input("da: T") DPTF_EMBED_INPUTS.Output("dnodes: T")
        DPTF_EMBED_ATTRS.SetShapeFn([](InferenceContext* c) {
          c->set_output(0, c->input(4));
          return absl::OkStatus();
        });

// Gradient of DptfEmbedContractGradEnv with respect to da and the nodes: what training on forces needs.
REGISTER_OP("DptfEmbedContractGradGrad")
    .Input("z: T")
    .Input("z_weight: T")
    .Input("da: T") DPTF_EMBED_INPUTS.Output("dda: T")
    .Output("dnodes: T") DPTF_EMBED_ATTRS.SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->input(2));
      c->set_output(1, c->input(6));
      return absl::OkStatus();
    });

// Gradient of DptfEmbedContractGradEnv with respect to env and weight (second derivative in the geometry).
REGISTER_OP("DptfEmbedContractGradGradEnv")
    .Input("z: T")
    .Input("z_weight: T")
    .Input("da: T") DPTF_EMBED_INPUTS.Output("denv: T")
    .Output("dweight: T") DPTF_EMBED_ATTRS.SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->input(3));
      c->set_output(1, c->input(9));
      return absl::OkStatus();
    });

#define DPTF_KERNELS(T)                                                                 \
  DPTF_CPU_KERNEL("DptfEmbedGrid", T, EmbedGridOp<T>);                                  \
  DPTF_CPU_KERNEL("DptfEmbedContract", T, EmbedContractOp<OnCpu, T>);                   \
  DPTF_CPU_KERNEL("DptfEmbedContractGradEnv", T, EmbedContractGradEnvOp<OnCpu, T>);     \
  DPTF_CPU_KERNEL("DptfEmbedContractGradNodes", T, EmbedContractGradNodesOp<OnCpu, T>); \
  DPTF_CPU_KERNEL("DptfEmbedContractGradGrad", T, EmbedContractGradGradOp<OnCpu, T>);   \
  DPTF_CPU_KERNEL("DptfEmbedContractGradGradEnv", T, EmbedContractGradGradEnvOp<OnCpu, T>)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf

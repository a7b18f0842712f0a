// Embedding-net layers on (value, first derivative, second derivative); see dptf/jet_layer.h.
#include "dptf/jet_layer.h"

#include "op_utils.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace dptf {
namespace {

using tensorflow::DEVICE_CPU;

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::shape_inference::InferenceContext;

// idt of zero elements means: no time step.
REGISTER_OP("DptfJetLayer")
    .Input("z: T")
    .Input("prev: T")
    .Input("bias: T")
    .Input("idt: T")
    .Output("y: T")
    .Attr("T: {float, double}")
    .Attr("activation: int")
    .Attr("residual: int")
    .SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->input(0));
      return absl::OkStatus();
    });

REGISTER_OP("DptfJetLayerGrad")
    .Input("dy: T")
    .Input("z: T")
    .Input("prev: T")
    .Input("bias: T")
    .Input("idt: T")
    .Output("dz: T")
    .Output("dprev: T")
    .Output("dbias: T")
    .Output("didt: T")
    .Attr("T: {float, double}")
    .Attr("activation: int")
    .Attr("residual: int")
    .SetShapeFn([](InferenceContext* c) {
      for (int i = 0; i < 4; ++i) c->set_output(i, c->input(i + 1));
      return absl::OkStatus();
    });

template <typename T>
class JetOp : public OpKernel {
 public:
  explicit JetOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("activation", &activation_));
    OP_REQUIRES_OK(context, context->GetAttr("residual", &residual_));
    OP_REQUIRES(context, activation_ >= 0 && activation_ <= 7,
                invalid_argument("unknown activation ", activation_));
    OP_REQUIRES(context, residual_ >= 0 && residual_ <= 2, invalid_argument("residual must be 0, 1 or 2"));
  }

 protected:
  bool layer(OpKernelContext* context, int first, JetLayer<T>* p) const {
    const Tensor &z = context->input(first), &prev = context->input(first + 1),
                 &bias = context->input(first + 2), &idt = context->input(first + 3);
    const bool shapes = z.dims() == 4 && prev.dims() == 4 && z.dim_size(2) == 3 &&
                        prev.dim_size(0) == z.dim_size(0) && prev.dim_size(1) == z.dim_size(1) &&
                        prev.dim_size(2) == 3 && bias.NumElements() == z.dim_size(0) * z.dim_size(3) &&
                        (idt.NumElements() == 0 || idt.NumElements() == bias.NumElements()) &&
                        (residual_ == 0 || z.dim_size(3) == residual_ * prev.dim_size(3));
    if (!shapes) {
      context->CtxFailure(invalid_argument("layer shapes do not fit: z ", z.shape().DebugString(), ", prev ",
                                           prev.shape().DebugString(), ", bias ", bias.shape().DebugString(),
                                           ", idt ", idt.shape().DebugString(), ", residual ", residual_));
      return false;
    }
    p->nets = z.dim_size(0);
    p->nodes = z.dim_size(1);
    p->n = z.dim_size(3);
    p->n_prev = prev.dim_size(3);
    p->activation = activation_;
    p->residual = residual_;
    p->z = z.flat<T>().data();
    p->prev = prev.flat<T>().data();
    p->bias = bias.flat<T>().data();
    p->idt = idt.NumElements() ? idt.flat<T>().data() : nullptr;
    return true;
  }

 private:
  int activation_ = 1, residual_ = 0;
};

template <typename T>
class JetLayerOp : public JetOp<T> {
 public:
  using JetOp<T>::JetOp;
  void Compute(OpKernelContext* context) override {
    JetLayer<T> p;
    if (!this->layer(context, 0, &p)) return;
    Tensor* y;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(0).shape(), &y));
    jet_layer(p, y->flat<T>().data(), intra_op_parallel(context));
  }
};

template <typename T>
class JetLayerGradOp : public JetOp<T> {
 public:
  using JetOp<T>::JetOp;
  void Compute(OpKernelContext* context) override {
    JetLayer<T> p;
    if (!this->layer(context, 1, &p)) return;
    OP_REQUIRES(context, context->input(0).NumElements() == context->input(1).NumElements(),
                invalid_argument("dy and z differ in size"));
    Tensor* out[4];
    for (int i = 0; i < 4; ++i)
      OP_REQUIRES_OK(context, context->allocate_output(i, context->input(i + 1).shape(), &out[i]));
    auto dprev = out[1]->flat<T>();
    if (p.residual == 0) std::fill(dprev.data(), dprev.data() + dprev.size(), T(0));
    jet_layer_grad(p, context->input(0).flat<T>().data(), out[0]->flat<T>().data(), dprev.data(),
                   out[2]->flat<T>().data(), p.idt ? out[3]->flat<T>().data() : nullptr,
                   intra_op_parallel(context));
  }
};

#define DPTF_REGISTER(T)                                                                                  \
  REGISTER_KERNEL_BUILDER(Name("DptfJetLayer").Device(DEVICE_CPU).TypeConstraint<T>("T"), JetLayerOp<T>); \
  REGISTER_KERNEL_BUILDER(Name("DptfJetLayerGrad").Device(DEVICE_CPU).TypeConstraint<T>("T"),             \
                          JetLayerGradOp<T>);
DPTF_REGISTER(float)
DPTF_REGISTER(double)

}  // namespace
}  // namespace dptf

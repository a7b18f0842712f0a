// Products with the first axes in training, differentiable twice; see dptf/axis_product.h.
#include "dptf/axis_product.h"

#include "op_utils.h"

namespace dptf {
namespace {

absl::Status product_shape(InferenceContext* c) {
  int axis = 0;
  TF_RETURN_IF_ERROR(c->GetAttr("axis", &axis));
  tensorflow::shape_inference::ShapeHandle a;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 3, &a));
  c->set_output(0, c->MakeShape({c->Dim(a, 0), c->Dim(a, 2), c->MakeDim(axis)}));
  return absl::OkStatus();
}

REGISTER_OP("DptfAxisProduct")
    .Input("a: T")
    .Output("d: T")
    .Attr("T: {float, double}")
    .Attr("axis: int")
    .SetShapeFn(product_shape);
REGISTER_OP("DptfAxisProductGrad")
    .Input("dd: T")
    .Input("a: T")
    .Output("da: T")
    .Attr("T: {float, double}")
    .Attr("axis: int")
    .SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->input(1));
      return absl::OkStatus();
    });
// D(a, z) + D(z, a)
REGISTER_OP("DptfAxisProductBoth")
    .Input("a: T")
    .Input("z: T")
    .Output("d: T")
    .Attr("T: {float, double}")
    .Attr("axis: int")
    .SetShapeFn(product_shape);

template <typename T>
class AxisOp : public OpKernel {
 public:
  explicit AxisOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("axis", &axis_));
  }

 protected:
  bool problem(OpKernelContext* context, const Tensor& a, AxisProduct<T>* p) const {
    if (a.dims() != 3 || axis_ < 1 || axis_ > a.dim_size(2)) {
      context->CtxFailure(
          invalid_argument("a must be [n, rows, width >= ", axis_, "], got ", a.shape().DebugString()));
      return false;
    }
    *p = {a.dim_size(0), a.dim_size(1), a.dim_size(2), axis_};
    return true;
  }

 private:
  int axis_ = 0;
};

template <typename T, bool BOTH>
class AxisProductOp : public AxisOp<T> {
 public:
  using AxisOp<T>::AxisOp;
  void Compute(OpKernelContext* context) override {
    AxisProduct<T> p;
    const Tensor &a = context->input(0), &b = context->input(BOTH ? 1 : 0);
    if (!this->problem(context, a, &p)) return;
    OP_REQUIRES(context, a.shape() == b.shape(), invalid_argument("a and z differ in shape"));
    Tensor* d;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.n, p.width, p.axis}), &d));
    axis_product(p, a.flat<T>().data(), b.flat<T>().data(), BOTH, d->flat<T>().data(),
                 intra_op_parallel(context));
  }
};

template <typename T>
class AxisProductGradOp : public AxisOp<T> {
 public:
  using AxisOp<T>::AxisOp;
  void Compute(OpKernelContext* context) override {
    AxisProduct<T> p;
    const Tensor &dd = context->input(0), &a = context->input(1);
    if (!this->problem(context, a, &p)) return;
    OP_REQUIRES(context, dd.NumElements() == p.n * p.width * p.axis, invalid_argument("dd does not fit a"));
    Tensor* da;
    OP_REQUIRES_OK(context, context->allocate_output(0, a.shape(), &da));
    axis_product_grad(p, dd.flat<T>().data(), a.flat<T>().data(), da->flat<T>().data(),
                      intra_op_parallel(context));
  }
};

#define DPTF_REGISTER(T)                                                                         \
  REGISTER_KERNEL_BUILDER(Name("DptfAxisProduct").Device(DEVICE_CPU).TypeConstraint<T>("T"),     \
                          AxisProductOp<T, false>);                                              \
  REGISTER_KERNEL_BUILDER(Name("DptfAxisProductBoth").Device(DEVICE_CPU).TypeConstraint<T>("T"), \
                          AxisProductOp<T, true>);                                               \
  REGISTER_KERNEL_BUILDER(Name("DptfAxisProductGrad").Device(DEVICE_CPU).TypeConstraint<T>("T"), \
                          AxisProductGradOp<T>);
DPTF_REGISTER(float)
DPTF_REGISTER(double)

}  // namespace
}  // namespace dptf

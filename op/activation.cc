// The Gelu family, and the Unaggregated* ops that carry derivatives through a layer.
#include "activation_op.h"
#include "gelu_op.h"

namespace dptf {
namespace {

#define DPTF_REGISTER_GELU(SUFFIX)                                                                \
  REGISTER_OP("Gelu" SUFFIX) DPTF_T.Input("x: T").Output("output: T").SetShapeFn(UnchangedShape); \
  REGISTER_OP("GeluGrad" SUFFIX)                                                                  \
  DPTF_T.Input("dy: T").Input("x: T").Output("output: T").SetShapeFn(UnchangedShape);             \
  REGISTER_OP("GeluGradGrad" SUFFIX)                                                              \
  DPTF_T.Input("dy: T").Input("dy_: T").Input("x: T").Output("output: T").SetShapeFn(UnchangedShape)
DPTF_REGISTER_GELU("");
DPTF_REGISTER_GELU("Custom");

REGISTER_OP("UnaggregatedDyDxS")
DPTF_T.Input("y: T")
    .Input("w: T")
    .Input("xbar: T")
    .Input("functype: int32")
    .Output("dy_dx: T")
    .SetShapeFn(UnknownShape);
REGISTER_OP("UnaggregatedDy2DxS")
DPTF_T.Input("y: T")
    .Input("dy: T")
    .Input("w: T")
    .Input("xbar: T")
    .Input("functype: int32")
    .Output("dy2_dx: T")
    .SetShapeFn(UnknownShape);
REGISTER_OP("UnaggregatedDyDx")
DPTF_T.Input("z: T")
    .Input("w: T")
    .Input("dy_dx: T")
    .Input("ybar: T")
    .Input("functype: int32")
    .Output("dz_dx: T")
    .SetShapeFn(UnknownShape);
REGISTER_OP("UnaggregatedDy2Dx")
DPTF_T.Input("z: T")
    .Input("w: T")
    .Input("dy_dx: T")
    .Input("dy2_dx: T")
    .Input("ybar: T")
    .Input("functype: int32")
    .Output("dz2_dx: T")
    .SetShapeFn(UnknownShape);

// phi^(N)(x) times the N factors, N <= 2: value, derivative and second derivative of an activation.
REGISTER_OP("DptfActivation")
    .Input("x: T")
    .Input("factors: N * T")
    .Output("y: T")
    .Attr("T: {float, double}")
    .Attr("N: int >= 0")
    .Attr("activation: int")
    .Attr("threshold: list(float) = []")
    .SetShapeFn(UnchangedShape);

/// FIRST: the layer's only input is x itself. SECOND: the second derivative.
template <typename T, bool FIRST, bool SECOND>
class LayerOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    constexpr int kWeights = FIRST && SECOND ? 2 : 1, kPre = FIRST ? kWeights + 1 : kWeights + 2 + SECOND;
    const Tensor &y = context->input(0), &w = context->input(kWeights), &pre = context->input(kPre),
                 &code = context->input(kPre + 1);
    OP_REQUIRES(context, y.dims() == 2 && w.dims() == 2 && code.NumElements() == 1,
                invalid_argument("outputs and weights must be matrices and functype one number"));
    LayerDerivative<T> p;
    p.rows = y.dim_size(0), p.out = y.dim_size(1), p.in = w.dim_size(0);
    bool fits = w.dim_size(1) == p.out && pre.NumElements() == y.NumElements();
    if constexpr (FIRST) {
      fits = fits && p.in == 1;
    } else {
      for (int k = 2; k <= 2 + SECOND; ++k) fits = fits && context->input(k).NumElements() == p.rows * p.in;
      p.dy = context->input(2).flat<T>().data();
      if (SECOND) p.d2y = context->input(3).flat<T>().data();
    }
    OP_REQUIRES(context, fits,
                invalid_argument("shapes do not fit: outputs ", y.shape().DebugString(), ", weights ",
                                 w.shape().DebugString(), ", pre-activation ", pre.shape().DebugString()));
    p.y = y.flat<T>().data();
    p.w = w.flat<T>().data();
    p.ybar = pre.flat<T>().data();
    Tensor* out;
    OP_REQUIRES_OK(context, context->allocate_output(0, y.shape(), &out));
    try {
      layer_derivative(code.flat<int>()(0), p, SECOND, out->flat<T>().data());
    } catch (const std::invalid_argument& e) {
      context->CtxFailure(invalid_argument(e.what()));
    }
  }
};

#define DPTF_KERNELS(T)                                             \
  DPTF_CPU_KERNEL("DptfActivation", T, ActivationOp<OnCpu, T>);     \
  DPTF_CPU_KERNEL("Gelu", T, GeluOp<OnCpu, T, 0>);                  \
  DPTF_CPU_KERNEL("GeluCustom", T, GeluOp<OnCpu, T, 0>);            \
  DPTF_CPU_KERNEL("GeluGrad", T, GeluOp<OnCpu, T, 1>);              \
  DPTF_CPU_KERNEL("GeluGradCustom", T, GeluOp<OnCpu, T, 1>);        \
  DPTF_CPU_KERNEL("GeluGradGrad", T, GeluOp<OnCpu, T, 2>);          \
  DPTF_CPU_KERNEL("GeluGradGradCustom", T, GeluOp<OnCpu, T, 2>);    \
  DPTF_CPU_KERNEL("UnaggregatedDyDxS", T, LayerOp<T, true, false>); \
  DPTF_CPU_KERNEL("UnaggregatedDy2DxS", T, LayerOp<T, true, true>); \
  DPTF_CPU_KERNEL("UnaggregatedDyDx", T, LayerOp<T, false, false>); \
  DPTF_CPU_KERNEL("UnaggregatedDy2Dx", T, LayerOp<T, false, true>)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf

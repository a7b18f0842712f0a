// The fused message step and its first and second derivatives; see dptf/message.h.
#include "message_ops.h"

namespace dptf {
namespace {

constexpr auto kUnknown = InferenceContext::kUnknownDim;

// threshold: attributes have single precision, so it is the sum of several. local: aux1 is block_start and
// aux2 empty; otherwise t_start and t_rows.
#define DPTF_MESSAGE_INPUTS  \
  .Input("x: T")             \
      .Input("weight: T")    \
      .Input("u: T")         \
      .Input("v_rows: T")    \
      .Input("w: T")         \
      .Input("skip: T")      \
      .Input("rho: T")       \
      .Input("start: int32") \
      .Input("v: int32")     \
      .Input("aux1: int32")  \
      .Input("aux2: int32")
#define DPTF_MESSAGE_ATTRS                \
  .Attr("T: {float, double} = DT_DOUBLE") \
      .Attr("local: bool")                \
      .Attr("activation: int")            \
      .Attr("threshold: list(float) = []")

absl::Status message_shapes(InferenceContext* c) {
  const auto kept = c->RankKnown(c->input(5)) ? c->Dim(c->input(5), 0) : c->UnknownDim();
  auto m = c->UnknownDim();
  if (c->RankKnown(c->input(1)) && c->ValueKnown(kept) && c->ValueKnown(c->Dim(c->input(1), 1)))
    m = c->MakeDim(c->Value(c->Dim(c->input(1), 1)) - c->Value(kept));
  c->set_output(0, c->Matrix(c->UnknownDim(), m));
  c->set_output(1, c->Matrix(c->UnknownDim(), kept));
  if (c->num_outputs() == 3) c->set_output(2, c->UnknownShapeOfRank(1));
  return absl::OkStatus();
}

REGISTER_OP("DptfMessage")
DPTF_MESSAGE_INPUTS DPTF_MESSAGE_ATTRS.Output("out: T").Output("y: T").SetShapeFn(message_shapes);

// Keeps numbers for the gradient from the third evaluation on, where memory allows it; the last output is
// empty otherwise.
REGISTER_OP("DptfMessageKeep")
DPTF_MESSAGE_INPUTS DPTF_MESSAGE_ATTRS.Output("out: T").Output("y: T").Output("had: T").SetShapeFn(
    message_shapes);

// The derivatives of weight, skip and rho are only computed with `weights`; they are empty otherwise.
REGISTER_OP("DptfMessageGrad")
    .Input("g_out: T")
    .Input("g_y: T") DPTF_MESSAGE_INPUTS DPTF_MESSAGE_ATTRS.Attr("weights: bool")
    .Output("dx: T")
    .Output("du: T")
    .Output("dv: T")
    .Output("dw: T")
    .Output("dweight: T")
    .Output("dskip: T")
    .Output("drho: T")
    .SetShapeFn([](InferenceContext* c) {
      bool weights = false;
      TF_RETURN_IF_ERROR(c->GetAttr("weights", &weights));
      const int from[] = {2, 4, 5, 6, 3, 7, 8};
      for (int i = 0; i < 7; ++i) c->set_output(i, i < 4 || weights ? c->input(from[i]) : c->UnknownShape());
      return absl::OkStatus();
    });

// The gradient to positions of DptfMessageKeep.
REGISTER_OP("DptfMessageKeepGrad")
    .Input("g_out: T")
    .Input("g_y: T") DPTF_MESSAGE_INPUTS.Input("had: T") DPTF_MESSAGE_ATTRS.Output("dx: T")
    .Output("du: T")
    .Output("dv: T")
    .Output("dw: T")
    .SetShapeFn([](InferenceContext* c) {
      const int from[] = {2, 4, 5, 6};
      for (int i = 0; i < 4; ++i) c->set_output(i, c->input(from[i]));
      return absl::OkStatus();
    });

REGISTER_OP("DptfMessageGradGrad")
    .Input("tx: T")
    .Input("tu: T")
    .Input("tv: T")
    .Input("tw: T")
    .Input("g_out: T")
    .Input("g_y: T") DPTF_MESSAGE_INPUTS DPTF_MESSAGE_ATTRS.Output("dx: T")
    .Output("du: T")
    .Output("dv: T")
    .Output("dw: T")
    .Output("dweight: T")
    .Output("dskip: T")
    .Output("drho: T")
    .Output("dg_out: T")
    .Output("dg_y: T")
    .SetShapeFn([](InferenceContext* c) {
      const int from[] = {6, 8, 9, 10, 7, 11, 12, 4, 5};
      for (int i = 0; i < 9; ++i) c->set_output(i, c->input(from[i]));
      return absl::OkStatus();
    });

#define DPTF_KERNEL(NAME, T, ...) \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE_CPU).TypeConstraint<T>("T"), __VA_ARGS__)
#define DPTF_KERNELS(T)                                                 \
  DPTF_KERNEL("DptfMessage", T, MessageOp<OnCpu, T>);                   \
  DPTF_KERNEL("DptfMessageKeep", T, MessageOp<OnCpu, T>);               \
  DPTF_KERNEL("DptfMessageGrad", T, MessageGradOp<OnCpu, T, false>);    \
  DPTF_KERNEL("DptfMessageKeepGrad", T, MessageGradOp<OnCpu, T, true>); \
  DPTF_KERNEL("DptfMessageGradGrad", T, MessageGradGradOp<OnCpu, T>)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf

// Linear maps over ragged rows; see dptf/ragged_linear.h.
#include "ragged_linear_ops.h"

namespace dptf {
namespace {

constexpr auto kUnknown = InferenceContext::kUnknownDim;

#define DPTF_ROWS .Input("start: int32").Input("index: int32").Input("t_start: int32").Input("t_rows: int32")

absl::Status matrix(InferenceContext* c) {
  c->set_output(
      0, c->Matrix(c->UnknownDim(), c->RankKnown(c->input(0)) ? c->Dim(c->input(0), 1) : c->UnknownDim()));
  return absl::OkStatus();
}

// An empty index stands for the identity: row r looks at x[r].
REGISTER_OP("DptfMoments")
DPTF_T.Input("w: T").Input("x: T") DPTF_ROWS.Output("h: T").SetShapeFn([](InferenceContext* c) {
  auto width = c->RankKnown(c->input(1)) ? c->Dim(c->input(1), 1) : c->UnknownDim();
  c->set_output(0, c->MakeShape({c->UnknownDim(), c->MakeDim(3), width}));
  return absl::OkStatus();
});
REGISTER_OP("DptfMomentsToX")
DPTF_T.Input("w: T").Input("h: T") DPTF_ROWS.Output("x: T").SetShapeFn([](InferenceContext* c) {
  auto width = c->RankKnown(c->input(1)) ? c->Dim(c->input(1), 2) : c->UnknownDim();
  c->set_output(0, c->Matrix(c->UnknownDim(), width));
  return absl::OkStatus();
});
REGISTER_OP("DptfMomentsToW")
DPTF_T.Input("h: T").Input("x: T") DPTF_ROWS.Output("w: T").SetShapeFn([](InferenceContext* c) {
  c->set_output(0, c->Matrix(kUnknown, 3));
  return absl::OkStatus();
});

REGISTER_OP("DptfSpread")
DPTF_T.Input("x: T").Input("start: int32").Output("y: T").SetShapeFn(matrix);
REGISTER_OP("DptfSegmentSum")
DPTF_T.Input("x: T").Input("start: int32").Output("y: T").SetShapeFn(matrix);

REGISTER_OP("DptfTakeRows")
DPTF_T.Input("x: T").Input("index: int32").Output("y: T").SetShapeFn(matrix);
// The rows of y at their places, zeros elsewhere; places are distinct.
REGISTER_OP("DptfPutRows")
DPTF_T.Input("y: T").Input("index: int32").Input("rows: int32").Output("x: T").SetShapeFn(matrix);

// x itself, and the first columns of its rows at the index. For who needs both: their derivatives meet in one
// array, and no array of zeros is filled for those of the rows.
REGISTER_OP("DptfShareRows")
DPTF_T.Input("x: T")
    .Input("index: int32")
    .Attr("columns: int")
    .Output("same: T")
    .Output("rows: T")
    .SetShapeFn([](InferenceContext* c) {
      int64_t columns = 0;
      TF_RETURN_IF_ERROR(c->GetAttr("columns", &columns));
      c->set_output(0, c->input(0));
      c->set_output(1, c->Matrix(kUnknown, columns));
      return absl::OkStatus();
    });

// x with the rows of y added at their places, which are distinct, in the first columns of x; in the memory of
// x where nothing else reads it.
REGISTER_OP("DptfAddRows")
DPTF_T.Input("x: T").Input("y: T").Input("index: int32").Output("sum: T").SetShapeFn(matrix);

REGISTER_OP("DptfPairDot")
DPTF_T.Input("u: T").Input("v: T").Input("start: int32").Output("g: T").SetShapeFn([](InferenceContext* c) {
  c->set_output(0, c->Vector(kUnknown));
  return absl::OkStatus();
});
REGISTER_OP("DptfPairApply")
DPTF_T.Input("g: T")
    .Input("v: T")
    .Input("start: int32")
    .Attr("right: bool")
    .Output("u: T")
    .SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->input(1));
      return absl::OkStatus();
    });

#define DPTF_KERNEL(NAME, ...) \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE_CPU).TypeConstraint<T>("T"), __VA_ARGS__)
#define DPTF_REGISTER                                      \
  DPTF_KERNEL("DptfMoments", MomentsOp<OnCpu, T>);         \
  DPTF_KERNEL("DptfMomentsToX", MomentsToXOp<OnCpu, T>);   \
  DPTF_KERNEL("DptfMomentsToW", MomentsToWOp<OnCpu, T>);   \
  DPTF_KERNEL("DptfSpread", SpreadOp<OnCpu, T, false>);    \
  DPTF_KERNEL("DptfSegmentSum", SpreadOp<OnCpu, T, true>); \
  DPTF_KERNEL("DptfTakeRows", TakeRowsOp<OnCpu, T>);       \
  DPTF_KERNEL("DptfPutRows", PutRowsOp<OnCpu, T>);         \
  DPTF_KERNEL("DptfShareRows", ShareRowsOp<OnCpu, T>);     \
  DPTF_KERNEL("DptfAddRows", AddRowsOp<OnCpu, T>);         \
  DPTF_KERNEL("DptfPairDot", PairDotOp<OnCpu, T>);         \
  DPTF_KERNEL("DptfPairApply", PairApplyOp<OnCpu, T>)
namespace for_float {
using T = float;
DPTF_REGISTER;
}  // namespace for_float
namespace for_double {
using T = double;
DPTF_REGISTER;
}  // namespace for_double

}  // namespace
}  // namespace dptf

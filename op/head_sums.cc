// Sums over ragged rows with a weight for every part of a row; see dptf/ragged_linear.h.
#include "ragged_linear_ops.h"

namespace dptf {
namespace {

constexpr auto kUnknown = InferenceContext::kUnknownDim;

// heads: parts of a row of x and of u, and columns of w. Index arrays as those of DptfMoments.
#define DPTF_HEAD_ROWS         \
  .Input("start: int32")       \
      .Input("index: int32")   \
      .Input("t_start: int32") \
      .Input("t_rows: int32")  \
      .Attr("heads: int")

absl::Status as_wide_as(InferenceContext* c, int input) {
  c->set_output(
      0, c->Matrix(kUnknown, c->RankKnown(c->input(input)) ? c->Dim(c->input(input), 1) : c->UnknownDim()));
  return absl::OkStatus();
}
absl::Status wide_as_second(InferenceContext* c) { return as_wide_as(c, 1); }

REGISTER_OP("DptfHeadSums")
DPTF_T.Input("w: T").Input("x: T") DPTF_HEAD_ROWS.Output("u: T").SetShapeFn(wide_as_second);
REGISTER_OP("DptfHeadSumsToX")
DPTF_T.Input("w: T").Input("u: T") DPTF_HEAD_ROWS.Output("x: T").SetShapeFn(wide_as_second);
REGISTER_OP("DptfHeadSumsToW")
DPTF_T.Input("u: T").Input("x: T") DPTF_HEAD_ROWS.Output("w: T").SetShapeFn([](InferenceContext* c) {
  int64_t heads = 0;
  TF_RETURN_IF_ERROR(c->GetAttr("heads", &heads));
  c->set_output(0, c->Matrix(kUnknown, heads));
  return absl::OkStatus();
});

enum class Wanted { u, x, w };

template <typename T, Wanted kWanted>
class HeadSumsOp : public OpKernel {
 public:
  explicit HeadSumsOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("heads", &heads_));
    OP_REQUIRES(context, heads_ >= 1, invalid_argument("there is at least one head"));
  }
  void Compute(OpKernelContext* context) override {
    RaggedRows p;
    std::vector<Tensor> kept;
    if (!ragged_rows<OnCpu>(context, &p, &kept)) return;
    const Tensor& second = context->input(1);
    const int64_t columns = second.dims() == 2 ? second.dim_size(1) : 0;
    OP_REQUIRES(context, columns % heads_ == 0,
                invalid_argument("rows of ", columns, " numbers are no ", heads_, " parts"));
    p.width = columns / heads_;
    const int64_t second_rows = kWanted == Wanted::x ? p.owners : p.n_x;
    if (!fits(context, 1, {second_rows, columns})) return;
    if (kWanted == Wanted::w ? !fits(context, 0, {p.owners, columns}) : !fits(context, 0, {p.rows, heads_}))
      return;
    const int64_t rows = kWanted == Wanted::u ? p.owners : kWanted == Wanted::x ? p.n_x : p.rows;
    Tensor* out;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, TensorShape({rows, kWanted == Wanted::w ? heads_ : columns}), &out));
    const T *a = context->input(0).flat<T>().data(), *b = second.flat<T>().data();
    T* to = out->flat<T>().data();
    const ParallelFor parallel = intra_op_parallel(context);
    if (kWanted == Wanted::u)
      head_sums(p, heads_, a, b, to, parallel);
    else if (kWanted == Wanted::x)
      head_sums_to_x(p, heads_, a, b, to, parallel);
    else
      head_sums_to_w(p, heads_, a, b, to, parallel);
  }

 private:
  int64_t heads_ = 1;
};

#define DPTF_REGISTER(T)                                           \
  DPTF_CPU_KERNEL("DptfHeadSums", T, HeadSumsOp<T, Wanted::u>);    \
  DPTF_CPU_KERNEL("DptfHeadSumsToX", T, HeadSumsOp<T, Wanted::x>); \
  DPTF_CPU_KERNEL("DptfHeadSumsToW", T, HeadSumsOp<T, Wanted::w>);
DPTF_REGISTER(float)
DPTF_REGISTER(double)

}  // namespace
}  // namespace dptf

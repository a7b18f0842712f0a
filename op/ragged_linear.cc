// Linear maps over ragged rows; see dptf/ragged_linear.h.
#include "dptf/ragged_linear.h"

#include <algorithm>

#include "op_utils.h"

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

/// Whether a [n + 1] array of starts is ascending from 0; its last entry is the number of rows.
bool is_partition(const Tensor& start) {
  const auto s = start.flat<int>();
  bool good = s.size() > 0 && s(0) == 0;
  for (int64_t i = 0; good && i + 1 < s.size(); ++i) good = s(i) <= s(i + 1);
  return good;
}

bool in_range(const Tensor& index, int64_t n) {
  const int* at = index.flat<int>().data();
  for (int64_t i = 0; i < index.NumElements(); ++i)
    if (at[i] < 0 || at[i] >= n) return false;
  return true;
}

/// The index arrays, inputs 2 to 5.
bool ragged_rows(OpKernelContext* context, RaggedRows* p) {
  const Tensor &start = context->input(2), &index = context->input(3), &t_start = context->input(4),
               &t_rows = context->input(5);
  bool good = is_partition(start);
  if (good) {
    p->owners = start.NumElements() - 1;
    p->start = start.flat<int>().data();
    p->rows = p->start[p->owners];
    p->n_x = p->rows;
    // With an index there are starts of the transposed rows, even when there are no rows.
    if (t_start.NumElements() > 0) {
      good = is_partition(t_start) && index.NumElements() == p->rows && t_rows.NumElements() == p->rows;
      if (good) {
        p->n_x = t_start.NumElements() - 1;
        p->index = index.flat<int>().data();
        p->t_start = t_start.flat<int>().data();
        p->t_rows = t_rows.flat<int>().data();
        good = p->t_start[p->n_x] == p->rows && in_range(index, p->n_x) && in_range(t_rows, p->rows);
      }
    }
  }
  if (!good) context->CtxFailure(invalid_argument("the ragged index arrays do not fit together"));
  return good;
}

bool fits(OpKernelContext* context, int input, std::initializer_list<int64_t> shape) {
  const Tensor& t = context->input(input);
  if (t.shape() == TensorShape(shape)) return true;
  context->CtxFailure(invalid_argument("input ", input, " has shape ", t.shape().DebugString(), ", expected ",
                                       TensorShape(shape).DebugString()));
  return false;
}

template <typename T>
class MomentsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    RaggedRows p;
    if (!ragged_rows(context, &p)) return;
    p.width = context->input(1).dims() == 2 ? context->input(1).dim_size(1) : 0;
    if (!fits(context, 0, {p.rows, 3}) || !fits(context, 1, {p.n_x, p.width})) return;
    Tensor* h;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.owners, 3, p.width}), &h));
    moments(p, context->input(0).flat<T>().data(), context->input(1).flat<T>().data(), h->flat<T>().data(),
            intra_op_parallel(context));
  }
};

template <typename T>
class MomentsToXOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    RaggedRows p;
    if (!ragged_rows(context, &p)) return;
    p.width = context->input(1).dims() == 3 ? context->input(1).dim_size(2) : 0;
    if (!fits(context, 0, {p.rows, 3}) || !fits(context, 1, {p.owners, 3, p.width})) return;
    Tensor* x;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.n_x, p.width}), &x));
    moments_to_x(p, context->input(0).flat<T>().data(), context->input(1).flat<T>().data(),
                 x->flat<T>().data(), intra_op_parallel(context));
  }
};

template <typename T>
class MomentsToWOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    RaggedRows p;
    if (!ragged_rows(context, &p)) return;
    p.width = context->input(0).dims() == 3 ? context->input(0).dim_size(2) : 0;
    if (!fits(context, 0, {p.owners, 3, p.width}) || !fits(context, 1, {p.n_x, p.width})) return;
    Tensor* w;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.rows, 3}), &w));
    moments_to_w(p, context->input(0).flat<T>().data(), context->input(1).flat<T>().data(),
                 w->flat<T>().data(), intra_op_parallel(context));
  }
};

REGISTER_OP("DptfSpread")
DPTF_T.Input("x: T").Input("start: int32").Output("y: T").SetShapeFn(matrix);
REGISTER_OP("DptfSegmentSum")
DPTF_T.Input("x: T").Input("start: int32").Output("y: T").SetShapeFn(matrix);

template <typename T, bool SUM>
class SpreadOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor &x = context->input(0), &start = context->input(1);
    OP_REQUIRES(context, x.dims() == 2 && is_partition(start),
                invalid_argument("start does not partition the rows"));
    const int64_t owners = start.NumElements() - 1, rows = start.flat<int>()(owners), width = x.dim_size(1);
    OP_REQUIRES(context, x.dim_size(0) == (SUM ? rows : owners),
                invalid_argument("there are ", x.dim_size(0), " rows, expected ", SUM ? rows : owners));
    Tensor* y;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({SUM ? owners : rows, width}), &y));
    (SUM ? segment_sum<T> : spread<T>)(owners, width, start.flat<int>().data(), x.flat<T>().data(),
                                       y->flat<T>().data(), intra_op_parallel(context));
  }
};

REGISTER_OP("DptfTakeRows")
DPTF_T.Input("x: T").Input("index: int32").Output("y: T").SetShapeFn(matrix);
// The rows of y at their places, zeros elsewhere; places are distinct.
REGISTER_OP("DptfPutRows")
DPTF_T.Input("y: T").Input("index: int32").Input("rows: int32").Output("x: T").SetShapeFn(matrix);

template <typename T>
class TakeRowsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor &x = context->input(0), &index = context->input(1);
    OP_REQUIRES(context, x.dims() == 2 && in_range(index, x.dim_size(0)), invalid_argument("index leaves x"));
    const int64_t n = index.NumElements(), width = x.dim_size(1);
    Tensor* y;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({n, width}), &y));
    const T* from = x.flat<T>().data();
    T* to = y->flat<T>().data();
    const int* at = index.flat<int>().data();
    intra_op_parallel(context)(n, width / 4 + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        std::copy(from + at[i] * width, from + (at[i] + 1) * width, to + i * width);
    });
  }
};

template <typename T>
class PutRowsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor &y = context->input(0), &index = context->input(1);
    OP_REQUIRES(context, context->input(2).NumElements() == 1, invalid_argument("rows is one number"));
    const int64_t n = index.NumElements(), rows = context->input(2).flat<int>()(0);
    OP_REQUIRES(context, y.dims() == 2 && y.dim_size(0) == n && rows >= 0 && in_range(index, rows),
                invalid_argument("index leaves x, or does not fit y"));
    const int64_t width = y.dim_size(1);
    Tensor* x;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({rows, width}), &x));
    const T* from = y.flat<T>().data();
    T* to = x->flat<T>().data();
    const int* at = index.flat<int>().data();
    std::fill(to, to + rows * width, T(0));
    intra_op_parallel(context)(n, width / 4 + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        std::copy(from + i * width, from + (i + 1) * width, to + at[i] * width);
    });
  }
};

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

template <typename T>
class ShareRowsOp : public OpKernel {
 public:
  explicit ShareRowsOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("columns", &columns_));
  }
  void Compute(OpKernelContext* context) override {
    const Tensor &x = context->input(0), &index = context->input(1);
    OP_REQUIRES(context,
                x.dims() == 2 && in_range(index, x.dim_size(0)) && 0 < columns_ && columns_ <= x.dim_size(1),
                invalid_argument("index or columns leave x"));
    const int64_t n = index.NumElements(), width = x.dim_size(1);
    context->set_output(0, x);
    Tensor* rows;
    OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({n, columns_}), &rows));
    const T* from = x.flat<T>().data();
    T* to = rows->flat<T>().data();
    const int* at = index.flat<int>().data();
    intra_op_parallel(context)(n, columns_ / 4 + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        std::copy(from + at[i] * width, from + at[i] * width + columns_, to + i * columns_);
    });
  }

 private:
  int64_t columns_ = 0;
};

// x with the rows of y added at their places, which are distinct, in the first columns of x; in the memory of
// x where nothing else reads it.
REGISTER_OP("DptfAddRows")
DPTF_T.Input("x: T").Input("y: T").Input("index: int32").Output("sum: T").SetShapeFn(matrix);

template <typename T>
class AddRowsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor &x = context->input(0), &y = context->input(1), &index = context->input(2);
    const int64_t n = index.NumElements();
    OP_REQUIRES(context,
                x.dims() == 2 && y.dims() == 2 && y.dim_size(0) == n && y.dim_size(1) <= x.dim_size(1) &&
                    in_range(index, x.dim_size(0)),
                invalid_argument("index leaves x, or y does not fit"));
    const int64_t width = x.dim_size(1), columns = y.dim_size(1);
    Tensor* sum;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({0}, 0, x.shape(), &sum));
    const T *old = x.flat<T>().data(), *from = y.flat<T>().data();
    T* to = sum->flat<T>().data();
    if (to != old) std::copy(old, old + x.NumElements(), to);
    const int* at = index.flat<int>().data();
    intra_op_parallel(context)(n, columns / 4 + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        for (int64_t c = 0; c < columns; ++c) to[at[i] * width + c] += from[i * columns + c];
    });
  }
};

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

int64_t count_pairs(const Tensor& start) {
  const auto s = start.flat<int>();
  int64_t n = 0;
  for (int64_t i = 0; i + 1 < s.size(); ++i) n += static_cast<int64_t>(s(i + 1) - s(i)) * (s(i + 1) - s(i));
  return n;
}

template <typename T>
class PairDotOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor& start = context->input(2);
    OP_REQUIRES(context, is_partition(start), invalid_argument("start does not partition the rows"));
    const int64_t groups = start.NumElements() - 1, rows = start.flat<int>()(groups);
    if (!fits(context, 0, {rows, 3}) || !fits(context, 1, {rows, 3})) return;
    Tensor* g;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({count_pairs(start)}), &g));
    pair_dot(groups, start.flat<int>().data(), context->input(0).flat<T>().data(),
             context->input(1).flat<T>().data(), g->flat<T>().data(), intra_op_parallel(context));
  }
};

template <typename T>
class PairApplyOp : public OpKernel {
 public:
  explicit PairApplyOp(tensorflow::OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("right", &right_));
  }
  void Compute(OpKernelContext* context) override {
    const Tensor& start = context->input(2);
    OP_REQUIRES(context, is_partition(start), invalid_argument("start does not partition the rows"));
    const int64_t groups = start.NumElements() - 1, rows = start.flat<int>()(groups);
    if (!fits(context, 0, {count_pairs(start)}) || !fits(context, 1, {rows, 3})) return;
    Tensor* u;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({rows, 3}), &u));
    pair_apply(groups, start.flat<int>().data(), context->input(0).flat<T>().data(),
               context->input(1).flat<T>().data(), right_, u->flat<T>().data(), intra_op_parallel(context));
  }

 private:
  bool right_ = false;
};

#define DPTF_KERNEL(NAME, ...) \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE_CPU).TypeConstraint<T>("T"), __VA_ARGS__)
#define DPTF_REGISTER                               \
  DPTF_KERNEL("DptfMoments", MomentsOp<T>);         \
  DPTF_KERNEL("DptfMomentsToX", MomentsToXOp<T>);   \
  DPTF_KERNEL("DptfMomentsToW", MomentsToWOp<T>);   \
  DPTF_KERNEL("DptfSpread", SpreadOp<T, false>);    \
  DPTF_KERNEL("DptfSegmentSum", SpreadOp<T, true>); \
  DPTF_KERNEL("DptfTakeRows", TakeRowsOp<T>);       \
  DPTF_KERNEL("DptfPutRows", PutRowsOp<T>);         \
  DPTF_KERNEL("DptfShareRows", ShareRowsOp<T>);     \
  DPTF_KERNEL("DptfAddRows", AddRowsOp<T>);         \
  DPTF_KERNEL("DptfPairDot", PairDotOp<T>);         \
  DPTF_KERNEL("DptfPairApply", PairApplyOp<T>)
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

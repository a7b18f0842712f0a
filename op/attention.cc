// Gated self-attention among neighbors in training, differentiable twice; see dptf/attention.h. The
// derivative of the derivative is split: DptfAttentionTangent gives what flows on at once, and the rest comes
// together with the derivative of the value (DptfAttentionDual), so that the way back is gone once.
#include "dptf/attention.h"

#include <algorithm>
#include <vector>

#include "op_utils.h"

namespace dptf {
namespace {

// g [n, k, width], f [n, k, 3], s [n, k] or empty without `smooth`, mask [n, k]; missing: further empty
// slots. With `start` [n + 1] rows are those of the atoms one after the other, g [rows, width], mask is empty
// and `missing` counts from the longest list on. numbers: kappa, eps, floor of squared norms; weights: matrix
// and bias of queries, keys, values and of the way back, gamma, beta. The output `tap` is what the value
// keeps for the derivatives; the first of them takes it, so that differentiation comes to the derivative
// first.
#define DPTF_ATTENTION_INPUTS   \
  .Input("g: T")                \
      .Input("f: T")            \
      .Input("s: T")            \
      .Input("mask: bool")      \
      .Input("start: int32")    \
      .Input("missing: int32")  \
      .Input("numbers: double") \
      .Input("weights: N * T")
#define DPTF_ATTENTION_ATTRS         \
  .Attr("T: {float, double}")        \
      .Attr("N: int")                \
      .Attr("normalize: bool")       \
      .Attr("smooth: bool")          \
      .Attr("no_diagonal: bool")     \
      .Attr("gated: bool = false")   \
      .Attr("residual: bool = true") \
      .Attr("heads: int = 1")

constexpr int kWeights = 7, kInputs = 17;  // place of the first weight, number of inputs of the value

REGISTER_OP("DptfAttention")
DPTF_ATTENTION_INPUTS.Output("y: T").Output("tap: T")
    DPTF_ATTENTION_ATTRS.SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->input(0));
      c->set_output(1, c->Vector(InferenceContext::kUnknownDim));
      return absl::OkStatus();
    });

absl::Status rows_shapes(InferenceContext* c, int first) {
  for (int i = 0; i < 3; ++i) c->set_output(i, c->input(first + i));
  return absl::OkStatus();
}

REGISTER_OP("DptfAttentionGrad")
DPTF_ATTENTION_INPUTS.Input("dy: T")
    .Input("tap: T")
    .Output("dg: T")
    .Output("df: T")
    .Output("ds: T") DPTF_ATTENTION_ATTRS.SetShapeFn([](InferenceContext* c) { return rows_shapes(c, 0); });

REGISTER_OP("DptfAttentionTangent")
DPTF_ATTENTION_INPUTS.Input("tg: T")
    .Input("tf: T")
    .Input("ts: T")
    .Input("tap: T")
    .Output("ty: T") DPTF_ATTENTION_ATTRS.SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->input(0));
      return absl::OkStatus();
    });

// Derivatives of dy . y + e . (change of y along tg, tf, ts); with an empty e of dy . y, with an empty dy of
// the other.
REGISTER_OP("DptfAttentionDual")
DPTF_ATTENTION_INPUTS.Input("dy: T")
    .Input("tg: T")
    .Input("tf: T")
    .Input("ts: T")
    .Input("e: T")
    .Input("tap: T")
    .Output("dg: T")
    .Output("df: T")
    .Output("ds: T")
    .Output("dweights: N * T") DPTF_ATTENTION_ATTRS.SetShapeFn([](InferenceContext* c) {
      for (int i = 0; i < 10; ++i) c->set_output(3 + i, c->input(kWeights + i));
      return rows_shapes(c, 0);
    });

template <typename T>
class AttentionBase : public OpKernel {
 public:
  explicit AttentionBase(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("normalize", &form_.normalize));
    OP_REQUIRES_OK(context, context->GetAttr("smooth", &form_.smooth));
    OP_REQUIRES_OK(context, context->GetAttr("no_diagonal", &form_.no_diagonal));
    OP_REQUIRES_OK(context, context->GetAttr("gated", &form_.gated));
    OP_REQUIRES_OK(context, context->GetAttr("residual", &form_.residual));
    OP_REQUIRES_OK(context, context->GetAttr("heads", &form_.heads));
    OP_REQUIRES(context, form_.heads >= 1 && !(form_.gated && form_.no_diagonal),
                invalid_argument("gated attention has a diagonal, and there is at least one head"));
    int n = 0;
    OP_REQUIRES_OK(context, context->GetAttr("N", &n));
    OP_REQUIRES(context, n == 10, invalid_argument("an attention layer has 10 arrays of weights, not ", n));
  }

 protected:
  struct Problem {
    AttentionForm form;
    PackedAttention<T> weights;
    AttentionRows<T> rows;
  };
  static const T* data(OpKernelContext* context, int i) {
    const Tensor& t = context->input(i);
    return t.NumElements() ? t.flat<T>().data() : nullptr;
  }

  /// Reads the inputs; false (and the context failed) when they do not fit.
  bool read(OpKernelContext* context, Problem* p) const {
    const Tensor &g = context->input(0), &f = context->input(1), &s = context->input(2),
                 &mask = context->input(3), &start = context->input(4);
    const Tensor& query = context->input(kWeights);
    const bool ragged = start.NumElements() > 0;
    bool good = g.dims() == (ragged ? 2 : 3) && query.dims() == 2 && context->input(5).NumElements() == 1 &&
                context->input(6).NumElements() == 3;
    if (good) {
      TensorShape slots = g.shape(), vectors = g.shape();
      const int64_t width = g.dim_size(g.dims() - 1), hidden = query.dim_size(1);
      slots.RemoveLastDims(1);
      vectors.set_dim(g.dims() - 1, 3);
      good = f.shape() == vectors && (form_.smooth ? s.shape() == slots : s.NumElements() == 0) &&
             hidden % form_.heads == 0 && (ragged ? mask.NumElements() == 0 : mask.shape() == slots) &&
             find_rows(start, slots, &p->rows);
      for (int i = 0; i < 4; ++i) {
        const TensorShape matrix = i < 3 ? TensorShape({width, hidden}) : TensorShape({hidden, width});
        good = good && context->input(kWeights + 2 * i).shape() == matrix &&
               context->input(kWeights + 2 * i + 1).NumElements() == (i < 3 ? hidden : width);
      }
      for (int i = 8; i < 10; ++i) good = good && context->input(kWeights + i).NumElements() == width;
      if (good) {
        AttentionWeights<T> w;
        for (int i = 0; i < 3; ++i)
          w.matrix[i] = data(context, kWeights + 2 * i), w.bias[i] = data(context, kWeights + 2 * i + 1);
        w.out = data(context, kWeights + 6), w.out_bias = data(context, kWeights + 7);
        w.gamma = data(context, kWeights + 8), w.beta = data(context, kWeights + 9);
        p->weights = PackedAttention<T>(w, width, hidden / form_.heads, form_.heads);
        p->rows.missing = context->input(5).flat<int>()(0);
        p->rows.mask = ragged ? nullptr : mask.flat<bool>().data();
        p->rows.g = data(context, 0), p->rows.f = data(context, 1), p->rows.s = data(context, 2);
        const auto numbers = context->input(6).flat<double>();
        p->form = form_;
        p->form.kappa = numbers(0), p->form.eps = numbers(1), p->form.floor = numbers(2);
      }
    }
    if (!good) context->CtxFailure(invalid_argument("the arrays of an attention layer do not fit together"));
    return good;
  }

  /// Atoms and their slots; false when `start` makes no sense.
  static bool find_rows(const Tensor& start, const TensorShape& slots, AttentionRows<T>* rows) {
    if (start.NumElements() == 0) {
      rows->atoms = slots.dim_size(0), rows->slots = slots.dim_size(1);
      return true;
    }
    rows->start = start.flat<int>().data();
    rows->atoms = start.NumElements() - 1;
    bool good = rows->start[0] == 0 && rows->start[rows->atoms] == slots.dim_size(0);
    for (int64_t i = 0; good && i < rows->atoms; ++i) {
      const int64_t n = rows->start[i + 1] - rows->start[i];
      good = n >= 0;
      rows->slots = std::max(rows->slots, n);
    }
    return good;
  }

  /// Whether input i has the shape of input `as`, or is empty where that is allowed.
  static bool like(OpKernelContext* context, int i, int as, bool may_be_empty = false) {
    const Tensor& t = context->input(i);
    const bool good = t.shape() == context->input(as).shape() || (may_be_empty && t.NumElements() == 0);
    if (!good) context->CtxFailure(invalid_argument("input ", i, " has shape ", t.shape().DebugString()));
    return good;
  }
  /// Takes what the value has kept from input i.
  static bool recall(OpKernelContext* context, int i, Problem* p) {
    const Tensor& t = context->input(i);
    const bool good = t.NumElements() == p->rows.atoms * attention_kept(p->form, p->weights, p->rows);
    if (!good)
      context->CtxFailure(invalid_argument("input ", i, " is not what the attention layer has kept"));
    p->rows.kept = const_cast<T*>(t.flat<T>().data());  // the derivatives only read it
    return good;
  }
  static T* output(OpKernelContext* context, int i, int as) {
    Tensor* t = nullptr;
    const absl::Status status = context->allocate_output(i, context->input(as).shape(), &t);
    if (!status.ok()) context->CtxFailure(status);
    return status.ok() ? t->flat<T>().data() : nullptr;
  }
  static bool rows_output(OpKernelContext* context, AttentionRowsOf<T>* rows) {
    rows->g = output(context, 0, 0), rows->f = output(context, 1, 1), rows->s = output(context, 2, 2);
    return context->status().ok();
  }

  AttentionForm form_;
};

template <typename T>
class AttentionOp : public AttentionBase<T> {
 public:
  using AttentionBase<T>::AttentionBase;
  void Compute(OpKernelContext* context) override {
    typename AttentionBase<T>::Problem p;
    if (!this->read(context, &p)) return;
    Tensor* tap;
    const int64_t kept = p.rows.atoms * attention_kept(p.form, p.weights, p.rows);
    OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({kept}), &tap));
    T* y = this->output(context, 0, 0);
    if (!context->status().ok()) return;
    p.rows.kept = tap->flat<T>().data();
    attention(p.form, p.weights, p.rows, y, intra_op_parallel(context));
  }
};

template <typename T>
class AttentionGradOp : public AttentionBase<T> {
 public:
  using AttentionBase<T>::AttentionBase;
  void Compute(OpKernelContext* context) override {
    typename AttentionBase<T>::Problem p;
    AttentionRowsOf<T> grad;
    if (!this->read(context, &p) || !this->like(context, kInputs, 0) ||
        !this->recall(context, kInputs + 1, &p) || !this->rows_output(context, &grad))
      return;
    attention_grad(p.form, p.weights, p.rows, this->data(context, kInputs), grad, intra_op_parallel(context));
  }
};

template <typename T>
class AttentionTangentOp : public AttentionBase<T> {
 public:
  using AttentionBase<T>::AttentionBase;
  void Compute(OpKernelContext* context) override {
    typename AttentionBase<T>::Problem p;
    if (!this->read(context, &p)) return;
    for (int i = 0; i < 3; ++i)
      if (!this->like(context, kInputs + i, i)) return;
    if (!this->recall(context, kInputs + 3, &p)) return;
    T* ty = this->output(context, 0, 0);
    if (!context->status().ok()) return;
    const AttentionRowsOf<const T> direction{this->data(context, kInputs), this->data(context, kInputs + 1),
                                             this->data(context, kInputs + 2)};
    attention_tangent(p.form, p.weights, p.rows, direction, ty, intra_op_parallel(context));
  }
};

template <typename T>
class AttentionDualOp : public AttentionBase<T> {
 public:
  using AttentionBase<T>::AttentionBase;
  void Compute(OpKernelContext* context) override {
    typename AttentionBase<T>::Problem p;
    AttentionRowsOf<T> grad;
    constexpr int dy = kInputs, direction = kInputs + 1, e = kInputs + 4;
    if (!this->read(context, &p) || !this->like(context, dy, 0, true) || !this->like(context, e, 0, true))
      return;
    const bool tangent = context->input(e).NumElements() > 0;
    for (int i = 0; i < 3; ++i)
      if (!this->like(context, direction + i, i, !tangent)) return;
    if (!this->recall(context, e + 1, &p) || !this->rows_output(context, &grad)) return;
    T* w[10];
    for (int i = 0; i < 10; ++i) w[i] = this->output(context, 3 + i, kWeights + i);
    if (!context->status().ok()) return;
    AttentionWeightGrads<T> weights;
    for (int i = 0; i < 3; ++i) weights.matrix[i] = w[2 * i], weights.bias[i] = w[2 * i + 1];
    weights.out = w[6], weights.out_bias = w[7], weights.gamma = w[8], weights.beta = w[9];
    attention_dual(p.form, p.weights, p.rows, this->data(context, dy),
                   {this->data(context, direction), this->data(context, direction + 1),
                    this->data(context, direction + 2)},
                   this->data(context, e), grad, weights, intra_op_parallel(context));
  }
};

#define DPTF_REGISTER(T)                                             \
  DPTF_CPU_KERNEL("DptfAttention", T, AttentionOp<T>);               \
  DPTF_CPU_KERNEL("DptfAttentionGrad", T, AttentionGradOp<T>);       \
  DPTF_CPU_KERNEL("DptfAttentionTangent", T, AttentionTangentOp<T>); \
  DPTF_CPU_KERNEL("DptfAttentionDual", T, AttentionDualOp<T>);
DPTF_REGISTER(float)
DPTF_REGISTER(double)

}  // namespace
}  // namespace dptf

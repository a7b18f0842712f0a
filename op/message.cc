// The fused message step and its first and second derivatives; see dptf/message.h.
#include "dptf/message.h"

#include <atomic>

#include "kept_memory.h"
#include "op_utils.h"

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

template <typename T>
class MessageBase : public OpKernel {
 public:
  explicit MessageBase(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("local", &local_));
    OP_REQUIRES_OK(context, context->GetAttr("activation", &activation_));
    std::vector<float> parts;
    OP_REQUIRES_OK(context, context->GetAttr("threshold", &parts));
    for (float part : parts) threshold_ += part;
    OP_REQUIRES(context, activation_ >= 0 && activation_ <= 8,
                invalid_argument("activation ", activation_, " is not known"));
  }

 protected:
  /// The problem from the inputs that begin at `at`; false (and the context failed) when they do not fit.
  bool problem(OpKernelContext* context, int at, Message<T>* p) const {
    const auto in = [&](int i) -> const Tensor& { return context->input(at + i); };
    const auto data = [&](int i) { return in(i).template flat<T>().data(); };
    const auto ints = [&](int i) { return in(i).template flat<int>().data(); };
    bool good = in(0).dims() == 2 && in(1).dims() == 2 && in(2).dims() == 2 && in(3).dims() == 2 &&
                in(7).NumElements() > 0;
    if (good) {
      p->rows = in(0).dim_size(0);
      p->k = in(0).dim_size(1);
      p->kept = in(5).NumElements();
      p->m = in(1).dim_size(1) - p->kept;
      p->owners = in(7).NumElements() - 1;
      p->n_v = in(3).dim_size(0);
      good = p->m >= 0 && p->k > 0 && in(1).dim_size(0) == p->k && in(2).dim_size(0) == p->owners &&
             in(2).dim_size(1) == p->columns() && in(3).dim_size(1) == p->columns() &&
             in(4).NumElements() == p->rows && in(6).NumElements() == p->kept &&
             in(8).NumElements() == p->rows && in(9).NumElements() > 0;
    }
    if (!good) {
      context->CtxFailure(invalid_argument("the arrays of a message step do not fit together"));
      return false;
    }
    p->x = data(0), p->weight = data(1), p->u = data(2), p->v_rows = data(3), p->w = data(4),
    p->skip = data(5), p->rho = data(6);
    p->start = ints(7), p->v = ints(8);
    p->local = local_;
    if (local_) {
      p->blocks = in(9).NumElements() - 1;
      p->block_start = ints(9);
    } else {
      p->t_start = ints(9), p->t_rows = ints(10);
      good = in(9).NumElements() == p->n_v + 1 && in(10).NumElements() == p->rows;
    }
    p->activation = activation_;
    p->threshold = static_cast<T>(threshold_);
    try {
      if (!good) throw std::invalid_argument("the transposed rows do not fit the message step");
      check_message(*p);
    } catch (const std::invalid_argument& e) {
      context->CtxFailure(invalid_argument(e.what()));
      return false;
    }
    return true;
  }

  /// Checks the size of an input and returns its numbers.
  const T* numbers(OpKernelContext* context, int input, int64_t size) const {
    const Tensor& t = context->input(input);
    if (t.NumElements() != size) {
      context->CtxFailure(
          invalid_argument("input ", input, " has ", t.NumElements(), " numbers, not ", size));
      return nullptr;
    }
    return t.flat<T>().data();
  }

  /// An output; in the memory of the input `from` where that has the same shape and nothing else reads it.
  T* output(OpKernelContext* context, int index, const TensorShape& shape, int from = -1) const {
    Tensor* t = nullptr;
    const absl::Status status = from < 0
                                    ? context->allocate_output(index, shape, &t)
                                    : context->forward_input_or_allocate_output({from}, index, shape, &t);
    if (!status.ok()) {
      context->CtxFailure(status);
      return nullptr;
    }
    return t->flat<T>().data();
  }

  bool local_ = false;
  int activation_ = 0;
  double threshold_ = 0;
};

/// Rows narrower than this are multiplied anew sooner than they are read back.
constexpr int64_t kWorthKeeping = 8;
/// Evaluations before anything is kept: who evaluates once would pay for new memory and gain nothing.
constexpr int kFirstKept = 2;

template <typename T>
class MessageOp : public MessageBase<T> {
 public:
  using MessageBase<T>::MessageBase;
  void Compute(OpKernelContext* context) override {
    Message<T> p;
    if (!this->problem(context, 0, &p)) return;
    T* out = this->output(context, 0, TensorShape({p.owners, p.m}));
    T* y = this->output(context, 1, TensorShape({p.rows, p.kept}));
    T* keep = nullptr;
    if (context->num_outputs() == 3) {
      const bool worth = p.k >= kWorthKeeping && calls_.fetch_add(1) >= kFirstKept;
      const int64_t size = worth ? p.rows * p.columns() : 0;
      Tensor had;
      if (size) had = Tensor(&KeptMemory::instance(), context->expected_output_dtype(2), TensorShape({size}));
      if (had.IsInitialized() && had.NumElements()) {
        keep = had.flat<T>().data();
        context->set_output(2, had);
      } else {
        this->output(context, 2, TensorShape({0}));
      }
    }
    if (context->status().ok()) message(p, out, y, intra_op_parallel(context), keep);
  }

 private:
  std::atomic<int> calls_{0};
};

/// With `KEPT` the gradient of DptfMessageKeep, which has no derivatives of weights.
template <typename T, bool KEPT>
class MessageGradOp : public MessageBase<T> {
 public:
  explicit MessageGradOp(OpKernelConstruction* context) : MessageBase<T>(context) {
    if (!KEPT) OP_REQUIRES_OK(context, context->GetAttr("weights", &weights_));
  }
  void Compute(OpKernelContext* context) override {
    Message<T> p;
    if (!this->problem(context, 2, &p)) return;
    const T* g_out = this->numbers(context, 0, p.owners * p.m);
    const T* g_y = this->numbers(context, 1, p.rows * p.kept);
    MessageGrad<T> d;
    d.x = this->output(context, 0, context->input(2).shape(), 1);
    d.u = this->output(context, 1, context->input(4).shape());
    d.v_rows = this->output(context, 2, context->input(5).shape());
    d.w = this->output(context, 3, context->input(6).shape());
    const T* had = nullptr;
    if constexpr (KEPT) {
      if (context->input(13).NumElements()) had = this->numbers(context, 13, p.rows * p.columns());
    } else {
      const TensorShape none({0});
      T* weight = this->output(context, 4, weights_ ? context->input(3).shape() : none);
      T* skip = this->output(context, 5, weights_ ? context->input(7).shape() : none);
      T* rho = this->output(context, 6, weights_ ? context->input(8).shape() : none);
      if (weights_) d.weight = weight, d.skip = skip, d.rho = rho;
    }
    if (context->status().ok()) message_grad(p, g_out, g_y, d, intra_op_parallel(context), had);
  }

 private:
  bool weights_ = false;
};

template <typename T>
class MessageGradGradOp : public MessageBase<T> {
 public:
  using MessageBase<T>::MessageBase;
  void Compute(OpKernelContext* context) override {
    Message<T> p;
    if (!this->problem(context, 6, &p)) return;
    const int64_t columns = p.columns();
    MessageTangent<T> t;
    t.x = this->numbers(context, 0, p.rows * p.k);
    t.u = this->numbers(context, 1, p.owners * columns);
    t.v_rows = this->numbers(context, 2, p.n_v * columns);
    t.w = this->numbers(context, 3, p.rows);
    const T* g_out = this->numbers(context, 4, p.owners * p.m);
    const T* g_y = this->numbers(context, 5, p.rows * p.kept);
    const int from[] = {6, 8, 9, 10, 7, 11, 12, 4, 5};
    MessageGrad<T> d;
    T *dg_out = nullptr, *dg_y = nullptr;
    T** to[] = {&d.x, &d.u, &d.v_rows, &d.w, &d.weight, &d.skip, &d.rho, &dg_out, &dg_y};
    for (int i = 0; i < 9; ++i)
      *to[i] = this->output(context, i, context->input(from[i]).shape(), i == 0 ? 0 : i == 8 ? 5 : -1);
    if (!context->status().ok()) return;
    message_grad_grad(p, g_out, g_y, t, d, dg_out, dg_y, intra_op_parallel(context));
  }
};

#define DPTF_KERNEL(NAME, T, ...) \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE_CPU).TypeConstraint<T>("T"), __VA_ARGS__)
#define DPTF_KERNELS(T)                                          \
  DPTF_KERNEL("DptfMessage", T, MessageOp<T>);                   \
  DPTF_KERNEL("DptfMessageKeep", T, MessageOp<T>);               \
  DPTF_KERNEL("DptfMessageGrad", T, MessageGradOp<T, false>);    \
  DPTF_KERNEL("DptfMessageKeepGrad", T, MessageGradOp<T, true>); \
  DPTF_KERNEL("DptfMessageGradGrad", T, MessageGradGradOp<T>)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf

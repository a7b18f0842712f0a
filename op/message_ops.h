#pragma once

// The fused message step and its derivatives as op kernels; see dptf/message.h.
#include <atomic>

#include "activation_attrs.h"
#include "device.h"
#include "dptf/message.h"
#include "kept_memory.h"

namespace dptf {

// What the functions for GPUs of these names get: those that need working memory allocate it in the context.
template <typename T>
void message_step(const Message<T>& p, T* out, T* y, T* keep, const ParallelFor& parallel) {
  message(p, out, y, parallel, keep);
}
template <typename T>
void step_grad(OpKernelContext*, const Message<T>& p, const T* g_out, const T* g_y, const MessageGrad<T>& d,
               const T* had, std::vector<Tensor>*, const ParallelFor& parallel) {
  message_grad(p, g_out, g_y, d, parallel, had);
}
template <typename T>
void step_grad_grad(OpKernelContext*, const Message<T>& p, const T* g_out, const T* g_y,
                    const MessageTangent<T>& t, const MessageGrad<T>& d, T* dg_out, T* dg_y,
                    std::vector<Tensor>*, const ParallelFor& parallel) {
  message_grad_grad(p, g_out, g_y, t, d, dg_out, dg_y, parallel);
}

/// With index arrays that are read on the host.
template <typename Device, typename T>
class MessageBase : public OpKernel {
 public:
  explicit MessageBase(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("local", &local_));
    OP_REQUIRES_OK(context, read_activation(context, &activation_, &threshold_));
  }

 protected:
  /// The problem from the inputs that begin at `at`; false (and the context failed) when they do not fit.
  bool problem(OpKernelContext* context, int at, Message<T>* p, std::vector<Tensor>* there) const {
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
    const auto move = [&](const int** a, int64_t n) { *a = Device::index(context, *a, n, there); };
    move(&p->start, p->owners + 1);
    move(&p->v, p->rows);
    if (local_) {
      move(&p->block_start, p->blocks + 1);
    } else {
      move(&p->t_start, p->n_v + 1);
      move(&p->t_rows, p->rows);
    }
    return context->status().ok();
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
    // Kernels for GPUs read inputs after they wrote outputs.
    const absl::Status status = from < 0 || !Device::kHost
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

template <typename Device, typename T>
class MessageOp : public MessageBase<Device, T> {
 public:
  using MessageBase<Device, T>::MessageBase;
  void Compute(OpKernelContext* context) override {
    Message<T> p;
    std::vector<Tensor> there;
    if (!this->problem(context, 0, &p, &there)) return;
    T* out = this->output(context, 0, TensorShape({p.owners, p.m}));
    T* y = this->output(context, 1, TensorShape({p.rows, p.kept}));
    T* keep = nullptr;
    if (context->num_outputs() == 3) {
      Tensor had;
      if constexpr (Device::kHost) {  // GPUs compute everything anew
        const bool worth = p.k >= kWorthKeeping && calls_.fetch_add(1) >= kFirstKept;
        const int64_t size = worth ? p.rows * p.columns() : 0;
        if (size)
          had = Tensor(&KeptMemory::instance(), context->expected_output_dtype(2), TensorShape({size}));
      }
      if (had.IsInitialized() && had.NumElements()) {
        keep = had.flat<T>().data();
        context->set_output(2, had);
      } else {
        this->output(context, 2, TensorShape({0}));
      }
    }
    if (!context->status().ok()) return;
    Device::run(context, [&](const auto& where) { message_step(p, out, y, keep, where); });
  }

 private:
  std::atomic<int> calls_{0};
};

/// With `KEPT` the gradient of DptfMessageKeep, which has no derivatives of weights.
template <typename Device, typename T, bool KEPT>
class MessageGradOp : public MessageBase<Device, T> {
 public:
  explicit MessageGradOp(OpKernelConstruction* context) : MessageBase<Device, T>(context) {
    if (!KEPT) OP_REQUIRES_OK(context, context->GetAttr("weights", &weights_));
  }
  void Compute(OpKernelContext* context) override {
    Message<T> p;
    std::vector<Tensor> there;
    if (!this->problem(context, 2, &p, &there)) return;
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
    if (!context->status().ok()) return;
    Device::run(context,
                [&](const auto& where) { step_grad(context, p, g_out, g_y, d, had, &there, where); });
  }

 private:
  bool weights_ = false;
};

template <typename Device, typename T>
class MessageGradGradOp : public MessageBase<Device, T> {
 public:
  using MessageBase<Device, T>::MessageBase;
  void Compute(OpKernelContext* context) override {
    Message<T> p;
    std::vector<Tensor> there;
    if (!this->problem(context, 6, &p, &there)) return;
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
    Device::run(context, [&](const auto& where) {
      step_grad_grad(context, p, g_out, g_y, t, d, dg_out, dg_y, &there, where);
    });
  }
};

}  // namespace dptf

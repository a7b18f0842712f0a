// Fitting nets in training: values and derivatives of all types in one op; see dptf/fitting_net.h.
#include "dptf/fitting_net.h"

#include <algorithm>

#include "op_utils.h"

namespace dptf {
namespace {

// x [frames, atoms, n_in]: atoms sorted by type, counts = natoms. weights: for every net and layer matrix and
// bias, and idt where `timestep` says so. net_of[t]: net of type t, -1 for none; without
// entries one net serves all atoms, in any order. Without linear_top the last layer has an activation as
// well.
#define DPTF_FITTING_ATTRS          \
  .Attr("T: {float, double}")       \
      .Attr("N: int")               \
      .Attr("net_of: list(int)")    \
      .Attr("activation: int")      \
      .Attr("residual: list(bool)") \
      .Attr("timestep: list(bool)") \
      .Attr("gradient: bool")       \
      .Attr("linear_top: bool = true")

REGISTER_OP("DptfFittingNet")
    .Input("x: T")
    .Input("counts: int32")
    .Input("weights: N * T")
    .Output("y: T")
    .Output("dydx: T")
    .Output("pre: T")
    .Output("adjoint: T") DPTF_FITTING_ATTRS.SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->UnknownShapeOfRank(3));
      c->set_output(1, c->input(0));
      for (int i = 2; i < 4; ++i) c->set_output(i, c->UnknownShapeOfRank(2));
      return absl::OkStatus();
    });

// An empty ddydx means that dydx has no adjoint; then, with `gradient`, dx is left empty: it is dy times
// dydx.
REGISTER_OP("DptfFittingNetGrad")
    .Input("dy: T")
    .Input("ddydx: T")
    .Input("pre: T")
    .Input("adjoint: T")
    .Input("x: T")
    .Input("counts: int32")
    .Input("weights: N * T")
    .Output("dx: T")
    .Output("dweights: N * T") DPTF_FITTING_ATTRS.SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->UnknownShape());
      for (int i = 1; i < c->num_outputs(); ++i) c->set_output(i, c->input(5 + i));
      return absl::OkStatus();
    });

template <typename T>
class FittingOp : public OpKernel {
 public:
  explicit FittingOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("net_of", &net_of_));
    OP_REQUIRES_OK(context, context->GetAttr("activation", &activation_));
    OP_REQUIRES_OK(context, context->GetAttr("residual", &residual_));
    OP_REQUIRES_OK(context, context->GetAttr("timestep", &timestep_));
    OP_REQUIRES_OK(context, context->GetAttr("gradient", &gradient_));
    OP_REQUIRES_OK(context, context->GetAttr("linear_top", &linear_top_));
    OP_REQUIRES(context, linear_top_ || !gradient_,
                invalid_argument("the gradient needs a linear last layer"));
    OP_REQUIRES(context, activation_ >= 0 && activation_ <= 7,
                invalid_argument("unknown activation ", activation_));
    OP_REQUIRES(context, residual_.size() == timestep_.size(),
                invalid_argument("residual and timestep differ in length"));
    n_nets_ = net_of_.empty() ? 1 : 0;
    for (int net : net_of_) n_nets_ = std::max(n_nets_, net + 1);
    OP_REQUIRES(context, n_nets_ > 0, invalid_argument("net_of names no net"));
  }

 protected:
  /// The nets on the rows of x; throws std::invalid_argument when something does not fit.
  FittingNets<T> nets(const Tensor& x, const Tensor& counts, const OpInputList& weights) const {
    if (x.dims() != 3) throw std::invalid_argument("x must be [frames, atoms, n_in]");
    std::vector<std::vector<FittingLayer<T>>> nets(n_nets_);
    int at = 0;
    const auto next = [&]() -> const Tensor& {
      if (at >= weights.size()) throw std::invalid_argument("too few weights");
      return weights[at++];
    };
    for (auto& net : nets)
      for (size_t k = 0; k < depth(); ++k) {
        FittingLayer<T> w;
        const Tensor &matrix = next(), &bias = next();
        if (matrix.dims() != 2) throw std::invalid_argument("a matrix of weights must have two dimensions");
        w.n_in = matrix.dim_size(0);
        w.n_out = matrix.dim_size(1);
        if (bias.NumElements() != w.n_out) throw std::invalid_argument("a bias does not fit its matrix");
        w.w = matrix.flat<T>().data();
        w.b = bias.flat<T>().data();
        if (k < residual_.size()) {
          w.activation = activation_;
          w.residual = residual_[k];
          if (timestep_[k]) {
            const Tensor& idt = next();
            if (idt.NumElements() != w.n_out)
              throw std::invalid_argument("a time step does not fit its matrix");
            w.idt = idt.flat<T>().data();
          }
        }
        net.push_back(w);
      }
    if (at != weights.size()) throw std::invalid_argument("too many weights");
    if (nets[0][0].n_in != x.dim_size(2))
      throw std::invalid_argument("x and the first layer differ in width");
    std::vector<std::vector<int64_t>> rows(n_nets_);
    if (!net_of_.empty() && counts.NumElements() != static_cast<int64_t>(net_of_.size()) + 2)
      throw std::invalid_argument("counts has not one entry per type");
    for (int64_t f = 0; f < x.dim_size(0); ++f) {
      int64_t row = f * x.dim_size(1);
      const int64_t end = row + x.dim_size(1);
      for (; net_of_.empty() && row < end; ++row) rows[0].push_back(row);
      for (size_t t = 0; t < net_of_.size(); ++t) {
        const int64_t stop = row + counts.flat<int>()(t + 2);
        if (stop < row || stop > end) throw std::invalid_argument("counts does not fit the atoms of x");
        for (; row < stop; ++row)
          if (net_of_[t] >= 0) rows[net_of_[t]].push_back(row);
      }
    }
    return FittingNets<T>(std::move(nets), std::move(rows), linear_top_);
  }

  static int threads(OpKernelContext* context) {
    return context->device()->tensorflow_cpu_worker_threads()->num_threads;
  }

  size_t depth() const { return residual_.size() + linear_top_; }

  bool gradient_ = false, linear_top_ = true;
  std::vector<bool> residual_, timestep_;

 private:
  std::vector<int> net_of_;
  int activation_ = 0, n_nets_ = 0;
};

template <typename T>
class FittingNetOp : public FittingOp<T> {
 public:
  using FittingOp<T>::FittingOp;
  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    OpInputList weights;
    OP_REQUIRES_OK(context, context->input_list("weights", &weights));
    try {
      const FittingNets<T> nets = this->nets(x, context->input(1), weights);
      if (this->gradient_ && nets.n_out() != 1)
        throw std::invalid_argument("the gradient needs nets with one output");
      Tensor *y, *dydx, *pre, *adjoint;
      const bool g = this->gradient_;
      const TensorShape kept({nets.n_rows(), nets.n_kept()}), none({0, 0});
      OP_REQUIRES_OK(context, context->allocate_output(
                                  0, TensorShape({x.dim_size(0), x.dim_size(1), nets.n_out()}), &y));
      OP_REQUIRES_OK(context, context->allocate_output(1, g ? x.shape() : TensorShape({0}), &dydx));
      OP_REQUIRES_OK(context, context->allocate_output(2, kept, &pre));
      OP_REQUIRES_OK(context, context->allocate_output(3, g ? kept : none, &adjoint));
      if (nets.n_rows() < x.dim_size(0) * x.dim_size(1)) {
        y->flat<T>().setZero();
        dydx->flat<T>().setZero();
      }
      nets.value(x.flat<T>().data(), y->flat<T>().data(), pre->flat<T>().data(),
                 g ? dydx->flat<T>().data() : nullptr, g ? adjoint->flat<T>().data() : nullptr,
                 this->threads(context), intra_op_parallel(context));
    } catch (const std::invalid_argument& e) {
      context->CtxFailure(invalid_argument(e.what()));
    }
  }
};

template <typename T>
class FittingNetGradOp : public FittingOp<T> {
 public:
  using FittingOp<T>::FittingOp;
  void Compute(OpKernelContext* context) override {
    const Tensor &dy = context->input(0), &ddydx = context->input(1), &pre = context->input(2),
                 &adjoint = context->input(3), &x = context->input(4);
    OpInputList weights;
    OP_REQUIRES_OK(context, context->input_list("weights", &weights));
    OpOutputList dweights;
    OP_REQUIRES_OK(context, context->output_list("dweights", &dweights));
    try {
      const FittingNets<T> nets = this->nets(x, context->input(5), weights);
      const bool second = ddydx.NumElements() > 0, wanted = second || !this->gradient_;
      const int64_t kept = nets.n_rows() * nets.n_kept();
      if (dy.NumElements() != x.dim_size(0) * x.dim_size(1) * nets.n_out() || pre.NumElements() != kept ||
          (second && (ddydx.NumElements() != x.NumElements() || !this->gradient_)) ||
          adjoint.NumElements() != (this->gradient_ ? kept : 0))
        throw std::invalid_argument("adjoints and inputs differ in size");
      Tensor* dx;
      OP_REQUIRES_OK(context, context->allocate_output(0, wanted ? x.shape() : TensorShape({0}), &dx));
      if (nets.n_rows() < x.dim_size(0) * x.dim_size(1)) dx->flat<T>().setZero();
      std::vector<std::vector<FittingLayerGrad<T>>> grads;
      const size_t depth = this->depth();
      for (int at = 0; at < weights.size();) {
        grads.emplace_back(depth);
        for (size_t k = 0; k < depth; ++k)
          for (int part = 0; part < (k < this->timestep_.size() && this->timestep_[k] ? 3 : 2);
               ++part, ++at) {
            Tensor* out;
            OP_REQUIRES_OK(context, dweights.allocate(at, weights[at].shape(), &out));
            FittingLayerGrad<T>& g = grads.back()[k];
            (part == 0 ? g.w : part == 1 ? g.b : g.idt) = out->flat<T>().data();
          }
      }
      nets.gradient(x.flat<T>().data(), pre.flat<T>().data(),
                    this->gradient_ ? adjoint.flat<T>().data() : nullptr, dy.flat<T>().data(),
                    second ? ddydx.flat<T>().data() : nullptr, wanted ? dx->flat<T>().data() : nullptr, grads,
                    this->threads(context), intra_op_parallel(context));
    } catch (const std::invalid_argument& e) {
      context->CtxFailure(invalid_argument(e.what()));
    }
  }
};

/// z = x with every row times its factor; x itself where all factors are one, as they are for the adjoint of
/// an energy in a system without virtual atoms.
REGISTER_OP("DptfScaleRows")
    .Input("x: T")
    .Input("factor: T")
    .Output("z: T")
    .Attr("T: {float, double}")
    .SetShapeFn(UnchangedShape);

template <typename T>
class ScaleRowsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor &x = context->input(0), &factor = context->input(1);
    const int64_t rows = factor.NumElements(), width = rows ? x.NumElements() / rows : 0;
    OP_REQUIRES(context, rows * width == x.NumElements(), invalid_argument("one factor per row of x"));
    const T* f = factor.flat<T>().data();
    if (std::all_of(f, f + rows, [](T value) { return value == T(1); })) return context->set_output(0, x);
    Tensor* out;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &out));
    const T* from = x.flat<T>().data();
    T* to = out->flat<T>().data();
    intra_op_parallel(context)(rows, width / 4 + 1, [=](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        for (int64_t c = r * width; c < (r + 1) * width; ++c) to[c] = from[c] * f[r];
    });
  }
};

#define DPTF_REGISTER(T)                                                                                    \
  REGISTER_KERNEL_BUILDER(Name("DptfFittingNet").Device(DEVICE_CPU).TypeConstraint<T>("T"),                 \
                          FittingNetOp<T>);                                                                 \
  REGISTER_KERNEL_BUILDER(Name("DptfScaleRows").Device(DEVICE_CPU).TypeConstraint<T>("T"), ScaleRowsOp<T>); \
  REGISTER_KERNEL_BUILDER(Name("DptfFittingNetGrad").Device(DEVICE_CPU).TypeConstraint<T>("T"),             \
                          FittingNetGradOp<T>);
DPTF_REGISTER(float)
DPTF_REGISTER(double)

}  // namespace
}  // namespace dptf

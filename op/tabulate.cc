// Ops of compressed models: contraction with a tabulated embedding net, with the public names.
#include "dptf/tabulate.h"

#include "op_utils.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace dptf {
namespace {

using tensorflow::DEVICE_CPU;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::InferenceContext;

enum class Kind { a, atten, t, r };

absl::Status unknown(InferenceContext* c) {
  for (int k = 0; k < c->num_outputs(); ++k) c->set_output(k, c->UnknownShape());
  return absl::OkStatus();
}

#define DPTF_T .Attr("T: {float, double} = DT_DOUBLE")
// The second gradients have no default type.
#define DPTF_T2 .Attr("T: {float, double}")
#define DPTF_TABLE .Input("table: T").Input("table_info: T")
#define DPTF_EM .Input("em_x: T").Input("em: T")
#define DPTF_TWO .Input("two_embed: T")
#define DPTF_SIZE .Attr("last_layer_size: int")
#define DPTF_SORTED .Attr("is_sorted: bool = true")
#define DPTF_DY .Input("dy: T").Input("descriptor: T")
#define DPTF_END .SetShapeFn(unknown)

#define DPTF_SEA(NAME)                                                                    \
  REGISTER_OP(NAME) DPTF_T DPTF_TABLE DPTF_EM DPTF_SIZE.Output("descriptor: T") DPTF_END; \
  REGISTER_OP(NAME "Grad")                                                                \
  DPTF_T DPTF_TABLE DPTF_EM DPTF_DY.Output("dy_dem_x: T").Output("dy_dem: T") DPTF_END;   \
  REGISTER_OP(NAME "GradGrad")                                                            \
  DPTF_T2 DPTF_TABLE DPTF_EM.Input("dz_dy_dem_x: T").Input("dz_dy_dem: T").Input("descriptor: T")
DPTF_SEA("TabulateFusionSeA").Output("dz_dy: T") DPTF_SORTED DPTF_END;
DPTF_SEA("TabulateFusion").Output("dz_dy: T") DPTF_END;
DPTF_SEA("TabulateFusionSeT").Output("dz_dy: T") DPTF_END;

REGISTER_OP("TabulateFusionSeAtten")
DPTF_T DPTF_TABLE DPTF_EM DPTF_TWO DPTF_SIZE DPTF_SORTED.Output("descriptor: T") DPTF_END;
REGISTER_OP("TabulateFusionSeAttenGrad")
DPTF_T DPTF_TABLE DPTF_EM DPTF_TWO DPTF_DY DPTF_SORTED.Output("dy_dem_x: T")
    .Output("dy_dem: T")
    .Output("dy_dtwo: T") DPTF_END;
REGISTER_OP("TabulateFusionSeAttenGradGrad")
DPTF_T2 DPTF_TABLE DPTF_EM DPTF_TWO.Input("dz_dy_dem_x: T")
    .Input("dz_dy_dem: T")
    .Input("dz_dy_dtwo: T")
    .Input("descriptor: T") DPTF_SORTED.Output("dz_dy: T") DPTF_END;

REGISTER_OP("TabulateFusionSeR") DPTF_T DPTF_TABLE.Input("em: T") DPTF_SIZE.Output("descriptor: T") DPTF_END;
REGISTER_OP("TabulateFusionSeRGrad") DPTF_T DPTF_TABLE.Input("em: T") DPTF_DY.Output("dy_dem: T") DPTF_END;
REGISTER_OP("TabulateFusionSeRGradGrad")
DPTF_T2 DPTF_TABLE.Input("em: T").Input("dz_dy_dem: T").Input("descriptor: T").Output("dz_dy: T") DPTF_END;

template <typename T, Kind KIND>
class TabulateOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

 protected:
  static constexpr int kEm = KIND == Kind::r ? 2 : 3, kNext = kEm + (KIND == Kind::atten ? 2 : 1);

  /// Reads the inputs up to kNext. width < 0: the table tells it.
  bool problem(OpKernelContext* c, int64_t width, Tabulate<T>* p) const {
    const Tensor &table = c->input(0), &info = c->input(1), &em = c->input(kEm);
    const auto fail = [&](const auto&... what) {
      c->CtxFailure(invalid_argument(name(), ": ", what...));
      return false;
    };
    if (table.dims() != 2 || table.dim_size(1) % 6 || (width >= 0 && table.dim_size(1) != 6 * width) ||
        !table.dim_size(0))
      return fail("the table must be [rows, 6 * ", width < 0 ? std::string("width") : std::to_string(width),
                  "], it is ", table.shape().DebugString());
    if (info.NumElements() != 6) return fail("table_info must have 6 entries, it has ", info.NumElements());
    const int dims = KIND == Kind::r ? 2 : 3;
    if (em.dims() != dims || ((KIND == Kind::a || KIND == Kind::atten) && em.dim_size(2) != 4))
      return fail("em must be [n, nnei",
                  KIND == Kind::t   ? ", nnei"
                  : KIND == Kind::r ? ""
                                    : ", 4",
                  "], it is ", em.shape().DebugString());
    p->width = table.dim_size(1) / 6;
    p->table = table.flat<T>().data();
    p->grid = TableGrid<T>::from_info(info.flat<T>().data(), table.dim_size(0), KIND == Kind::t);
    if (!(p->grid.fine > 0) || !(p->grid.coarse > 0) || !(p->grid.lower <= p->grid.upper))
      return fail("table_info holds strides ", p->grid.fine, ", ", p->grid.coarse, " and range ",
                  p->grid.lower, " to ", p->grid.upper);
    if constexpr (KIND == Kind::r) {
      // No sum over slots: every number is a problem of its own.
      p->n = em.NumElements();
      p->slots = p->ncomp = 1;
      p->x = em.flat<T>().data();
      return true;
    }
    p->n = em.dim_size(0);
    p->slots = KIND == Kind::t ? em.dim_size(1) * em.dim_size(2) : em.dim_size(1);
    p->ncomp = KIND == Kind::t ? 1 : 4;
    p->rows = em.flat<T>().data();
    p->x = c->input(2).template flat<T>().data();
    if (c->input(2).NumElements() != p->n * p->slots)
      return fail("em_x has ", c->input(2).NumElements(), " numbers for em ", em.shape().DebugString());
    if constexpr (KIND == Kind::atten) {
      p->factor = c->input(4).template flat<T>().data();
      if (c->input(4).NumElements() != p->n * p->slots * p->width)
        return fail("two_embed has ", c->input(4).NumElements(), " numbers for em ", em.shape().DebugString(),
                    " and width ", p->width);
    }
    return true;
  }

  /// Finds an input that must have a given number of elements; false after an error.
  bool sized(OpKernelContext* c, int k, int64_t size, const T** out) const {
    *out = c->input(k).template flat<T>().data();
    if (c->input(k).NumElements() == size) return true;
    c->CtxFailure(invalid_argument(name(), ": input ", k, " has ", c->input(k).NumElements(),
                                   " numbers, expected ", size));
    return false;
  }

  TensorShape out_shape(OpKernelContext* c, const Tabulate<T>& p) const {
    const Tensor& em = c->input(kEm);
    if (KIND == Kind::t) return {p.n, p.width};
    if (KIND == Kind::r) return {em.dim_size(0), em.dim_size(1), p.width};
    return {p.n, 4, p.width};
  }
};

template <typename T, Kind KIND>
class ValueOp : public TabulateOp<T, KIND> {
 public:
  explicit ValueOp(OpKernelConstruction* context) : TabulateOp<T, KIND>(context) {
    OP_REQUIRES_OK(context, context->GetAttr("last_layer_size", &width_));
  }
  void Compute(OpKernelContext* c) override {
    Tabulate<T> p;
    if (!this->problem(c, width_, &p)) return;
    Tensor* out;
    OP_REQUIRES_OK(c, c->allocate_output(0, this->out_shape(c, p), &out));
    tabulate(p, out->flat<T>().data(), intra_op_parallel(c));
  }

 private:
  int64_t width_ = 0;
};

template <typename T, Kind KIND>
class GradOp : public TabulateOp<T, KIND> {
 public:
  using TabulateOp<T, KIND>::TabulateOp;
  void Compute(OpKernelContext* c) override {
    constexpr int kNext = TabulateOp<T, KIND>::kNext, kEm = TabulateOp<T, KIND>::kEm;
    Tabulate<T> p;
    if (!this->problem(c, -1, &p)) return;
    const T* dy;
    if (!this->sized(c, kNext, p.n * p.ncomp * p.width, &dy)) return;
    Tensor *dx = nullptr, *dem = nullptr, *dtwo = nullptr;
    if constexpr (KIND == Kind::r) {
      OP_REQUIRES_OK(c, c->allocate_output(0, c->input(kEm).shape(), &dx));
    } else {
      OP_REQUIRES_OK(c, c->allocate_output(0, c->input(2).shape(), &dx));
      OP_REQUIRES_OK(c, c->allocate_output(1, c->input(kEm).shape(), &dem));
    }
    if constexpr (KIND == Kind::atten) OP_REQUIRES_OK(c, c->allocate_output(2, c->input(4).shape(), &dtwo));
    tabulate_grad(p, dy, dx->flat<T>().data(), dem ? dem->flat<T>().data() : nullptr,
                  dtwo ? dtwo->flat<T>().data() : nullptr, intra_op_parallel(c));
  }
};

template <typename T, Kind KIND>
class GradGradOp : public TabulateOp<T, KIND> {
 public:
  using TabulateOp<T, KIND>::TabulateOp;
  void Compute(OpKernelContext* c) override {
    constexpr int kNext = TabulateOp<T, KIND>::kNext;
    Tabulate<T> p;
    if (!this->problem(c, -1, &p)) return;
    const T *zx, *zrows = nullptr, *zfactor = nullptr;
    if (!this->sized(c, kNext, p.n * p.slots, &zx)) return;
    if constexpr (KIND != Kind::r) {
      if (!this->sized(c, kNext + 1, p.n * p.slots * p.ncomp, &zrows)) return;
    }
    if constexpr (KIND == Kind::atten) {
      if (!this->sized(c, kNext + 2, p.n * p.slots * p.width, &zfactor)) return;
    }
    Tensor* out;
    OP_REQUIRES_OK(c, c->allocate_output(0, this->out_shape(c, p), &out));
    tabulate_grad_grad(p, zx, zrows, zfactor, out->flat<T>().data(), intra_op_parallel(c));
  }
};

#define DPTF_KERNEL(NAME, T, ...) \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE_CPU).TypeConstraint<T>("T"), __VA_ARGS__)
#define DPTF_FAMILY(NAME, T, KIND)              \
  DPTF_KERNEL(NAME, T, ValueOp<T, KIND>);       \
  DPTF_KERNEL(NAME "Grad", T, GradOp<T, KIND>); \
  DPTF_KERNEL(NAME "GradGrad", T, GradGradOp<T, KIND>)
#define DPTF_KERNELS(T)                                 \
  DPTF_FAMILY("TabulateFusion", T, Kind::a);            \
  DPTF_FAMILY("TabulateFusionSeA", T, Kind::a);         \
  DPTF_FAMILY("TabulateFusionSeAtten", T, Kind::atten); \
  DPTF_FAMILY("TabulateFusionSeT", T, Kind::t);         \
  DPTF_FAMILY("TabulateFusionSeR", T, Kind::r)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf

// Ops of compressed models: contraction with a tabulated embedding net, with the public names.
#include "dptf/tabulate.h"

#include "op_utils.h"
#include "tabulate_inputs.h"

namespace dptf {
namespace {

using Kind = TabulateKind;

#define DPTF_T .Attr("T: {float, double} = DT_DOUBLE")
// The second gradients have no default type.
#define DPTF_T2 .Attr("T: {float, double}")
#define DPTF_TABLE .Input("table: T").Input("table_info: T")
#define DPTF_EM .Input("em_x: T").Input("em: T")
#define DPTF_TWO .Input("two_embed: T")
#define DPTF_SIZE .Attr("last_layer_size: int")
#define DPTF_SORTED .Attr("is_sorted: bool = true")
#define DPTF_DY .Input("dy: T").Input("descriptor: T")
#define DPTF_END .SetShapeFn(UnknownShape)

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

// The soft minimum of distances that switches between a network and a pair table, and the chain rule from
// vectors on neighbor slots to forces and virials.
#include "dptf/soft_min.h"

#include "op_utils.h"

namespace dptf {
namespace {

#define DPTF_SEL .Attr("n_a_sel: int").Attr("n_r_sel: int")
#define DPTF_SLOTS .Input("du: T").Input("sw_deriv: T")
#define DPTF_LIST .Input("nlist: int32").Input("natoms: int32")

REGISTER_OP("SoftMinSwitch")
DPTF_T.Input("type: int32")
    .Input("rij: T") DPTF_LIST.Attr("sel_a: list(int)")
    .Attr("sel_r: list(int)")
    .Attr("alpha: float")
    .Attr("rmin: float")
    .Attr("rmax: float")
    .Output("sw_value: T")
    .Output("sw_deriv: T")
    .SetShapeFn(matrices);
// The same with (alpha, rmin, rmax) in double precision; the attributes of the public op have single
// precision.
REGISTER_OP("DptfSoftMinSwitch")
DPTF_T.Input("range: double")
    .Input("rij: T") DPTF_LIST.Output("sw_value: T")
    .Output("sw_deriv: T")
    .SetShapeFn(matrices);
REGISTER_OP("SoftMinForce") DPTF_T DPTF_SLOTS DPTF_LIST DPTF_SEL.Output("force: T").SetShapeFn(matrices);
REGISTER_OP("SoftMinVirial")
DPTF_T DPTF_SLOTS.Input("rij: T") DPTF_LIST DPTF_SEL.Output("virial: T")
    .Output("atom_virial: T")
    .SetShapeFn(matrices);
REGISTER_OP("SoftMinForceGrad")
DPTF_T.Input("grad: T") DPTF_SLOTS DPTF_LIST DPTF_SEL.Output("grad_net: T").SetShapeFn(matrices);
REGISTER_OP("SoftMinVirialGrad")
DPTF_T.Input("grad: T") DPTF_SLOTS.Input("rij: T") DPTF_LIST DPTF_SEL.Output("grad_net: T")
    .SetShapeFn(matrices);
// The public gradient ops give the adjoint of du alone; these give that of the vectors too, and take the
// adjoint of atom_virial.
REGISTER_OP("DptfSlotForceGrad")
DPTF_T.Input("grad: T") DPTF_SLOTS DPTF_LIST.Output("grad_du: T")
    .Output("grad_deriv: T")
    .SetShapeFn(matrices);
REGISTER_OP("DptfSlotVirialGrad")
DPTF_T.Input("grad: T")
    .Input("grad_atom: T") DPTF_SLOTS.Input("rij: T") DPTF_LIST.Output("grad_du: T")
    .Output("grad_deriv: T")
    .SetShapeFn(matrices);

/// Reads and checks nlist, natoms and, at their places, rij, du and sw_deriv (-1: not an input of the op).
template <typename T>
bool read_slots(OpKernelContext* context, int factor, int vector, int rij, int list, SlotVectors<T>* p) {
  const Tensor &nlist = context->input(list), &natoms = context->input(list + 1);
  const Tensor& any = context->input(factor >= 0 ? factor : rij);
  if (natoms.NumElements() < 3) {
    context->CtxFailure(invalid_argument("natoms needs at least 3 entries"));
    return false;
  }
  p->nloc = natoms.flat<int>()(0);
  p->nall = natoms.flat<int>()(1);
  p->nf = any.dims() == 2 ? any.dim_size(0) : 0;
  const int64_t rows = p->nf * p->nloc;
  p->nnei = rows ? static_cast<int>(nlist.NumElements() / rows) : 0;
  bool fits = any.dims() == 2 && nlist.NumElements() == rows * p->nnei;
  for (const int at : {vector, rij})
    if (at >= 0) fits = fits && context->input(at).NumElements() == rows * p->nnei * 3;
  if (factor >= 0) fits = fits && context->input(factor).NumElements() == rows;
  if (!fits) {
    context->CtxFailure(invalid_argument("shapes do not fit: ", any.shape().DebugString(), " and nlist ",
                                         nlist.shape().DebugString(), " for ", p->nloc, " atoms"));
    return false;
  }
  p->nlist = nlist.flat<int>().data();
  for (int64_t k = 0; k < rows * p->nnei; ++k)
    if (p->nlist[k] >= p->nall) {
      context->CtxFailure(invalid_argument("nlist names atom ", p->nlist[k], " of ", p->nall));
      return false;
    }
  if (factor >= 0) p->factor = context->input(factor).flat<T>().data();
  if (vector >= 0) p->vector = context->input(vector).flat<T>().data();
  if (rij >= 0) p->rij = context->input(rij).flat<T>().data();
  return true;
}

template <typename T>
T* output(OpKernelContext* context, int index, int64_t rows, int64_t columns) {
  Tensor* out = nullptr;
  const auto status = context->allocate_output(index, TensorShape({rows, columns}), &out);
  if (!status.ok()) {
    context->CtxFailure(status);
    return nullptr;
  }
  return out->flat<T>().data();
}

/// EXACT: the range is an input, otherwise it is in the attributes.
template <typename T, bool EXACT>
class SwitchOp : public OpKernel {
 public:
  explicit SwitchOp(OpKernelConstruction* context) : OpKernel(context) {
    if constexpr (!EXACT) {
      OP_REQUIRES_OK(context, context->GetAttr("alpha", &alpha_));
      OP_REQUIRES_OK(context, context->GetAttr("rmin", &rmin_));
      OP_REQUIRES_OK(context, context->GetAttr("rmax", &rmax_));
    }
  }
  void Compute(OpKernelContext* context) override {
    SlotVectors<T> p;
    if (!read_slots(context, -1, -1, 1, 2, &p)) return;
    double alpha = alpha_, rmin = rmin_, rmax = rmax_;
    if constexpr (EXACT) {
      const auto range = context->input(0).flat<double>();
      OP_REQUIRES(context, range.size() == 3, invalid_argument("range needs 3 numbers: alpha, rmin, rmax"));
      alpha = range(0), rmin = range(1), rmax = range(2);
    }
    OP_REQUIRES(context, alpha > 0 && rmax > rmin,
                invalid_argument("alpha must be positive and rmax above rmin; found ", alpha, ", ", rmin,
                                 ", ", rmax));
    T *value = output<T>(context, 0, p.nf, p.nloc), *deriv = output<T>(context, 1, p.nf, p.nloc * p.nnei * 3);
    if (!value || !deriv) return;
    soft_min_switch<T>(p, alpha, rmin, rmax, value, deriv, intra_op_parallel(context));
  }

 private:
  float alpha_ = 0, rmin_ = 0, rmax_ = 0;
};

template <typename T>
class SlotForceOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    SlotVectors<T> p;
    if (!read_slots(context, 0, 1, -1, 2, &p)) return;
    if (T* force = output<T>(context, 0, p.nf, 3 * p.nall)) slot_force(p, force, intra_op_parallel(context));
  }
};

template <typename T>
class SlotVirialOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    SlotVectors<T> p;
    if (!read_slots(context, 0, 1, 2, 3, &p)) return;
    T *virial = output<T>(context, 0, p.nf, 9), *atomic = output<T>(context, 1, p.nf, 9 * p.nall);
    if (virial && atomic) slot_virial(p, virial, atomic, intra_op_parallel(context));
  }
};

/// BOTH: adjoints of du and of the vectors, otherwise of du alone.
template <typename T, bool BOTH>
class SlotForceGradOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    SlotVectors<T> p;
    if (!read_slots(context, 1, 2, -1, 3, &p)) return;
    const int64_t size = context->input(0).NumElements(), atoms = p.nf ? size / (3 * p.nf) : 0;
    OP_REQUIRES(context, size == p.nf * atoms * 3 && (atoms == p.nloc || atoms == p.nall),
                invalid_argument("the adjoint of the force has ", size, " elements for ", p.nf, " frames of ",
                                 p.nall, " atoms"));
    T *factor = output<T>(context, 0, p.nf, p.nloc), *vector = nullptr;
    if constexpr (BOTH) vector = output<T>(context, 1, p.nf, p.nloc * p.nnei * 3);
    if (!factor || (BOTH && !vector)) return;
    slot_force_grad(p, context->input(0).flat<T>().data(), atoms, factor, vector, intra_op_parallel(context));
  }
};

template <typename T, bool BOTH>
class SlotVirialGradOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    SlotVectors<T> p;
    if (!read_slots(context, 1 + BOTH, 2 + BOTH, 3 + BOTH, 4 + BOTH, &p)) return;
    OP_REQUIRES(context, context->input(0).NumElements() == 9 * p.nf,
                invalid_argument("the adjoint of the virial must be [", p.nf, ", 9]"));
    const T* atom = nullptr;
    T *factor = output<T>(context, 0, p.nf, p.nloc), *vector = nullptr;
    if constexpr (BOTH) {
      OP_REQUIRES(context, context->input(1).NumElements() == 9 * p.nf * p.nall,
                  invalid_argument("the adjoint of atom_virial must be [", p.nf, ", ", 9 * p.nall, "]"));
      atom = context->input(1).flat<T>().data();
      vector = output<T>(context, 1, p.nf, p.nloc * p.nnei * 3);
    }
    if (!factor || (BOTH && !vector)) return;
    slot_virial_grad(p, context->input(0).flat<T>().data(), atom, factor, vector, intra_op_parallel(context));
  }
};

#define DPTF_KERNELS(T)                                                \
  DPTF_CPU_KERNEL("SoftMinSwitch", T, SwitchOp<T, false>);             \
  DPTF_CPU_KERNEL("DptfSoftMinSwitch", T, SwitchOp<T, true>);          \
  DPTF_CPU_KERNEL("SoftMinForce", T, SlotForceOp<T>);                  \
  DPTF_CPU_KERNEL("SoftMinVirial", T, SlotVirialOp<T>);                \
  DPTF_CPU_KERNEL("SoftMinForceGrad", T, SlotForceGradOp<T, false>);   \
  DPTF_CPU_KERNEL("SoftMinVirialGrad", T, SlotVirialGradOp<T, false>); \
  DPTF_CPU_KERNEL("DptfSlotForceGrad", T, SlotForceGradOp<T, true>);   \
  DPTF_CPU_KERNEL("DptfSlotVirialGrad", T, SlotVirialGradOp<T, true>)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf

// Descrpt, ProdForce, ProdVirial and their gradients: neighbors in the local frame of their center.
#include "dptf/local_frame.h"

#include "mesh.h"
#include "op_utils.h"
#include "sel_overflow.h"

namespace dptf {
namespace {

#define DPTF_SEL .Attr("n_a_sel: int").Attr("n_r_sel: int")
#define DPTF_FORCE_IN        \
  .Input("net_deriv: T")     \
      .Input("in_deriv: T")  \
      .Input("nlist: int32") \
      .Input("axis: int32")  \
      .Input("natoms: int32")
#define DPTF_VIRIAL_IN       \
  .Input("net_deriv: T")     \
      .Input("in_deriv: T")  \
      .Input("rij: T")       \
      .Input("nlist: int32") \
      .Input("axis: int32")  \
      .Input("natoms: int32")

REGISTER_OP("Descrpt")
DPTF_T.Input("coord: T")
    .Input("type: int32")
    .Input("natoms: int32")
    .Input("box: T")
    .Input("mesh: int32")
    .Input("davg: T")
    .Input("dstd: T")
    .Attr("rcut_a: float")
    .Attr("rcut_r: float")
    .Attr("sel_a: list(int)")
    .Attr("sel_r: list(int)")
    .Attr("axis_rule: list(int)")
    .Output("descrpt: T")
    .Output("descrpt_deriv: T")
    .Output("rij: T")
    .Output("nlist: int32")
    .Output("axis: int32")
    .Output("rot_mat: T")
    .SetShapeFn(UnknownShape);
REGISTER_OP("ProdForce") DPTF_T DPTF_FORCE_IN DPTF_SEL.Output("force: T").SetShapeFn(UnknownShape);
REGISTER_OP("ProdVirial")
DPTF_T DPTF_VIRIAL_IN DPTF_SEL.Output("virial: T").Output("atom_virial: T").SetShapeFn(UnknownShape);
REGISTER_OP("ProdForceGrad")
DPTF_T.Input("grad: T") DPTF_FORCE_IN DPTF_SEL.Output("grad_net: T").SetShapeFn(UnknownShape);
REGISTER_OP("ProdVirialGrad")
DPTF_T.Input("grad: T") DPTF_VIRIAL_IN DPTF_SEL.Output("grad_net: T").SetShapeFn(UnknownShape);
// The public gradient op drops the adjoint of atom_virial; this one takes it (second input).
REGISTER_OP("DptfFrameVirialGrad")
DPTF_T.Input("grad: T")
    .Input("grad_atom: T") DPTF_VIRIAL_IN DPTF_SEL.Output("grad_net: T")
    .SetShapeFn(UnknownShape);

template <typename T>
class DescrptOp : public OpKernel {
 public:
  explicit DescrptOp(OpKernelConstruction* context) : OpKernel(context) {
    float rcut_a = 0;
    OP_REQUIRES_OK(context, context->GetAttr("rcut_a", &rcut_a));
    OP_REQUIRES_OK(context, context->GetAttr("rcut_r", &rcut_));
    OP_REQUIRES_OK(context, context->GetAttr("sel_a", &sel_a_));
    OP_REQUIRES_OK(context, context->GetAttr("sel_r", &sel_r_));
    OP_REQUIRES_OK(context, context->GetAttr("axis_rule", &rule_));
    OP_REQUIRES(context, rcut_a < 0,
                invalid_argument("rcut_a is ", rcut_a,
                                 "; a cutoff of its own for the angular part is not supported"));
    OP_REQUIRES(context, sel_a_.size() == sel_r_.size(),
                invalid_argument("sel_a has ", sel_a_.size(), " types, sel_r ", sel_r_.size()));
    for (const auto& sel : {sel_a_, sel_r_})
      for (int s : sel) OP_REQUIRES(context, s >= 0, invalid_argument("sel has a negative entry: ", s));
    OP_REQUIRES(context, rule_.empty() || rule_.size() == 6 * sel_a_.size(),
                invalid_argument("axis_rule has ", rule_.size(), " numbers; six for each of ", sel_a_.size(),
                                 " types are needed, or none"));
    for (size_t k = 0; k < rule_.size(); k += 3)
      OP_REQUIRES(context, (rule_[k] == 0 || rule_[k] == 1) && rule_[k + 2] >= 0,
                  invalid_argument("axis_rule: entry ", k / 3, " is (", rule_[k], ", ", rule_[k + 1], ", ",
                                   rule_[k + 2], "); the first must be 0 or 1, the last not negative"));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor &coord = context->input(0), &type = context->input(1), &natoms = context->input(2),
                 &box = context->input(3), &davg = context->input(5), &dstd = context->input(6);
    OP_REQUIRES(context, natoms.NumElements() >= 3, invalid_argument("natoms needs at least 3 entries"));
    LocalFrame<T> p;
    p.nloc = natoms.flat<int>()(0);
    p.nall = natoms.flat<int>()(1);
    p.ntypes = static_cast<int>(natoms.NumElements()) - 2;
    p.rcut = rcut_;
    p.sel_a = sel_a_;
    p.sel_r = sel_r_;
    p.axis_rule = rule_;
    OP_REQUIRES(
        context, static_cast<int>(sel_a_.size()) == p.ntypes,
        invalid_argument("sel_a has ", sel_a_.size(), " entries, natoms tells of ", p.ntypes, " types"));
    OP_REQUIRES(context, coord.dims() == 2 && type.dims() == 2 && box.dims() == 2,
                invalid_argument("coord, type and box must be matrices (frames first)"));
    p.nf = coord.dim_size(0);
    OP_REQUIRES(context,
                type.dim_size(0) == p.nf && box.dim_size(0) == p.nf && box.dim_size(1) == 9 &&
                    coord.dim_size(1) == 3 * p.nall && type.dim_size(1) == p.nall && p.nloc <= p.nall,
                invalid_argument("shapes do not fit: coord ", coord.shape().DebugString(), ", type ",
                                 type.shape().DebugString(), ", box ", box.shape().DebugString(), " for ",
                                 p.nloc, " local of ", p.nall, " atoms"));
    const int width = p.width();
    for (const Tensor* t : {&davg, &dstd})
      OP_REQUIRES(context, t->dims() == 2 && t->dim_size(0) == p.ntypes && t->dim_size(1) == width,
                  invalid_argument("davg and dstd must be [", p.ntypes, ", ", width, "], got ",
                                   t->shape().DebugString()));
    Mesh mesh;
    OP_REQUIRES_OK(context, mesh.parse(context->input(4), p.nloc, false, true));
    OP_REQUIRES(context, mesh.has_list || mesh.own_ghosts || p.nloc == p.nall,
                invalid_argument("without a neighbor list all ", p.nall, " atoms must be local, natoms says ",
                                 p.nloc));
    p.coord = coord.flat<T>().data();
    p.type = type.flat<int>().data();
    p.box = box.flat<T>().data();
    p.periodic = mesh.periodic;
    p.list = mesh.has_list ? &mesh.list : nullptr;
    p.davg = davg.flat<T>().data();
    p.dstd = dstd.flat<T>().data();
    Tensor *em, *deriv, *rij, *nlist, *axis, *rot_mat;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.nf, p.nloc * width}), &em));
    OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({p.nf, p.nloc * width * 12}), &deriv));
    OP_REQUIRES_OK(context, context->allocate_output(2, TensorShape({p.nf, p.nloc * p.nnei() * 3}), &rij));
    OP_REQUIRES_OK(context, context->allocate_output(3, TensorShape({p.nf, p.nloc * p.nnei()}), &nlist));
    OP_REQUIRES_OK(context, context->allocate_output(4, TensorShape({p.nf, p.nloc * 4}), &axis));
    OP_REQUIRES_OK(context, context->allocate_output(5, TensorShape({p.nf, p.nloc * 9}), &rot_mat));
    LocalFrameOut<T> out;
    out.em = em->flat<T>().data();
    out.deriv = deriv->flat<T>().data();
    out.rij = rij->flat<T>().data();
    out.nlist = nlist->flat<int>().data();
    out.axis = axis->flat<int>().data();
    out.rot_mat = rot_mat->flat<T>().data();
    try {
      sel_overflow_count += local_frame(p, out, intra_op_parallel(context));
    } catch (const std::invalid_argument& e) {
      context->CtxFailure(invalid_argument(e.what()));
    }
  }

 private:
  float rcut_ = 0;
  std::vector<int> sel_a_, sel_r_, rule_;
};

/// Shared by the four ops below: attributes, and the inputs after `first` adjoints.
template <typename T>
class FrameOp : public OpKernel {
 public:
  explicit FrameOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("n_a_sel", &n_angular_));
    OP_REQUIRES_OK(context, context->GetAttr("n_r_sel", &n_radial_));
  }

 protected:
  bool read(OpKernelContext* context, int first, bool has_rij, FrameDeriv<T>* p) const {
    const Tensor &net = context->input(first), &deriv = context->input(first + 1),
                 &axis = context->input(first + 3 + has_rij);
    const Tensor* rij = has_rij ? &context->input(first + 2) : nullptr;
    Slots<T> s;
    if (!read_slots(context, rij, context->input(first + 2 + has_rij), context->input(first + 4 + has_rij),
                    &s))
      return false;
    p->nf = s.nf, p->nloc = s.nloc, p->nall = s.nall;
    p->n_angular = n_angular_, p->n_radial = n_radial_;
    const int64_t rows = s.nf * s.nloc;
    if (context->input(first + 2 + has_rij).NumElements() != rows * p->nnei() ||
        net.NumElements() != rows * p->width() || deriv.NumElements() != rows * p->width() * 12 ||
        axis.NumElements() != rows * 4) {
      context->CtxFailure(invalid_argument("shapes do not fit: net_deriv ", net.shape().DebugString(),
                                           ", in_deriv ", deriv.shape().DebugString(), ", axis ",
                                           axis.shape().DebugString(), " for ", rows, " atoms with ",
                                           n_angular_, " angular and ", n_radial_, " radial neighbors"));
      return false;
    }
    p->net_deriv = net.flat<T>().data();
    p->deriv = deriv.flat<T>().data();
    p->rij = s.rij;
    p->nlist = s.nlist;
    p->axis = axis.flat<int>().data();
    for (int64_t k = 0; k < rows * 2; ++k) {
      const int kind = p->axis[2 * k], place = p->axis[2 * k + 1];
      const int slot = kind ? n_angular_ + place : place;
      if (kind < 0 || kind > 1 || place < 0 || (slot >= p->nnei() && p->nnei() > 0)) {
        context->CtxFailure(invalid_argument("axis names place ", place, " of kind ", kind, "; there are ",
                                             n_angular_, " angular and ", n_radial_, " radial slots"));
        return false;
      }
    }
    return true;
  }

 private:
  int n_angular_ = 0, n_radial_ = 0;
};

template <typename T>
class ForceOp : public FrameOp<T> {
 public:
  using FrameOp<T>::FrameOp;
  void Compute(OpKernelContext* context) override {
    FrameDeriv<T> p;
    if (!this->read(context, 0, false, &p)) return;
    Tensor* force;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.nf, 3 * p.nall}), &force));
    frame_force(p, force->flat<T>().data(), intra_op_parallel(context));
  }
};

template <typename T>
class VirialOp : public FrameOp<T> {
 public:
  using FrameOp<T>::FrameOp;
  void Compute(OpKernelContext* context) override {
    FrameDeriv<T> p;
    if (!this->read(context, 0, true, &p)) return;
    Tensor *virial, *atom_virial;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.nf, 9}), &virial));
    OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({p.nf, 9 * p.nall}), &atom_virial));
    frame_virial(p, virial->flat<T>().data(), atom_virial->flat<T>().data(), intra_op_parallel(context));
  }
};

template <typename T>
class ForceGradOp : public FrameOp<T> {
 public:
  using FrameOp<T>::FrameOp;
  void Compute(OpKernelContext* context) override {
    FrameDeriv<T> p;
    if (!this->read(context, 1, false, &p)) return;
    const int64_t size = context->input(0).NumElements(), atoms = p.nf ? size / (3 * p.nf) : 0;
    OP_REQUIRES(context, size == p.nf * atoms * 3 && (atoms == p.nloc || atoms == p.nall),
                invalid_argument("the adjoint of the force has ", size, " elements for ", p.nf, " frames of ",
                                 p.nall, " atoms"));
    Tensor* out;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(1).shape(), &out));
    frame_force_grad(p, context->input(0).flat<T>().data(), atoms, out->flat<T>().data(),
                     intra_op_parallel(context));
  }
};

template <typename T, bool ATOM>
class VirialGradOp : public FrameOp<T> {
 public:
  using FrameOp<T>::FrameOp;
  void Compute(OpKernelContext* context) override {
    FrameDeriv<T> p;
    if (!this->read(context, 1 + ATOM, true, &p)) return;
    OP_REQUIRES(context, context->input(0).NumElements() == 9 * p.nf,
                invalid_argument("the adjoint of the virial must be [", p.nf, ", 9]"));
    const T* atom = nullptr;
    if constexpr (ATOM) {
      OP_REQUIRES(context, context->input(1).NumElements() == 9 * p.nf * p.nall,
                  invalid_argument("the adjoint of atom_virial must be [", p.nf, ", ", 9 * p.nall, "]"));
      atom = context->input(1).flat<T>().data();
    }
    Tensor* out;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(1 + ATOM).shape(), &out));
    frame_virial_grad(p, context->input(0).flat<T>().data(), atom, out->flat<T>().data(),
                      intra_op_parallel(context));
  }
};

#define DPTF_KERNELS(T)                                         \
  DPTF_CPU_KERNEL("Descrpt", T, DescrptOp<T>);                  \
  DPTF_CPU_KERNEL("ProdForce", T, ForceOp<T>);                  \
  DPTF_CPU_KERNEL("ProdVirial", T, VirialOp<T>);                \
  DPTF_CPU_KERNEL("ProdForceGrad", T, ForceGradOp<T>);          \
  DPTF_CPU_KERNEL("ProdVirialGrad", T, VirialGradOp<T, false>); \
  DPTF_CPU_KERNEL("DptfFrameVirialGrad", T, VirialGradOp<T, true>)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf

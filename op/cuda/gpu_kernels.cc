// GPU kernels of the Tabulate, force and virial ops. Ops without one (neighbor search, fused models) run on
// the CPU; TensorFlow moves what lies between.
#include "dptf/cuda_kernels.h"
#include "force_inputs.h"
#include "tabulate_inputs.h"
#include "xla/stream_executor/stream.h"

namespace dptf {
namespace {

using tensorflow::DEVICE_GPU;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using Kind = TabulateKind;

cuda::Stream stream_of(OpKernelContext* c) {
  return c->op_device_context()->stream()->platform_specific_handle().stream;
}

/// Runs a launch, and makes an exception the status of the op.
template <typename F>
void guarded(OpKernelContext* c, const F& launch) {
  try {
    launch(stream_of(c));
  } catch (const std::exception& e) {
    c->CtxFailure(absl::InternalError(e.what()));
  }
}

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
    guarded(c, [&](cuda::Stream s) { cuda::tabulate(p, out->flat<T>().data(), s); });
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
    const T* dy;
    if (!this->problem(c, -1, &p) || !this->sized(c, kNext, p.n * p.ncomp * p.width, &dy)) return;
    Tensor *dx = nullptr, *dem = nullptr, *dtwo = nullptr;
    OP_REQUIRES_OK(c, c->allocate_output(0, c->input(KIND == Kind::r ? kEm : 2).shape(), &dx));
    if constexpr (KIND != Kind::r) OP_REQUIRES_OK(c, c->allocate_output(1, c->input(kEm).shape(), &dem));
    if constexpr (KIND == Kind::atten) OP_REQUIRES_OK(c, c->allocate_output(2, c->input(4).shape(), &dtwo));
    guarded(c, [&](cuda::Stream s) {
      cuda::tabulate_grad(p, dy, dx->flat<T>().data(), dem ? dem->flat<T>().data() : nullptr,
                          dtwo ? dtwo->flat<T>().data() : nullptr, s);
    });
  }
};

template <typename T, Kind KIND>
class GradGradOp : public TabulateOp<T, KIND> {
 public:
  using TabulateOp<T, KIND>::TabulateOp;
  void Compute(OpKernelContext* c) override {
    constexpr int kNext = TabulateOp<T, KIND>::kNext;
    Tabulate<T> p;
    const T *zx, *zrows = nullptr, *zfactor = nullptr;
    if (!this->problem(c, -1, &p) || !this->sized(c, kNext, p.n * p.slots, &zx)) return;
    if constexpr (KIND != Kind::r)
      if (!this->sized(c, kNext + 1, p.n * p.slots * p.ncomp, &zrows)) return;
    if constexpr (KIND == Kind::atten)
      if (!this->sized(c, kNext + 2, p.n * p.slots * p.width, &zfactor)) return;
    Tensor* out;
    OP_REQUIRES_OK(c, c->allocate_output(0, this->out_shape(c, p), &out));
    guarded(c, [&](cuda::Stream s) {
      cuda::tabulate_grad_grad(p, zx, zrows, zfactor, out->flat<T>().data(), s);
    });
  }
};

template <typename T, int NCOMP>
class ForceOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* c) override {
    EnvDeriv<T> p;
    if (!read_inputs(c, 0, false, NCOMP, &p, false)) return;
    Tensor* force;
    OP_REQUIRES_OK(c, c->allocate_output(0, TensorShape({p.nf, 3 * p.nall}), &force));
    guarded(c, [&](cuda::Stream s) { cuda::env_force(p, force->flat<T>().data(), s); });
  }
};

template <typename T, int NCOMP>
class VirialOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* c) override {
    EnvDeriv<T> p;
    if (!read_inputs(c, 0, true, NCOMP, &p, false)) return;
    Tensor *virial, *atom;
    OP_REQUIRES_OK(c, c->allocate_output(0, TensorShape({p.nf, 9}), &virial));
    OP_REQUIRES_OK(c, c->allocate_output(1, TensorShape({p.nf, 9 * p.nall}), &atom));
    guarded(
        c, [&](cuda::Stream s) { cuda::env_virial(p, virial->flat<T>().data(), atom->flat<T>().data(), s); });
  }
};

template <typename T, int NCOMP>
class ForceGradOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* c) override {
    EnvDeriv<T> p;
    if (!read_inputs(c, 1, false, NCOMP, &p, false)) return;
    const int64_t size = c->input(0).NumElements(), atoms = p.nf ? size / (3 * p.nf) : 0;
    OP_REQUIRES(c, size == p.nf * atoms * 3 && (atoms == p.nloc || atoms == p.nall),
                invalid_argument("the adjoint of the force has ", size, " elements for ", p.nf, " frames of ",
                                 p.nall, " atoms"));
    Tensor* out;
    OP_REQUIRES_OK(c, c->allocate_output(0, c->input(1).shape(), &out));
    guarded(c, [&](cuda::Stream s) {
      cuda::env_force_grad(p, c->input(0).flat<T>().data(), atoms, out->flat<T>().data(), s);
    });
  }
};

template <typename T, int NCOMP>
class VirialGradOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* c) override {
    EnvDeriv<T> p;
    if (!read_inputs(c, 1, true, NCOMP, &p, false)) return;
    OP_REQUIRES(c, c->input(0).NumElements() == 9 * p.nf,
                invalid_argument("the adjoint of the virial must be [", p.nf, ", 9]"));
    Tensor* out;
    OP_REQUIRES_OK(c, c->allocate_output(0, c->input(1).shape(), &out));
    guarded(c, [&](cuda::Stream s) {
      cuda::env_virial_grad<T>(p, c->input(0).flat<T>().data(), nullptr, out->flat<T>().data(), s);
    });
  }
};

// As in the public package: table_info and natoms are read on the host.
#define DPTF_GPU(NAME, T, HOST, ...) \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE_GPU).TypeConstraint<T>("T").HostMemory(HOST), __VA_ARGS__)
#define DPTF_FAMILY(NAME, T, KIND)                         \
  DPTF_GPU(NAME, T, "table_info", ValueOp<T, KIND>);       \
  DPTF_GPU(NAME "Grad", T, "table_info", GradOp<T, KIND>); \
  DPTF_GPU(NAME "GradGrad", T, "table_info", GradGradOp<T, KIND>)
#define DPTF_KERNELS(T)                                           \
  DPTF_FAMILY("TabulateFusion", T, Kind::a);                      \
  DPTF_FAMILY("TabulateFusionSeA", T, Kind::a);                   \
  DPTF_FAMILY("TabulateFusionSeAtten", T, Kind::atten);           \
  DPTF_FAMILY("TabulateFusionSeT", T, Kind::t);                   \
  DPTF_FAMILY("TabulateFusionSeR", T, Kind::r);                   \
  DPTF_GPU("ProdForceSeA", T, "natoms", ForceOp<T, 4>);           \
  DPTF_GPU("ProdForceNorot", T, "natoms", ForceOp<T, 4>);         \
  DPTF_GPU("ProdForceSeR", T, "natoms", ForceOp<T, 1>);           \
  DPTF_GPU("ProdVirialSeA", T, "natoms", VirialOp<T, 4>);         \
  DPTF_GPU("ProdVirialNorot", T, "natoms", VirialOp<T, 4>);       \
  DPTF_GPU("ProdVirialSeR", T, "natoms", VirialOp<T, 1>);         \
  DPTF_GPU("ProdForceSeAGrad", T, "natoms", ForceGradOp<T, 4>);   \
  DPTF_GPU("ProdForceSeRGrad", T, "natoms", ForceGradOp<T, 1>);   \
  DPTF_GPU("ProdVirialSeAGrad", T, "natoms", VirialGradOp<T, 4>); \
  DPTF_GPU("ProdVirialSeRGrad", T, "natoms", VirialGradOp<T, 1>)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf

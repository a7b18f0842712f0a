#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "device.h"
#include "dptf/force_virial.h"

namespace dptf {

/// Reads and checks the inputs that all these ops share; with 3 components there is no in_deriv. `first`
/// counts leading adjoints. Off the host only natoms can be looked at.
template <bool HOST, typename T>
bool read_inputs(OpKernelContext* context, int first, bool has_rij, int ncomp, EnvDeriv<T>* p) {
  const int at = first + (ncomp == 3 ? 1 : 2);  // where rij, or nlist, stands
  const Tensor &net = context->input(first), &deriv = context->input(ncomp == 3 ? first : first + 1),
               &nlist = context->input(at + has_rij), &natoms = context->input(at + 1 + has_rij);
  if (natoms.NumElements() < 3) {
    context->CtxFailure(invalid_argument("natoms needs at least 3 entries"));
    return false;
  }
  p->nloc = natoms.flat<int>()(0);
  p->nall = natoms.flat<int>()(1);
  p->ncomp = ncomp;
  p->nf = net.dims() == 2 ? net.dim_size(0) : 0;
  const int64_t width = p->nloc ? nlist.NumElements() / std::max<int64_t>(1, p->nf * p->nloc) : 0;
  p->nnei = static_cast<int>(width);
  const int64_t slots = p->nf * p->nloc * width;
  bool fits = net.dims() == 2 && nlist.NumElements() == slots && net.NumElements() == slots * ncomp &&
              deriv.NumElements() == slots * ncomp * (ncomp == 3 ? 1 : 3);
  if (has_rij) fits = fits && context->input(at).NumElements() == slots * 3;
  if (!fits) {
    context->CtxFailure(invalid_argument("shapes do not fit: net_deriv ", net.shape().DebugString(),
                                         ", in_deriv ", deriv.shape().DebugString(), ", nlist ",
                                         nlist.shape().DebugString(), " for ", p->nloc, " atoms and ", ncomp,
                                         " components a neighbor"));
    return false;
  }
  p->net_deriv = net.flat<T>().data();
  p->deriv = ncomp == 3 ? nullptr : deriv.flat<T>().data();
  p->rij = has_rij ? context->input(at).flat<T>().data() : nullptr;
  p->nlist = nlist.flat<int>().data();
  const int64_t nall = p->nall;
  for (int64_t k = 0; HOST && k < slots; ++k)
    if (p->nlist[k] >= nall) {
      context->CtxFailure(invalid_argument("nlist names atom ", p->nlist[k], " of ", nall));
      return false;
    }
  return true;
}

/// PARTIAL: only a share of the rows contributes (on the host).
template <typename Device, typename T, int NCOMP, bool PARTIAL = false>
class ForceOp : public OpKernel {
 public:
  explicit ForceOp(OpKernelConstruction* context) : OpKernel(context) {
    if constexpr (PARTIAL) {
      OP_REQUIRES_OK(context, context->GetAttr("parallel", &partial_));
      OP_REQUIRES_OK(context, context->GetAttr("start_frac", &start_));
      OP_REQUIRES_OK(context, context->GetAttr("end_frac", &end_));
    }
  }
  void Compute(OpKernelContext* context) override {
    EnvDeriv<T> p;
    if (!read_inputs<Device::kHost>(context, 0, false, NCOMP, &p)) return;
    Tensor* force;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.nf, 3 * p.nall}), &force));
    std::vector<T> masked;
    if (partial_) {
      // Only the rows [nf a, nf b) of the flattened batch contribute; the parts add up to the whole.
      const int64_t row = static_cast<int64_t>(p.nnei) * NCOMP;
      const int64_t a = p.nf * std::lround(start_ * p.nloc), b = p.nf * std::lround(end_ * p.nloc);
      masked.assign(p.nf * p.nloc * row, T(0));
      std::copy(p.net_deriv + a * row, p.net_deriv + b * row, masked.begin() + a * row);
      p.net_deriv = masked.data();
    }
    Device::run(context, [&](const auto& where) { env_force(p, force->flat<T>().data(), where); });
  }

 private:
  bool partial_ = false;
  float start_ = 0, end_ = 1;
};

template <typename Device, typename T, int NCOMP>
class VirialOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    EnvDeriv<T> p;
    if (!read_inputs<Device::kHost>(context, 0, true, NCOMP, &p)) return;
    Tensor *virial, *atom_virial;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.nf, 9}), &virial));
    OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({p.nf, 9 * p.nall}), &atom_virial));
    Device::run(context, [&](const auto& where) {
      env_virial(p, virial->flat<T>().data(), atom_virial->flat<T>().data(), where);
    });
  }
};

template <typename Device, typename T, int NCOMP>
class ForceGradOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    EnvDeriv<T> p;
    if (!read_inputs<Device::kHost>(context, 1, false, NCOMP, &p)) return;
    const int64_t size = context->input(0).NumElements(), atoms = p.nf ? size / (3 * p.nf) : 0;
    OP_REQUIRES(context, size == p.nf * atoms * 3 && (atoms == p.nloc || atoms == p.nall),
                invalid_argument("the adjoint of the force has ", size, " elements for ", p.nf, " frames of ",
                                 p.nall, " atoms"));
    Tensor* out;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(1).shape(), &out));
    Device::run(context, [&](const auto& where) {
      env_force_grad(p, context->input(0).flat<T>().data(), atoms, out->flat<T>().data(), where);
    });
  }
};

/// ATOM: the adjoint of atom_virial is the second input.
template <typename Device, typename T, int NCOMP, bool ATOM>
class VirialGradOp : public OpKernel {
 public:
  explicit VirialGradOp(OpKernelConstruction* context) : OpKernel(context) {
    if constexpr (ATOM && NCOMP != 3) OP_REQUIRES_OK(context, context->GetAttr("ncomp", &ncomp_));
  }
  void Compute(OpKernelContext* context) override {
    EnvDeriv<T> p;
    if (!read_inputs<Device::kHost>(context, 1 + ATOM, true, ncomp_, &p)) return;
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
    Device::run(context, [&](const auto& where) {
      env_virial_grad(p, context->input(0).flat<T>().data(), atom, out->flat<T>().data(), where);
    });
  }

 private:
  int ncomp_ = NCOMP;
};

}  // namespace dptf

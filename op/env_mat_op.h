#pragma once

#include <memory>
#include <vector>

#include "device.h"
#include "dptf/device_work.h"
#include "dptf/env_mat.h"
#include "mesh.h"
#include "sel_overflow.h"

namespace dptf {

/// Neighbors are found on the host in any case: coord, type, natoms, box and mesh are read there. Elsewhere
/// the rows are filled on the device.
template <typename Device, typename T, EnvRows ROWS, bool MIXED = false>
class ProdEnvMatOp : public OpKernel {
 public:
  explicit ProdEnvMatOp(OpKernelConstruction* context) : OpKernel(context) {
    if constexpr (ROWS == EnvRows::radial) {
      OP_REQUIRES_OK(context, context->GetAttr("rcut", &rcut_));
      OP_REQUIRES_OK(context, context->GetAttr("rcut_smth", &rcut_smth_));
      OP_REQUIRES_OK(context, context->GetAttr("sel", &sel_));
    } else {
      std::vector<int> sel_r;
      OP_REQUIRES_OK(context, context->GetAttr("rcut_r", &rcut_));
      OP_REQUIRES_OK(context, context->GetAttr("rcut_r_smth", &rcut_smth_));
      OP_REQUIRES_OK(context, context->GetAttr("sel_a", &sel_));
      OP_REQUIRES_OK(context, context->GetAttr("sel_r", &sel_r));
      int radial = 0;
      for (int s : sel_r) radial += s;
      OP_REQUIRES(
          context, radial == 0 && sel_r.size() == sel_.size(),
          invalid_argument("sel_r must be zeros, one for each of the ", sel_.size(), " entries of sel_a"));
    }
    for (int s : sel_) OP_REQUIRES(context, s >= 0, invalid_argument("sel has a negative entry: ", s));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor &coord = context->input(0), &type = context->input(1), &natoms = context->input(2),
                 &box = context->input(3), &mesh = context->input(4), &davg = context->input(5 + kField),
                 &dstd = context->input(6 + kField);
    OP_REQUIRES(context, natoms.NumElements() >= 3, invalid_argument("natoms needs at least 3 entries"));
    EnvMat<T> p;
    p.nloc = natoms.flat<int>()(0);
    p.nall = natoms.flat<int>()(1);
    p.ntypes = natoms.NumElements() - 2;
    p.rows = ROWS;
    p.mixed = MIXED;
    p.rcut = rcut_;
    p.rcut_smth = rcut_smth_;
    p.sel = sel_;
    OP_REQUIRES(context, coord.dims() == 2 && type.dims() == 2 && box.dims() == 2,
                invalid_argument("coord, type and box must be matrices (frames first)"));
    p.nf = coord.dim_size(0);
    OP_REQUIRES(context, type.dim_size(0) == p.nf && box.dim_size(0) == p.nf && box.dim_size(1) == 9,
                invalid_argument("coord has ", p.nf, " frames, type ", type.dim_size(0), ", box ",
                                 box.shape().DebugString(), " (9 numbers a frame)"));
    OP_REQUIRES(
        context, coord.dim_size(1) == 3 * p.nall && type.dim_size(1) == p.nall && p.nloc <= p.nall,
        invalid_argument("natoms says ", p.nloc, " local of ", p.nall, " atoms; a frame of coord has ",
                         coord.dim_size(1), " numbers and of type ", type.dim_size(1)));
    const int nnei = p.nnei(), width = nnei * p.ncomp();
    for (const Tensor* t : {&davg, &dstd})
      OP_REQUIRES(context, t->dims() == 2 && t->dim_size(0) == p.ntypes && t->dim_size(1) == width,
                  invalid_argument("davg and dstd must be [", p.ntypes, ", ", width, "], got ",
                                   t->shape().DebugString()));
    Mesh parsed;
    OP_REQUIRES_OK(context, parsed.parse(mesh, p.nloc, MIXED, kField));
    OP_REQUIRES(context, parsed.has_list || parsed.own_ghosts || p.nloc == p.nall,
                invalid_argument("without a neighbor list all ", p.nall, " atoms must be local, natoms says ",
                                 p.nloc));
    p.coord = coord.flat<T>().data();
    p.type = type.flat<int>().data();
    p.box = box.flat<T>().data();
    p.periodic = parsed.periodic;
    p.list = parsed.has_list ? &parsed.list : nullptr;
    p.davg = davg.flat<T>().data();
    p.dstd = dstd.flat<T>().data();

    if constexpr (kField) {
      const Tensor& field = context->input(5);
      OP_REQUIRES(
          context, field.NumElements() == p.nf * p.nloc * 3,
          invalid_argument("ef must be [", p.nf, ", ", p.nloc * 3, "], got ", field.shape().DebugString()));
      p.field = field.flat<T>().data();
    }

    Tensor *em, *deriv, *rij, *nlist;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.nf, p.nloc * width}), &em));
    OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({p.nf, p.nloc * width * 3}), &deriv));
    OP_REQUIRES_OK(context, context->allocate_output(2, TensorShape({p.nf, p.nloc * nnei * 3}), &rij));
    OP_REQUIRES_OK(context, context->allocate_output(3, TensorShape({p.nf, p.nloc * nnei}), &nlist));
    EnvMatOut<T> out;
    out.em = em->flat<T>().data();
    out.deriv = deriv->flat<T>().data();
    out.rij = rij->flat<T>().data();
    out.nlist = nlist->flat<int>().data();
    if constexpr (MIXED) {
      Tensor *ntype, *nmask;
      OP_REQUIRES_OK(context, context->allocate_output(4, TensorShape({p.nf, p.nloc * nnei}), &ntype));
      OP_REQUIRES_OK(context, context->allocate_output(5, TensorShape({p.nf, p.nloc * nnei}), &nmask));
      out.ntype = ntype->flat<int>().data();
      out.nmask = nmask->flat<bool>().data();
    }
    if constexpr (Device::kHost)
      Device::run(context, [&](const auto& where) { sel_overflow_count += env_mat(p, out, where); });
    else
      fill_on_device(context, p, out);
  }

 private:
  static constexpr bool kField = ROWS != EnvRows::angular && ROWS != EnvRows::radial;

  static void fill_on_device(OpKernelContext* context, const EnvMat<T>& p, const EnvMatOut<T>& out) {
    const int64_t rows = p.nf * p.nloc, slots = rows * p.nnei();
    std::vector<T> rij(3 * slots);
    std::vector<int> nlist(slots), ntype(MIXED ? slots : 0), centers(rows);
    const auto nmask = std::make_unique<bool[]>(MIXED ? slots : 0);
    EnvMatOut<T> found;
    found.rij = rij.data();
    found.nlist = nlist.data();
    found.ntype = MIXED ? ntype.data() : nullptr;
    found.nmask = MIXED ? nmask.get() : nullptr;
    OnCpu::run(context,
               [&](const ParallelFor& parallel) { sel_overflow_count += env_mat(p, found, parallel); });
    if (!context->status().ok()) return;
    for (int64_t k = 0; k < rows; ++k) centers[k] = p.type[k / p.nloc * p.nall + k % p.nloc];
    Tensor types;
    OP_REQUIRES_OK(context, context->allocate_temp(tensorflow::DT_INT32, TensorShape({rows}), &types));
    Device::run(context, [&](const auto& where) {
      upload(rij.data(), 3 * slots, out.rij, where);
      upload(nlist.data(), slots, out.nlist, where);
      upload(ntype.data(), static_cast<int64_t>(ntype.size()), out.ntype, where);
      upload(nmask.get(), MIXED ? slots : 0, out.nmask, where);
      upload(centers.data(), rows, types.flat<int>().data(), where);
      EnvSlots<T> s;
      s.nnei = p.nnei();
      s.rs = p.rcut_smth;
      s.rc = p.rcut;
      s.range = static_cast<T>(p.rcut - p.rcut_smth);
      s.type = types.flat<int>().data();
      s.rij = out.rij;
      s.nlist = out.nlist;
      s.davg = p.davg;
      s.dstd = p.dstd;
      env_rows(s, p.ncomp(), rows, out.em, out.deriv, where);
    });
  }

  float rcut_ = 0, rcut_smth_ = 0;
  std::vector<int> sel_;
};

}  // namespace dptf

#pragma once

#include "device.h"
#include "dptf/tabulate.h"

namespace dptf {

/// The forms of the Tabulate ops: SeA (and its old name), SeAtten, SeT, SeR.
enum class TabulateKind { a, atten, t, r };

/// What the kernels of all Tabulate ops share: reading and checking the inputs. Only table_info is looked at;
/// everything else may lie in the memory of a device.
template <typename T, TabulateKind KIND>
class TabulateOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

 protected:
  static constexpr int kEm = KIND == TabulateKind::r ? 2 : 3,
                       kNext = kEm + (KIND == TabulateKind::atten ? 2 : 1);

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
    const int dims = KIND == TabulateKind::r ? 2 : 3;
    if (em.dims() != dims ||
        ((KIND == TabulateKind::a || KIND == TabulateKind::atten) && em.dim_size(2) != 4))
      return fail("em must be [n, nnei",
                  KIND == TabulateKind::t   ? ", nnei"
                  : KIND == TabulateKind::r ? ""
                                            : ", 4",
                  "], it is ", em.shape().DebugString());
    p->width = table.dim_size(1) / 6;
    p->table = table.flat<T>().data();
    p->grid = TableGrid<T>::from_info(info.flat<T>().data(), table.dim_size(0), KIND == TabulateKind::t);
    if (!(p->grid.fine > 0) || !(p->grid.coarse > 0) || !(p->grid.lower <= p->grid.upper))
      return fail("table_info holds strides ", p->grid.fine, ", ", p->grid.coarse, " and range ",
                  p->grid.lower, " to ", p->grid.upper);
    if constexpr (KIND == TabulateKind::r) {
      // No sum over slots: every number is a problem of its own.
      p->n = em.NumElements();
      p->slots = p->ncomp = 1;
      p->x = em.flat<T>().data();
      return true;
    }
    p->n = em.dim_size(0);
    p->slots = KIND == TabulateKind::t ? em.dim_size(1) * em.dim_size(2) : em.dim_size(1);
    p->ncomp = KIND == TabulateKind::t ? 1 : 4;
    p->rows = em.flat<T>().data();
    p->x = c->input(2).template flat<T>().data();
    if (c->input(2).NumElements() != p->n * p->slots)
      return fail("em_x has ", c->input(2).NumElements(), " numbers for em ", em.shape().DebugString());
    if constexpr (KIND == TabulateKind::atten) {
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
    if (KIND == TabulateKind::t) return {p.n, p.width};
    if (KIND == TabulateKind::r) return {em.dim_size(0), em.dim_size(1), p.width};
    return {p.n, 4, p.width};
  }
};

template <typename Device, typename T, TabulateKind KIND>
class TabulateValueOp : public TabulateOp<T, KIND> {
 public:
  explicit TabulateValueOp(OpKernelConstruction* context) : TabulateOp<T, KIND>(context) {
    OP_REQUIRES_OK(context, context->GetAttr("last_layer_size", &width_));
  }
  void Compute(OpKernelContext* c) override {
    Tabulate<T> p;
    if (!this->problem(c, width_, &p)) return;
    Tensor* out;
    OP_REQUIRES_OK(c, c->allocate_output(0, this->out_shape(c, p), &out));
    Device::run(c, [&](const auto& where) { tabulate(p, out->flat<T>().data(), where); });
  }

 private:
  int64_t width_ = 0;
};

template <typename Device, typename T, TabulateKind KIND>
class TabulateGradOp : public TabulateOp<T, KIND> {
 public:
  using TabulateOp<T, KIND>::TabulateOp;
  void Compute(OpKernelContext* c) override {
    constexpr int kNext = TabulateOp<T, KIND>::kNext, kEm = TabulateOp<T, KIND>::kEm;
    Tabulate<T> p;
    if (!this->problem(c, -1, &p)) return;
    const T* dy;
    if (!this->sized(c, kNext, p.n * p.ncomp * p.width, &dy)) return;
    Tensor *dx = nullptr, *dem = nullptr, *dtwo = nullptr;
    if constexpr (KIND == TabulateKind::r) {
      OP_REQUIRES_OK(c, c->allocate_output(0, c->input(kEm).shape(), &dx));
    } else {
      OP_REQUIRES_OK(c, c->allocate_output(0, c->input(2).shape(), &dx));
      OP_REQUIRES_OK(c, c->allocate_output(1, c->input(kEm).shape(), &dem));
    }
    if constexpr (KIND == TabulateKind::atten)
      OP_REQUIRES_OK(c, c->allocate_output(2, c->input(4).shape(), &dtwo));
    Device::run(c, [&](const auto& where) {
      tabulate_grad(p, dy, dx->flat<T>().data(), dem ? dem->flat<T>().data() : nullptr,
                    dtwo ? dtwo->flat<T>().data() : nullptr, where);
    });
  }
};

template <typename Device, typename T, TabulateKind KIND>
class TabulateGradGradOp : public TabulateOp<T, KIND> {
 public:
  using TabulateOp<T, KIND>::TabulateOp;
  void Compute(OpKernelContext* c) override {
    constexpr int kNext = TabulateOp<T, KIND>::kNext;
    Tabulate<T> p;
    if (!this->problem(c, -1, &p)) return;
    const T *zx, *zrows = nullptr, *zfactor = nullptr;
    if (!this->sized(c, kNext, p.n * p.slots, &zx)) return;
    if constexpr (KIND != TabulateKind::r) {
      if (!this->sized(c, kNext + 1, p.n * p.slots * p.ncomp, &zrows)) return;
    }
    if constexpr (KIND == TabulateKind::atten) {
      if (!this->sized(c, kNext + 2, p.n * p.slots * p.width, &zfactor)) return;
    }
    Tensor* out;
    OP_REQUIRES_OK(c, c->allocate_output(0, this->out_shape(c, p), &out));
    Device::run(c, [&](const auto& where) {
      tabulate_grad_grad(p, zx, zrows, zfactor, out->flat<T>().data(), where);
    });
  }
};

}  // namespace dptf

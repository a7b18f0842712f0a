#pragma once

// Linear maps over ragged rows as op kernels; see dptf/ragged_linear.h. Index arrays are read on the host.
#include "device.h"
#include "dptf/ragged_linear.h"

namespace dptf {

/// Whether a [n + 1] array of starts is ascending from 0; its last entry is the number of rows.
inline bool is_partition(const Tensor& start) {
  const auto s = start.flat<int>();
  bool good = s.size() > 0 && s(0) == 0;
  for (int64_t i = 0; good && i + 1 < s.size(); ++i) good = s(i) <= s(i + 1);
  return good;
}

inline bool in_range(const Tensor& index, int64_t n) {
  const int* at = index.flat<int>().data();
  for (int64_t i = 0; i < index.NumElements(); ++i)
    if (at[i] < 0 || at[i] >= n) return false;
  return true;
}

/// The index arrays, inputs 2 to 5.
template <typename Device>
bool ragged_rows(OpKernelContext* context, RaggedRows* p, std::vector<Tensor>* kept) {
  const Tensor &start = context->input(2), &index = context->input(3), &t_start = context->input(4),
               &t_rows = context->input(5);
  bool good = is_partition(start);
  if (good) {
    p->owners = start.NumElements() - 1;
    p->start = start.flat<int>().data();
    p->rows = p->start[p->owners];
    p->n_x = p->rows;
    // With an index there are starts of the transposed rows, even when there are no rows.
    if (t_start.NumElements() > 0) {
      good = is_partition(t_start) && index.NumElements() == p->rows && t_rows.NumElements() == p->rows;
      if (good) {
        p->n_x = t_start.NumElements() - 1;
        p->index = index.flat<int>().data();
        p->t_start = t_start.flat<int>().data();
        p->t_rows = t_rows.flat<int>().data();
        good = p->t_start[p->n_x] == p->rows && in_range(index, p->n_x) && in_range(t_rows, p->rows);
      }
    }
  }
  if (!good) {
    context->CtxFailure(invalid_argument("the ragged index arrays do not fit together"));
    return false;
  }
  const auto there = [&](const int* host, int64_t n) { return Device::index(context, host, n, kept); };
  p->start = there(p->start, p->owners + 1);
  if (p->index) {
    p->index = there(p->index, p->rows);
    p->t_start = there(p->t_start, p->n_x + 1);
    p->t_rows = there(p->t_rows, p->rows);
  }
  return context->status().ok();
}

inline bool fits(OpKernelContext* context, int input, std::initializer_list<int64_t> shape) {
  const Tensor& t = context->input(input);
  if (t.shape() == TensorShape(shape)) return true;
  context->CtxFailure(invalid_argument("input ", input, " has shape ", t.shape().DebugString(), ", expected ",
                                       TensorShape(shape).DebugString()));
  return false;
}

template <typename Device, typename T>
class MomentsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    RaggedRows p;
    std::vector<Tensor> kept;
    if (!ragged_rows<Device>(context, &p, &kept)) return;
    p.width = context->input(1).dims() == 2 ? context->input(1).dim_size(1) : 0;
    if (!fits(context, 0, {p.rows, 3}) || !fits(context, 1, {p.n_x, p.width})) return;
    Tensor* h;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.owners, 3, p.width}), &h));
    Device::run(context, [&](const auto& where) {
      moments(p, context->input(0).flat<T>().data(), context->input(1).flat<T>().data(), h->flat<T>().data(),
              where);
    });
  }
};

template <typename Device, typename T>
class MomentsToXOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    RaggedRows p;
    std::vector<Tensor> kept;
    if (!ragged_rows<Device>(context, &p, &kept)) return;
    p.width = context->input(1).dims() == 3 ? context->input(1).dim_size(2) : 0;
    if (!fits(context, 0, {p.rows, 3}) || !fits(context, 1, {p.owners, 3, p.width})) return;
    Tensor* x;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.n_x, p.width}), &x));
    Device::run(context, [&](const auto& where) {
      moments_to_x(p, context->input(0).flat<T>().data(), context->input(1).flat<T>().data(),
                   x->flat<T>().data(), where);
    });
  }
};

template <typename Device, typename T>
class MomentsToWOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    RaggedRows p;
    std::vector<Tensor> kept;
    if (!ragged_rows<Device>(context, &p, &kept)) return;
    p.width = context->input(0).dims() == 3 ? context->input(0).dim_size(2) : 0;
    if (!fits(context, 0, {p.owners, 3, p.width}) || !fits(context, 1, {p.n_x, p.width})) return;
    Tensor* w;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.rows, 3}), &w));
    Device::run(context, [&](const auto& where) {
      moments_to_w(p, context->input(0).flat<T>().data(), context->input(1).flat<T>().data(),
                   w->flat<T>().data(), where);
    });
  }
};

// What the functions for GPUs of these names get.
template <typename T>
void sum_rows(int64_t owners, int64_t, int64_t width, const int* start, const T* x, T* y,
              const ParallelFor& parallel) {
  segment_sum(owners, width, start, x, y, parallel);
}
template <typename T>
void spread_rows(int64_t owners, int64_t, int64_t width, const int* start, const T* x, T* y,
                 const ParallelFor& parallel) {
  spread(owners, width, start, x, y, parallel);
}
template <typename T>
void pair_products(const PairGroups& p, int64_t, const T* u, const T* v, T* out,
                   const ParallelFor& parallel) {
  pair_dot(p.groups, p.start, u, v, out, parallel);
}
template <typename T>
void pair_sums(const PairGroups& p, int64_t, const T* g, const T* v, bool right, T* out,
               const ParallelFor& parallel) {
  pair_apply(p.groups, p.start, g, v, right, out, parallel);
}

template <typename Device, typename T, bool SUM>
class SpreadOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor &x = context->input(0), &start = context->input(1);
    OP_REQUIRES(context, x.dims() == 2 && is_partition(start),
                invalid_argument("start does not partition the rows"));
    const int64_t owners = start.NumElements() - 1, rows = start.flat<int>()(owners), width = x.dim_size(1);
    OP_REQUIRES(context, x.dim_size(0) == (SUM ? rows : owners),
                invalid_argument("there are ", x.dim_size(0), " rows, expected ", SUM ? rows : owners));
    Tensor* y;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({SUM ? owners : rows, width}), &y));
    std::vector<Tensor> kept;
    const int* at = Device::index(context, start.flat<int>().data(), owners + 1, &kept);
    if (!context->status().ok()) return;
    Device::run(context, [&](const auto& where) {
      if (SUM)
        sum_rows(owners, rows, width, at, x.flat<T>().data(), y->flat<T>().data(), where);
      else
        spread_rows(owners, rows, width, at, x.flat<T>().data(), y->flat<T>().data(), where);
    });
  }
};

/// What moves between rows of x at an index and rows of another array; false after the context has failed.
template <typename Device, typename T>
bool row_copy(OpKernelContext* context, const Tensor& index, int64_t n_x, int64_t x_width, int64_t columns,
              RowCopy<T>* p, std::vector<Tensor>* kept) {
  p->n = index.NumElements();
  p->n_x = n_x, p->x_width = x_width, p->columns = columns;
  p->at = Device::index(context, index.flat<int>().data(), p->n, kept);
  return context->status().ok();
}

template <typename Device, typename T>
class TakeRowsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor &x = context->input(0), &index = context->input(1);
    OP_REQUIRES(context, x.dims() == 2 && in_range(index, x.dim_size(0)), invalid_argument("index leaves x"));
    const int64_t n = index.NumElements(), width = x.dim_size(1);
    Tensor* y;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({n, width}), &y));
    RowCopy<T> p;
    std::vector<Tensor> kept;
    if (!row_copy<Device>(context, index, x.dim_size(0), width, width, &p, &kept)) return;
    p.x = x.flat<T>().data(), p.y = y->flat<T>().data();
    Device::run(context, [&](const auto& where) { take_rows(p, where); });
  }
};

template <typename Device, typename T>
class PutRowsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor &y = context->input(0), &index = context->input(1);
    OP_REQUIRES(context, context->input(2).NumElements() == 1, invalid_argument("rows is one number"));
    const int64_t n = index.NumElements(), rows = context->input(2).flat<int>()(0);
    OP_REQUIRES(context, y.dims() == 2 && y.dim_size(0) == n && rows >= 0 && in_range(index, rows),
                invalid_argument("index leaves x, or does not fit y"));
    const int64_t width = y.dim_size(1);
    Tensor* x;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({rows, width}), &x));
    RowCopy<T> p;
    std::vector<Tensor> kept;
    if (!row_copy<Device>(context, index, rows, width, width, &p, &kept)) return;
    p.y = const_cast<T*>(y.flat<T>().data());
    Device::run(context, [&](const auto& where) { put_rows(p, x->flat<T>().data(), where); });
  }
};

template <typename Device, typename T>
class ShareRowsOp : public OpKernel {
 public:
  explicit ShareRowsOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("columns", &columns_));
  }
  void Compute(OpKernelContext* context) override {
    const Tensor &x = context->input(0), &index = context->input(1);
    OP_REQUIRES(context,
                x.dims() == 2 && in_range(index, x.dim_size(0)) && 0 < columns_ && columns_ <= x.dim_size(1),
                invalid_argument("index or columns leave x"));
    const int64_t n = index.NumElements(), width = x.dim_size(1);
    context->set_output(0, x);
    Tensor* rows;
    OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({n, columns_}), &rows));
    RowCopy<T> p;
    std::vector<Tensor> kept;
    if (!row_copy<Device>(context, index, x.dim_size(0), width, columns_, &p, &kept)) return;
    p.x = x.flat<T>().data(), p.y = rows->flat<T>().data();
    Device::run(context, [&](const auto& where) { take_rows(p, where); });
  }

 private:
  int64_t columns_ = 0;
};

template <typename Device, typename T>
class AddRowsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor &x = context->input(0), &y = context->input(1), &index = context->input(2);
    const int64_t n = index.NumElements();
    OP_REQUIRES(context,
                x.dims() == 2 && y.dims() == 2 && y.dim_size(0) == n && y.dim_size(1) <= x.dim_size(1) &&
                    in_range(index, x.dim_size(0)),
                invalid_argument("index leaves x, or y does not fit"));
    const int64_t width = x.dim_size(1), columns = y.dim_size(1);
    Tensor* sum;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({0}, 0, x.shape(), &sum));
    RowCopy<T> p;
    std::vector<Tensor> kept;
    if (!row_copy<Device>(context, index, x.dim_size(0), width, columns, &p, &kept)) return;
    p.x = x.flat<T>().data(), p.y = const_cast<T*>(y.flat<T>().data());
    Device::run(context, [&](const auto& where) { add_rows(p, sum->flat<T>().data(), where); });
  }
};

/// Groups of rows with the number of their first pair; false after the context has failed.
template <typename Device>
bool pair_groups(OpKernelContext* context, const Tensor& start, PairGroups* p, std::vector<int64_t>* first,
                 std::vector<Tensor>* kept) {
  const int* s = start.flat<int>().data();
  p->groups = start.NumElements() - 1;
  first->assign(p->groups + 1, 0);
  for (int64_t g = 0; g < p->groups; ++g) {
    const int64_t n = s[g + 1] - s[g];
    (*first)[g + 1] = (*first)[g] + n * n;
  }
  p->start = Device::index(context, s, p->groups + 1, kept);
  p->first = Device::index(context, first->data(), p->groups + 1, kept);
  return context->status().ok();
}

template <typename Device, typename T>
class PairDotOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor& start = context->input(2);
    OP_REQUIRES(context, is_partition(start), invalid_argument("start does not partition the rows"));
    const int64_t rows = start.flat<int>()(start.NumElements() - 1);
    PairGroups p;
    std::vector<int64_t> first;
    std::vector<Tensor> kept;
    if (!pair_groups<Device>(context, start, &p, &first, &kept)) return;
    if (!fits(context, 0, {rows, 3}) || !fits(context, 1, {rows, 3})) return;
    Tensor* g;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({first.back()}), &g));
    Device::run(context, [&](const auto& where) {
      pair_products(p, rows, context->input(0).flat<T>().data(), context->input(1).flat<T>().data(),
                    g->flat<T>().data(), where);
    });
  }
};

template <typename Device, typename T>
class PairApplyOp : public OpKernel {
 public:
  explicit PairApplyOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("right", &right_));
  }
  void Compute(OpKernelContext* context) override {
    const Tensor& start = context->input(2);
    OP_REQUIRES(context, is_partition(start), invalid_argument("start does not partition the rows"));
    const int64_t rows = start.flat<int>()(start.NumElements() - 1);
    PairGroups p;
    std::vector<int64_t> first;
    std::vector<Tensor> kept;
    if (!pair_groups<Device>(context, start, &p, &first, &kept)) return;
    if (!fits(context, 0, {first.back()}) || !fits(context, 1, {rows, 3})) return;
    Tensor* u;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({rows, 3}), &u));
    Device::run(context, [&](const auto& where) {
      pair_sums(p, rows, context->input(0).flat<T>().data(), context->input(1).flat<T>().data(), right_,
                u->flat<T>().data(), where);
    });
  }

 private:
  bool right_ = false;
};

}  // namespace dptf

// Which row of a table of atom features belongs to a neighbor; see dptf/list_extras.h for ghosts.
#include <algorithm>
#include <limits>
#include <vector>

#include "mesh.h"
#include "op_utils.h"

namespace dptf {
namespace {

// nlist [nf * nloc, nnei] with indices of atoms (of their owners where the list op made the list itself), -1
// in empty slots. rows: the same shape, rows of the table that DptfHalo makes of the features of all frames;
// 0 in empty slots.
REGISTER_OP("DptfNeighborRows")
    .Input("nlist: int32")
    .Input("natoms: int32")
    .Input("mesh: int32")
    .Output("rows: int32")
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* c) {
      c->set_output(0, c->input(0));
      return absl::OkStatus();
    });

// The neighbors that there are, one after the other. at: their places in nlist, where a row of it has
// `stride` places; start [nf * nloc + 1]: the first one of every atom; center and row: rows of the atoms and,
// as above, of the neighbors; in_start, in_edge: neighbors by their row in the table.
REGISTER_OP("DptfFilledSlots")
    .Input("nlist: int32")
    .Input("natoms: int32")
    .Input("mesh: int32")
    .Attr("stride: int")
    .Output("at: int32")
    .Output("start: int32")
    .Output("center: int32")
    .Output("row: int32")
    .Output("in_start: int32")
    .Output("in_edge: int32")
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* c) {
      for (int i = 0; i < 6; ++i) c->set_output(i, c->Vector(InferenceContext::kUnknownDim));
      return absl::OkStatus();
    });

/// Rows of the table for the atoms of a list.
class TableRows {
 public:
  /// False after the context has failed.
  bool read(OpKernelContext* context) {
    const Tensor &nlist = context->input(0), &natoms = context->input(1);
    if (natoms.NumElements() < 2 || nlist.dims() != 2)
      return fail(context, "nlist must be a matrix and natoms have at least 2 entries");
    nloc_ = natoms.flat<int>()(0), nall_ = natoms.flat<int>()(1);
    const absl::Status status = mesh_.parse(context->input(2), nloc_, true);
    if (!status.ok()) {
      context->CtxFailure(status);
      return false;
    }
    const bool own_rows = mesh_.ghost_rows();
    height_ = own_rows ? nall_ : nloc_;
    owner_ = own_rows || !mesh_.has_list || nall_ == nloc_ ? nullptr : mesh_.mapping;
    if (!own_rows && mesh_.has_list && nall_ != nloc_ && !(owner_ && mesh_.nmapping >= nall_))
      return fail(
          context,
          "a message-passing model needs to know which atom every ghost is an image of: give the mapping "
          "with the neighbor list (InputNlist::set_mapping)");
    return true;
  }
  /// Rows of the table for one frame.
  int64_t height() const { return height_; }
  int64_t nloc() const { return nloc_; }
  /// Row of neighbor j of an atom (>= 0) of a frame; -1 after the context has failed.
  int row(OpKernelContext* context, int64_t frame, int j) const {
    if (j >= nall_) {
      fail(context, absl::StrCat("nlist names atom ", j, " of ", nall_));
      return -1;
    }
    if (owner_) j = owner_[j];
    if (j >= height_) {
      fail(context, absl::StrCat("the mapping gives atom ", j, " as the owner of a ghost; there are ", nloc_,
                                 " local atoms (a ghost of another process?)"));
      return -1;
    }
    return static_cast<int>(j + frame * height_);
  }

 private:
  static bool fail(OpKernelContext* context, const std::string& text) {
    context->CtxFailure(invalid_argument(text));
    return false;
  }
  Mesh mesh_;
  const int* owner_ = nullptr;
  int64_t nloc_ = 0, nall_ = 0, height_ = 0;
};

class NeighborRowsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    TableRows table;
    if (!table.read(context)) return;
    const Tensor& nlist = context->input(0);
    Tensor* rows;
    OP_REQUIRES_OK(context, context->allocate_output(0, nlist.shape(), &rows));
    const auto in = nlist.flat<int>();
    auto out = rows->flat<int>();
    const int64_t frame = table.nloc() * nlist.dim_size(1);
    for (int64_t k = 0; k < in.size(); ++k) {
      out(k) = in(k) < 0 ? 0 : table.row(context, k / frame, in(k));
      if (out(k) < 0) return;
    }
  }
};

class FilledSlotsOp : public OpKernel {
 public:
  explicit FilledSlotsOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("stride", &stride_));
  }
  void Compute(OpKernelContext* context) override {
    TableRows table;
    if (!table.read(context)) return;
    const Tensor& nlist = context->input(0);
    const int64_t n = nlist.dim_size(0), slots = nlist.dim_size(1);
    OP_REQUIRES(context, slots <= stride_ && n * stride_ <= std::numeric_limits<int>::max(),
                invalid_argument(n, " lists of ", slots, " neighbors do not fit a stride of ", stride_));
    const int* in = nlist.flat<int>().data();
    std::vector<int> at, start{0}, center, row;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t k = 0; k < slots; ++k) {
        const int j = in[i * slots + k];
        if (j < 0) continue;
        row.push_back(table.row(context, i / table.nloc(), j));
        if (row.back() < 0) return;
        at.push_back(static_cast<int>(i * stride_ + k));
        center.push_back(static_cast<int>(i));
      }
      start.push_back(static_cast<int>(at.size()));
    }
    const int64_t height = table.nloc() > 0 ? n / table.nloc() * table.height() : 0;
    std::vector<int> in_start(height + 1, 0), in_edge(row.size());
    for (int r : row) ++in_start[r + 1];
    for (int64_t r = 0; r < height; ++r) in_start[r + 1] += in_start[r];
    std::vector<int> next(in_start.begin(), in_start.end() - 1);
    for (size_t e = 0; e < row.size(); ++e) in_edge[next[row[e]]++] = static_cast<int>(e);
    const std::vector<int>* arrays[] = {&at, &start, &center, &row, &in_start, &in_edge};
    for (int i = 0; i < 6; ++i) {
      Tensor* out;
      OP_REQUIRES_OK(
          context, context->allocate_output(i, TensorShape({static_cast<int64_t>(arrays[i]->size())}), &out));
      std::copy(arrays[i]->begin(), arrays[i]->end(), out->flat<int>().data());
    }
  }

 private:
  int64_t stride_ = 0;
};

REGISTER_KERNEL_BUILDER(Name("DptfNeighborRows").Device(DEVICE_CPU), NeighborRowsOp);
REGISTER_KERNEL_BUILDER(Name("DptfFilledSlots").Device(DEVICE_CPU), FilledSlotsOp);

}  // namespace
}  // namespace dptf

// Which row of a table of atom features belongs to a neighbor; see dptf/list_extras.h for ghosts.
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

class NeighborRowsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor &nlist = context->input(0), &natoms = context->input(1);
    OP_REQUIRES(context, natoms.NumElements() >= 2 && nlist.dims() == 2,
                invalid_argument("nlist must be a matrix and natoms have at least 2 entries"));
    const int64_t nloc = natoms.flat<int>()(0), nall = natoms.flat<int>()(1);
    Mesh mesh;
    OP_REQUIRES_OK(context, mesh.parse(context->input(2), nloc, true));
    const bool own_rows = mesh.ghost_rows();
    const int64_t height = own_rows ? nall : nloc;  // rows of the table for one frame
    const int* owner = own_rows || !mesh.has_list || nall == nloc ? nullptr : mesh.mapping;
    OP_REQUIRES(
        context, own_rows || !mesh.has_list || nall == nloc || (owner && mesh.nmapping >= nall),
        invalid_argument(
            "a message-passing model needs to know which atom every ghost is an image of: give the mapping "
            "with the neighbor list (InputNlist::set_mapping)"));
    Tensor* rows;
    OP_REQUIRES_OK(context, context->allocate_output(0, nlist.shape(), &rows));
    const auto in = nlist.flat<int>();
    auto out = rows->flat<int>();
    const int64_t frame = nloc * nlist.dim_size(1);
    for (int64_t k = 0; k < in.size(); ++k) {
      int j = in(k);
      OP_REQUIRES(context, j < nall, invalid_argument("nlist names atom ", j, " of ", nall));
      if (j >= 0 && owner) j = owner[j];
      OP_REQUIRES(context, j < height,
                  invalid_argument("the mapping gives atom ", j, " as the owner of a ghost; there are ", nloc,
                                   " local atoms (a ghost of another process?)"));
      out(k) = j < 0 ? 0 : static_cast<int>(j + k / frame * height);
    }
  }
};

REGISTER_KERNEL_BUILDER(Name("DptfNeighborRows").Device(DEVICE_CPU), NeighborRowsOp);

}  // namespace
}  // namespace dptf

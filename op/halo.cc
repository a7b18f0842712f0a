// Exchange of the features of atoms with the processes that own the ghosts; see dptf/list_extras.h.
#include <vector>

#include "mesh.h"
#include "op_utils.h"

namespace dptf {
namespace {

absl::Status matrix(InferenceContext* c) {
  auto width = c->RankKnown(c->input(0)) ? c->Dim(c->input(0), 1) : c->UnknownDim();
  c->set_output(0, c->Matrix(c->UnknownDim(), width));
  return absl::OkStatus();
}

// With one process x itself. With several: rows of the local atoms, then those of the ghosts from their
// owners.
REGISTER_OP("DptfHalo")
    .Attr("T: {float, double} = DT_DOUBLE")
    .Input("x: T")
    .Input("natoms: int32")
    .Input("mesh: int32")
    .Output("y: T")
    .SetIsStateful()
    .SetShapeFn(matrix);
// Its adjoint: rows of ghosts are added to those of their owners.
REGISTER_OP("DptfHaloGrad")
    .Attr("T: {float, double} = DT_DOUBLE")
    .Input("g: T")
    .Input("natoms: int32")
    .Input("mesh: int32")
    .Output("dx: T")
    .SetIsStateful()
    .SetShapeFn(matrix);

template <typename T, bool ADJOINT>
class HaloOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor &x = context->input(0), &natoms = context->input(1), &mesh = context->input(2);
    const ListExtras* extras = mesh.NumElements() == 16 ? get_extras(mesh.flat<int>().data()) : nullptr;
    const bool by_value = mesh.NumElements() > 16 && mesh.flat<int>()(1) == kExchangesFed;
    OP_REQUIRES(context, !by_value && !(extras && extras->fed),
                invalid_argument("evaluation in blocks of atoms: the output of ", name(), " has to be fed"));
    if (!extras || !extras->has_exchange()) {
      context->set_output(0, x);
      return;
    }
    OP_REQUIRES(context, x.dims() == 2 && natoms.NumElements() >= 2, invalid_argument("x must be a matrix"));
    const int64_t nloc = natoms.flat<int>()(0), nall = natoms.flat<int>()(1), width = x.dim_size(1);
    OP_REQUIRES(context, x.dim_size(0) == (ADJOINT ? nall : nloc),
                invalid_argument("x has ", x.dim_size(0), " rows, expected ", ADJOINT ? nall : nloc));
    std::vector<double> rows(nall * width, 0.0);
    const T* from = x.flat<T>().data();
    std::copy(from, from + x.NumElements(), rows.begin());
    const auto call = ADJOINT ? extras->reverse : extras->forward;
    OP_REQUIRES(context, call(extras->engine, rows.data(), static_cast<int>(width)) == 0,
                invalid_argument("the exchange of atom features between processes failed"));
    Tensor* y;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({ADJOINT ? nloc : nall, width}), &y));
    std::copy(rows.begin(), rows.begin() + y->NumElements(), y->flat<T>().data());
  }
};

#define DPTF_KERNELS(T)                                                                                  \
  REGISTER_KERNEL_BUILDER(Name("DptfHalo").Device(DEVICE_CPU).TypeConstraint<T>("T"), HaloOp<T, false>); \
  REGISTER_KERNEL_BUILDER(Name("DptfHaloGrad").Device(DEVICE_CPU).TypeConstraint<T>("T"), HaloOp<T, true>)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf

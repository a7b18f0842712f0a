// DprcPairwiseIdx and ConvertForwardMap: sub-systems of QM/MM frames.
#include "dptf/fragments.h"

#include "op_utils.h"
#include "tensorflow/core/framework/common_shape_fns.h"

namespace dptf {
namespace {

using namespace tensorflow;  // NOLINT: Tensor, OpKernel and their kind

REGISTER_OP("DprcPairwiseIdx")
    .Input("idxs: int32")
    .Input("natoms: int32")
    .Output("forward_qm_map: int32")
    .Output("backward_qm_map: int32")
    .Output("forward_qmmm_map: int32")
    .Output("backward_qmmm_map: int32")
    .Output("natoms_qm: int32")
    .Output("natoms_qmmm: int32")
    .Output("qmmm_frame_idx: int32")
    .SetShapeFn(shape_inference::UnknownShape);
REGISTER_OP("ConvertForwardMap")
    .Input("sub_forward_map: int32")
    .Input("sub_natoms: int32")
    .Input("natoms: int32")
    .Output("forward_map: int32")
    .Output("backward_map: int32")
    .Output("new_natoms: int32")
    .Output("mesh: int32")
    .SetShapeFn(shape_inference::UnknownShape);

absl::Status put(OpKernelContext* context, int k, const TensorShape& shape, const std::vector<int>& values) {
  Tensor* out;
  TF_RETURN_IF_ERROR(context->allocate_output(k, shape, &out));
  std::copy(values.begin(), values.end(), out->flat<int>().data());
  return absl::OkStatus();
}

/// natoms of a frame of sub-systems: (nloc, nall, nloc, 0, ...), as frames of mixed types have it.
absl::Status put_natoms(OpKernelContext* context, int k, int64_t size, int64_t nloc, int64_t nall) {
  std::vector<int> values(size, 0);
  values[0] = values[2] = static_cast<int>(nloc);
  values[1] = static_cast<int>(nall);
  return put(context, k, TensorShape({size}), values);
}

class SplitOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor &ids = context->input(0), &natoms = context->input(1);
    const int64_t size = natoms.NumElements();
    OP_REQUIRES(context, size >= 3, invalid_argument("natoms needs at least 3 entries"));
    const int64_t nloc = natoms.flat<int>()(0), nall = natoms.flat<int>()(1);
    OP_REQUIRES(context, ids.dims() == 2 && ids.dim_size(1) == nall && nloc <= nall,
                invalid_argument("idxs must be a matrix with ", nall, " entries a frame, got ",
                                 ids.shape().DebugString()));
    FragmentMaps core, pairs;
    split_fragments(ids.dim_size(0), nloc, nall, ids.flat<int>().data(), &core, &pairs);
    OP_REQUIRES_OK(context, put(context, 0, TensorShape({core.rows, core.width}), core.forward));
    OP_REQUIRES_OK(context, put(context, 1, TensorShape({core.rows, nall}), core.backward));
    OP_REQUIRES_OK(context, put(context, 2, TensorShape({pairs.rows, pairs.width}), pairs.forward));
    OP_REQUIRES_OK(context, put(context, 3, TensorShape({pairs.rows, nall}), pairs.backward));
    OP_REQUIRES_OK(context, put_natoms(context, 4, size, core.nloc, core.width));
    OP_REQUIRES_OK(context, put_natoms(context, 5, size, pairs.nloc, pairs.width));
    OP_REQUIRES_OK(context, put(context, 6, TensorShape({pairs.rows}), pairs.frame));
  }
};

class MergeOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor &forward = context->input(0), &sub = context->input(1), &natoms = context->input(2);
    const int64_t size = natoms.NumElements();
    OP_REQUIRES(context, size >= 3 && sub.NumElements() >= 3,
                invalid_argument("natoms needs at least 3 entries"));
    OP_REQUIRES(context, forward.dims() == 2, invalid_argument("sub_forward_map must be a matrix"));
    const int64_t nall = natoms.flat<int>()(1);
    try {
      const MergedFrame merged = merge_rows(forward.dim_size(0), forward.dim_size(1), sub.flat<int>()(0),
                                            nall, forward.flat<int>().data());
      OP_REQUIRES_OK(context, put(context, 0, TensorShape({1, merged.nall}), merged.forward));
      OP_REQUIRES_OK(context, put(context, 1, TensorShape({forward.dim_size(0), nall}), merged.backward));
      OP_REQUIRES_OK(context, put_natoms(context, 2, size, merged.nloc, merged.nall));
      OP_REQUIRES_OK(context,
                     put(context, 3, TensorShape({static_cast<int64_t>(merged.mesh.size())}), merged.mesh));
    } catch (const std::invalid_argument& e) {
      context->CtxFailure(invalid_argument(e.what()));
    }
  }
};

REGISTER_KERNEL_BUILDER(Name("DprcPairwiseIdx").Device(DEVICE_CPU), SplitOp);
REGISTER_KERNEL_BUILDER(Name("ConvertForwardMap").Device(DEVICE_CPU), MergeOp);

}  // namespace
}  // namespace dptf

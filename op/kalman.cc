// Measurements of the block Kalman filter that trains small nets.
#include "dptf/kalman.h"

#include "op_utils.h"

namespace dptf {
namespace {

// derivative: [m, weights], error: [m]. The covariance is a variable that is changed in place: a copy of it
// would not fit into memory twice.
REGISTER_OP("DptfKalmanMeasure")
    .Input("covariance: Ref(double)")
    .Input("derivative: double")
    .Input("error: double")
    .Input("forget: double")
    .Attr("blocks: list(int)")
    .Output("step: double")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      tensorflow::shape_inference::ShapeHandle rows;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 2, &rows));
      c->set_output(0, c->Vector(c->Dim(rows, 1)));
      return absl::OkStatus();
    });

class KalmanMeasureOp : public OpKernel {
 public:
  explicit KalmanMeasureOp(OpKernelConstruction* c) : OpKernel(c), blocks_({}) {
    std::vector<int64_t> sizes;
    OP_REQUIRES_OK(c, c->GetAttr("blocks", &sizes));
    for (int64_t n : sizes) OP_REQUIRES(c, n > 0, invalid_argument("blocks must be positive"));
    blocks_ = KalmanBlocks(sizes);
  }

  void Compute(OpKernelContext* c) override {
    Tensor covariance = c->mutable_input(0, /*lock_held=*/false);
    const Tensor &h = c->input(1), &error = c->input(2), &forget = c->input(3);
    OP_REQUIRES(
        c, covariance.NumElements() == blocks_.entry.back() && h.dim_size(1) == blocks_.weight.back(),
        invalid_argument("the blocks hold ", blocks_.weight.back(), " weights and ", blocks_.entry.back(),
                         " covariances, got ", h.dim_size(1), " and ", covariance.NumElements()));
    OP_REQUIRES(c, error.NumElements() == h.dim_size(0) && forget.NumElements() == 1,
                invalid_argument("there is one error for each row of the derivative, and one forget"));
    Tensor* step = nullptr;
    OP_REQUIRES_OK(c, c->allocate_output(0, tensorflow::TensorShape({h.dim_size(1)}), &step));
    try {
      kalman_measure(blocks_, covariance.flat<double>().data(), h.dim_size(0), h.flat<double>().data(),
                     error.flat<double>().data(), forget.flat<double>()(0), step->flat<double>().data(),
                     intra_op_parallel(c));
    } catch (const std::exception& e) {
      c->CtxFailure(invalid_argument(e.what()));
    }
  }

 private:
  KalmanBlocks blocks_;
};

REGISTER_KERNEL_BUILDER(Name("DptfKalmanMeasure").Device(DEVICE_CPU), KalmanMeasureOp);

}  // namespace
}  // namespace dptf

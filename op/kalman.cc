// A measurement of the block Kalman filter that trains small nets.
#include "dptf/kalman.h"

#include "op_utils.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace dptf {
namespace {

using tensorflow::DEVICE_CPU;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::shape_inference::InferenceContext;

// The covariance is a variable that is changed in place: a copy of it would not fit into memory twice.
REGISTER_OP("DptfKalmanMeasure")
    .Input("covariance: Ref(double)")
    .Input("derivative: double")
    .Input("error: double")
    .Input("forget: double")
    .Attr("blocks: list(int)")
    .Output("step: double")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->input(1));
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
        c, covariance.NumElements() == blocks_.entry.back() && h.NumElements() == blocks_.weight.back(),
        invalid_argument("the blocks hold ", blocks_.weight.back(), " weights and ", blocks_.entry.back(),
                         " covariances, got ", h.NumElements(), " and ", covariance.NumElements()));
    OP_REQUIRES(c, error.NumElements() == 1 && forget.NumElements() == 1,
                invalid_argument("error and forget are single numbers"));
    Tensor* step = nullptr;
    OP_REQUIRES_OK(c, c->allocate_output(0, h.shape(), &step));
    kalman_measure(blocks_, covariance.flat<double>().data(), h.flat<double>().data(),
                   error.flat<double>()(0), forget.flat<double>()(0), step->flat<double>().data(),
                   intra_op_parallel(c));
  }

 private:
  KalmanBlocks blocks_;
};

REGISTER_KERNEL_BUILDER(Name("DptfKalmanMeasure").Device(DEVICE_CPU), KalmanMeasureOp);

}  // namespace
}  // namespace dptf

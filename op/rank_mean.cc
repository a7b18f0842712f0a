// Means over the ranks of a parallel run: through memory that they share, or by the MPI of the program.
#include <algorithm>
#include <cstdint>
#include <memory>

#include "dptf/shared_mean.h"
#include "op_utils.h"

namespace dptf {
namespace {

/// MPI_Allreduce and its handles, which are numbers (MPICH and its kin) or pointers (Open MPI, the MPI ABI).
struct Allreduce {
  void* call = nullptr;
  bool pointers = false;
  int64_t communicator = 0, sum = 0, type_float = 0, type_double = 0;
  int ranks = 1;

  int operator()(const void* in, void* out, int n, int64_t type) const {
    if (pointers) {
      const auto handle = [](int64_t h) { return reinterpret_cast<void*>(h); };
      using Call = int(const void*, void*, int, void*, void*, void*);
      return reinterpret_cast<Call*>(call)(in, out, n, handle(type), handle(sum), handle(communicator));
    }
    using Call = int(const void*, void*, int, int, int, int);
    return reinterpret_cast<Call*>(call)(in, out, n, static_cast<int>(type), static_cast<int>(sum),
                                         static_cast<int>(communicator));
  }
};

Allreduce allreduce;
std::unique_ptr<SharedMean> shared_mean;

// One op for all arrays of a step: two could meet in another order on another rank.
REGISTER_OP("DptfRankMean")
    .Input("arrays: T")
    .Output("means: T")
    .Attr("T: list({float, double})")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      for (int k = 0; k < c->num_inputs(); ++k) c->set_output(k, c->input(k));
      return absl::OkStatus();
    });

class RankMeanOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    OP_REQUIRES(context, allreduce.call, invalid_argument("no communicator of ranks was set"));
    for (int k = 0; k < context->num_inputs(); ++k) {
      Tensor* mean = nullptr;
      OP_REQUIRES_OK(context, context->allocate_output(k, context->input(k).shape(), &mean));
      const int code = context->input(k).dtype() == tensorflow::DT_FLOAT
                           ? reduce<float>(context->input(k), mean, allreduce.type_float)
                           : reduce<double>(context->input(k), mean, allreduce.type_double);
      OP_REQUIRES(context, code == 0, absl::InternalError("MPI_Allreduce failed"));
    }
  }

 private:
  template <typename T>
  static int reduce(const Tensor& array, Tensor* mean, int64_t type) {
    // Pieces that stay in the cache between the sum and its division.
    constexpr int64_t kPiece = 1 << 18;
    const T* in = array.flat<T>().data();
    T* out = mean->flat<T>().data();
    if (shared_mean) {
      (*shared_mean)(in, out, array.NumElements());
      return 0;
    }
    const T share = T(1) / allreduce.ranks;
    for (int64_t first = 0; first < array.NumElements(); first += kPiece) {
      const int n = static_cast<int>(std::min(kPiece, array.NumElements() - first));
      if (const int code = allreduce(in + first, out + first, n, type)) return code;
      for (int i = 0; i < n; ++i) out[first + i] *= share;
    }
    return 0;
  }
};

REGISTER_KERNEL_BUILDER(Name("DptfRankMean").Device(DEVICE_CPU), RankMeanOp);

}  // namespace
}  // namespace dptf

/// Let DptfRankMean use memory that all ranks share: the addresses of their areas, none to go back to MPI.
extern "C" __attribute__((visibility("default"))) void dptf_set_shared_areas(int rank, int ranks,
                                                                             const int64_t* areas) {
  std::vector<char*> all(ranks);
  for (int r = 0; r < ranks; ++r) all[r] = reinterpret_cast<char*>(areas[r]);
  dptf::shared_mean = ranks ? std::make_unique<dptf::SharedMean>(rank, std::move(all)) : nullptr;
}

/// Bytes of an area.
extern "C" __attribute__((visibility("default"))) int64_t dptf_shared_area_bytes() {
  return dptf::SharedMean::kAreaBytes;
}

/// Set the MPI that DptfRankMean uses.
extern "C" __attribute__((visibility("default"))) void dptf_set_allreduce(void* call, int pointers, int ranks,
                                                                          int64_t communicator, int64_t sum,
                                                                          int64_t type_float,
                                                                          int64_t type_double) {
  dptf::allreduce = {call, pointers != 0, communicator, sum, type_float, type_double, ranks};
}

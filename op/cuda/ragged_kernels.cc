// The op kernels of DPA-3 that run on GPUs. Lists of edges and angles are made on the CPU, and forces are
// summed up there; index arrays are read and checked there and copied.
#include "activation_op.h"
#include "message_ops.h"
#include "on_gpu.h"
#include "ragged_linear_ops.h"

namespace dptf {
namespace cuda {

template <typename T>
void message_step(const Message<T>& p, T* out, T* y, T*, Stream stream) {
  message(p, out, y, stream);
}

/// Room for the partial sums of weight gradients; null without them, or after the context has failed.
template <typename T>
T* partial_sums(OpKernelContext* context, const Message<T>& p, const MessageGrad<T>& d,
                std::vector<Tensor>* kept) {
  if (!d.weight) return nullptr;
  Tensor room;
  const int64_t size = message_chunks(p) * (p.k + 2) * p.columns();
  const absl::Status status =
      context->allocate_temp(tensorflow::DataTypeToEnum<T>::value, TensorShape({size}), &room);
  if (!status.ok()) {
    context->CtxFailure(status);
    return nullptr;
  }
  kept->push_back(room);
  return room.template flat<T>().data();
}

template <typename T>
void step_grad(OpKernelContext* context, const Message<T>& p, const T* g_out, const T* g_y,
               const MessageGrad<T>& d, const T*, std::vector<Tensor>* kept, Stream stream) {
  T* partial = partial_sums(context, p, d, kept);
  if (context->status().ok()) message_grad(p, g_out, g_y, d, partial, stream);
}

template <typename T>
void step_grad_grad(OpKernelContext* context, const Message<T>& p, const T* g_out, const T* g_y,
                    const MessageTangent<T>& t, const MessageGrad<T>& d, T* dg_out, T* dg_y,
                    std::vector<Tensor>* kept, Stream stream) {
  T* partial = partial_sums(context, p, d, kept);
  if (context->status().ok()) message_grad_grad(p, g_out, g_y, t, d, dg_out, dg_y, partial, stream);
}

}  // namespace cuda

namespace {

#define DPTF_ROWS .HostMemory("start").HostMemory("index").HostMemory("t_start").HostMemory("t_rows")
#define DPTF_NOWHERE
#define DPTF_START .HostMemory("start")
#define DPTF_INDEX .HostMemory("index")
#define DPTF_STEP .HostMemory("start").HostMemory("v").HostMemory("aux1").HostMemory("aux2")
#define DPTF_KERNELS(T)                                                           \
  DPTF_GPU("DptfMoments", T, DPTF_ROWS, MomentsOp<OnGpu, T>);                     \
  DPTF_GPU("DptfMomentsToX", T, DPTF_ROWS, MomentsToXOp<OnGpu, T>);               \
  DPTF_GPU("DptfMomentsToW", T, DPTF_ROWS, MomentsToWOp<OnGpu, T>);               \
  DPTF_GPU("DptfSpread", T, DPTF_START, SpreadOp<OnGpu, T, false>);               \
  DPTF_GPU("DptfSegmentSum", T, DPTF_START, SpreadOp<OnGpu, T, true>);            \
  DPTF_GPU("DptfTakeRows", T, DPTF_INDEX, TakeRowsOp<OnGpu, T>);                  \
  DPTF_GPU("DptfPutRows", T, DPTF_INDEX.HostMemory("rows"), PutRowsOp<OnGpu, T>); \
  DPTF_GPU("DptfShareRows", T, DPTF_INDEX, ShareRowsOp<OnGpu, T>);                \
  DPTF_GPU("DptfAddRows", T, DPTF_INDEX, AddRowsOp<OnGpu, T>);                    \
  DPTF_GPU("DptfPairDot", T, DPTF_START, PairDotOp<OnGpu, T>);                    \
  DPTF_GPU("DptfPairApply", T, DPTF_START, PairApplyOp<OnGpu, T>);                \
  DPTF_GPU("DptfActivation", T, DPTF_NOWHERE, ActivationOp<OnGpu, T>);            \
  DPTF_GPU("DptfMessage", T, DPTF_STEP, MessageOp<OnGpu, T>);                     \
  DPTF_GPU("DptfMessageKeep", T, DPTF_STEP, MessageOp<OnGpu, T>);                 \
  DPTF_GPU("DptfMessageGrad", T, DPTF_STEP, MessageGradOp<OnGpu, T, false>);      \
  DPTF_GPU("DptfMessageKeepGrad", T, DPTF_STEP, MessageGradOp<OnGpu, T, true>);   \
  DPTF_GPU("DptfMessageGradGrad", T, DPTF_STEP, MessageGradGradOp<OnGpu, T>)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf

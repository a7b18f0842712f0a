#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "dptf/parallel.h"
#include "dptf/slots.h"
#include "dptf/thread_team.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace dptf {

using tensorflow::DEVICE_CPU;
using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::OpMutableInputList;
using tensorflow::OpOutputList;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::UnchangedShape;
using tensorflow::shape_inference::UnknownShape;

/// The type attribute of the public ops: graphs before release 1.3 lack it.
#define DPTF_T .Attr("T: {float, double} = DT_DOUBLE")
#define DPTF_CPU_KERNEL(NAME, T, ...) \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE_CPU).TypeConstraint<T>("T"), __VA_ARGS__)

/// Shapes of ops whose outputs are all matrices.
inline absl::Status matrices(InferenceContext* c) {
  for (int i = 0; i < c->num_outputs(); ++i)
    c->set_output(i, c->Matrix(InferenceContext::kUnknownDim, InferenceContext::kUnknownDim));
  return absl::OkStatus();
}

/// An InvalidArgument status whose message is the concatenation of the arguments.
template <typename... Args>
absl::Status invalid_argument(const Args&... args) {
  return absl::InvalidArgumentError(absl::StrCat(args...));
}

/// The loop of an op, on as many threads as the framework has for one.
inline ParallelFor intra_op_parallel(tensorflow::OpKernelContext* context) {
  return team_parallel(context->device()->tensorflow_cpu_worker_threads()->num_threads);
}

/// Reads the neighbor slots that many ops share and checks them; a null rij means that the op has none. False
/// after the context has failed.
template <typename T>
bool read_slots(OpKernelContext* context, const Tensor* rij, const Tensor& nlist, const Tensor& natoms,
                Slots<T>* s) {
  const auto fail = [context](const auto&... words) {
    context->CtxFailure(invalid_argument(words...));
    return false;
  };
  if (natoms.NumElements() < 3) return fail("natoms needs at least 3 entries");
  s->nloc = natoms.flat<int>()(0);
  s->nall = natoms.flat<int>()(1);
  if (s->nloc < 0 || s->nall < s->nloc) return fail("natoms says ", s->nloc, " local of ", s->nall, " atoms");
  if (nlist.dims() != 2) return fail("nlist must be a matrix (frames first)");
  s->nf = nlist.dim_size(0);
  s->nnei = s->nloc ? static_cast<int>(nlist.dim_size(1) / s->nloc) : 0;
  if (nlist.dim_size(1) != s->nloc * s->nnei)
    return fail("a frame of nlist has ", nlist.dim_size(1), " entries, no multiple of ", s->nloc, " atoms");
  if (rij && rij->NumElements() != nlist.NumElements() * 3)
    return fail("rij has ", rij->NumElements(), " numbers for ", nlist.NumElements(), " neighbor slots");
  s->rij = rij ? rij->flat<T>().data() : nullptr;
  s->nlist = nlist.flat<int>().data();
  for (int64_t k = 0; k < nlist.NumElements(); ++k)
    if (s->nlist[k] >= s->nall) return fail("nlist names atom ", s->nlist[k], " of ", s->nall);
  return true;
}

}  // namespace dptf

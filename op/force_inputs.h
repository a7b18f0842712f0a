#pragma once

#include <algorithm>

#include "dptf/force_virial.h"
#include "op_utils.h"

namespace dptf {

/// Reads and checks the inputs that all these ops share; with 3 components there is no in_deriv. `first`
/// counts leading adjoints. Off the host only natoms can be looked at.
template <typename T>
bool read_inputs(tensorflow::OpKernelContext* context, int first, bool has_rij, int ncomp, EnvDeriv<T>* p,
                 bool on_host = true) {
  const int at = first + (ncomp == 3 ? 1 : 2);  // where rij, or nlist, stands
  const tensorflow::Tensor &net = context->input(first),
                           &deriv = context->input(ncomp == 3 ? first : first + 1),
                           &nlist = context->input(at + has_rij), &natoms = context->input(at + 1 + has_rij);
  if (natoms.NumElements() < 3) {
    context->CtxFailure(invalid_argument("natoms needs at least 3 entries"));
    return false;
  }
  p->nloc = natoms.flat<int>()(0);
  p->nall = natoms.flat<int>()(1);
  p->ncomp = ncomp;
  p->nf = net.dims() == 2 ? net.dim_size(0) : 0;
  const int64_t width = p->nloc ? nlist.NumElements() / std::max<int64_t>(1, p->nf * p->nloc) : 0;
  p->nnei = static_cast<int>(width);
  const int64_t slots = p->nf * p->nloc * width;
  bool fits = net.dims() == 2 && nlist.NumElements() == slots && net.NumElements() == slots * ncomp &&
              deriv.NumElements() == slots * ncomp * (ncomp == 3 ? 1 : 3);
  if (has_rij) fits = fits && context->input(at).NumElements() == slots * 3;
  if (!fits) {
    context->CtxFailure(invalid_argument("shapes do not fit: net_deriv ", net.shape().DebugString(),
                                         ", in_deriv ", deriv.shape().DebugString(), ", nlist ",
                                         nlist.shape().DebugString(), " for ", p->nloc, " atoms and ", ncomp,
                                         " components a neighbor"));
    return false;
  }
  p->net_deriv = net.flat<T>().data();
  p->deriv = ncomp == 3 ? nullptr : deriv.flat<T>().data();
  p->rij = has_rij ? context->input(at).flat<T>().data() : nullptr;
  p->nlist = nlist.flat<int>().data();
  const int64_t nall = p->nall;
  for (int64_t k = 0; on_host && k < slots; ++k)
    if (p->nlist[k] >= nall) {
      context->CtxFailure(invalid_argument("nlist names atom ", p->nlist[k], " of ", nall));
      return false;
    }
  return true;
}

}  // namespace dptf

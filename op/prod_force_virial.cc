// Force and virial ops with the public names, and their gradients.
#include "force_ops.h"

namespace dptf {
namespace {

#define DPTF_SEL .Attr("n_a_sel: int").Attr("n_r_sel: int")
#define DPTF_FORCE_IN .Input("net_deriv: T").Input("in_deriv: T").Input("nlist: int32").Input("natoms: int32")
#define DPTF_VIRIAL_IN \
  .Input("net_deriv: T").Input("in_deriv: T").Input("rij: T").Input("nlist: int32").Input("natoms: int32")

REGISTER_OP("ProdForceSeA") DPTF_T DPTF_FORCE_IN DPTF_SEL.Output("force: T").SetShapeFn(matrices);
REGISTER_OP("ProdForceNorot") DPTF_T DPTF_FORCE_IN DPTF_SEL.Output("force: T").SetShapeFn(matrices);
REGISTER_OP("ProdForceSeR") DPTF_T DPTF_FORCE_IN.Output("force: T").SetShapeFn(matrices);
REGISTER_OP("ParallelProdForceSeA")
DPTF_T DPTF_FORCE_IN DPTF_SEL.Attr("parallel: bool = false")
    .Attr("start_frac: float = 0.")
    .Attr("end_frac: float = 1.")
    .Output("force: T")
    .SetShapeFn(matrices);
REGISTER_OP("ProdVirialSeA")
DPTF_T DPTF_VIRIAL_IN DPTF_SEL.Output("virial: T").Output("atom_virial: T").SetShapeFn(matrices);
REGISTER_OP("ProdVirialNorot")
DPTF_T DPTF_VIRIAL_IN DPTF_SEL.Output("virial: T").Output("atom_virial: T").SetShapeFn(matrices);
REGISTER_OP("ProdVirialSeR")
DPTF_T DPTF_VIRIAL_IN.Output("virial: T").Output("atom_virial: T").SetShapeFn(matrices);
REGISTER_OP("ProdForceSeAGrad")
DPTF_T.Input("grad: T") DPTF_FORCE_IN DPTF_SEL.Output("grad_net: T").SetShapeFn(matrices);
REGISTER_OP("ProdForceSeRGrad")
DPTF_T.Input("grad: T") DPTF_FORCE_IN.Output("grad_net: T").SetShapeFn(matrices);
REGISTER_OP("ProdVirialSeAGrad")
DPTF_T.Input("grad: T") DPTF_VIRIAL_IN DPTF_SEL.Output("grad_net: T").SetShapeFn(matrices);
REGISTER_OP("ProdVirialSeRGrad")
DPTF_T.Input("grad: T") DPTF_VIRIAL_IN.Output("grad_net: T").SetShapeFn(matrices);
// The public gradient ops drop the adjoint of atom_virial; this one takes it (second input), for both
// descriptors.
REGISTER_OP("DptfVirialGrad")
DPTF_T.Input("grad: T")
    .Input("grad_atom: T") DPTF_VIRIAL_IN.Attr("ncomp: int")
    .Output("grad_net: T")
    .SetShapeFn(matrices);

// The same with the vectors from center to neighbor as leaves: edge_grad [nf, nloc * nnei * 3] is the
// derivative in them.
#define DPTF_EDGE_IN .Input("edge_grad: T").Input("nlist: int32").Input("natoms: int32")
#define DPTF_EDGE_VIRIAL_IN \
  .Input("edge_grad: T").Input("rij: T").Input("nlist: int32").Input("natoms: int32")
REGISTER_OP("DptfVectorForce") DPTF_T DPTF_EDGE_IN.Output("force: T").SetShapeFn(matrices);
REGISTER_OP("DptfVectorForceGrad")
DPTF_T.Input("grad: T") DPTF_EDGE_IN.Output("grad_edge: T").SetShapeFn(matrices);
REGISTER_OP("DptfVectorVirial")
DPTF_T DPTF_EDGE_VIRIAL_IN.Output("virial: T").Output("atom_virial: T").SetShapeFn(matrices);
REGISTER_OP("DptfVectorVirialGrad")
DPTF_T.Input("grad: T").Input("grad_atom: T") DPTF_EDGE_VIRIAL_IN.Output("grad_edge: T").SetShapeFn(matrices);

#define DPTF_KERNELS(T)                                                      \
  DPTF_CPU_KERNEL("ProdForceSeA", T, ForceOp<OnCpu, T, 4>);                  \
  DPTF_CPU_KERNEL("ProdForceNorot", T, ForceOp<OnCpu, T, 4>);                \
  DPTF_CPU_KERNEL("ProdForceSeR", T, ForceOp<OnCpu, T, 1>);                  \
  DPTF_CPU_KERNEL("ParallelProdForceSeA", T, ForceOp<OnCpu, T, 4, true>);    \
  DPTF_CPU_KERNEL("ProdVirialSeA", T, VirialOp<OnCpu, T, 4>);                \
  DPTF_CPU_KERNEL("ProdVirialNorot", T, VirialOp<OnCpu, T, 4>);              \
  DPTF_CPU_KERNEL("ProdVirialSeR", T, VirialOp<OnCpu, T, 1>);                \
  DPTF_CPU_KERNEL("ProdForceSeAGrad", T, ForceGradOp<OnCpu, T, 4>);          \
  DPTF_CPU_KERNEL("ProdForceSeRGrad", T, ForceGradOp<OnCpu, T, 1>);          \
  DPTF_CPU_KERNEL("ProdVirialSeAGrad", T, VirialGradOp<OnCpu, T, 4, false>); \
  DPTF_CPU_KERNEL("ProdVirialSeRGrad", T, VirialGradOp<OnCpu, T, 1, false>); \
  DPTF_CPU_KERNEL("DptfVirialGrad", T, VirialGradOp<OnCpu, T, 4, true>);     \
  DPTF_CPU_KERNEL("DptfVectorForce", T, ForceOp<OnCpu, T, 3>);               \
  DPTF_CPU_KERNEL("DptfVectorForceGrad", T, ForceGradOp<OnCpu, T, 3>);       \
  DPTF_CPU_KERNEL("DptfVectorVirial", T, VirialOp<OnCpu, T, 3>);             \
  DPTF_CPU_KERNEL("DptfVectorVirialGrad", T, VirialGradOp<OnCpu, T, 3, true>)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf

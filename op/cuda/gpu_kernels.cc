// Registers the op kernels that run on GPUs. Ops without one (neighbor lists of their own, fused models) run
// on the CPU; TensorFlow moves what lies between.
#include "dptf/cuda_kernels.h"
#include "embed_contract_ops.h"
#include "env_mat_op.h"
#include "force_ops.h"
#include "gelu_op.h"
#include "on_gpu.h"
#include "tabulate_ops.h"

namespace dptf {
namespace {

using Kind = TabulateKind;

// As in the public package table_info and natoms are read on the host; so is all that finds neighbors.
#define DPTF_NOWHERE
#define DPTF_NATOMS .HostMemory("natoms")
#define DPTF_TABLE .HostMemory("table_info")
#define DPTF_GRID .HostMemory("x0").HostMemory("h")
#define DPTF_ATOMS \
  .HostMemory("coord").HostMemory("type").HostMemory("natoms").HostMemory("box").HostMemory("mesh")
#define DPTF_TABULATE(NAME, T, KIND)                                    \
  DPTF_GPU(NAME, T, DPTF_TABLE, TabulateValueOp<OnGpu, T, KIND>);       \
  DPTF_GPU(NAME "Grad", T, DPTF_TABLE, TabulateGradOp<OnGpu, T, KIND>); \
  DPTF_GPU(NAME "GradGrad", T, DPTF_TABLE, TabulateGradGradOp<OnGpu, T, KIND>)
#define DPTF_GELU(SUFFIX, T)                                         \
  DPTF_GPU("Gelu" SUFFIX, T, DPTF_NOWHERE, GeluOp<OnGpu, T, 0>);     \
  DPTF_GPU("GeluGrad" SUFFIX, T, DPTF_NOWHERE, GeluOp<OnGpu, T, 1>); \
  DPTF_GPU("GeluGradGrad" SUFFIX, T, DPTF_NOWHERE, GeluOp<OnGpu, T, 2>)
#define DPTF_ENV(NAME, T, ...) DPTF_GPU(NAME, T, DPTF_ATOMS, ProdEnvMatOp<OnGpu, T, __VA_ARGS__>)
#define DPTF_EMBED(NAME, T, OP) DPTF_GPU(NAME, T, DPTF_GRID, OP<OnGpu, T>)
#define DPTF_KERNELS(T)                                                            \
  DPTF_ENV("ProdEnvMatA", T, EnvRows::angular);                                    \
  DPTF_ENV("DescrptSeA", T, EnvRows::angular);                                     \
  DPTF_ENV("DescrptNorot", T, EnvRows::angular);                                   \
  DPTF_ENV("ProdEnvMatR", T, EnvRows::radial);                                     \
  DPTF_ENV("DescrptSeR", T, EnvRows::radial);                                      \
  DPTF_ENV("ProdEnvMatAMix", T, EnvRows::angular, true);                           \
  DPTF_TABULATE("TabulateFusion", T, Kind::a);                                     \
  DPTF_TABULATE("TabulateFusionSeA", T, Kind::a);                                  \
  DPTF_TABULATE("TabulateFusionSeAtten", T, Kind::atten);                          \
  DPTF_TABULATE("TabulateFusionSeT", T, Kind::t);                                  \
  DPTF_TABULATE("TabulateFusionSeR", T, Kind::r);                                  \
  DPTF_GELU("", T);                                                                \
  DPTF_GELU("Custom", T);                                                          \
  DPTF_EMBED("DptfEmbedContract", T, EmbedContractOp);                             \
  DPTF_EMBED("DptfEmbedContractGradEnv", T, EmbedContractGradEnvOp);               \
  DPTF_EMBED("DptfEmbedContractGradNodes", T, EmbedContractGradNodesOp);           \
  DPTF_EMBED("DptfEmbedContractGradGrad", T, EmbedContractGradGradOp);             \
  DPTF_GPU("ProdForceSeA", T, DPTF_NATOMS, ForceOp<OnGpu, T, 4>);                  \
  DPTF_GPU("ProdForceNorot", T, DPTF_NATOMS, ForceOp<OnGpu, T, 4>);                \
  DPTF_GPU("ProdForceSeR", T, DPTF_NATOMS, ForceOp<OnGpu, T, 1>);                  \
  DPTF_GPU("DptfVectorForce", T, DPTF_NATOMS, ForceOp<OnGpu, T, 3>);               \
  DPTF_GPU("ProdVirialSeA", T, DPTF_NATOMS, VirialOp<OnGpu, T, 4>);                \
  DPTF_GPU("ProdVirialNorot", T, DPTF_NATOMS, VirialOp<OnGpu, T, 4>);              \
  DPTF_GPU("ProdVirialSeR", T, DPTF_NATOMS, VirialOp<OnGpu, T, 1>);                \
  DPTF_GPU("DptfVectorVirial", T, DPTF_NATOMS, VirialOp<OnGpu, T, 3>);             \
  DPTF_GPU("ProdForceSeAGrad", T, DPTF_NATOMS, ForceGradOp<OnGpu, T, 4>);          \
  DPTF_GPU("ProdForceSeRGrad", T, DPTF_NATOMS, ForceGradOp<OnGpu, T, 1>);          \
  DPTF_GPU("DptfVectorForceGrad", T, DPTF_NATOMS, ForceGradOp<OnGpu, T, 3>);       \
  DPTF_GPU("ProdVirialSeAGrad", T, DPTF_NATOMS, VirialGradOp<OnGpu, T, 4, false>); \
  DPTF_GPU("ProdVirialSeRGrad", T, DPTF_NATOMS, VirialGradOp<OnGpu, T, 1, false>); \
  DPTF_GPU("DptfVirialGrad", T, DPTF_NATOMS, VirialGradOp<OnGpu, T, 4, true>);     \
  DPTF_GPU("DptfVectorVirialGrad", T, DPTF_NATOMS, VirialGradOp<OnGpu, T, 3, true>)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf

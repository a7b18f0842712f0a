// Environment matrix ops with the public names: ProdEnvMatA, ProdEnvMatR, ProdEnvMatAMix and their older
// aliases.
#include "env_mat_op.h"

namespace dptf {

std::atomic<int64_t> sel_overflow_count{0};

namespace {

#define DPTF_ATOM_INPUTS                  \
  .Attr("T: {float, double} = DT_DOUBLE") \
      .Input("coord: T")                  \
      .Input("type: int32")               \
      .Input("natoms: int32")             \
      .Input("box: T")                    \
      .Input("mesh: int32")
#define DPTF_ENV_INPUTS DPTF_ATOM_INPUTS.Input("davg: T").Input("dstd: T")
#define DPTF_ENV_ATTRS_A          \
  .Attr("rcut_a: float")          \
      .Attr("rcut_r: float")      \
      .Attr("rcut_r_smth: float") \
      .Attr("sel_a: list(int)")   \
      .Attr("sel_r: list(int)")
#define DPTF_ENV_OUTPUTS \
  .Output("descrpt: T").Output("descrpt_deriv: T").Output("rij: T").Output("nlist: int32")

#define DPTF_REGISTER_ENV_A(NAME) \
  REGISTER_OP(NAME) DPTF_ENV_INPUTS DPTF_ENV_ATTRS_A DPTF_ENV_OUTPUTS.SetShapeFn(matrices)
DPTF_REGISTER_ENV_A("ProdEnvMatA");
DPTF_REGISTER_ENV_A("DescrptSeA");
DPTF_REGISTER_ENV_A("DescrptNorot");

#define DPTF_REGISTER_ENV_R(NAME)     \
  REGISTER_OP(NAME)                   \
  DPTF_ENV_INPUTS.Attr("rcut: float") \
      .Attr("rcut_smth: float")       \
      .Attr("sel: list(int)") DPTF_ENV_OUTPUTS.SetShapeFn(matrices)
DPTF_REGISTER_ENV_R("ProdEnvMatR");
DPTF_REGISTER_ENV_R("DescrptSeR");

#define DPTF_REGISTER_ENV_FIELD(NAME)                               \
  REGISTER_OP(NAME)                                                 \
  DPTF_ATOM_INPUTS.Input("ef: T").Input("davg: T").Input("dstd: T") \
      DPTF_ENV_ATTRS_A DPTF_ENV_OUTPUTS.SetShapeFn(matrices)
DPTF_REGISTER_ENV_FIELD("DescrptSeAEf");
DPTF_REGISTER_ENV_FIELD("DescrptSeAEfPara");
DPTF_REGISTER_ENV_FIELD("DescrptSeAEfVert");

REGISTER_OP("ProdEnvMatAMix")
DPTF_ENV_INPUTS DPTF_ENV_ATTRS_A DPTF_ENV_OUTPUTS.Output("ntype: int32")
    .Output("nmask: bool")
    .SetShapeFn(matrices);

#define DPTF_ENV(NAME, T, ...) DPTF_CPU_KERNEL(NAME, T, ProdEnvMatOp<OnCpu, T, __VA_ARGS__>)
#define DPTF_KERNELS(T)                                     \
  DPTF_ENV("ProdEnvMatA", T, EnvRows::angular);             \
  DPTF_ENV("DescrptSeA", T, EnvRows::angular);              \
  DPTF_ENV("DescrptNorot", T, EnvRows::angular);            \
  DPTF_ENV("ProdEnvMatR", T, EnvRows::radial);              \
  DPTF_ENV("DescrptSeR", T, EnvRows::radial);               \
  DPTF_ENV("DescrptSeAEf", T, EnvRows::field);              \
  DPTF_ENV("DescrptSeAEfPara", T, EnvRows::field_parallel); \
  DPTF_ENV("DescrptSeAEfVert", T, EnvRows::field_vertical); \
  DPTF_ENV("ProdEnvMatAMix", T, EnvRows::angular, true)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf

/// Neighbors left out for want of a slot since the last reset.
extern "C" __attribute__((visibility("default"))) int64_t dptf_sel_overflow(int reset) {
  return reset ? dptf::sel_overflow_count.exchange(0) : dptf::sel_overflow_count.load();
}

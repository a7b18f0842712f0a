// Ops of compressed models: contraction with a tabulated embedding net, with the public names.
#include "tabulate_ops.h"

namespace dptf {
namespace {

using Kind = TabulateKind;

// The second gradients have no default type.
#define DPTF_T2 .Attr("T: {float, double}")
#define DPTF_TABLE .Input("table: T").Input("table_info: T")
#define DPTF_EM .Input("em_x: T").Input("em: T")
#define DPTF_TWO .Input("two_embed: T")
#define DPTF_SIZE .Attr("last_layer_size: int")
#define DPTF_SORTED .Attr("is_sorted: bool = true")
#define DPTF_DY .Input("dy: T").Input("descriptor: T")
#define DPTF_END .SetShapeFn(UnknownShape)

#define DPTF_SEA(NAME)                                                                    \
  REGISTER_OP(NAME) DPTF_T DPTF_TABLE DPTF_EM DPTF_SIZE.Output("descriptor: T") DPTF_END; \
  REGISTER_OP(NAME "Grad")                                                                \
  DPTF_T DPTF_TABLE DPTF_EM DPTF_DY.Output("dy_dem_x: T").Output("dy_dem: T") DPTF_END;   \
  REGISTER_OP(NAME "GradGrad")                                                            \
  DPTF_T2 DPTF_TABLE DPTF_EM.Input("dz_dy_dem_x: T").Input("dz_dy_dem: T").Input("descriptor: T")
DPTF_SEA("TabulateFusionSeA").Output("dz_dy: T") DPTF_SORTED DPTF_END;
DPTF_SEA("TabulateFusion").Output("dz_dy: T") DPTF_END;
DPTF_SEA("TabulateFusionSeT").Output("dz_dy: T") DPTF_END;

REGISTER_OP("TabulateFusionSeAtten")
DPTF_T DPTF_TABLE DPTF_EM DPTF_TWO DPTF_SIZE DPTF_SORTED.Output("descriptor: T") DPTF_END;
REGISTER_OP("TabulateFusionSeAttenGrad")
DPTF_T DPTF_TABLE DPTF_EM DPTF_TWO DPTF_DY DPTF_SORTED.Output("dy_dem_x: T")
    .Output("dy_dem: T")
    .Output("dy_dtwo: T") DPTF_END;
REGISTER_OP("TabulateFusionSeAttenGradGrad")
DPTF_T2 DPTF_TABLE DPTF_EM DPTF_TWO.Input("dz_dy_dem_x: T")
    .Input("dz_dy_dem: T")
    .Input("dz_dy_dtwo: T")
    .Input("descriptor: T") DPTF_SORTED.Output("dz_dy: T") DPTF_END;

REGISTER_OP("TabulateFusionSeR") DPTF_T DPTF_TABLE.Input("em: T") DPTF_SIZE.Output("descriptor: T") DPTF_END;
REGISTER_OP("TabulateFusionSeRGrad") DPTF_T DPTF_TABLE.Input("em: T") DPTF_DY.Output("dy_dem: T") DPTF_END;
REGISTER_OP("TabulateFusionSeRGradGrad")
DPTF_T2 DPTF_TABLE.Input("em: T").Input("dz_dy_dem: T").Input("descriptor: T").Output("dz_dy: T") DPTF_END;

#define DPTF_FAMILY(NAME, T, KIND)                                 \
  DPTF_CPU_KERNEL(NAME, T, TabulateValueOp<OnCpu, T, KIND>);       \
  DPTF_CPU_KERNEL(NAME "Grad", T, TabulateGradOp<OnCpu, T, KIND>); \
  DPTF_CPU_KERNEL(NAME "GradGrad", T, TabulateGradGradOp<OnCpu, T, KIND>)
#define DPTF_KERNELS(T)                                 \
  DPTF_FAMILY("TabulateFusion", T, Kind::a);            \
  DPTF_FAMILY("TabulateFusionSeA", T, Kind::a);         \
  DPTF_FAMILY("TabulateFusionSeAtten", T, Kind::atten); \
  DPTF_FAMILY("TabulateFusionSeT", T, Kind::t);         \
  DPTF_FAMILY("TabulateFusionSeR", T, Kind::r)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf

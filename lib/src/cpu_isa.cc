#include "dptf/cpu_isa.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace dptf {
namespace {

CpuIsa detect() {
  CpuIsa best = CpuIsa::baseline;
#ifdef DPTF_HAVE_X86_DISPATCH
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) best = CpuIsa::avx2;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
    best = CpuIsa::avx512;
#endif
  if (const char* wanted = std::getenv("DPTF_ISA")) {
    for (CpuIsa isa : {CpuIsa::baseline, CpuIsa::avx2, CpuIsa::avx512})
      if (!std::strcmp(wanted, cpu_isa_name(isa))) best = std::min(best, isa);
  }
  return best;
}

}  // namespace

CpuIsa cpu_isa() {
  static const CpuIsa isa = detect();
  return isa;
}

const char* cpu_isa_name(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::avx512:
      return "avx512";
    case CpuIsa::avx2:
      return "avx2";
    default:
      return "baseline";
  }
}

}  // namespace dptf

#pragma once

#include "dptf/cpu_isa.h"

/// Calls FUNCTION of the namespace that was compiled for the best instruction set of this machine:
/// DPTF_ISA_CALL(embed_forward(p, begin, end, a)).
#ifdef DPTF_HAVE_X86_DISPATCH
#define DPTF_ISA_CALL(...)             \
  do {                                 \
    switch (::dptf::cpu_isa()) {       \
      case ::dptf::CpuIsa::avx512:     \
        ::dptf::avx512::__VA_ARGS__;   \
        break;                         \
      case ::dptf::CpuIsa::avx2:       \
        ::dptf::avx2::__VA_ARGS__;     \
        break;                         \
      default:                         \
        ::dptf::baseline::__VA_ARGS__; \
    }                                  \
  } while (0)
#else
#define DPTF_ISA_CALL(...) ::dptf::baseline::__VA_ARGS__
#endif

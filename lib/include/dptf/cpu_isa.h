#pragma once

namespace dptf {

/// Instruction sets that the hot kernels are compiled for, in ascending order.
enum class CpuIsa { baseline = 0, avx2 = 1, avx512 = 2 };

/// The best instruction set that was compiled and that this processor has. The environment variable
/// DPTF_ISA (baseline, avx2, avx512) lowers it, for tests and for comparing.
CpuIsa cpu_isa();

const char* cpu_isa_name(CpuIsa isa);

}  // namespace dptf

#pragma once

/// For functions in headers that are compiled once per instruction set: without it the linker may merge the
/// copies and hand AVX-512 code to a processor that lacks it. tests/lib/test_isa_objects.py checks the
/// objects for such symbols.
#define DPTF_INLINE static inline __attribute__((always_inline))
/// The same for members of classes.
#define DPTF_INLINE_MEMBER inline __attribute__((always_inline))

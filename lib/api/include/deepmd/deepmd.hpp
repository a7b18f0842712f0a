#pragma once
/* Header-only C++ interface on top of the C library (link libdeepmd_c only): the classes of the C++ library in namespace
 * deepmd::hpp. Because only C functions cross the library's border, any C++11 compiler and standard library will do. */
#include "hpp/common.hpp"
#include "hpp/deep_pot.hpp"
#include "hpp/deep_spin.hpp"
#include "hpp/deep_tensor.hpp"

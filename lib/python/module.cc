#include <pybind11/pybind11.h>

#include <cstdlib>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "dptf/cpu_isa.h"

namespace py = pybind11;

namespace {

/// Gives back what was freed until now, and keeps memory that is freed from now on for the next step of a
/// loop that asks for the same amounts again and again: giving it back means that the system has to clear
/// every page anew. The environment has the last word.
void keep_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
  if (std::getenv("MALLOC_TRIM_THRESHOLD_") || std::getenv("MALLOC_MMAP_THRESHOLD_")) return;
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the largest that it takes
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}

/// One heap for all threads from now on: large arrays that pass from thread to thread leave fewer gaps.
void one_heap() {
#ifdef __GLIBC__
  if (!std::getenv("MALLOC_ARENA_MAX")) mallopt(M_ARENA_MAX, 1);
#endif
}

}  // namespace

void register_atom_blocks(py::module_& m);
void register_neighbor_stat(py::module_& m);

PYBIND11_MODULE(_kernels, m) {
  m.doc() = "Framework-free kernels of dptf.";
  m.def(
      "cpu_isa", [] { return dptf::cpu_isa_name(dptf::cpu_isa()); },
      "Name of the instruction set that the hot kernels use on this machine.");
  m.def("keep_memory", &keep_memory, "Keep freed memory of this process for the next time (glibc).");
  m.def("one_heap", &one_heap, "One heap for all threads of this process (glibc).");
  register_atom_blocks(m);
  register_neighbor_stat(m);
}

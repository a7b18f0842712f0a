#include <pybind11/pybind11.h>

#include "dptf/cpu_isa.h"

namespace py = pybind11;

void register_neighbor_stat(py::module_& m);

PYBIND11_MODULE(_kernels, m) {
  m.doc() = "Framework-free kernels of dptf.";
  m.def("cpu_isa", [] { return dptf::cpu_isa_name(dptf::cpu_isa()); },
        "Name of the instruction set that the hot kernels use on this machine.");
  register_neighbor_stat(m);
}

#include "dptf/atom_blocks.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <numeric>
#include <stdexcept>

namespace py = pybind11;

namespace {

py::list compact_groups(py::array_t<double, py::array::c_style | py::array::forcecast> coord, int size) {
  if (coord.ndim() != 2 || coord.shape(1) != 3 || size < 1)
    throw std::invalid_argument("compact_groups: coord is (n, 3), size at least 1");
  std::vector<int> atoms(coord.shape(0));
  std::iota(atoms.begin(), atoms.end(), 0);
  py::list groups;
  for (const auto& group : dptf::compact_groups(std::move(atoms), coord.data(), size))
    groups.append(py::array_t<int>(group.size(), group.data()));
  return groups;
}

}  // namespace

void register_atom_blocks(py::module_& m) {
  m.def("compact_groups", &compact_groups, py::arg("coord"), py::arg("size"),
        "Split atoms at coord (n, 3) into groups of at most `size` that are close to each other.");
  m.def("block_cost", &dptf::block_cost, py::arg("exchanges"),
        "About how many times the arithmetic of a whole frame its blocks take with so many exchanges.");
}

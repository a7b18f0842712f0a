#include "dptf/neighbor_stat.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

namespace py = pybind11;

void register_neighbor_stat(py::module_& m) {
  using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;
  using Ints = py::array_t<int, py::array::c_style | py::array::forcecast>;
  m.def(
      "neighbor_stat",
      [](const Doubles& coord, const Ints& type, py::object box, int ntypes, double rcut, bool one_type, int threads) {
        const int64_t nf = type.shape(0), n = type.shape(1);
        if (coord.size() != nf * n * 3) throw py::value_error("coord must be [frames, atoms, 3]");
        Doubles cell;
        if (!box.is_none()) cell = box.cast<Doubles>();
        if (!box.is_none() && cell.size() != nf * 9) throw py::value_error("box must be [frames, 9]");
        dptf::NeighborStat s;
        {
          py::gil_scoped_release release;
          s = dptf::neighbor_stat(coord.data(), type.data(), box.is_none() ? nullptr : cell.data(), nf, n, ntypes, rcut,
                                  one_type, threads);
        }
        return py::make_tuple(s.min_distance, s.max_neighbors, py::make_tuple(s.min_frame, s.min_atom, s.min_other));
      },
      py::arg("coord"), py::arg("type"), py::arg("box"), py::arg("ntypes"), py::arg("rcut"), py::arg("one_type") = false,
      py::arg("threads") = 1,
      "Smallest distance, largest neighbor counts per type and (frame, atom, other) of the smallest distance.");
}

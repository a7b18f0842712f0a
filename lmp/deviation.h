#pragma once
#include <mpi.h>

#include <cstdio>
#include <vector>

#include "lmptype.h"

namespace LAMMPS_NS {

/// Largest, smallest and average of a deviation.
struct Spread {
  double max = 0, min = 0, avg = 0;
};

/// sqrt(mean over models of |F_m(i) - mean F(i)|^2) of the local atoms; divided by (|mean F(i)| + *eps) when
/// eps is given.
std::vector<double> force_deviation(const std::vector<const double*>& forces, int nlocal, const double* eps);

/// Over all atoms of all ranks; the average is arithmetic. Valid on rank 0.
Spread reduce_spread(const std::vector<double>& values, MPI_Comm world);

/// Of the virials per atom (nmodels x 9, row-major); the average is the root of the mean square over the nine
/// components.
Spread virial_deviation(const std::vector<double>& virials, int nmodels, const double* eps);

/// Values of all atoms in the order of their IDs 1..natoms, on rank 0.
std::vector<double> gather_by_tag(const std::vector<double>& values, const tagint* tag, bigint natoms,
                                  MPI_Comm world);

/// Columns of the public file; natoms > 0 adds the column of atomic deviations.
/// With spins there are those of magnetic forces, in the unit of forces, too.
void deviation_header(FILE* file, bigint natoms, bool spin);
void deviation_line(FILE* file, bigint step, const Spread& v, double unit_v, const Spread& f, double unit_f,
                    const std::vector<double>& atomic, const Spread* magnetic);

}  // namespace LAMMPS_NS

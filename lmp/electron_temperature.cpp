#include "electron_temperature.h"

#include <mpi.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "comm.h"
#include "domain.h"
#include "error.h"
#include "fix.h"
#include "modify.h"

namespace LAMMPS_NS {

Fix* ElectronTemperature::fix() const {
  Fix* out = modify->get_fix_by_id(id_);
  if (!out) error->all(FLERR, "pair_style deepmd {}: there is no fix {}", keyword_, id_);
  return out;
}

void ElectronTemperature::check() const {
  const std::string style = fix()->style;
  if (style != "ttm" && style != "ttm/mod")
    error->all(FLERR,
               "pair_style deepmd {}: fix {} has the style {}; electron temperatures are read from fix ttm "
               "and ttm/mod",
               keyword_, id_, style);
}

int ElectronTemperature::group_bit() const { return fix()->groupbit; }

void ElectronTemperature::update() {
  constexpr int kHead = 4;  // three grid sizes and the seed
  // The first process writes; every process calls, as LAMMPS does.
  char* bytes = nullptr;
  size_t length = 0;
  FILE* stream = comm->me == 0 ? open_memstream(&bytes, &length) : nullptr;
  if (comm->me == 0 && !stream) error->one(FLERR, "pair_style deepmd {}: out of memory", keyword_);
  fix()->write_restart(stream);
  int ok = 1;
  if (comm->me == 0) {
    std::fclose(stream);
    int size = 0;
    double head[kHead] = {};
    ok = length >= sizeof size + sizeof head;
    if (ok) {
      std::memcpy(&size, bytes, sizeof size);
      std::memcpy(head, bytes + sizeof size, sizeof head);
      double total = 1;
      for (int d = 0; d < 3; ++d) {
        ok = ok && head[d] >= 1 && head[d] < 1e9 && head[d] == std::floor(head[d]);
        n_[d] = ok ? static_cast<int>(head[d]) : 0;
        total *= head[d];
      }
      ok = ok && static_cast<double>(length) == sizeof size + (kHead + total) * sizeof(double) &&
           static_cast<size_t>(size) == length - sizeof size;
    }
    if (ok) {
      cells_.resize(length / sizeof(double) - kHead);
      std::memcpy(cells_.data(), bytes + sizeof size + sizeof head, cells_.size() * sizeof(double));
    }
    std::free(bytes);
  }
  MPI_Bcast(&ok, 1, MPI_INT, 0, world);
  if (!ok)
    error->all(
        FLERR,
        "pair_style deepmd {}: the state of fix {} is not a grid of electron temperatures in the layout "
        "of LAMMPS 22Jul2025",
        keyword_, id_);
  MPI_Bcast(n_, 3, MPI_INT, 0, world);
  cells_.resize(static_cast<size_t>(n_[0]) * n_[1] * n_[2]);
  MPI_Bcast(cells_.data(), static_cast<int>(cells_.size()), MPI_DOUBLE, 0, world);
}

double ElectronTemperature::at(const double* x) const {
  int cell[3];
  for (int d = 0; d < 3; ++d) {
    const double s = (x[d] - domain->boxlo[d]) / (domain->boxhi[d] - domain->boxlo[d]);
    cell[d] = static_cast<int>(std::floor((s - std::floor(s)) * n_[d])) % n_[d];
  }
  return cells_[(static_cast<size_t>(cell[2]) * n_[1] + cell[1]) * n_[0] + cell[0]];
}

double ElectronTemperature::mean() const {
  double sum = 0;
  size_t filled = 0;
  for (const double t : cells_)
    if (t != 0) {
      sum += t;
      ++filled;
    }
  return filled ? sum / static_cast<double>(filled) : 0;
}

}  // namespace LAMMPS_NS

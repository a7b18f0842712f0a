#include "kspace_dplr.h"

#include <mpi.h>

#include <algorithm>
#include <cmath>

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"

namespace LAMMPS_NS {

namespace {
constexpr double kPi = 3.14159265358979323846;
}

KSpaceDPLR::KSpaceDPLR(LAMMPS* lmp) : KSpace(lmp) {
  // Pair styles look at this flag to see whether they go with the solver.
  pppmflag = 1;
  triclinic_support = 1;
}

void KSpaceDPLR::settings(int narg, char** arg) {
  if (narg != 1) error->all(FLERR, "kspace_style pppm/dplr needs the accuracy: kspace_style pppm/dplr 1e-5");
  accuracy_relative = std::fabs(utils::numeric(FLERR, arg[0], false, lmp));
}

void KSpaceDPLR::init() {
  if (!force->newton_pair) error->all(FLERR, "kspace_style pppm/dplr needs newton on");
  if (!atom->q_flag) error->all(FLERR, "kspace_style pppm/dplr needs charges (atom_style full)");
  if (domain->dimension != 3 || !(domain->xperiodic && domain->yperiodic && domain->zperiodic))
    error->all(FLERR, "kspace_style pppm/dplr needs a box that is periodic in three dimensions");
  if (slabflag || wireflag) error->all(FLERR, "kspace_style pppm/dplr has no slab or wire correction");
  if (!gewaldflag)
    error->all(
        FLERR,
        "kspace_style pppm/dplr: give the splitting parameter of the training: kspace_modify gewald BETA");
  scale = 1.0;
  qqrd2e = force->qqrd2e;
  // The net charge of the Gaussians is that of the model; it adds no energy here.
  qsum_qsq(0);
  two_charge();
  setup();
  if (comm->me == 0)
    utils::logmesg(lmp, "  pppm/dplr: {} reciprocal vectors, {} x {} x {}, splitting parameter {}\n",
                   2 * modes_.size(), 2 * half_[0] + 1, 2 * half_[1] + 1, 2 * half_[2] + 1, g_ewald);
}

void KSpaceDPLR::setup() {
  const double* h = domain->h;
  const double a[9] = {h[0], 0, 0, h[5], h[1], 0, h[4], h[3], h[2]};
  volume_ = a[0] * a[4] * a[8];
  // Inverse of a lower triangular matrix.
  const double inverse[9] = {1 / a[0],
                             0,
                             0,
                             -a[3] / (a[0] * a[4]),
                             1 / a[4],
                             0,
                             (a[3] * a[7] - a[4] * a[6]) / (a[0] * a[4] * a[8]),
                             -a[7] / (a[4] * a[8]),
                             1 / a[8]};
  std::copy(inverse, inverse + 9, inverse_);
  const int mesh[3] = {nx_pppm, ny_pppm, nz_pppm};
  for (int d = 0; d < 3; ++d) {
    const double length =
        std::sqrt(a[3 * d] * a[3 * d] + a[3 * d + 1] * a[3 * d + 1] + a[3 * d + 2] * a[3 * d + 2]);
    const double needed = length * g_ewald / kPi * std::sqrt(-std::log(std::min(accuracy_relative, 0.1)));
    half_[d] = gridflag ? mesh[d] / 2 : static_cast<int>(std::ceil(needed));
    half_[d] = std::max(half_[d], 1);
  }
  modes_.clear();
  for (int x = 0; x <= half_[0]; ++x)
    for (int y = x ? -half_[1] : 0; y <= half_[1]; ++y)
      for (int z = (x || y) ? -half_[2] : 1; z <= half_[2]; ++z) {
        Mode mode{{x, y, z}, {}, 0};
        double square = 0;
        for (int d = 0; d < 3; ++d) {
          for (int c = 0; c < 3; ++c) mode.k[d] += mode.m[c] * inverse_[3 * d + c];
          square += mode.k[d] * mode.k[d];
        }
        mode.weight = std::exp(-kPi * kPi * square / (g_ewald * g_ewald)) / square;
        modes_.push_back(mode);
      }
  sums_.resize(modes_.size());
}

void KSpaceDPLR::phases(int nlocal) {
  for (int d = 0; d < 3; ++d) {
    auto& table = phases_[d];
    const int width = half_[d] + 1;
    table.resize(static_cast<size_t>(nlocal) * width);
    for (int i = 0; i < nlocal; ++i) {
      double s = 0;
      for (int k = 0; k < 3; ++k) s += (atom->x[i][k] - domain->boxlo[k]) * inverse_[3 * k + d];
      const std::complex<double> step = std::polar(1.0, 2 * kPi * s);
      std::complex<double> value = 1;
      for (int m = 0; m < width; ++m, value *= step) table[static_cast<size_t>(i) * width + m] = value;
    }
  }
}

void KSpaceDPLR::compute(int eflag, int vflag) {
  ev_init(eflag, vflag);
  if (evflag_atom) error->all(FLERR, "kspace_style pppm/dplr gives no energies or virials of single atoms");
  const int nlocal = atom->nlocal;
  forces_.assign(3 * static_cast<size_t>(nlocal), 0.0);
  if (qsqsum == 0.0) return;
  phases(nlocal);
  const auto phase = [&](int i, const Mode& mode) {
    std::complex<double> value = 1;
    for (int d = 0; d < 3; ++d) {
      const auto& p = phases_[d][static_cast<size_t>(i) * (half_[d] + 1) + std::abs(mode.m[d])];
      value *= mode.m[d] < 0 ? std::conj(p) : p;
    }
    return value;
  };
  std::fill(sums_.begin(), sums_.end(), 0.0);
  for (size_t k = 0; k < modes_.size(); ++k)
    for (int i = 0; i < nlocal; ++i) sums_[k] += atom->q[i] * phase(i, modes_[k]);
  MPI_Allreduce(MPI_IN_PLACE, sums_.data(), 2 * static_cast<int>(sums_.size()), MPI_DOUBLE, MPI_SUM, world);
  // Vectors with opposite signs count the same: every one stands for two.
  const double factor = 2 * qqrd2e * scale / (2 * kPi * volume_);
  double virials[9] = {};
  for (size_t k = 0; k < modes_.size(); ++k) {
    const Mode& mode = modes_[k];
    const double term = factor * mode.weight * std::norm(sums_[k]);
    energy += term;
    const double square = mode.k[0] * mode.k[0] + mode.k[1] * mode.k[1] + mode.k[2] * mode.k[2];
    const double c = 2 * (1 + kPi * kPi * square / (g_ewald * g_ewald)) / square;
    for (int x = 0; x < 3; ++x)
      for (int y = 0; y < 3; ++y) virials[3 * x + y] += term * ((x == y) - c * mode.k[x] * mode.k[y]);
  }
  if (vflag_global) {
    const int order[6] = {0, 4, 8, 3, 6, 7};
    for (int k = 0; k < 6; ++k) virial[k] = virials[order[k]];
  }
  for (int i = 0; i < nlocal; ++i)
    for (size_t k = 0; k < modes_.size(); ++k) {
      const std::complex<double> p = phase(i, modes_[k]);
      const double push = factor * 4 * kPi * atom->q[i] * modes_[k].weight *
                          (p.imag() * sums_[k].real() - p.real() * sums_[k].imag());
      for (int d = 0; d < 3; ++d) forces_[3 * static_cast<size_t>(i) + d] += push * modes_[k].k[d];
    }
}

double KSpaceDPLR::memory_usage() {
  double bytes = modes_.capacity() * sizeof(Mode) + sums_.capacity() * 16.0 + forces_.capacity() * 8.0;
  for (const auto& table : phases_) bytes += table.capacity() * 16.0;
  return bytes;
}

}  // namespace LAMMPS_NS

#include "deviation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace LAMMPS_NS {

std::vector<double> force_deviation(const std::vector<const double*>& forces, int nlocal, const double* eps) {
  std::vector<double> out(nlocal);
  const double per_model = 1.0 / static_cast<double>(forces.size());
  for (int i = 0; i < nlocal; ++i) {
    double mean[3] = {};
    for (const double* f : forces)
      for (int d = 0; d < 3; ++d) mean[d] += f[3 * static_cast<size_t>(i) + d] * per_model;
    double sum = 0;
    for (const double* f : forces)
      for (int d = 0; d < 3; ++d) {
        const double x = f[3 * static_cast<size_t>(i) + d] - mean[d];
        sum += x * x;
      }
    out[i] = std::sqrt(sum * per_model);
    if (eps) out[i] /= std::sqrt(mean[0] * mean[0] + mean[1] * mean[1] + mean[2] * mean[2]) + *eps;
  }
  return out;
}

Spread reduce_spread(const std::vector<double>& values, MPI_Comm world) {
  Spread local, out;
  local.max = 0;
  local.min = std::numeric_limits<double>::max();
  double sums[2] = {0, static_cast<double>(values.size())}, total[2] = {};
  for (double x : values) {
    local.max = std::max(local.max, x);
    local.min = std::min(local.min, x);
    sums[0] += x;
  }
  MPI_Reduce(&local.max, &out.max, 1, MPI_DOUBLE, MPI_MAX, 0, world);
  MPI_Reduce(&local.min, &out.min, 1, MPI_DOUBLE, MPI_MIN, 0, world);
  MPI_Reduce(sums, total, 2, MPI_DOUBLE, MPI_SUM, 0, world);
  out.avg = total[1] > 0 ? total[0] / total[1] : 0;
  return out;
}

Spread virial_deviation(const std::vector<double>& virials, int nmodels, const double* eps) {
  Spread out;
  out.min = std::numeric_limits<double>::max();
  double squares = 0;
  for (int c = 0; c < 9; ++c) {
    double mean = 0, sum = 0;
    for (int m = 0; m < nmodels; ++m) mean += virials[9 * m + c] / nmodels;
    for (int m = 0; m < nmodels; ++m) sum += (virials[9 * m + c] - mean) * (virials[9 * m + c] - mean);
    double devi = std::sqrt(sum / nmodels);
    if (eps) devi /= std::fabs(mean) + *eps;
    out.max = std::max(out.max, devi);
    out.min = std::min(out.min, devi);
    squares += devi * devi;
  }
  out.avg = std::sqrt(squares / 9);
  return out;
}

std::vector<double> gather_by_tag(const std::vector<double>& values, const tagint* tag, bigint natoms,
                                  MPI_Comm world) {
  int rank = 0, size = 1;
  MPI_Comm_rank(world, &rank);
  MPI_Comm_size(world, &size);
  const int n = static_cast<int>(values.size());
  std::vector<int> counts(size), starts(size);
  MPI_Gather(&n, 1, MPI_INT, counts.data(), 1, MPI_INT, 0, world);
  for (int r = 1; r < size; ++r) starts[r] = starts[r - 1] + counts[r - 1];
  const size_t all = rank == 0 ? static_cast<size_t>(starts[size - 1] + counts[size - 1]) : 0;
  std::vector<double> gathered(all), out;
  std::vector<tagint> tags(all);
  MPI_Gatherv(values.data(), n, MPI_DOUBLE, gathered.data(), counts.data(), starts.data(), MPI_DOUBLE, 0,
              world);
  MPI_Gatherv(tag, n, MPI_LMP_TAGINT, tags.data(), counts.data(), starts.data(), MPI_LMP_TAGINT, 0, world);
  if (rank != 0) return out;
  out.assign(natoms, 0.0);
  for (size_t k = 0; k < all; ++k) out[tags[k] - 1] = gathered[k];
  return out;
}

void deviation_header(FILE* file, bigint natoms, bool spin) {
  std::fprintf(file, "#%11s", "step");
  for (const char* of : spin ? std::vector<const char*>{"v", "fr", "fm"} : std::vector<const char*>{"v", "f"})
    for (const char* kind : {"max", "min", "avg"})
      std::fprintf(file, "%19s", (std::string(kind) + "_devi_" + of).c_str());
  if (natoms > 0 && !spin) std::fprintf(file, "%19s", "atm_devi_f(N)");
  std::fprintf(file, "\n");
}

void deviation_line(FILE* file, bigint step, const Spread& v, double unit_v, const Spread& f, double unit_f,
                    const std::vector<double>& atomic, const Spread* magnetic) {
  std::fprintf(file, "%12lld", static_cast<long long>(step));
  const auto spread = [&](const Spread& s, double unit) {
    for (const double x : {s.max, s.min, s.avg}) std::fprintf(file, " %18.6e", x * unit);
  };
  spread(v, unit_v);
  spread(f, unit_f);
  if (magnetic) spread(*magnetic, unit_f);
  for (double x : atomic) std::fprintf(file, " %18.6e", x * unit_f);
  std::fprintf(file, "\n");
}

}  // namespace LAMMPS_NS

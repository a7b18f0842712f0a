#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace dptf {

/// Atoms of a frame together with the periodic images that lie within a cutoff of the cell.
/// The first nloc entries are the real atoms (wrapped into the cell when periodic); mapping[k] is the real
/// atom of entry k.
struct ExtendedFrame {
  int64_t nloc = 0;
  std::vector<double> coord;
  std::vector<int> type, mapping;
};

/// Without a box (nullptr) the atoms are used as they are. Handles cells of any shape, also smaller than the
/// cutoff (several images of one atom), and coordinates any number of cells away. Throws
/// std::invalid_argument for a cell without volume, for coordinates that are not finite, and when the cell is
/// so small that more than `max_images` would be needed.
template <typename T>
ExtendedFrame extend_frame(const T* coord, const int* type, int64_t nloc, const T* box, double rcut,
                           int64_t max_images = 50'000'000);

/// Cells at least one cutoff wide, so that all neighbors of an atom are in the 27 cells around it. O(N) in
/// time and memory.
class CellList {
 public:
  CellList(const double* coord, int64_t n, double rcut);

  /// Calls f(j, d2) for every entry with |r_j - r|^2 < rcut^2, including one at r itself.
  template <typename F>
  void visit(const double r[3], F&& f) const {
    int c[3];
    for (int d = 0; d < 3; ++d) c[d] = cell(r[d], d);
    const double rc2 = rcut_ * rcut_;
    for (int x = c[0] > 0 ? c[0] - 1 : 0; x <= c[0] + 1 && x < n_[0]; ++x)
      for (int y = c[1] > 0 ? c[1] - 1 : 0; y <= c[1] + 1 && y < n_[1]; ++y) {
        // Cells along z are adjacent in memory: one run covers up to three of them.
        const int z0 = c[2] > 0 ? c[2] - 1 : 0, z1 = c[2] + 1 < n_[2] ? c[2] + 1 : n_[2] - 1;
        const int64_t row = (static_cast<int64_t>(x) * n_[1] + y) * n_[2];
        for (int64_t k = start_[row + z0]; k < start_[row + z1 + 1]; ++k) {
          const double dx = sorted_[3 * k] - r[0], dy = sorted_[3 * k + 1] - r[1],
                       dz = sorted_[3 * k + 2] - r[2];
          const double d2 = dx * dx + dy * dy + dz * dz;
          if (d2 < rc2) f(index_[k], d2);
        }
      }
  }

 private:
  int cell(double x, int d) const {
    const double u = (x - low_[d]) * inverse_width_[d];
    return u <= 0 ? 0 : (u >= n_[d] ? n_[d] - 1 : static_cast<int>(u));
  }

  double rcut_, low_[3], inverse_width_[3];
  int n_[3];
  std::vector<int64_t> start_;
  std::vector<int> index_;
  std::vector<double> sorted_;
};

}  // namespace dptf

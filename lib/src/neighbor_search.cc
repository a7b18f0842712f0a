#include "dptf/neighbor_search.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "dptf/region.h"

namespace dptf {

template <typename T>
ExtendedFrame extend_frame(const T* coord, const int* type, int64_t nloc, const T* box, double rcut,
                           int64_t max_images) {
  ExtendedFrame out;
  out.nloc = nloc;
  out.coord.resize(3 * nloc);
  out.type.assign(type, type + nloc);
  out.mapping.resize(nloc);
  for (int64_t i = 0; i < nloc; ++i) {
    out.mapping[i] = static_cast<int>(i);
    for (int d = 0; d < 3; ++d) {
      out.coord[3 * i + d] = coord[3 * i + d];
      if (!std::isfinite(out.coord[3 * i + d]))
        throw std::invalid_argument("the position of atom " + std::to_string(i) + " is not finite");
    }
  }
  if (!box) return out;

  double cell[9];
  std::copy(box, box + 9, cell);
  const Region region(cell);
  double margin[3];
  int layers[3];
  double estimate = static_cast<double>(nloc);
  for (int d = 0; d < 3; ++d) {
    // A hair more than the cutoff, so that rounding never loses an image; the distance test decides.
    margin[d] = rcut / region.face_distance(d) * (1 + 1e-12) + 1e-12;
    estimate *= 1 + 2 * margin[d];
    layers[d] = static_cast<int>(std::min(std::ceil(margin[d]), 1e6));
  }
  if (estimate > static_cast<double>(max_images))
    throw std::invalid_argument("the cell is so small that " +
                                std::to_string(static_cast<int64_t>(estimate)) +
                                " periodic images lie within the cutoff of " + std::to_string(rcut));
  std::vector<double> fractional(3 * nloc);
  for (int64_t i = 0; i < nloc; ++i) {
    double s[3];
    region.to_fractional(&out.coord[3 * i], s);
    for (int d = 0; d < 3; ++d) {
      s[d] = std::fmod(s[d], 1.0);
      if (s[d] < 0) s[d] += 1.0;
      fractional[3 * i + d] = s[d];
    }
    region.to_cartesian(s, &out.coord[3 * i]);
  }
  for (int x = -layers[0]; x <= layers[0]; ++x)
    for (int y = -layers[1]; y <= layers[1]; ++y)
      for (int z = -layers[2]; z <= layers[2]; ++z) {
        if (!x && !y && !z) continue;
        const double shift[3] = {double(x), double(y), double(z)};
        double shift_r[3];
        region.to_cartesian(shift, shift_r);
        for (int64_t i = 0; i < nloc; ++i) {
          bool near = type[i] >= 0;  // a virtual atom is nobody's neighbor
          for (int d = 0; d < 3; ++d) {
            const double s = fractional[3 * i + d] + shift[d];
            near = near && s >= -margin[d] && s <= 1 + margin[d];
          }
          if (!near) continue;
          for (int d = 0; d < 3; ++d) out.coord.push_back(out.coord[3 * i + d] + shift_r[d]);
          out.type.push_back(type[i]);
          out.mapping.push_back(static_cast<int>(i));
        }
      }
  return out;
}

template ExtendedFrame extend_frame<double>(const double*, const int*, int64_t, const double*, double,
                                            int64_t);
template ExtendedFrame extend_frame<float>(const float*, const int*, int64_t, const float*, double, int64_t);

CellList::CellList(const double* coord, int64_t n, double rcut) : rcut_(rcut), index_(n), sorted_(3 * n) {
  double high[3];
  for (int d = 0; d < 3; ++d) {
    low_[d] = n ? std::numeric_limits<double>::max() : 0;
    high[d] = n ? std::numeric_limits<double>::lowest() : 0;
  }
  for (int64_t i = 0; i < n; ++i)
    for (int d = 0; d < 3; ++d) {
      low_[d] = std::min(low_[d], coord[3 * i + d]);
      high[d] = std::max(high[d], coord[3 * i + d]);
    }
  // A few far-away atoms must not blow up the number of cells: coarsen until it is O(N).
  for (int d = 0; d < 3; ++d) {
    const double cells = std::floor((high[d] - low_[d]) / rcut);
    n_[d] = static_cast<int>(std::min(std::max(cells, 1.0), 1e6));
  }
  while (static_cast<double>(n_[0]) * n_[1] * n_[2] > 4.0 * static_cast<double>(n) + 64) {
    int* widest = std::max_element(n_, n_ + 3);
    *widest = (*widest + 1) / 2;
  }
  for (int d = 0; d < 3; ++d) inverse_width_[d] = high[d] > low_[d] ? n_[d] / (high[d] - low_[d]) : 0;
  std::vector<int64_t> where(n);
  start_.assign(static_cast<int64_t>(n_[0]) * n_[1] * n_[2] + 1, 0);
  for (int64_t i = 0; i < n; ++i) {
    const double* r = coord + 3 * i;
    where[i] = (static_cast<int64_t>(cell(r[0], 0)) * n_[1] + cell(r[1], 1)) * n_[2] + cell(r[2], 2);
    ++start_[where[i] + 1];
  }
  for (size_t c = 1; c < start_.size(); ++c) start_[c] += start_[c - 1];
  std::vector<int64_t> next(start_.begin(), start_.end() - 1);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t k = next[where[i]]++;
    index_[k] = static_cast<int>(i);
    for (int d = 0; d < 3; ++d) sorted_[3 * k + d] = coord[3 * i + d];
  }
}

}  // namespace dptf

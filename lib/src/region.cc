#include "dptf/region.h"

#include <cmath>
#include <stdexcept>

namespace dptf {

Region::Region(const double box[9]) {
  double scale = 0;
  for (int i = 0; i < 9; ++i) {
    if (!std::isfinite(box[i])) throw std::invalid_argument("the cell has a component that is not finite");
    box_[i] = box[i];
    scale = std::fmax(scale, std::fabs(box[i]));
  }
  const double* a = box_;
  const double cross[9] = {
      a[4] * a[8] - a[5] * a[7], a[5] * a[6] - a[3] * a[8], a[3] * a[7] - a[4] * a[6],  // b x c
      a[7] * a[2] - a[8] * a[1], a[8] * a[0] - a[6] * a[2], a[6] * a[1] - a[7] * a[0],  // c x a
      a[1] * a[5] - a[2] * a[4], a[2] * a[3] - a[0] * a[5], a[0] * a[4] - a[1] * a[3],  // a x b
  };
  const double det = a[0] * cross[0] + a[1] * cross[1] + a[2] * cross[2];
  // The product with 1 / det, not the quotient, rounds wrapped atoms as the public kernels do: models with
  // attention amplify the last bit of a distance close to the cutoff by up to 1e7.
  const double inverse_det = 1 / det;
  volume_ = std::fabs(det);
  if (!(volume_ > 1e-12 * scale * scale * scale))
    throw std::invalid_argument("the cell has no volume (its vectors are zero or lie in a plane)");
  for (int d = 0; d < 3; ++d) {
    const double* c = cross + 3 * d;
    face_distance_[d] = volume_ / std::sqrt(c[0] * c[0] + c[1] * c[1] + c[2] * c[2]);
    for (int k = 0; k < 3; ++k) inverse_[3 * k + d] = c[k] * inverse_det;
  }
}

}  // namespace dptf

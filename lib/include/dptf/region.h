#pragma once

namespace dptf {

/// A periodic cell. Rows of `box` are the lattice vectors; any handedness and shape with a volume.
class Region {
 public:
  /// Throws std::invalid_argument when the cell is not finite or has no volume.
  explicit Region(const double box[9]);

  /// Fractional coordinates s with r = s . box.
  void to_fractional(const double r[3], double s[3]) const {
    for (int d = 0; d < 3; ++d) s[d] = r[0] * inverse_[d] + r[1] * inverse_[3 + d] + r[2] * inverse_[6 + d];
  }
  void to_cartesian(const double s[3], double r[3]) const {
    for (int d = 0; d < 3; ++d) r[d] = s[0] * box_[d] + s[1] * box_[3 + d] + s[2] * box_[6 + d];
  }
  /// Distance between the two faces of the cell that axis d crosses (Å).
  double face_distance(int d) const { return face_distance_[d]; }
  double volume() const { return volume_; }

 private:
  double box_[9], inverse_[9], face_distance_[3], volume_;
};

}  // namespace dptf

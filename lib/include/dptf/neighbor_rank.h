#pragma once

namespace dptf {

/// Squared distance by which neighbors are ranked and cut: formed in float32 from float32 positions, as in
/// every released version, so that the choice at an overflowing sel is the same everywhere.
inline float rank_distance(const double rj[3], const double ri[3]) {
  const float d[3] = {static_cast<float>(rj[0]) - static_cast<float>(ri[0]),
                      static_cast<float>(rj[1]) - static_cast<float>(ri[1]),
                      static_cast<float>(rj[2]) - static_cast<float>(ri[2])};
  return d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
}

/// A candidate for the slots of a center: by type, then distance, then index.
struct RankedNeighbor {
  int type;
  float d2;
  int index;
  int place = 0;  // of the caller's own
  bool operator<(const RankedNeighbor& o) const {
    if (type != o.type) return type < o.type;
    if (d2 != o.d2) return d2 < o.d2;
    return index < o.index;
  }
};

}  // namespace dptf

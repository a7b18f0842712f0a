#pragma once

#include <vector>

namespace deepmd {

/// The stable order of local atoms by type, and how arrays travel between it and the caller's order.
class AtomMap {
 public:
  AtomMap() = default;
  AtomMap(std::vector<int>::const_iterator begin, std::vector<int>::const_iterator end);

  /// out[k] = in[fwd_map...]: from the caller's order to the sorted one. `nall` atoms of `stride` numbers per
  /// frame; atoms beyond the mapped ones (ghosts) keep their place.
  template <typename VALUETYPE>
  void forward(typename std::vector<VALUETYPE>::iterator out,
               typename std::vector<VALUETYPE>::const_iterator in, int stride = 1, int nframes = 1,
               int nall = 0) const;
  /// The way back.
  template <typename VALUETYPE>
  void backward(typename std::vector<VALUETYPE>::iterator out,
                typename std::vector<VALUETYPE>::const_iterator in, int stride = 1, int nframes = 1,
                int nall = 0) const;

  const std::vector<int>& get_type() const { return atype_; }
  /// Sorted place of each atom.
  const std::vector<int>& get_fwd_map() const { return fwd_; }
  /// Atom at each sorted place.
  const std::vector<int>& get_bkw_map() const { return bkw_; }

 private:
  std::vector<int> bkw_, fwd_, atype_;
};

}  // namespace deepmd

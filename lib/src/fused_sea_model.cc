#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "dptf/fused_sea.h"
#include "fused_sea_worker.h"

namespace dptf {

namespace {

/// Tables: relative error of value and slope. A stored table carries rounding of its own, which divided by
/// the length of its pieces is in the slope; wide pieces do without it.
struct Tolerance {
  double value, slope;
};
template <typename C>
Tolerance tolerance(bool stored) {
  if (std::is_same_v<C, double>) return stored ? Tolerance{1e-13, 2e-11} : Tolerance{1e-14, 3e-13};
  return stored ? Tolerance{3e-7, 2e-5} : Tolerance{3e-8, 3e-7};
}
/// Beyond this error a net is not tabulated.
template <typename C>
constexpr double kTableLimit = std::is_same_v<C, double> ? 3e-11 : 2e-5;
constexpr int64_t kMaxBins = 2048;

}  // namespace

template <typename C>
FusedSea<C>::FusedSea(SeaModel model) : m_(std::move(model)) {
  for (int s : m_.sel) nnei_ += m_.mixed_sel ? 0 : s;
  nnei_ += m_.mixed_sel;
  if (m_.nets.empty() || !nnei_)
    throw std::invalid_argument("the model has no embedding net or no neighbor slot");
  width_ = m_.nets[0].width();
  packed_ = sea_packed_size(width_, m_.axis);
  dim_fparam_ = static_cast<int64_t>(m_.fparam_avg.size());
  dim_aparam_ = static_cast<int64_t>(m_.aparam_avg.size());
  const int nt = m_.ntypes;
  avg_.resize(nt * nt * 4);
  inv_std_.resize(nt * nt * 4);
  for (size_t k = 0; k < avg_.size(); ++k) {
    avg_[k] = static_cast<C>(m_.davg[k]);
    inv_std_[k] = static_cast<C>(1 / m_.dstd[k]);
  }
  make_tables();
  make_lookup();
  make_pads();
  make_fitting();
  make_factors();
  make_attention();
}

/// A net is tabulated over the arguments of all pairs that use it: from the empty slot (or the cutoff) to
/// the closest pair.
template <typename C>
void FusedSea<C>::make_tables() {
  const int nt = m_.ntypes;
  for (size_t net = 0; net < m_.nets.size(); ++net) {
    double low = std::numeric_limits<double>::max(), high = std::numeric_limits<double>::lowest();
    for (int p = 0; p < nt * nt; ++p) {
      if (m_.net_of[p] != static_cast<int>(net)) continue;
      low = std::min(low, (0 - m_.davg[4 * p]) / m_.dstd[4 * p]);
      high = std::max(high, (1 / m_.min_distance - m_.davg[4 * p]) / m_.dstd[4 * p]);
    }
    if (low > high) low = 0, high = 1;  // every pair that would use it is excluded
    const Tolerance t = tolerance<C>(m_.nets[net].is_stored());
    tables_.push_back(embed_table<C>(std::move(m_.nets[net]), low, high, t.value, t.slope, kMaxBins));
  }
  if (table_error() > kTableLimit<C>)
    throw std::invalid_argument("the embedding nets cannot be tabulated (relative error " +
                                std::to_string(1e9 * table_error()) + "e-9); they are not smooth enough");
}

template <typename C>
void FusedSea<C>::make_lookup() {
  const int nt = m_.ntypes;
  stride_ = tables_[0].stride;
  functions_ = tables_[0].functions;
  lookup_.resize(nt * nt);
  for (int ti = 0; ti < nt; ++ti) {
    first_piece_.push_back(0);
    for (int tj = 0; tj < nt; ++tj) {
      const int net = m_.net_of[ti * nt + tj];
      first_piece_.push_back(first_piece_.back() +
                             (net < 0 ? 0 : static_cast<int64_t>(tables_[net].center.size())));
      if (net < 0) continue;
      const EmbedTable<C>& t = tables_[net];
      lookup_[ti * nt + tj] = {
          t.piece_of.data(), static_cast<int64_t>(t.piece_of.size()),  t.x0,
          1 / t.bin,         t.ends.empty() ? nullptr : t.ends.data(), static_cast<int>(t.center.size())};
    }
  }
}

template <typename C>
void FusedSea<C>::make_pads() {
  const int nt = m_.ntypes;
  pads_.resize(nt * nt);
  std::vector<double> jet(3 * width_);
  for (int p = 0; p < nt * nt; ++p) {
    // A mixed list has one kind of empty slot for each center; it stands at the first neighbor type.
    const bool mixed = m_.mixed_sel > 0;
    if (mixed ? p % nt != 0 || m_.empty.empty() : m_.net_of[p] < 0) continue;
    const EmbedNet& net = mixed ? m_.empty[p / nt] : tables_[m_.net_of[p]].net;
    const double x = static_cast<double>(-avg_[4 * p] * inv_std_[4 * p]);
    net.jets(&x, 1, jet.data());
    pads_[p].a.assign(4 * stride_, C(0));
    for (int c = 0; c < 4; ++c) {
      const C r = -avg_[4 * p + c] * inv_std_[4 * p + c];
      for (int64_t k = 0; k < width_; ++k) pads_[p].a[c * stride_ + k] = r * static_cast<C>(jet[k]);
      pads_[p].used = pads_[p].used || r != 0;
    }
  }
}

/// The first layer sees D in packed form: the rows of the two equal entries (i, k) and (k, i) are added.
template <typename C>
void FusedSea<C>::make_fitting() {
  for (const auto& net : m_.fitting) {
    std::vector<DenseLayerWeights<C>> layers;
    if (net.empty()) {
      fitting_.emplace_back();
      continue;
    }
    for (size_t k = 0; k < net.size(); ++k) {
      const auto& w = net[k];
      DenseLayerWeights<C> out;
      out.n_in = w.n_in;
      out.n_out = w.n_out;
      out.activation = w.activation;
      out.threshold = static_cast<C>(w.threshold);
      out.residual = w.residual;
      out.bias.assign(w.bias.begin(), w.bias.end());
      out.idt.assign(w.idt.begin(), w.idt.end());
      if (k > 0) {
        out.matrix.assign(w.matrix.begin(), w.matrix.end());
      } else {
        const int64_t extra = dim_fparam_ + dim_aparam_, n = w.n_out;
        if (w.n_in != width_ * m_.axis + extra)
          throw std::invalid_argument("the fitting net does not fit the descriptor");
        const auto row = [&](int64_t r) { return w.matrix.data() + r * n; };
        for (int64_t j = 0; j < m_.axis; ++j)
          for (int64_t i = j; i < width_; ++i)
            for (int64_t c = 0; c < n; ++c) {
              double v = row(i * m_.axis + j)[c];
              if (i < m_.axis && i != j) v += row(j * m_.axis + i)[c];
              out.matrix.push_back(static_cast<C>(v));
            }
        for (int64_t r = width_ * m_.axis; r < w.n_in; ++r)
          for (int64_t c = 0; c < n; ++c) out.matrix.push_back(static_cast<C>(row(r)[c]));
        out.n_in = packed_ + extra;
        out.residual = false;
        if (w.residual) throw std::invalid_argument("a residual around the first fitting layer is not known");
      }
      layers.push_back(std::move(out));
    }
    if (m_.head != SeaHead::energy) {
      // All layers are hidden ones; nobody reads the last.
      const int64_t n = layers.back().n_out, wanted = m_.head == SeaHead::polar    ? width_ * width_
                                                      : m_.head == SeaHead::vector ? n
                                                                                   : width_;
      if (n != wanted || n < 1) throw std::invalid_argument("the fitting net does not fit the property");
      DenseLayerWeights<C> last;
      last.n_in = n;
      last.n_out = 1;
      last.matrix.assign(n, C(0));
      last.bias.assign(1, C(0));
      layers.push_back(std::move(last));
    }
    fitting_.emplace_back(layers);
  }
}

template <typename C>
double FusedSea<C>::table_error() const {
  double out = 0;
  for (const auto& t : tables_) out = std::max(out, t.error);
  return out;
}

template <typename C>
int64_t FusedSea<C>::table_bytes() const {
  int64_t out = 0;
  for (const auto& t : tables_) out += static_cast<int64_t>(2 * t.rows.size() * sizeof(C));
  return out;
}

template <typename C>
int64_t FusedSea<C>::dim() const {
  switch (m_.head) {
    case SeaHead::energy:
      return 1;
    case SeaHead::dipole:
      return 3;
    case SeaHead::vector:
      return n_features();
    default:
      return 9;
  }
}

template <typename C>
int64_t FusedSea<C>::n_features() const {
  int64_t n = 0;
  for (const auto& net : fitting_) n = std::max(n, net.features());
  return n;
}

template <typename C>
FusedSea<C>::~FusedSea() = default;

// The members that are defined here; the others are instantiated where they are defined.
template class FusedSea<double>;
template class FusedSea<float>;

}  // namespace dptf

#include "dptf/embed_table.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "dptf/activation.h"
#include "dptf/dense_net.h"
#include "dptf/isa_dispatch.h"
#include "dptf/jet_layer.h"

namespace dptf {

void EmbedNet::jets(const double* x, int64_t n, double* out) const {
  plain_jets(x, n, out);
  if (factor.empty()) return;
  const int64_t m = width();
  for (int64_t i = 0; i < n; ++i) {
    double s[3] = {1, 0, 0};
    const double u = 1 - switch_length * (x[i] * switch_deviation + switch_mean);
    if (switch_length > 0) {
      const double slope = -switch_length * switch_deviation;
      // No neighbor has u > 1; the switch goes on there, so that pieces around u = 1 are smooth.
      s[0] = u > 0 ? 1 - u * u * u : 1;
      s[1] = u > 0 ? -3 * u * u * slope : 0;
      s[2] = u > 0 ? -6 * u * slope * slope : 0;
    }
    double* g = out + 3 * i * m;
    for (int64_t c = 0; c < m; ++c) {
      const double f0 = 1 + factor[c] * s[0], f1 = factor[c] * s[1], f2 = factor[c] * s[2];
      g[2 * m + c] = g[2 * m + c] * f0 + 2 * g[m + c] * f1 + g[c] * f2;
      g[m + c] = g[m + c] * f0 + g[c] * f1;
      g[c] *= f0;
    }
  }
}

double EmbedNet::bend() const {
  if (factor.empty() || !(switch_length > 0)) return std::numeric_limits<double>::quiet_NaN();
  return (1 / switch_length - switch_mean) / switch_deviation;
}

void EmbedNet::plain_jets(const double* x, int64_t n, double* out) const {
  if (!is_stored()) return layer_jets(x, n, out);
  const int64_t m = width();
  std::vector<double> made(stored.empty() ? 6 * m : 0);
  for (int64_t i = 0; i < n; ++i) {
    double w[6], v[6], u[6] = {};
    const int64_t row = table_weights(grid, x[i], w, v);
    if (stored.empty()) make_rows(runs, row, row + 1, made.data());
    const double* a = stored.empty() ? made.data() : stored.data() + row * 6 * m;
    for (int p = 1; p < 6; ++p) u[p] = p * v[p - 1];
    double* o = out + 3 * i * m;
    for (int64_t c = 0; c < m; ++c, a += 6) {
      o[c] = o[m + c] = o[2 * m + c] = 0;
      for (int p = 0; p < 6; ++p) {
        o[c] += w[p] * a[p];
        o[m + c] += v[p] * a[p];
        o[2 * m + c] += u[p] * a[p];
      }
    }
  }
}

namespace {

/// z [rows, n_out] := x W; by the matrix kernel where there are enough rows.
void multiply(const std::vector<double>& x, int64_t rows, const EmbedLayer& w, std::vector<double>* z) {
  const int64_t n = w.n_out;
  z->assign(rows * n, 0.0);
  if (rows < 48 || w.n_in < 4) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t k = 0; k < w.n_in; ++k) {
        const double a = x[r * w.n_in + k];
        for (int64_t c = 0; c < n; ++c) (*z)[r * n + c] += a * w.matrix[k * n + c];
      }
    return;
  }
  int64_t group = 1, unit = 1;
  DPTF_ISA_CALL(gemm_panel<double>(&group, &unit));
  const int64_t wide = (n + unit - 1) / unit * unit, whole = rows / group * group;
  AlignedVector<double> packed(w.n_in * wide), a(group * w.n_in), c(group * wide);
  DPTF_ISA_CALL(gemm_pack(w.matrix.data(), w.n_in, n, false, packed.data()));
  for (int64_t r = 0; r < rows; r += group) {
    const int64_t count = std::min(group, rows - r);
    const double* from = x.data() + r * w.n_in;
    if (r >= whole) {
      std::copy(from, from + count * w.n_in, a.begin());
      from = a.data();
    }
    DPTF_ISA_CALL(gemm(group, w.n_in, from, w.n_in, packed.data(), n, c.data(), wide));
    for (int64_t k = 0; k < count; ++k)
      std::copy(c.begin() + k * wide, c.begin() + k * wide + n, z->begin() + (r + k) * n);
  }
}

}  // namespace

void EmbedNet::layer_jets(const double* x, int64_t n, double* out) const {
  const int64_t inputs = 1 + static_cast<int64_t>(rest.size());
  std::vector<double> prev(3 * n * inputs, 0.0), z, y;
  for (int64_t i = 0; i < n; ++i) {
    double* row = prev.data() + 3 * i * inputs;
    row[0] = x[i];
    std::copy(rest.begin(), rest.end(), row + 1);
    row[inputs] = 1;
  }
  for (const EmbedLayer& w : layers) {
    y.resize(3 * n * w.n_out);
    multiply(prev, 3 * n, w, &z);
    JetLayer<double> p;
    p.nets = 1;
    p.nodes = n;
    p.n = w.n_out;
    p.n_prev = w.n_in;
    p.activation = activation;
    p.threshold = threshold;
    p.residual = w.n_out == w.n_in ? 1 : (w.n_out == 2 * w.n_in ? 2 : 0);
    p.z = z.data();
    p.prev = prev.data();
    p.bias = w.bias.data();
    p.idt = w.idt.empty() ? nullptr : w.idt.data();
    jet_layer(p, y.data(), serial_for);
    prev.swap(y);
  }
  std::copy(prev.begin(), prev.end(), out);
}

template <typename T>
void EmbedNet::make_rows(const std::vector<TableRun>& of, int64_t begin, int64_t end, T* out) const {
  constexpr int64_t kAtOnce = 64;
  const int64_t m = layers.back().n_out;
  std::vector<double> x, jets;
  int64_t first = 0;
  for (const TableRun& run : of) {
    const int64_t stop = std::min(end, first + run.count);
    for (int64_t from = std::max(begin, first); from < stop; from += kAtOnce) {
      const int64_t n = std::min(kAtOnce, stop - from);
      x.resize(n + 1);
      for (int64_t k = 0; k <= n; ++k) {
        const int64_t node = from - first + k;
        x[k] = node < run.count ? run.begin + static_cast<double>(node) * run.spacing : run.end;
      }
      jets.resize(3 * (n + 1) * m);
      layer_jets(x.data(), n + 1, jets.data());
      const double scale = run.spacing / run.width;
      for (int64_t k = 0; k < n; ++k) {
        const double t = (x[k + 1] - x[k]) / scale;
        const double *left = jets.data() + 3 * k * m, *right = left + 3 * m;
        T* a = out + (from - begin + k) * 6 * m;
        for (int64_t c = 0; c < m; ++c, a += 6) {
          const double d0 = scale * left[m + c], d1 = scale * right[m + c];
          const double s0 = scale * scale * left[2 * m + c], s1 = scale * scale * right[2 * m + c];
          const double h = right[c] - left[c];
          a[0] = static_cast<T>(left[c]);
          a[1] = static_cast<T>(d0);
          a[2] = static_cast<T>(0.5 * s0);
          a[3] = static_cast<T>((20 * h - (8 * d1 + 12 * d0) * t - (3 * s0 - s1) * t * t) / (2 * t * t * t));
          a[4] = static_cast<T>((-30 * h + (14 * d1 + 16 * d0) * t + (3 * s0 - 2 * s1) * t * t) /
                                (2 * t * t * t * t));
          a[5] = static_cast<T>((12 * h - 6 * (d1 + d0) * t + (s1 - s0) * t * t) / (2 * t * t * t * t * t));
        }
      }
    }
    first += run.count;
  }
}

template void EmbedNet::make_rows<double>(const std::vector<TableRun>&, int64_t, int64_t, double*) const;
template void EmbedNet::make_rows<float>(const std::vector<TableRun>&, int64_t, int64_t, float*) const;

template <typename T>
void EmbedTable<T>::exact_piece(double x, T* to_rows, T* to_columns) const {
  const int64_t m = net.width();
  std::vector<double> jet(3 * m);
  net.jets(&x, 1, jet.data());
  std::fill(to_rows, to_rows + kBasis * stride, T(0));
  std::fill(to_columns, to_columns + kBasis * stride, T(0));
  for (int p = 0; p < 2; ++p)
    for (int64_t c = 0; c < m; ++c)
      to_rows[p * stride + c] = to_columns[c * kBasis + p] = static_cast<T>(jet[p * m + c]);
}

namespace {

constexpr double kPi = 3.14159265358979323846;

/// One piece in Chebyshev form, and how far it is from the net.
struct Fit {
  std::vector<double> series;  // [kBasis, m]
  double error[2] = {0, 0};    // of value and slope, relative to their largest size in the whole table
};

/// Value and slope of a Chebyshev series at h of [-1, 1].
void evaluate(const std::vector<double>& series, int64_t m, double h, double* value, double* slope) {
  double t[kBasis] = {1, h}, d[kBasis] = {0, 1};
  for (int p = 2; p < kBasis; ++p) {
    t[p] = 2 * h * t[p - 1] - t[p - 2];
    d[p] = 2 * t[p - 1] + 2 * h * d[p - 1] - d[p - 2];
  }
  std::fill(value, value + m, 0.0);
  std::fill(slope, slope + m, 0.0);
  for (int p = 0; p < kBasis; ++p)
    for (int64_t c = 0; c < m; ++c) {
      value[c] += t[p] * series[p * m + c];
      slope[c] += d[p] * series[p * m + c];
    }
}

/// Pieces of one net, found by halving.
class Builder {
 public:
  Builder(const EmbedNet& net, double x0, double bin, int64_t bins, double value_tolerance,
          double slope_tolerance)
      : net_(net), m_(net.width()), x0_(x0), bin_(bin), tolerance_{value_tolerance, slope_tolerance} {
    constexpr int64_t kSamples = 200;
    std::vector<double> x(kSamples + 1), jets(3 * (kSamples + 1) * m_);
    for (int64_t k = 0; k <= kSamples; ++k)
      x[k] = x0 + bin * static_cast<double>(bins) * static_cast<double>(k) / static_cast<double>(kSamples);
    net.jets(x.data(), kSamples + 1, jets.data());
    for (int64_t k = 0; k <= kSamples; ++k)
      for (int order = 0; order < 2; ++order)
        for (int64_t c = 0; c < m_; ++c)
          size_[order] = std::max(size_[order], std::fabs(jets[(3 * k + order) * m_ + c]));
    const double end = x0 + bin * static_cast<double>(bins), bend = net.bend();
    const bool bent = bend > x0 && bend < end;
    if (!net.is_stored() && (bent || net.is_straight() || net.activation == kSilut)) {
      split_at_kinks(x0, end);
    } else if (bent) {
      // A piece of a stored net that holds the bend is evaluated exactly.
      const int64_t within = static_cast<int64_t>((bend - x0) / bin);
      cover(0, within);
      cover(within + 1, bins);
    } else {
      cover(0, bins);
    }
  }

  struct Piece {
    int64_t begin, end;  // bins
    Fit fit;
    double low = 0, high = 0;  // in place of bins, where pieces end at kinks
  };
  std::vector<Piece> pieces;

 private:
  bool good(const Fit& f) const { return f.error[0] <= tolerance_[0] && f.error[1] <= tolerance_[1]; }

  void cover(int64_t begin, int64_t end) {
    if (begin < end) split(begin, end, fit(begin, end));
  }

  void split(int64_t begin, int64_t end, Fit whole) {
    if (good(whole) || end - begin == 1) {
      pieces.push_back({begin, end, std::move(whole)});
      return;
    }
    const int64_t middle = (begin + end) / 2;
    Fit left = fit(begin, middle), right = fit(middle, end);
    // Where only rounding is left, narrower pieces would be worse.
    const bool tiny = whole.error[0] < 1e-10 && whole.error[1] < 1e-9 && !net_.is_stored();
    bool gains = false;
    for (int order = 0; order < 2; ++order)
      gains = gains || (whole.error[order] > tolerance_[order] &&
                        std::max(left.error[order], right.error[order]) < 0.5 * whole.error[order]);
    if (tiny && !gains) {
      pieces.push_back({begin, end, std::move(whole)});
      return;
    }
    split(begin, middle, std::move(left));
    split(middle, end, std::move(right));
  }

  void split_at_kinks(double low, double high) {
    std::vector<double> edges = net_.kinks(low, high);
    edges.insert(edges.begin(), low);
    edges.push_back(high);
    for (size_t k = 0; k + 1 < edges.size(); ++k) halve(edges[k], edges[k + 1], 0);
  }

  void halve(double low, double high, int depth) {
    Fit whole = fit_between(low, high);
    // Narrow pieces would gain nothing but rounding.
    if ((whole.error[0] <= 10 * tolerance_[0] && whole.error[1] <= 10 * tolerance_[1]) || depth == 8) {
      pieces.push_back({0, 0, std::move(whole), low, high});
      return;
    }
    halve(low, 0.5 * (low + high), depth + 1);
    halve(0.5 * (low + high), high, depth + 1);
  }

  /// Integrates an interpolation of the slope, which does not touch the ends: there it may jump. However
  /// narrow the piece, value and slope keep their digits.
  Fit fit_between(double low, double high) {
    constexpr int kNodes = kBasis - 1;
    const double half = 0.5 * (high - low), center = 0.5 * (low + high);
    double x[kNodes], angle[kNodes];
    for (int k = 0; k < kNodes; ++k) {
      angle[k] = kPi * (k + 0.5) / kNodes;
      x[k] = k == kNodes / 2 ? center : center + half * std::cos(angle[k]);
    }
    std::vector<double> jets(3 * kNodes * m_);
    net_.jets(x, kNodes, jets.data());
    const double* middle = jets.data() + 3 * int64_t{kNodes / 2} * m_;
    Fit out;
    out.series.assign(kBasis * m_, 0.0);
    double* s = out.series.data();
    for (int64_t c = 0; c < m_; ++c) {
      s[c] = middle[c];
      if (net_.is_straight()) {
        s[m_ + c] = half * middle[m_ + c];
        continue;
      }
      double slope[kNodes + 2] = {};
      for (int p = 0; p < kNodes; ++p)
        for (int k = 0; k < kNodes; ++k)
          slope[p] += (p ? 2.0 : 1.0) / kNodes * std::cos(p * angle[k]) * jets[(3 * k + 1) * m_ + c];
      for (int p = 1; p < kBasis; ++p)
        s[p * m_ + c] = half * ((p == 1 ? 2 : 1) * slope[p - 1] - slope[p + 1]) / (2 * p);
      for (int p = 2; p < kBasis; p += 2) s[c] -= (p % 4 ? -1 : 1) * s[p * m_ + c];
    }
    constexpr int64_t kProbes = 2 * kBasis;
    double places[kProbes];
    for (int64_t k = 0; k < kProbes; ++k)
      places[k] = center + half * (2 * (static_cast<double>(k) + 0.5) / kProbes - 1);
    measure(places, kProbes, center, half, &out);
    return out;
  }

  /// How far a fit is from the net at these places.
  void measure(const double* places, int64_t probes, double center, double half, Fit* out) const {
    std::vector<double> exact(3 * probes * m_), value(m_), slope(m_);
    net_.jets(places, probes, exact.data());
    for (int64_t k = 0; k < probes; ++k) {
      evaluate(out->series, m_, (places[k] - center) / half, value.data(), slope.data());
      for (int64_t c = 0; c < m_; ++c) {
        out->error[0] = std::max(out->error[0], std::fabs(value[c] - exact[3 * k * m_ + c]) / size_[0]);
        out->error[1] =
            std::max(out->error[1], std::fabs(slope[c] / half - exact[(3 * k + 1) * m_ + c]) / size_[1]);
      }
    }
  }

  /// Interpolates in the extrema of T_15, which hold both ends: neighboring pieces join. A single piece of a
  /// stored net is a polynomial of degree 5 (8 with a switch); its ends may belong to the next one, so inner
  /// points are taken.
  Fit fit(int64_t begin, int64_t end) {
    const double half = 0.5 * bin_ * static_cast<double>(end - begin),
                 center = x0_ + 0.5 * bin_ * static_cast<double>(begin + end);
    const bool inner = net_.is_stored() && end - begin == 1;
    double x[kBasis], angle[kBasis];
    for (int k = 0; k < kBasis; ++k) {
      angle[k] = inner ? kPi * (k + 0.5) / kBasis : kPi * k / (kBasis - 1);
      x[k] = center + half * std::cos(angle[k]);
    }
    std::vector<double> jets(3 * kBasis * m_);
    net_.jets(x, kBasis, jets.data());
    Fit out;
    out.series.assign(kBasis * m_, 0.0);
    const int terms = inner ? (net_.switch_length > 0 ? 9 : 6) : kBasis;
    for (int p = 0; p < terms; ++p) {
      double* s = out.series.data() + p * m_;
      for (int k = 0; k < kBasis; ++k) {
        double w = inner ? (p ? 2.0 : 1.0) / kBasis : 2.0 / (kBasis - 1);
        if (!inner && (k == 0 || k == kBasis - 1)) w *= 0.5;
        if (!inner && (p == 0 || p == kBasis - 1)) w *= 0.5;
        w *= std::cos(p * angle[k]);
        for (int64_t c = 0; c < m_; ++c) s[c] += w * jets[3 * k * m_ + c];
      }
    }
    if (inner) return out;
    constexpr int64_t kMostProbes = 4096;
    const int64_t probes = net_.is_stored()
                               ? std::min(std::max<int64_t>(2 * kBasis, 2 * (end - begin)), kMostProbes)
                               : 2 * kBasis;
    std::vector<double> places(probes);
    for (int64_t k = 0; k < probes; ++k)
      places[k] = center + half * (2 * (static_cast<double>(k) + 0.5) / static_cast<double>(probes) - 1);
    measure(places.data(), probes, center, half, &out);
    return out;
  }

  const EmbedNet& net_;
  int64_t m_;
  double x0_, bin_, tolerance_[2], size_[2] = {1e-300, 1e-300};
};

}  // namespace

template <typename T>
EmbedTable<T> embed_table(EmbedNet given, double low, double high, double value_tolerance,
                          double slope_tolerance, int64_t max_bins) {
  EmbedTable<T> out;
  out.net = std::move(given);
  const EmbedNet& net = out.net;
  const int64_t m = net.width();
  const bool made = net.is_stored() && net.stored.empty();
  if (made) {
    // For the fits alone: afterwards only arguments outside ask for a row.
    out.net.stored.resize(net.grid.rows * 6 * m);
    net.make_rows(net.runs, 0, net.grid.rows, out.net.stored.data());
  }
  constexpr int64_t kUnit = 64 / sizeof(T);  // the longest vector
  out.stride = (m + kUnit - 1) / kUnit * kUnit;
  int64_t bins = max_bins;
  out.x0 = low;
  out.bin = (high - low) / static_cast<double>(bins);
  if (net.is_stored()) {
    bins = std::max<int64_t>(
        1, std::min<int64_t>(net.grid.rows, std::llround((net.grid.upper - net.grid.lower) / net.grid.fine)));
    out.x0 = net.grid.lower;
    out.bin = net.grid.fine;
  }
  const Builder found(net, out.x0, out.bin, bins, value_tolerance, slope_tolerance);
  const int64_t n = static_cast<int64_t>(found.pieces.size());
  out.piece_of.assign(bins, -1);
  if (net.is_straight()) out.functions = 2;
  out.rows.assign(n * kBasis * out.stride, T(0));
  out.columns.assign(n * kBasis * out.stride, T(0));
  for (int64_t k = 0; k < n; ++k) {
    const auto& piece = found.pieces[k];
    if (piece.high > piece.low) {
      // The first piece of a bin is the last one that begins at its lower end or before.
      const double first = std::ceil((piece.low - out.x0) / out.bin);
      for (int64_t b = std::max<int64_t>(0, static_cast<int64_t>(first)); b < bins; ++b)
        out.piece_of[b] = static_cast<int>(k);
      out.ends.push_back(piece.high);
      out.center.push_back(static_cast<T>(0.5 * (piece.low + piece.high)));
      out.inv_half.push_back(static_cast<T>(2 / (piece.high - piece.low)));
    } else {
      std::fill(out.piece_of.begin() + piece.begin, out.piece_of.begin() + piece.end, static_cast<int>(k));
      out.center.push_back(
          static_cast<T>(out.x0 + 0.5 * out.bin * static_cast<double>(piece.begin + piece.end)));
      out.inv_half.push_back(static_cast<T>(2 / (out.bin * static_cast<double>(piece.end - piece.begin))));
    }
    out.error = std::max({out.error, piece.fit.error[0], piece.fit.error[1]});
    for (int64_t c = 0; c < m; ++c) {
      // T_(8+p) = 2 T_8 T_p - T_(8-p)
      double a[kBasis];
      for (int p = 0; p < kBasis; ++p) a[p] = piece.fit.series[p * m + c];
      for (int p = 1; p < 8; ++p) {
        a[8 - p] -= a[8 + p];
        a[8 + p] *= 2;
      }
      for (int p = 0; p < kBasis; ++p)
        out.rows[(k * kBasis + p) * out.stride + c] = out.columns[(k * out.stride + c) * kBasis + p] =
            static_cast<T>(a[p]);
    }
  }
  if (made) std::vector<double>().swap(out.net.stored);
  return out;
}

#define DPTF_INSTANTIATE(T)      \
  template struct EmbedTable<T>; \
  template EmbedTable<T> embed_table<T>(EmbedNet, double, double, double, double, int64_t);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf

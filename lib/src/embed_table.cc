#include "dptf/embed_table.h"

#include <algorithm>
#include <cmath>

#include "dptf/hermite.h"
#include "dptf/jet_layer.h"

namespace dptf {

void EmbedNet::jets(const double* x, int64_t n, double* out) const {
  if (is_stored()) {
    const int64_t m = width();
    for (int64_t i = 0; i < n; ++i) {
      double w[6], v[6], u[6] = {};
      const double* a = stored.data() + table_weights(grid, x[i], w, v) * 6 * m;
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
    return;
  }
  std::vector<double> prev(3 * n), z, y;
  for (int64_t i = 0; i < n; ++i) {
    prev[3 * i] = x[i];
    prev[3 * i + 1] = 1;
    prev[3 * i + 2] = 0;
  }
  for (const EmbedLayer& w : layers) {
    z.assign(3 * n * w.n_out, 0.0);
    y.resize(3 * n * w.n_out);
    for (int64_t r = 0; r < 3 * n; ++r)
      for (int64_t k = 0; k < w.n_in; ++k) {
        const double a = prev[r * w.n_in + k];
        for (int64_t c = 0; c < w.n_out; ++c) z[r * w.n_out + c] += a * w.matrix[k * w.n_out + c];
      }
    JetLayer<double> p;
    p.nets = 1;
    p.nodes = n;
    p.n = w.n_out;
    p.n_prev = w.n_in;
    p.activation = activation;
    p.residual = w.n_out == w.n_in ? 1 : (w.n_out == 2 * w.n_in ? 2 : 0);
    p.z = z.data();
    p.prev = prev.data();
    p.bias = w.bias.data();
    p.idt = w.idt.empty() ? nullptr : w.idt.data();
    jet_layer(p, y.data(), serial_for);
    prev.swap(y);
  }
  std::copy(prev.begin(), prev.begin() + 3 * n * width(), out);
}

template <typename T>
void EmbedTable<T>::exact_piece(T x, T* piece) const {
  const double at = x;
  const int64_t m = net.width();
  std::vector<double> jet(3 * m);
  net.jets(&at, 1, jet.data());
  std::fill(piece, piece + 6 * stride, T(0));
  for (int d = 0; d < 3; ++d)
    for (int64_t c = 0; c < m; ++c) piece[d * stride + c] = static_cast<T>(jet[d * m + c]);
}

namespace {

/// Nodes of one grid, and how far its pieces are from the net.
struct Grid {
  double h = 0, error = 0;
  std::vector<double> jets;  // [n + 1, 3, m]
};

/// `probes` arguments are looked at in every piece. The value is worst in the middle of a piece, the slope a
/// little beside it; a quarter point would show twice as much.
Grid make_grid(const EmbedNet& net, double low, double h, int64_t n, int probes) {
  const int64_t m = net.width();
  Grid out;
  out.h = h;
  std::vector<double> x(n + 1), places(n * probes), exact(3 * n * probes * m);
  for (int64_t k = 0; k <= n; ++k) x[k] = low + h * static_cast<double>(k);
  for (int64_t k = 0; k < n * probes; ++k)
    places[k] = low + h * (static_cast<double>(k) + 0.5) / static_cast<double>(probes);
  out.jets.resize(3 * (n + 1) * m);
  net.jets(x.data(), n + 1, out.jets.data());
  net.jets(places.data(), n * probes, exact.data());
  double size[2] = {1e-300, 1e-300}, error[2] = {0, 0};
  for (int order = 0; order < 2; ++order)
    for (int probe = 0; probe < probes; ++probe) {
      double w[6];
      hermite_weights((probe + 0.5) / probes, h, order, w);
      for (int64_t k = 0; k < n; ++k)
        for (int64_t c = 0; c < m; ++c) {
          double f = 0;
          for (int q = 0; q < 6; ++q) f += w[q] * out.jets[(3 * k + q) * m + c];
          const double e = exact[(3 * (k * probes + probe) + order) * m + c];
          size[order] = std::max(size[order], std::fabs(e));
          error[order] = std::max(error[order], std::fabs(f - e));
        }
    }
  out.error = std::max(error[0] / size[0], error[1] / size[1]);
  return out;
}

}  // namespace

template <typename T>
EmbedTable<T> embed_table(const EmbedNet& net, double low, double high, double tolerance, int64_t max_nodes) {
  const int64_t m = net.width();
  EmbedTable<T> out;
  out.net = net;
  constexpr int64_t kUnit = 64 / sizeof(T);  // the longest vector
  out.stride = (m + kUnit - 1) / kUnit * kUnit;
  Grid best;
  if (net.is_stored()) {
    low = net.grid.lower;
    const int64_t own = std::max<int64_t>(
        1, std::min<int64_t>(net.grid.rows, std::llround((net.grid.upper - net.grid.lower) / net.grid.fine)));
    for (int64_t thin : {16, 8, 4, 2, 1}) {
      if (own < 4 * thin && thin > 1) continue;
      // What is left at the upper end is evaluated exactly.
      best =
          make_grid(net, low, net.grid.fine * static_cast<double>(thin), own / thin, static_cast<int>(thin));
      if (best.error < tolerance) break;
    }
  } else {
    for (int64_t pieces = 32; pieces < max_nodes; pieces *= 2) {
      Grid next = make_grid(net, low, (high - low) / static_cast<double>(pieces), pieces, 1);
      // Once rounding is all that is left (the slope divides it by h), a denser table would be worse.
      if (pieces > 32 && next.error > 0.5 * best.error && best.error < 1e-9) break;
      best = std::move(next);
      if (best.error < tolerance) break;
    }
  }
  out.x0 = low;
  out.h = best.h;
  out.error = best.error;
  out.n_nodes = static_cast<int64_t>(best.jets.size()) / (3 * m);
  if (net.is_stored() && best.error > 100 * tolerance) {
    out.powers = true;
    out.error = 0;
    out.nodes.assign((out.n_nodes - 1) * 6 * out.stride, T(0));
    for (int64_t k = 0; k < out.n_nodes - 1; ++k)
      for (int64_t c = 0; c < m; ++c)
        for (int p = 0; p < 6; ++p)
          out.nodes[(6 * k + p) * out.stride + c] = static_cast<T>(net.stored[(k * m + c) * 6 + p]);
    return out;
  }
  out.nodes.assign(out.n_nodes * 3 * out.stride, T(0));
  for (int64_t r = 0; r < 3 * out.n_nodes; ++r)
    for (int64_t c = 0; c < m; ++c) out.nodes[r * out.stride + c] = static_cast<T>(best.jets[r * m + c]);
  return out;
}

#define DPTF_INSTANTIATE(T)      \
  template struct EmbedTable<T>; \
  template EmbedTable<T> embed_table<T>(const EmbedNet&, double, double, double, int64_t);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf

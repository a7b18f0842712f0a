#include "dptf/embed_table.h"

#include <algorithm>
#include <cmath>

#include "dptf/hermite.h"
#include "dptf/jet_layer.h"

namespace dptf {

void EmbedNet::jets(const double* x, int64_t n, double* out) const {
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

template <typename T>
EmbedTable<T> embed_table(const EmbedNet& net, double low, double high, double tolerance, int64_t max_nodes) {
  const int64_t m = net.width();
  EmbedTable<T> out;
  out.net = net;
  out.x0 = low;
  constexpr int64_t kUnit = 64 / sizeof(T);  // the longest vector
  out.stride = (m + kUnit - 1) / kUnit * kUnit;
  std::vector<double> kept;
  for (int64_t pieces = 32; pieces < max_nodes; pieces *= 2) {
    const double h = (high - low) / static_cast<double>(pieces);
    std::vector<double> x(pieces + 1), middle(pieces), jets(3 * (pieces + 1) * m), exact(3 * pieces * m);
    for (int64_t k = 0; k <= pieces; ++k) x[k] = low + h * static_cast<double>(k);
    for (int64_t k = 0; k < pieces; ++k) middle[k] = low + h * (static_cast<double>(k) + 0.5);
    net.jets(x.data(), pieces + 1, jets.data());
    net.jets(middle.data(), pieces, exact.data());
    // The value is worst in the middle of a piece, the slope a little beside it; a quarter point would show
    // twice as much.
    double size[2] = {1e-300, 1e-300}, error[2] = {0, 0};
    for (int order = 0; order < 2; ++order) {
      double w[6];
      hermite_weights(0.5, h, order, w);
      for (int64_t k = 0; k < pieces; ++k)
        for (int64_t c = 0; c < m; ++c) {
          double f = 0;
          for (int q = 0; q < 6; ++q) f += w[q] * jets[(3 * k + q) * m + c];
          const double e = exact[(3 * k + order) * m + c];
          size[order] = std::max(size[order], std::fabs(e));
          error[order] = std::max(error[order], std::fabs(f - e));
        }
    }
    const double worst = std::max(error[0] / size[0], error[1] / size[1]);
    // Once rounding is all that is left (the slope divides it by h), a denser table would be worse.
    if (pieces > 32 && worst > 0.5 * out.error && out.error < 1e-9) break;
    out.error = worst;
    out.h = h;
    out.n_nodes = pieces + 1;
    kept.swap(jets);
    if (worst < tolerance) break;
  }
  out.nodes.assign(out.n_nodes * 3 * out.stride, T(0));
  for (int64_t r = 0; r < 3 * out.n_nodes; ++r)
    for (int64_t c = 0; c < m; ++c) out.nodes[r * out.stride + c] = static_cast<T>(kept[r * m + c]);
  return out;
}

#define DPTF_INSTANTIATE(T)      \
  template struct EmbedTable<T>; \
  template EmbedTable<T> embed_table<T>(const EmbedNet&, double, double, double, int64_t);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf

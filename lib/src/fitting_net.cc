#include "dptf/fitting_net.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "dptf/fitting_net_kernels.h"
#include "dptf/isa_dispatch.h"
#include "dptf/scratch.h"

namespace dptf {
namespace {

/// Rows that go through a net together are a multiple of this (of the columns of every instruction set, since
/// rows are columns on the way back) ...
constexpr int64_t kRowUnit = 24;
/// ... and at most this many: the more, the fewer times the weights are read.
constexpr int64_t kMostRows = 96;
/// Inputs of a layer per piece of work on its weights.
constexpr int64_t kInputsPerItem = 64;

template <typename T>
int64_t columns() {
  int64_t c = 0;
#define DPTF_PANEL fitting_panel(sizeof(T))
#ifdef DPTF_HAVE_X86_DISPATCH
  c = cpu_isa() == CpuIsa::avx512 ? avx512::DPTF_PANEL
      : cpu_isa() == CpuIsa::avx2 ? avx2::DPTF_PANEL
                                  : baseline::DPTF_PANEL;
#else
  c = baseline::DPTF_PANEL;
#endif
#undef DPTF_PANEL
  return c;
}

int64_t panels(int64_t n, int64_t columns) { return (n + columns - 1) / columns; }

}  // namespace

/// Views of all layers with the packed weights they point to.
template <typename T>
struct FittingNets<T>::Packed {
  explicit Packed(int64_t n) : room(n) {}
  Scratch<T> room;
  std::vector<std::vector<FittingLayerView<T>>> views;
};

template <typename T>
FittingNets<T>::FittingNets(std::vector<std::vector<FittingLayer<T>>> nets,
                            std::vector<std::vector<int64_t>> rows, bool linear_top)
    : nets_(std::move(nets)), linear_top_(linear_top) {
  if (nets_.empty() || nets_.size() != rows.size())
    throw std::invalid_argument("one list of rows per fitting net");
  for (const auto& net : nets_) {
    if (net.size() < (linear_top ? 2 : 1) || net.size() != nets_[0].size())
      throw std::invalid_argument("fitting nets need a hidden layer and a last layer, all of the same depth");
    for (size_t k = 0; k < net.size(); ++k) {
      const FittingLayer<T>& w = net[k];
      if (w.n_in != (k ? net[k - 1].n_out : nets_[0][0].n_in) || w.n_out != nets_[0][k].n_out ||
          w.n_out < 1 || (w.residual && w.n_in != w.n_out && 2 * w.n_in != w.n_out))
        throw std::invalid_argument("fitting layer " + std::to_string(k) + " does not fit the one before it");
    }
  }
  for (const auto& list : rows) {
    first_.push_back(n_rows());
    order_.insert(order_.end(), list.begin(), list.end());
  }
  first_.push_back(n_rows());
  for (size_t k = 0; k + linear_top < nets_[0].size(); ++k) kept_ += fitting_stride(nets_[0][k].n_out);
  for (const FittingLayer<T>& w : nets_[0]) work_ += w.n_in * w.n_out;
}

/// Jobs of equal numbers of rows, the same for every thread, cut where one net ends and the next begins.
template <typename T>
std::vector<std::vector<typename FittingNets<T>::Block>> FittingNets<T>::jobs(int threads) const {
  const int64_t rounds = (n_rows() + threads * kMostRows - 1) / (threads * kMostRows);
  const int64_t share = (n_rows() + threads * rounds - 1) / (threads * rounds);
  const int64_t rows = std::min((share + kRowUnit - 1) / kRowUnit * kRowUnit, kMostRows);
  std::vector<std::vector<Block>> out;
  for (int64_t begin = 0; begin < n_rows(); begin += rows) {
    out.emplace_back();
    const int64_t end = std::min(begin + rows, n_rows());
    for (size_t net = 0; net < nets_.size(); ++net) {
      const int64_t first = std::max(begin, first_[net]), last = std::min(end, first_[net + 1]);
      if (first < last) out.back().push_back({static_cast<int>(net), first, last - first});
    }
  }
  return out;
}

template <typename T>
typename FittingNets<T>::Packed FittingNets<T>::pack() const {
  const int64_t unit = columns<T>();
  // Matrices whose rows are whole vectors are used as they lie; others (the last layer) are copied.
  const auto as_is = [](const FittingLayer<T>& w) { return w.n_out % kFittingUnit == 0; };
  int64_t size = 0;
  for (const FittingLayer<T>& w : nets_[0]) size += as_is(w) ? 0 : w.n_in * panels(w.n_out, unit) * unit;
  Packed out(size * static_cast<int64_t>(nets_.size()));
  T* next = out.room.data();
  for (const auto& net : nets_) {
    std::vector<FittingLayerView<T>> views;
    int64_t at = 0, panels_at = 0;
    for (const FittingLayer<T>& w : net) {
      const int64_t n = panels(w.n_out, unit);
      FittingLayerView<T> v;
      v.layer = w;
      v.at = at;
      v.panels_at = panels_at;
      at += fitting_stride(w.n_out);
      panels_at += n * unit;
      v.matrix = as_is(w) ? w.w : next;
      v.row_step = as_is(w) ? w.n_out : unit;
      v.panel_step = as_is(w) ? unit : w.n_in * unit;
      for (int64_t j = 0; !as_is(w) && j < n; ++j) DPTF_ISA_CALL(fitting_pack(w, j, next));
      if (!as_is(w)) next += w.n_in * n * unit;
      views.push_back(v);
    }
    out.views.push_back(std::move(views));
  }
  return out;
}

/// Calls `body` with every block of rows, prepared as far as all passes through the nets agree, and its net.
template <typename T>
template <typename Body>
void FittingNets<T>::each_block(const Packed& packed, int threads, const ParallelFor& parallel,
                                const Body& body) const {
  const std::vector<std::vector<Block>> list = jobs(std::max(threads, 1));
  parallel(static_cast<int64_t>(list.size()), kMostRows * work_ / 10, [&](int64_t begin, int64_t end) {
    Scratch<T> scratch(fitting_scratch(kMostRows, kept_, n_in(), n_out()));
    for (int64_t k = begin; k < end; ++k)
      for (const Block& part : list[k]) {
        FittingBlock<T> b;
        b.layers = packed.views[part.net].data();
        b.n_layers = static_cast<int>(nets_[0].size());
        b.linear_top = linear_top_;
        b.first = part.begin;
        b.rows = order_.data() + b.first;
        b.count = part.count;
        b.stride = kept_;
        b.scratch = scratch.data();
        body(b, part.net);
      }
  });
}

template <typename T>
void FittingNets<T>::value(const T* x, T* y, T* pre, T* dydx, T* adjoint, int threads,
                           const ParallelFor& parallel) const {
  if (!n_rows()) return;
  each_block(pack(), threads, parallel, [&](FittingBlock<T>& b, int) {
    b.x = x;
    b.y = y;
    b.pre = pre;
    b.dydx = dydx;
    b.adjoint = adjoint;
    DPTF_ISA_CALL(fitting_value(b));
  });
}

template <typename T>
void FittingNets<T>::gradient(const T* x, const T* pre, const T* adjoint, const T* dy, const T* ddydx, T* dx,
                              const std::vector<std::vector<FittingLayerGrad<T>>>& dw, int threads,
                              const ParallelFor& parallel) const {
  const bool second = ddydx != nullptr;
  const int depth = static_cast<int>(nets_[0].size());
  const Packed packed = pack();
  const int64_t unit = columns<T>(), n = n_rows() * kept_;
  const FittingLayerView<T>& top = packed.views[0].back();
  const int64_t panel_columns = top.panels_at + panels(n_out(), unit) * unit,
                in_panels = n_rows() * panel_columns;
  Scratch<T> kept(second ? 3 * n + 2 * in_panels : 2 * n + in_panels);
  T *h = kept.data(), *q = h + n, *t = second ? q + n : nullptr;
  T *s = q + (second ? 2 : 1) * n, *g = second ? s + in_panels : nullptr;
  each_block(packed, threads, parallel, [&](FittingBlock<T>& b, int net) {
    b.x = x;
    b.dy = dy;
    b.ddydx = ddydx;
    b.dx = dx;
    b.pre = const_cast<T*>(pre);
    b.adjoint = const_cast<T*>(adjoint);
    b.h = h, b.t = t, b.q = q;
    b.s = s + first_[net] * panel_columns;
    b.g = second ? g + first_[net] * panel_columns : nullptr;
    b.net_rows = first_[net + 1] - first_[net];
    b.net_first = b.first - first_[net];
    DPTF_ISA_CALL(fitting_gradient(b));
  });
  // The weights: strips of the inputs of every layer, and its sums over rows.
  struct Item {
    int net, layer;
    int64_t begin, end;  // inputs; an empty strip stands for bias and time step
  };
  std::vector<Item> items;
  for (int k = 0; k < depth; ++k)
    for (int64_t c = 0; c < nets_[0][k].n_in + kInputsPerItem; c += kInputsPerItem)
      for (int net = 0; net < static_cast<int>(nets_.size()); ++net)  // side by side: nets differ in rows
        items.push_back(
            {net, k, std::min(c, nets_[0][k].n_in), std::min(c + kInputsPerItem, nets_[0][k].n_in)});
  const int64_t cost = n_rows() * work_ / (second ? 10 : 20);
  parallel(
      static_cast<int64_t>(items.size()), cost / static_cast<int64_t>(items.size()) + 1,
      [&](int64_t begin, int64_t end) {
        for (int64_t k = begin; k < end; ++k) {
          const Item& item = items[k];
          const FittingLayerView<T>& v = packed.views[item.net][item.layer];
          const FittingLayer<T>& w = v.layer;
          const FittingLayerGrad<T>& out = dw[item.net][item.layer];
          const int64_t first = first_[item.net], rows = first_[item.net + 1] - first;
          FittingProduct<T> p;
          p.rows = rows;
          p.n_out = w.n_out;
          p.s = s + first * panel_columns + v.panels_at * rows;
          p.g = second ? g + first * panel_columns + v.panels_at * rows : nullptr;
          if (item.begin == item.end) {
            for (int64_t j = 0; j < w.n_out; j += unit)
              DPTF_ISA_CALL(fitting_sum(p.s + j * rows, rows, unit, std::min(unit, w.n_out - j), out.b + j));
            if (out.idt) DPTF_ISA_CALL(fitting_sum(q + first * kept_ + v.at, rows, kept_, w.n_out, out.idt));
            continue;
          }
          if (item.layer == 0) {
            p.in = x;
            p.index = order_.data() + first;
            p.in_stride = w.n_in;
            p.tangent = ddydx;
          } else {
            const int64_t below = first * kept_ + packed.views[item.net][item.layer - 1].at;
            p.in = h + below;
            p.in_stride = kept_;
            p.tangent = second ? t + below : nullptr;
          }
          p.dw = out.w;
          if (!rows) std::fill_n(out.w + item.begin * w.n_out, (item.end - item.begin) * w.n_out, T(0));
          DPTF_ISA_CALL(fitting_product(p, item.begin, item.end));
        }
      });
}

template class FittingNets<double>;
template class FittingNets<float>;

}  // namespace dptf

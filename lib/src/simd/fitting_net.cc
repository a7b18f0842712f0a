// Kernels of fitting nets in training: a block of rows goes through all layers while it stays in the caches.
#include <algorithm>

#include "dptf/activation.h"
#include "dptf/fitting_net_kernels.h"
#include "dptf/gemm_tile.h"

namespace dptf {
namespace DPTF_ISA {
namespace {

/// Rows of a sum over rows that are taken at once.
constexpr int64_t kProductRows = 64;
/// Strips of kTileRows inputs of a layer that are fetched together: whole cache lines of every row.
constexpr int64_t kStrips = 32 / kTileRows;
/// Inputs of a layer whose rows of W stay in the second cache.
constexpr int64_t kInputBlock = 64;

/// Asks for rows `begin` to `end` of a block of rows of `bytes` each.
DPTF_INLINE void fetch(const void* rows, int64_t row_bytes, int64_t bytes, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r)
    for (int64_t k = 0; k < bytes; k += 64)
      __builtin_prefetch(static_cast<const char*>(rows) + r * row_bytes + k, 0, 2);
}

/// c [rows, n_out] := a [rows, n_in] W. Weights come from far away in short rows, which no hardware foresees:
/// the next panel is asked for while this one is used.
template <typename T>
void multiply(int64_t rows, const FittingLayerView<T>& v, const T* a, int64_t a_row, T* c, int64_t c_row) {
  const int64_t depth = v.layer.n_in, n = v.layer.n_out;
  for (int64_t p = 0; p < depth; p += kTileDepth)
    for (int64_t j = 0; j < n; j += kTileColumns<T>) {
      const bool last = j + kTileColumns<T> >= n;
      const int64_t next_p = last ? p + kTileDepth : p, next_j = last ? 0 : j / kTileColumns<T> + 1;
      const T* next = v.matrix + next_j * v.panel_step + next_p * v.row_step;
      const int64_t ahead = next_p < depth ? std::min(kTileDepth, depth - next_p) : 0;
      Tile<T> tile;
      tile.product = {std::min(kTileDepth, depth - p),
                      a + p,
                      a_row,
                      1,
                      v.matrix + j / kTileColumns<T> * v.panel_step + p * v.row_step,
                      v.row_step};
      tile.c = c + j;
      tile.c_row = c_row;
      tile.columns = std::min<int64_t>(kTileColumns<T>, n - j);
      tile.add = p > 0;
      for (int64_t r = 0; r < rows; r += kTileRows) {
        fetch(next, v.row_step * sizeof(T), kTileColumns<T> * sizeof(T), ahead * r / rows,
              ahead * std::min<int64_t>(r + kTileRows, rows) / rows);
        run_tiles(tile, std::min<int64_t>(kTileRows, rows - r));
        tile.product.a += kTileRows * a_row;
        tile.c += kTileRows * c_row;
      }
    }
}

/// out [rows, n_in] := s [rows, n_out] W^T, as the transpose of W s^T: W is read as it lies. `turned` has
/// room for s^T.
template <typename T>
void multiply_back(int64_t rows, const FittingLayer<T>& w, const T* s, int64_t s_row, T* turned, T* out,
                   int64_t out_row) {
  for (int64_t r = 0; r < rows; ++r) {
    T* panel = turned + r / kTileColumns<T> * kTileColumns<T> * w.n_out + r % kTileColumns<T>;
    for (int64_t k = 0; k < w.n_out; ++k) panel[k * kTileColumns<T>] = s[r * s_row + k];
  }
  // A part of s^T stays in the first cache while it meets a block of W.
  for (int64_t p = 0; p < w.n_out; p += kTileDepth)
    for (int64_t c0 = 0; c0 < w.n_in; c0 += kInputBlock)
      for (int64_t j = 0; j < rows; j += kTileColumns<T>)
        for (int64_t c = c0; c < std::min(c0 + kInputBlock, w.n_in); c += kTileRows) {
          const int64_t inputs = std::min<int64_t>(kTileRows, w.n_in - c);
          if (j == 0)
            fetch(w.w + (c + kTileRows) * w.n_out + p, w.n_out * sizeof(T),
                  std::min(kTileDepth, w.n_out - p) * sizeof(T), 0,
                  std::min<int64_t>(kTileRows, w.n_in - c - inputs));
          alignas(64) T part[kTileRows * kTileColumns<T>];
          Tile<T> tile;
          tile.product = {std::min(kTileDepth, w.n_out - p),          w.w + c * w.n_out + p, w.n_out, 1,
                          turned + j * w.n_out + p * kTileColumns<T>, kTileColumns<T>};
          tile.c = part;
          tile.c_row = kTileColumns<T>;
          tile.columns = std::min<int64_t>(kTileColumns<T>, rows - j);
          run_tiles(tile, inputs);
          T* to = out + j * out_row + c;
          for (int64_t r = 0; r < tile.columns; ++r, to += out_row)
            if (inputs < kTileRows)
              for (int64_t k = 0; k < inputs; ++k) to[k] = part[k * kTileColumns<T> + r] + (p ? to[k] : T(0));
            else if (p)
#pragma GCC unroll 8
              for (int k = 0; k < kTileRows; ++k) to[k] += part[k * kTileColumns<T> + r];
            else
#pragma GCC unroll 8
              for (int k = 0; k < kTileRows; ++k) to[k] = part[k * kTileColumns<T> + r];
        }
}

/// Rows of a layer to its panels.
template <typename T>
void to_panels(const FittingBlock<T>& b, const FittingLayerView<T>& v, const T* x, int64_t x_row, T* panels) {
  panels += v.panels_at * b.net_rows + b.net_first * kTileColumns<T>;
  for (int64_t j = 0; j < v.layer.n_out; j += kTileColumns<T>, panels += b.net_rows * kTileColumns<T>) {
    const int64_t n = std::min<int64_t>(kTileColumns<T>, v.layer.n_out - j);
    for (int64_t r = 0; r < b.count; ++r) {
      T* to = panels + r * kTileColumns<T>;
      for (int64_t c = 0; c < n; ++c) to[c] = x[r * x_row + j + c];
      for (int64_t c = n; c < kTileColumns<T>; ++c) to[c] = 0;
    }
  }
}

/// Functions of the arguments z of a layer, row by row: f [3][rows, n] with phi, phi' and phi''.
template <typename T>
struct Functions {
  int64_t rows, n;
  const T* z;
  int64_t z_row;
  T *f0, *f1, *f2;  // f2 may be null
  int64_t f_row;

  template <Activation A>
  void operator()() const {
    for (int64_t r = 0; r < rows; ++r) {
      const T* __restrict x = z + r * z_row;
      T* __restrict a = f0 + r * f_row;
      T* __restrict b = f1 + r * f_row;
      if (f2) {
        T* __restrict c = f2 + r * f_row;
#pragma GCC ivdep
        for (int64_t k = 0; k < n; ++k) {
          T f[4];
          activation_derivatives<A>(x[k], f);
          a[k] = f[0];
          b[k] = f[1];
          c[k] = f[2];
        }
      } else {
#pragma GCC ivdep
        for (int64_t k = 0; k < n; ++k) {
          T f[4];
          activation_derivatives<A>(x[k], f);
          a[k] = f[0];
          b[k] = f[1];
        }
      }
    }
  }
};

/// Parts of the scratch memory of a block.
template <typename T>
struct Arena {
  T* next;
  DPTF_INLINE_MEMBER T* take(int64_t n) {
    T* out = next;
    next += fitting_stride(n);
    return out;
  }
};

template <typename T>
DPTF_INLINE bool side_by_side(const FittingBlock<T>& block) {
  return block.rows[block.count - 1] - block.rows[0] == block.count - 1;
}

/// Rows of an outer array, side by side: where they lie if they are so already, else copied.
template <typename T>
const T* gather(const FittingBlock<T>& block, const T* x, int64_t n, Arena<T>* arena) {
  if (side_by_side(block)) return x + block.rows[0] * n;
  T* room = arena->take(block.count * n);
  for (int64_t r = 0; r < block.count; ++r) std::copy_n(x + block.rows[r] * n, n, room + r * n);
  return room;
}

/// Where results of an outer array go; scatter() takes them to their rows.
template <typename T>
T* place(const FittingBlock<T>& block, T* x, int64_t n, Arena<T>* arena) {
  return side_by_side(block) ? x + block.rows[0] * n : arena->take(block.count * n);
}

template <typename T>
void scatter(const FittingBlock<T>& block, const T* from, int64_t n, T* x) {
  if (side_by_side(block)) return;
  for (int64_t r = 0; r < block.count; ++r) std::copy_n(from + r * n, n, x + block.rows[r] * n);
}

/// out += in, to both halves of a row twice as long.
template <typename T>
DPTF_INLINE void add_residual(const FittingLayer<T>& w, const T* __restrict in, T* __restrict out) {
  for (int64_t half = 0; half < w.n_out; half += w.n_in)
    for (int64_t c = 0; c < w.n_in; ++c) out[half + c] += in[c];
}

/// Adjoint of the input of a layer from the adjoint of its argument (and of its result, through the
/// residual).
template <typename T>
void step_back(int64_t rows, const FittingLayer<T>& w, const T* s, int64_t s_row, const T* result,
               int64_t result_row, T* turned, T* out, int64_t out_row) {
  multiply_back(rows, w, s, s_row, turned, out, out_row);
  if (!w.residual) return;
  for (int64_t r = 0; r < rows; ++r) {
    const T* __restrict g = result + r * result_row;
    T* __restrict o = out + r * out_row;
    for (int64_t half = 0; half < w.n_out; half += w.n_in)
#pragma omp simd
      for (int64_t c = 0; c < w.n_in; ++c) o[c] += g[half + c];
  }
}

}  // namespace

int64_t fitting_panel(int bytes) { return kTileVectors * kVectorBytes / bytes; }

template <typename T>
void fitting_pack(const FittingLayer<T>& w, int64_t panel, T* packed) {
  constexpr int columns = kTileColumns<T>;
  const int64_t j = panel * columns, used = std::min<int64_t>(columns, w.n_out - j);
  packed += j * w.n_in;
  for (int64_t p = 0; p < w.n_in; ++p, packed += columns) {
    for (int64_t c = 0; c < used; ++c) packed[c] = w.w[p * w.n_out + j + c];
    for (int64_t c = used; c < columns; ++c) packed[c] = 0;
  }
}

template <typename T>
void fitting_value(const FittingBlock<T>& b) {
  const int64_t rows = b.count;
  const int last = b.n_layers - b.linear_top;
  Arena<T> arena{b.scratch};
  T *slopes = arena.take(rows * b.stride), *results = arena.take(rows * b.stride),
    *turned = arena.take((rows + kTileColumns<T>)*b.stride);
  const T* in = gather(b, b.x, b.layers[0].layer.n_in, &arena);
  int64_t in_row = b.layers[0].layer.n_in;
  for (int k = 0; k < last; ++k) {
    const FittingLayer<T>& w = b.layers[k].layer;
    const int64_t at = b.layers[k].at;
    T *z = b.pre + b.first * b.stride + at, *h = results + at;
    multiply(rows, b.layers[k], in, in_row, z, b.stride);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < w.n_out; ++c) z[r * b.stride + c] += w.b[c];
    dispatch_activation(w.activation,
                        Functions<T>{rows, w.n_out, z, b.stride, h, slopes + at, nullptr, b.stride});
    for (int64_t r = 0; r < rows; ++r) {
      T* __restrict hr = h + r * b.stride;
      if (w.idt)
        for (int64_t c = 0; c < w.n_out; ++c) hr[c] *= w.idt[c];
      if (w.residual) add_residual(w, in + r * in_row, hr);
    }
    in = h;
    in_row = b.stride;
  }
  if (!b.linear_top) {
    const int64_t n = b.layers[last - 1].layer.n_out;
    for (int64_t r = 0; r < rows; ++r) std::copy_n(in + r * in_row, n, b.y + b.rows[r] * n);
    return;
  }
  const FittingLayer<T>& top = b.layers[last].layer;
  T* y = place(b, b.y, top.n_out, &arena);
  multiply(rows, b.layers[last], in, in_row, y, top.n_out);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < top.n_out; ++c) y[r * top.n_out + c] += top.b[c];
  scatter(b, y, top.n_out, b.y);
  if (!b.dydx) return;
  T* a = b.adjoint + b.first * b.stride;
  for (int64_t r = 0; r < rows; ++r) std::copy_n(top.w, top.n_in, a + r * b.stride + b.layers[last - 1].at);
  T* dydx = place(b, b.dydx, b.layers[0].layer.n_in, &arena);
  for (int k = last; k-- > 0;) {
    const FittingLayer<T>& w = b.layers[k].layer;
    const int64_t at = b.layers[k].at;
    T* s = slopes + at;
    for (int64_t r = 0; r < rows; ++r) {
      T* __restrict sr = s + r * b.stride;
      const T* __restrict ar = a + at + r * b.stride;
#pragma omp simd
      for (int64_t c = 0; c < w.n_out; ++c) sr[c] *= ar[c];
      if (w.idt)
        for (int64_t c = 0; c < w.n_out; ++c) sr[c] *= w.idt[c];
    }
    T* out = k ? a + b.layers[k - 1].at : dydx;
    step_back(rows, w, s, b.stride, a + at, b.stride, turned, out, k ? b.stride : w.n_in);
  }
  scatter(b, dydx, b.layers[0].layer.n_in, b.dydx);
}

template <typename T>
void fitting_gradient(const FittingBlock<T>& b) {
  const int64_t rows = b.count, stride = b.stride;
  const int last = b.n_layers - b.linear_top;
  const FittingLayer<T>& top = b.layers[b.n_layers - 1].layer;
  const int64_t n_in = b.layers[0].layer.n_in, base = b.first * stride;
  const bool second = b.ddydx != nullptr;
  Arena<T> arena{b.scratch};
  T *f0 = arena.take(rows * stride), *f1 = arena.take(rows * stride), *f2 = arena.take(rows * stride),
    *u = arena.take(rows * stride), *a = arena.take(rows * stride),
    *turned = arena.take((rows + kTileColumns<T>)*(stride + fitting_stride(top.n_out)));
  const T* in = gather(b, b.x, n_in, &arena);
  const T* tangent = second ? gather(b, b.ddydx, n_in, &arena) : nullptr;
  int64_t in_row = n_in;
  for (int k = 0; k < last; ++k) {
    const FittingLayer<T>& w = b.layers[k].layer;
    const int64_t at = b.layers[k].at;
    T* h = b.h + base + at;
    dispatch_activation(w.activation, Functions<T>{rows, w.n_out, b.pre + base + at, stride, f0 + at, f1 + at,
                                                   second ? f2 + at : nullptr, stride});
    for (int64_t r = 0; r < rows; ++r) {
      const T* __restrict value = f0 + r * stride + at;
      T* __restrict hr = h + r * stride;
      for (int64_t c = 0; c < w.n_out; ++c) hr[c] = value[c];
      if (w.idt)
        for (int64_t c = 0; c < w.n_out; ++c) hr[c] *= w.idt[c];
      if (w.residual) add_residual(w, in + r * in_row, hr);
    }
    if (second) {
      T *t = b.t + base + at, *g = turned, *ut = u + at;
      const T* kept = b.adjoint + base + at;
      multiply(rows, b.layers[k], tangent, in_row, ut, stride);
      for (int64_t r = 0; r < rows; ++r) {
        const T* __restrict slope = f1 + r * stride + at;
        const T* __restrict kr = kept + r * stride;
        const T* __restrict ur = ut + r * stride;
        T* __restrict gr = g + r * stride;
        T* __restrict tr = t + r * stride;
        for (int64_t c = 0; c < w.n_out; ++c) {
          gr[c] = slope[c] * kr[c];
          tr[c] = slope[c] * ur[c];
        }
        if (w.idt)
          for (int64_t c = 0; c < w.n_out; ++c) {
            gr[c] *= w.idt[c];
            tr[c] *= w.idt[c];
          }
        if (w.residual) add_residual(w, tangent + r * in_row, tr);
      }
      to_panels(b, b.layers[k], g, stride, b.g);
      tangent = t;
    }
    in = h;
    in_row = stride;
  }
  // Adjoint of the last hidden result.
  const T* dy = gather(b, b.dy, top.n_out, &arena);
  if (b.linear_top) to_panels(b, b.layers[last], dy, top.n_out, b.s);
  if (second) {
    std::fill_n(turned, rows, T(1));
    to_panels(b, b.layers[last], turned, 1, b.g);
  }
  const bool known = b.adjoint && !second;  // then the chain of adjoints is dy times the one that was kept
  if (!b.linear_top)
    for (int64_t r = 0; r < rows; ++r)
      std::copy_n(dy + r * top.n_out, top.n_out, a + r * stride + b.layers[last - 1].at);
  else if (top.n_out == 1)
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < top.n_in; ++c) a[r * stride + b.layers[last - 1].at + c] = dy[r] * top.w[c];
  else
    multiply_back(rows, top, dy, top.n_out, turned, a + b.layers[last - 1].at, stride);
  if (known)
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < stride; ++c) a[r * stride + c] = dy[r] * b.adjoint[base + r * stride + c];
  T* dx = b.dx ? place(b, b.dx, n_in, &arena) : nullptr;
  for (int k = last; k-- > 0;) {
    const FittingLayer<T>& w = b.layers[k].layer;
    const int64_t at = b.layers[k].at;
    for (int64_t r = 0; r < rows; ++r) {
      T* __restrict s = f1 + at + r * stride;  // the slope is used up here
      T* __restrict q = b.q + base + at + r * stride;
      const T* __restrict ar = a + at + r * stride;
      const T* __restrict v0 = f0 + at + r * stride;
      if (w.idt) {
        for (int64_t c = 0; c < w.n_out; ++c) q[c] = v0[c] * ar[c];
        if (second)
          for (int64_t c = 0; c < w.n_out; ++c)
            q[c] += s[c] * u[at + r * stride + c] * b.adjoint[base + at + r * stride + c];
      }
#pragma omp simd
      for (int64_t c = 0; c < w.n_out; ++c) s[c] *= ar[c];
      if (second) {
        const T* __restrict v2 = f2 + at + r * stride;
        const T* __restrict ut = u + at + r * stride;
        const T* __restrict kept = b.adjoint + base + at + r * stride;
#pragma omp simd
        for (int64_t c = 0; c < w.n_out; ++c) s[c] += v2[c] * ut[c] * kept[c];
      }
      if (w.idt)
        for (int64_t c = 0; c < w.n_out; ++c) s[c] *= w.idt[c];
    }
    to_panels(b, b.layers[k], f1 + at, stride, b.s);
    if (known || (k == 0 && !dx)) continue;
    T* out = k ? a + b.layers[k - 1].at : dx;
    step_back(rows, w, f1 + at, stride, a + at, stride, turned, out, k ? stride : n_in);
  }
  if (dx) scatter(b, dx, n_in, b.dx);
}

template <typename T>
void fitting_product(const FittingProduct<T>& p, int64_t begin, int64_t end) {
  // Strips of inputs of some rows are copied side by side; then they meet all outputs, panel by panel.
  alignas(64) T strips[2][kStrips][kProductRows * kTileRows];
  const int terms = p.tangent ? 2 : 1;
  for (int64_t c0 = begin; c0 < end; c0 += kStrips * kTileRows) {
    const int64_t inputs = std::min(kStrips * kTileRows, end - c0);
    for (int64_t r0 = 0; r0 < p.rows; r0 += kProductRows) {
      const int64_t n = std::min(kProductRows, p.rows - r0);
      for (int64_t r = 0; r < n; ++r) {
        const int64_t row = p.index ? p.index[r0 + r] : r0 + r;
        for (int term = 0; term < terms; ++term) {
          const T* from = (term ? p.tangent : p.in) + row * p.in_stride + c0;
          if (inputs == kStrips * kTileRows)
            for (int q = 0; q < kStrips; ++q)
#pragma GCC unroll 8
              for (int c = 0; c < kTileRows; ++c)
                strips[term][q][r * kTileRows + c] = from[q * kTileRows + c];
          else
            for (int64_t c = 0; c < inputs; ++c)
              strips[term][c / kTileRows][r * kTileRows + c % kTileRows] = from[c];
        }
      }
      for (int64_t j = 0; j < p.n_out; j += kTileColumns<T>) {
        if (c0 + inputs < end)
          for (int64_t r = n * j / p.n_out; r < n * (j + kTileColumns<T>) / p.n_out && r < n; ++r) {
            const int64_t at = (p.index ? p.index[r0 + r] : r0 + r) * p.in_stride + c0 + inputs;
            fetch(p.in + at, 0, kStrips * kTileRows * sizeof(T), 0, 1);
            if (p.tangent) fetch(p.tangent + at, 0, kStrips * kTileRows * sizeof(T), 0, 1);
          }
        for (int term = 0; term < terms; ++term)
          for (int64_t c = 0; c < inputs; c += kTileRows) {
            Tile<T> tile;
            tile.product = {n,
                            strips[term][c / kTileRows],
                            1,
                            kTileRows,
                            (term ? p.g : p.s) + (j / kTileColumns<T> * p.rows + r0) * kTileColumns<T>,
                            kTileColumns<T>};
            tile.c = p.dw + (c0 + c) * p.n_out + j;
            tile.c_row = p.n_out;
            tile.columns = std::min<int64_t>(kTileColumns<T>, p.n_out - j);
            tile.add = r0 > 0 || term > 0;
            run_tiles(tile, std::min<int64_t>(kTileRows, inputs - c));
          }
      }
    }
  }
}

template <typename T>
void fitting_sum(const T* x, int64_t rows, int64_t stride, int64_t n, T* out) {
  std::fill_n(out, n, T(0));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < n; ++c) out[c] += x[r * stride + c];
}

#define DPTF_INSTANTIATE(T)                                                     \
  template void fitting_pack<T>(const FittingLayer<T>&, int64_t, T*);           \
  template void fitting_value<T>(const FittingBlock<T>&);                       \
  template void fitting_gradient<T>(const FittingBlock<T>&);                    \
  template void fitting_product<T>(const FittingProduct<T>&, int64_t, int64_t); \
  template void fitting_sum<T>(const T*, int64_t, int64_t, int64_t, T*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace DPTF_ISA
}  // namespace dptf

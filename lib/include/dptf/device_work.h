#pragma once

// The kernels of accelerators as work items: f(i, lane, lanes) does item i together with the other lanes of
// its group. On a GPU a group is a warp (or a single thread); on the host it is one lane, and that is how
// tests check these functions against the CPU kernels on machines without a GPU.

#include "dptf/activation.h"
#include "dptf/chebyshev.h"
#include "dptf/embed_contract.h"
#include "dptf/env_element.h"
#include "dptf/force_element.h"
#include "dptf/force_virial.h"
#include "dptf/tabulate.h"

namespace dptf {

/// Sum over the lanes of a group, on every lane.
template <typename T>
DPTF_ELEMENT T group_sum(T x, int lanes) {
#ifdef __CUDA_ARCH__
  for (int k = lanes / 2; k > 0; k /= 2) x += __shfl_xor_sync(0xffffffffu, x, k);
#endif
  return x;
}

/// *to += x, from any number of items at once.
template <typename T>
DPTF_ELEMENT void add_shared(T* to, T x) {
#ifdef __CUDA_ARCH__
  atomicAdd(to, x);
#else
  *to += x;
#endif
}

/// Where the N coefficients of one slot lie, and their weights for value (w) and slope (v).
template <typename T, int N>
struct PieceAt {
  const T* a = nullptr;  // null: the slot contributes nothing
  int64_t stride_c = 1, stride_p = 1;
  T w[N], v[N];
  DPTF_MEMBER T value(int64_t c) const { return dot(w, c); }
  DPTF_MEMBER T slope(int64_t c) const { return dot(v, c); }

 private:
  DPTF_MEMBER T dot(const T* weights, int64_t c) const {
    T s = 0;
    for (int p = 0; p < N; ++p) s += weights[p] * a[c * stride_c + p * stride_p];
    return s;
  }
};

/// Slots of compression tables.
template <typename T>
struct TableSource {
  Tabulate<T> p;
  DPTF_MEMBER int64_t width() const { return p.width; }
  DPTF_MEMBER int64_t slots() const { return p.slots; }
  DPTF_MEMBER PieceAt<T, 6> piece(int64_t slot) const {
    PieceAt<T, 6> out;
    out.a = p.table + table_weights(p.grid, p.x[slot], out.w, out.v) * 6 * p.width;
    out.stride_c = 6;
    return out;
  }
  DPTF_MEMBER T row(int64_t slot, int m, int ncomp) const { return p.rows ? p.rows[slot * ncomp + m] : T(1); }
  DPTF_MEMBER T scale(int64_t slot, int64_t c) const {
    return p.factor ? 1 + p.factor[slot * p.width + c] : T(1);
  }
};

/// Slots of nets that are given by their values at the nodes of pieces; sel and net_of in the memory of the
/// device.
template <typename T>
struct NodeSource {
  EmbedContract<T> p;
  DPTF_MEMBER int64_t width() const { return p.width; }
  DPTF_MEMBER int64_t slots() const { return p.nnei; }
  /// Node rows of the piece of a slot, counted from the first net; negative for none.
  DPTF_MEMBER int64_t first_row(int64_t slot, T* t) const {
    const int ti = p.atype[slot / p.nnei];
    int k = static_cast<int>(slot % p.nnei), tj = 0;
    if (ti < 0) return -1;
    if (p.mixed)
      tj = p.nlist[slot];
    else
      while (k >= p.sel[tj]) k -= p.sel[tj++];
    if (tj < 0) return -1;
    const int net = p.net_of[ti * p.ntypes + tj];
    if (net < 0) return -1;
    const T u = (p.env[4 * slot] - p.x0) / p.h;
    int64_t at = static_cast<int64_t>(u);
    at = at < 0 ? 0 : (at > p.n_pieces - 1 ? p.n_pieces - 1 : at);
    *t = 2 * (u - static_cast<T>(at)) - 1;
    return (net * p.n_pieces + at) * kTerms;
  }
  /// Weights of the node values in value and slope.
  DPTF_MEMBER void weights(T t, T w[kTerms], T v[kTerms]) const {
    chebyshev_weights(t, 0, w);
    chebyshev_weights(t, 1, v);
    for (int k = 0; k < kTerms; ++k) v[k] *= 2 / p.h;
  }
  DPTF_MEMBER PieceAt<T, kTerms> piece(int64_t slot) const {
    PieceAt<T, kTerms> out;
    T t;
    const int64_t row = first_row(slot, &t);
    if (row < 0) return out;
    out.a = p.nodes + row * p.width;
    out.stride_p = p.width;
    weights(t, out.w, out.v);
    return out;
  }
  DPTF_MEMBER T row(int64_t slot, int m, int) const { return p.env[4 * slot + m]; }
  DPTF_MEMBER T scale(int64_t slot, int64_t) const { return p.weight ? p.weight[slot] : T(1); }
};

/// Item: an atom. out [n, NCOMP, width] = sum over slots of row (x) value.
template <typename T, typename Source, int NCOMP>
struct ContractValue {
  Source s;
  T* out;
  DPTF_MEMBER void operator()(int64_t i, int lane, int lanes) const {
    constexpr int kChunk = 4;
    const int64_t width = s.width();
    for (int64_t first = lane; first < width; first += kChunk * lanes) {
      T acc[NCOMP][kChunk] = {};
      for (int64_t slot = i * s.slots(); slot < (i + 1) * s.slots(); ++slot) {
        const auto piece = s.piece(slot);
        if (!piece.a) continue;
        for (int q = 0; q < kChunk; ++q) {
          const int64_t c = first + q * lanes;
          if (c >= width) break;
          const T g = piece.value(c) * s.scale(slot, c);
          for (int m = 0; m < NCOMP; ++m) acc[m][q] += s.row(slot, m, NCOMP) * g;
        }
      }
      for (int q = 0; q < kChunk && first + q * lanes < width; ++q)
        for (int m = 0; m < NCOMP; ++m) out[(i * NCOMP + m) * width + first + q * lanes] = acc[m][q];
    }
  }
};

/// Item: a slot. From the adjoint dy [n, NCOMP, width] the adjoints of argument, row and factor (of its sum
/// over channels, the weight); with `joined` the argument is component 0 of the row, and its adjoint goes
/// there.
template <typename T, typename Source, int NCOMP>
struct ContractGrad {
  Source s;
  const T* dy;
  T *dx, *drows, *dfactor;
  bool joined;
  T* dweight = nullptr;
  DPTF_MEMBER void operator()(int64_t slot, int lane, int lanes) const {
    const int64_t width = s.width();
    const T* d = dy + slot / s.slots() * NCOMP * width;
    const auto piece = s.piece(slot);
    T sums[NCOMP] = {}, x = 0, weight = 0;
    for (int64_t c = lane; piece.a && c < width; c += lanes) {
      const T g = piece.value(c), scale = s.scale(slot, c);
      T mixed = 0;
      for (int m = 0; m < NCOMP; ++m) {
        const T y = d[m * width + c];
        sums[m] += y * g * scale;
        mixed += s.row(slot, m, NCOMP) * y;
      }
      x += mixed * piece.slope(c) * scale;
      weight += mixed * g;
      if (dfactor) dfactor[slot * width + c] = mixed * g;
    }
    x = group_sum(x, lanes);
    if (dweight) weight = group_sum(weight, lanes);
    for (int m = 0; m < NCOMP; ++m) sums[m] = group_sum(sums[m], lanes);
    if (lane) return;
    if (joined) sums[0] += x;
    if (dx) dx[slot] = x;
    if (dweight) dweight[slot] = weight;
    for (int m = 0; drows && m < NCOMP; ++m) drows[slot * NCOMP + m] = sums[m];
  }
};

/// Item: an atom. From adjoints of the argument, the row, the factor and the weight (each may be null) that
/// of dy; `joined` as above.
template <typename T, typename Source, int NCOMP>
struct ContractGradGrad {
  Source s;
  const T *zx, *zrows, *zfactor;
  T* out;
  bool joined;
  const T* zweight = nullptr;
  DPTF_MEMBER void operator()(int64_t i, int lane, int lanes) const {
    const int64_t width = s.width();
    for (int64_t c = lane; c < width; c += lanes) {
      T acc[NCOMP] = {};
      for (int64_t slot = i * s.slots(); slot < (i + 1) * s.slots(); ++slot) {
        const auto piece = s.piece(slot);
        if (!piece.a) continue;
        const T g = piece.value(c), scale = s.scale(slot, c);
        const T x = joined ? zrows[slot * NCOMP] : zx[slot];
        const T both = x * piece.slope(c) * scale + (zfactor ? zfactor[slot * width + c] * g : T(0)) +
                       (zweight ? zweight[slot] * g : T(0));
        for (int m = 0; m < NCOMP; ++m)
          acc[m] += (zrows ? zrows[slot * NCOMP + m] : T(0)) * g * scale + s.row(slot, m, NCOMP) * both;
      }
      for (int m = 0; m < NCOMP; ++m) out[(i * NCOMP + m) * width + c] = acc[m];
    }
  }
};

/// Item: a slot. Adds to dnodes the adjoint of the nodes, of A contracted with da (z empty) or of its
/// gradient contracted with z.
template <typename T>
struct NodesGrad {
  NodeSource<T> s;
  const T* da;
  EmbedRows<const T> z;
  T* dnodes;
  DPTF_MEMBER void operator()(int64_t slot, int lane, int lanes) const {
    T t, w[kTerms], v[kTerms];
    const int64_t width = s.width(), row = s.first_row(slot, &t);
    if (row < 0) return;
    s.weights(t, w, v);
    const T* d = da + slot / s.slots() * 4 * width;
    const T *r = s.p.env + 4 * slot, *q = z.env ? z.env + 4 * slot : r;
    const T weight = s.scale(slot, 0), of_weight = z.weight ? z.weight[slot] : T(0);
    for (int64_t c = lane; c < width; c += lanes) {
      T g = 0, dg = 0;
      for (int m = 0; m < 4; ++m) {
        g += (weight * q[m] + of_weight * r[m]) * d[m * width + c];
        dg += r[m] * d[m * width + c];
      }
      dg *= z.env ? weight * q[0] : T(0);
      for (int p = 0; p < kTerms; ++p) add_shared(dnodes + (row + p) * width + c, w[p] * g + v[p] * dg);
    }
  }
};

/// Item: a slot; lanes are not used. Adds to force [nf, nall, 3].
template <typename T, int NCOMP>
struct ForceItem {
  EnvDeriv<T> p;
  T* force;
  DPTF_MEMBER void operator()(int64_t slot, int, int) const {
    T t[3];
    slot_force<NCOMP>(p.net_deriv + slot * NCOMP, p.deriv ? p.deriv + slot * NCOMP * 3 : nullptr, t);
    const int64_t row = slot / p.nnei, frame = row / p.nloc * p.nall;
    const int j = p.nlist[slot];
    for (int x = 0; x < 3; ++x) {
      add_shared(force + 3 * (frame + row % p.nloc) + x, -t[x]);
      if (j >= 0) add_shared(force + 3 * (frame + j) + x, t[x]);
    }
  }
};

/// Item: a slot. Adds to virial [nf, 9] and atom_virial [nf, nall, 9].
template <typename T, int NCOMP>
struct VirialItem {
  EnvDeriv<T> p;
  T *virial, *atom_virial;
  DPTF_MEMBER void operator()(int64_t slot, int, int) const {
    const int j = p.nlist[slot];
    if (j < 0) return;
    T t[3];
    slot_force<NCOMP>(p.net_deriv + slot * NCOMP, p.deriv ? p.deriv + slot * NCOMP * 3 : nullptr, t);
    const int64_t frame = slot / p.nnei / p.nloc;
    for (int a = 0; a < 3; ++a)
      for (int b = 0; b < 3; ++b) {
        const T w = t[a] * p.rij[3 * slot + b];
        add_shared(virial + 9 * frame + 3 * a + b, w);
        add_shared(atom_virial + 9 * (frame * p.nall + j) + 3 * a + b, w);
      }
  }
};

/// Item: a slot. grad_net from the adjoint of the force [nf, grad_atoms, 3].
template <typename T>
struct ForceGradItem {
  EnvDeriv<T> p;
  const T* grad;
  int64_t grad_atoms;
  T* out;
  DPTF_MEMBER void operator()(int64_t slot, int, int) const {
    const int64_t row = slot / p.nnei;
    const T* g = grad + row / p.nloc * grad_atoms * 3;
    const int j = p.nlist[slot];
    T t[3];
    for (int x = 0; x < 3; ++x) t[x] = (j < 0 ? T(0) : g[j % grad_atoms * 3 + x]) - g[row % p.nloc * 3 + x];
    slot_adjoint(p.ncomp, t, p.deriv ? p.deriv + slot * p.ncomp * 3 : nullptr, out + slot * p.ncomp);
  }
};

/// Item: a slot. grad_net from the adjoints of virial and atom_virial (may be null).
template <typename T>
struct VirialGradItem {
  EnvDeriv<T> p;
  const T *grad, *grad_atom;
  T* out;
  DPTF_MEMBER void operator()(int64_t slot, int, int) const {
    const int64_t frame = slot / p.nnei / p.nloc;
    const int j = p.nlist[slot];
    T t[3] = {};
    for (int a = 0; j >= 0 && a < 3; ++a)
      for (int b = 0; b < 3; ++b) {
        T w = grad[9 * frame + 3 * a + b];
        if (grad_atom) w += grad_atom[(frame * p.nall + j) * 9 + 3 * a + b];
        t[a] += w * p.rij[3 * slot + b];
      }
    slot_adjoint(p.ncomp, t, p.deriv ? p.deriv + slot * p.ncomp * 3 : nullptr, out + slot * p.ncomp);
  }
};

/// Neighbors that were found and put into slots, and what the rows of the environment matrix need of them.
template <typename T>
struct EnvSlots {
  int64_t nnei = 0;
  T rs = 0, rc = 0, range = 0;
  const int* type = nullptr;                 // [rows] type of the center
  const T* rij = nullptr;                    // [rows, nnei, 3] from center to neighbor
  const int* nlist = nullptr;                // [rows, nnei], -1: empty
  const T *davg = nullptr, *dstd = nullptr;  // [ntypes, nnei * ncomp]
};

/// Item: a slot. em [rows, nnei, NCOMP], deriv [rows, nnei, NCOMP, 3].
template <typename T, int NCOMP>
struct EnvItem {
  EnvSlots<T> p;
  T *em, *deriv;
  DPTF_MEMBER void operator()(int64_t slot, int, int) const {
    const int type = p.type[slot / p.nnei];
    T e[NCOMP] = {}, de[NCOMP * 3] = {};
    if (p.nlist[slot] >= 0) env_element<NCOMP>(p.rij + 3 * slot, p.rs, p.rc, p.range, e, de);
    const int64_t at = ((type < 0 ? 0 : type) * p.nnei + slot % p.nnei) * NCOMP;
    normalise_slot<NCOMP>(type >= 0, e, de, p.davg + at, p.dstd + at, em + slot * NCOMP,
                          deriv + slot * NCOMP * 3);
  }
};

/// Item: an element. gelu^(ORDER)(x) times the adjoints.
template <typename T, int ORDER>
struct GeluItem {
  const T *x, *a, *b;
  T* out;
  DPTF_MEMBER void operator()(int64_t i, int, int) const {
    T f[4];
    activation_derivatives<Activation::gelu>(x[i], f);
    out[i] = f[ORDER] * (ORDER > 0 ? a[i] : T(1)) * (ORDER > 1 ? b[i] : T(1));
  }
};

}  // namespace dptf

// Inner loops of the tabulated contraction. The loops over the width of the net are the vector loops;
// everything a loop touches per slot (six node rows, four rows of A) is contiguous and stays in the
// first-level cache.
#include <algorithm>
#include <cstring>

#include "dptf/embed_contract_kernels.h"
#include "dptf/hermite.h"

namespace dptf {
namespace DPTF_ISA {
namespace {

/// Interval, local coordinate and the six node rows (each of `width` numbers) of an argument x.
template <typename T>
struct Piece {
  const T* y;
  T t;
  Piece(const EmbedContract<T>& p, int net, T x) {
    const T u = (x - p.x0) / p.h;
    const int64_t k = std::min<int64_t>(std::max<int64_t>(static_cast<int64_t>(u), 0), p.n_nodes - 2);
    t = u - static_cast<T>(k);
    y = p.nodes + (net * p.n_nodes + k) * 3 * p.width;
  }
};

}  // namespace

template <typename T>
void embed_forward(const EmbedContract<T>& p, int64_t begin, int64_t end, T* a) {
  const int64_t m = p.width;
  for (int64_t i = begin; i < end; ++i) {
    T* __restrict a0 = a + i * 4 * m;
    T* __restrict a1 = a0 + m;
    T* __restrict a2 = a1 + m;
    T* __restrict a3 = a2 + m;
    std::memset(a0, 0, sizeof(T) * 4 * m);
    for_each_slot(p, i, [&](int slot, int multiplicity, int net) {
      const T* r = p.env + (i * p.nnei + slot) * 4;
      const Piece<T> piece(p, net, r[0]);
      T w[6];
      hermite_weights(piece.t, p.h, 0, w);
      const T r0 = multiplicity * r[0], r1 = multiplicity * r[1], r2 = multiplicity * r[2],
              r3 = multiplicity * r[3];
      const T* __restrict y = piece.y;
#pragma GCC ivdep
      for (int64_t c = 0; c < m; ++c) {
        const T g = w[0] * y[c] + w[1] * y[m + c] + w[2] * y[2 * m + c] + w[3] * y[3 * m + c] +
                    w[4] * y[4 * m + c] + w[5] * y[5 * m + c];
        a0[c] += r0 * g;
        a1[c] += r1 * g;
        a2[c] += r2 * g;
        a3[c] += r3 * g;
      }
    });
  }
}

template <typename T>
void embed_grad_env(const EmbedContract<T>& p, const T* da, int64_t begin, int64_t end, T* denv) {
  const int64_t m = p.width;
  for (int64_t i = begin; i < end; ++i) {
    const T* __restrict d0 = da + i * 4 * m;
    const T* __restrict d1 = d0 + m;
    const T* __restrict d2 = d1 + m;
    const T* __restrict d3 = d2 + m;
    T* out = denv + i * p.nnei * 4;
    std::memset(out, 0, sizeof(T) * p.nnei * 4);
    for_each_slot(p, i, [&](int slot, int multiplicity, int net) {
      const T* r = p.env + (i * p.nnei + slot) * 4;
      const Piece<T> piece(p, net, r[0]);
      T w[6], v[6];
      hermite_weights(piece.t, p.h, 0, w);
      hermite_weights(piece.t, p.h, 1, v);
      const T r0 = r[0], r1 = r[1], r2 = r[2], r3 = r[3];
      const T* __restrict y = piece.y;
      T s0 = 0, s1 = 0, s2 = 0, s3 = 0, sx = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3, sx)
      for (int64_t c = 0; c < m; ++c) {
        const T y0 = y[c], y1 = y[m + c], y2 = y[2 * m + c], y3 = y[3 * m + c], y4 = y[4 * m + c],
                y5 = y[5 * m + c];
        const T g = w[0] * y0 + w[1] * y1 + w[2] * y2 + w[3] * y3 + w[4] * y4 + w[5] * y5;
        const T dg = v[0] * y0 + v[1] * y1 + v[2] * y2 + v[3] * y3 + v[4] * y4 + v[5] * y5;
        s0 += d0[c] * g;
        s1 += d1[c] * g;
        s2 += d2[c] * g;
        s3 += d3[c] * g;
        sx += (r0 * d0[c] + r1 * d1[c] + r2 * d2[c] + r3 * d3[c]) * dg;
      }
      for (int k = slot; k < slot + multiplicity; ++k) {
        out[4 * k] = s0 + sx;
        out[4 * k + 1] = s1;
        out[4 * k + 2] = s2;
        out[4 * k + 3] = s3;
      }
    });
  }
}

/// Sum of z over a run of folded slots: they share env, so only the sum of their adjoints matters.
template <typename T>
static inline void fold(const T* z, int multiplicity, T out[4]) {
  for (int c = 0; c < 4; ++c) out[c] = 0;
  for (int k = 0; k < multiplicity; ++k)
    for (int c = 0; c < 4; ++c) out[c] += z[4 * k + c];
}

template <typename T>
void embed_grad_grad(const EmbedContract<T>& p, const T* z, int64_t begin, int64_t end, T* dda) {
  const int64_t m = p.width;
  for (int64_t i = begin; i < end; ++i) {
    T* __restrict a0 = dda + i * 4 * m;
    T* __restrict a1 = a0 + m;
    T* __restrict a2 = a1 + m;
    T* __restrict a3 = a2 + m;
    std::memset(a0, 0, sizeof(T) * 4 * m);
    for_each_slot(p, i, [&](int slot, int multiplicity, int net) {
      const T* r = p.env + (i * p.nnei + slot) * 4;
      T q[4];
      fold(z + (i * p.nnei + slot) * 4, multiplicity, q);
      const Piece<T> piece(p, net, r[0]);
      T w[6], v[6];
      hermite_weights(piece.t, p.h, 0, w);
      hermite_weights(piece.t, p.h, 1, v);
      const T q0 = q[0], q1 = q[1], q2 = q[2], q3 = q[3], r1 = r[1], r2 = r[2], r3 = r[3], r0 = r[0];
      const T* __restrict y = piece.y;
#pragma GCC ivdep
      for (int64_t c = 0; c < m; ++c) {
        const T y0 = y[c], y1 = y[m + c], y2 = y[2 * m + c], y3 = y[3 * m + c], y4 = y[4 * m + c],
                y5 = y[5 * m + c];
        const T g = w[0] * y0 + w[1] * y1 + w[2] * y2 + w[3] * y3 + w[4] * y4 + w[5] * y5;
        const T dg = q0 * (v[0] * y0 + v[1] * y1 + v[2] * y2 + v[3] * y3 + v[4] * y4 + v[5] * y5);
        a0[c] += q0 * g + r0 * dg;
        a1[c] += q1 * g + r1 * dg;
        a2[c] += q2 * g + r2 * dg;
        a3[c] += q3 * g + r3 * dg;
      }
    });
  }
}

template <typename T>
void embed_grad_grad_env(const EmbedContract<T>& p, const T* da, const T* z, int64_t begin, int64_t end,
                         T* out) {
  const int64_t m = p.width;
  for (int64_t i = begin; i < end; ++i) {
    const T *d0 = da + i * 4 * m, *d1 = d0 + m, *d2 = d1 + m, *d3 = d2 + m;
    std::memset(out + i * p.nnei * 4, 0, sizeof(T) * p.nnei * 4);
    for_each_slot(p, i, [&](int slot, int multiplicity, int net) {
      const T* r = p.env + (i * p.nnei + slot) * 4;
      const Piece<T> piece(p, net, r[0]);
      T v[6], u[6];
      hermite_weights(piece.t, p.h, 1, v);
      hermite_weights(piece.t, p.h, 2, u);
      const T* y = piece.y;
      // With q_c = sum_m G'_m da_cm and e = sum_m G''_m sum_c R_c da_cm:
      // d/dR_c of (z . denv) = z_0 q_c, and through the argument of G: sum_c z_c q_c + z_0 e.
      T s0 = 0, s1 = 0, s2 = 0, s3 = 0, e = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3, e)
      for (int64_t c = 0; c < m; ++c) {
        T dg = 0, ddg = 0;
        for (int q = 0; q < 6; ++q) {
          dg += v[q] * y[q * m + c];
          ddg += u[q] * y[q * m + c];
        }
        s0 += d0[c] * dg;
        s1 += d1[c] * dg;
        s2 += d2[c] * dg;
        s3 += d3[c] * dg;
        e += (r[0] * d0[c] + r[1] * d1[c] + r[2] * d2[c] + r[3] * d3[c]) * ddg;
      }
      for (int k = slot; k < slot + multiplicity; ++k) {
        const T* q = z + (i * p.nnei + k) * 4;
        T* o = out + (i * p.nnei + k) * 4;
        o[0] = q[0] * s0 + q[0] * s0 + q[1] * s1 + q[2] * s2 + q[3] * s3 + q[0] * e;
        o[1] = q[0] * s1;
        o[2] = q[0] * s2;
        o[3] = q[0] * s3;
      }
    });
  }
}

template <typename T>
void embed_grad_nodes(const EmbedContract<T>& p, const T* da, const T* z, const EmbedSlot* begin,
                      const EmbedSlot* end, T* dpiece) {
  const int64_t m = p.width;
  T* __restrict o = dpiece;
  for (const EmbedSlot* s = begin; s != end; ++s) {
    const T* r = p.env + (s->atom * p.nnei + s->slot) * 4;
    const Piece<T> piece(p, 0, r[0]);
    T w[6], v[6];
    hermite_weights(piece.t, p.h, 0, w);
    const T* __restrict d0 = da + s->atom * 4 * m;
    const T* __restrict d1 = d0 + m;
    const T* __restrict d2 = d1 + m;
    const T* __restrict d3 = d2 + m;
    if (!z) {
      const T r0 = s->multiplicity * r[0], r1 = s->multiplicity * r[1], r2 = s->multiplicity * r[2],
              r3 = s->multiplicity * r[3];
#pragma GCC ivdep
      for (int64_t c = 0; c < m; ++c) {
        const T g = r0 * d0[c] + r1 * d1[c] + r2 * d2[c] + r3 * d3[c];
        o[c] += w[0] * g;
        o[m + c] += w[1] * g;
        o[2 * m + c] += w[2] * g;
        o[3 * m + c] += w[3] * g;
        o[4 * m + c] += w[4] * g;
        o[5 * m + c] += w[5] * g;
      }
    } else {
      T q[4];
      fold(z + (s->atom * p.nnei + s->slot) * 4, s->multiplicity, q);
      hermite_weights(piece.t, p.h, 1, v);
      const T q0 = q[0], q1 = q[1], q2 = q[2], q3 = q[3];
      const T r0 = q0 * r[0], r1 = q0 * r[1], r2 = q0 * r[2], r3 = q0 * r[3];
#pragma GCC ivdep
      for (int64_t c = 0; c < m; ++c) {
        const T g = q0 * d0[c] + q1 * d1[c] + q2 * d2[c] + q3 * d3[c];
        const T dg = r0 * d0[c] + r1 * d1[c] + r2 * d2[c] + r3 * d3[c];
        o[c] += w[0] * g + v[0] * dg;
        o[m + c] += w[1] * g + v[1] * dg;
        o[2 * m + c] += w[2] * g + v[2] * dg;
        o[3 * m + c] += w[3] * g + v[3] * dg;
        o[4 * m + c] += w[4] * g + v[4] * dg;
        o[5 * m + c] += w[5] * g + v[5] * dg;
      }
    }
  }
}

#define DPTF_INSTANTIATE(T)                                                                                \
  template void embed_forward<T>(const EmbedContract<T>&, int64_t, int64_t, T*);                           \
  template void embed_grad_env<T>(const EmbedContract<T>&, const T*, int64_t, int64_t, T*);                \
  template void embed_grad_grad<T>(const EmbedContract<T>&, const T*, int64_t, int64_t, T*);               \
  template void embed_grad_grad_env<T>(const EmbedContract<T>&, const T*, const T*, int64_t, int64_t, T*); \
  template void embed_grad_nodes<T>(const EmbedContract<T>&, const T*, const T*, const EmbedSlot*,         \
                                    const EmbedSlot*, T*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace DPTF_ISA
}  // namespace dptf

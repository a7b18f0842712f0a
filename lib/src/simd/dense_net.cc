// Matrix kernel and the loops around it. B is packed in panels of kColumns columns, k-major; a tile of kRows
// x kColumns of C stays in registers while A is broadcast and B is streamed.
#include "dptf/dense_net.h"

#include "dptf/activation.h"
#include "dptf/simd_activation.h"
#include "dptf/simd_vec.h"

namespace dptf {
namespace DPTF_ISA {
namespace {

#if defined(DPTF_ISA_avx512)
constexpr int kRows = 8;
#else
constexpr int kRows = 4;
#endif
constexpr int kVectors = 3;
/// Depth of a pass: kRows rows of A and one panel of B of this depth stay in the caches next to the core.
constexpr int64_t kDepth = 256;

template <typename T>
constexpr int kColumns = kVectors * kLanes<T>;

template <typename T>
DPTF_INLINE void tile(int64_t depth, const T* a, int64_t lda, const T* b, T* c, int64_t ldc, bool first) {
  Vec<T> acc[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) acc[r][v] = first ? Vec<T>{} : load(c + r * ldc + v * kLanes<T>);
  for (int64_t k = 0; k < depth; ++k) {
    Vec<T> bv[kVectors];
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) bv[v] = load(b + k * kColumns<T> + v * kLanes<T>);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vec<T> av = splat(a[r * lda + k]);
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) acc[r][v] += av * bv[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) store(c + r * ldc + v * kLanes<T>, acc[r][v]);
}

template <typename T>
struct Activate {
  int64_t rows, n, ld;
  const T *bias, *idt, *residual;
  int64_t ld_residual;
  T *z, *dphi;

  template <Activation A>
  void operator()() const {
    run([](T x, T f[4]) { activation_derivatives<A>(x, f); });
  }

  template <typename Phi>
  DPTF_INLINE_MEMBER void run(const Phi& phi) const {
    for (int64_t r = 0; r < rows; ++r) {
      T* __restrict zr = z + r * ld;
      T* __restrict dr = dphi + r * ld;
      const T* __restrict b = bias;
#pragma GCC ivdep
      for (int64_t c = 0; c < n; ++c) {
        T f[4];
        phi(zr[c] + b[c], f);
        zr[c] = f[0];
        dr[c] = f[1];
      }
      if (idt)
        for (int64_t c = 0; c < n; ++c) zr[c] *= idt[c], dr[c] *= idt[c];
      if (residual) {
        const T* __restrict x = residual + r * ld_residual;
        for (int64_t c = 0; c < n; ++c) zr[c] += x[c];
      }
      for (int64_t c = n; c < ld; ++c) zr[c] = dr[c] = 0;
    }
  }
};

}  // namespace

template <typename T>
void gemm_panel(int64_t* rows, int64_t* columns) {
  *rows = kRows;
  *columns = kColumns<T>;
}

template <typename T>
void gemm_pack(const T* b, int64_t k, int64_t n, bool transposed, T* packed) {
  for (int64_t j = 0; j < n; j += kColumns<T>)
    for (int64_t p = 0; p < k; ++p)
      for (int c = 0; c < kColumns<T>; ++c)
        *packed++ = j + c < n ? (transposed ? b[(j + c) * k + p] : b[p * n + j + c]) : T(0);
}

template <typename T>
void gemm(int64_t rows, int64_t k, const T* a, int64_t lda, const T* packed, int64_t n, T* c, int64_t ldc) {
  for (int64_t p = 0; p < k; p += kDepth) {
    const int64_t depth = k - p < kDepth ? k - p : kDepth;
    for (int64_t j = 0; j < n; j += kColumns<T>) {
      const T* b = packed + j * k + p * kColumns<T>;
      for (int64_t r = 0; r < rows; r += kRows)
        tile(depth, a + r * lda + p, lda, b, c + r * ldc + j, ldc, p == 0);
    }
  }
}

template <typename T>
void dense_activate(int64_t rows, int64_t n, int64_t ld, int activation, T threshold, const T* bias,
                    const T* idt, const T* residual, int64_t ld_residual, T* z, T* dphi) {
  const Activate<T> all{rows, n, ld, bias, idt, residual, ld_residual, z, dphi};
  if (!dispatch_activation(activation, all)) all.run(Silut<T>(threshold));
}

template <typename T>
void dense_last(int64_t rows, int64_t n, int64_t ld, const T* h, const T* w, T bias, T scale, T* y, T* g) {
  for (int64_t r = 0; r < rows; ++r) {
    const T* __restrict hr = h + r * ld;
    T* __restrict gr = g + r * ld;
    T s = 0;
#pragma omp simd reduction(+ : s)
    for (int64_t c = 0; c < n; ++c) s += hr[c] * w[c];
    y[r] = s + bias;
    for (int64_t c = 0; c < n; ++c) gr[c] = scale * w[c];
    for (int64_t c = n; c < ld; ++c) gr[c] = 0;
  }
}

template <typename T>
void dense_multiply(int64_t rows, int64_t n, int64_t ld, const T* g, T* dphi) {
  for (int64_t r = 0; r < rows; ++r) {
    const T* __restrict x = g + r * ld;
    T* __restrict d = dphi + r * ld;
    for (int64_t c = 0; c < n; ++c) d[c] *= x[c];
  }
}

template <typename T>
void dense_add(int64_t rows, int64_t n, int64_t ld, const T* g, int64_t ld_out, T* out) {
  for (int64_t r = 0; r < rows; ++r) {
    const T* __restrict x = g + r * ld;
    T* __restrict o = out + r * ld_out;
    for (int64_t c = 0; c < n; ++c) o[c] += x[c];
  }
}

#define DPTF_INSTANTIATE(T)                                                                                 \
  template void gemm_panel<T>(int64_t*, int64_t*);                                                          \
  template void gemm_pack<T>(const T*, int64_t, int64_t, bool, T*);                                         \
  template void gemm<T>(int64_t, int64_t, const T*, int64_t, const T*, int64_t, T*, int64_t);               \
  template void dense_activate<T>(int64_t, int64_t, int64_t, int, T, const T*, const T*, const T*, int64_t, \
                                  T*, T*);                                                                  \
  template void dense_last<T>(int64_t, int64_t, int64_t, const T*, const T*, T, T, T*, T*);                 \
  template void dense_multiply<T>(int64_t, int64_t, int64_t, const T*, T*);                                 \
  template void dense_add<T>(int64_t, int64_t, int64_t, const T*, int64_t, T*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace DPTF_ISA
}  // namespace dptf

#pragma once

#include <cstdint>
#include <vector>

namespace dptf {

/// One layer y = phi(x W + b) idt (+ x), row-major W [n_in, n_out]; idt may be empty. Code of phi as in
/// activation.h.
template <typename T>
struct DenseLayerWeights {
  int64_t n_in = 0, n_out = 0;
  std::vector<T> matrix, bias, idt;
  int activation = 0;
  T threshold = 3;  // of silut
  bool residual = false;
};

/// A net whose last layer has one linear output, with weights packed once for the matrix kernels of this
/// machine. Evaluates batches of rows together with the gradient of every output in its row.
template <typename T>
class DenseNet {
 public:
  /// Scratch of one thread; grows to the largest batch and is kept.
  struct Workspace {
    std::vector<T> h, dphi, g;
  };

  DenseNet() = default;
  /// The last entry is the output layer (n_out == 1).
  explicit DenseNet(const std::vector<DenseLayerWeights<T>>& layers);

  int64_t n_in() const { return n_in_; }
  /// Distance between rows of x: n_in rounded up; the numbers beyond n_in have to be zero (finite is enough).
  int64_t row_stride() const { return row_stride_; }
  /// Rows are processed in groups of this many; x must have room for a multiple of it.
  static int64_t row_group();

  /// y[r] := net(x_r); x_r := scale * d net / d x_r, for r < rows.
  void value_and_gradient(int64_t rows, T* x, T scale, T* y, Workspace& work) const;
  /// After value(): gradient of what enters the last layer, contracted with seeds that the caller has put in
  /// place. x_r := gradient in x_r. Rows of seeds are `distance` apart and zero beyond features() and `rows`.
  T* seeds(int64_t rows, Workspace& work, int64_t* distance) const;
  void backward(int64_t rows, T* x, Workspace& work) const;
  /// y[r] := net(x_r) alone; x stays.
  void value(int64_t rows, const T* x, T* y, Workspace& work) const;
  /// What entered the last layer in the evaluation before, of row r; features() numbers.
  const T* last_input(int64_t r, int64_t rows, const Workspace& work) const;
  int64_t features() const { return layers_.empty() ? 0 : layers_.back().n_out; }

 private:
  struct Layer {
    int64_t n_in, n_out, ld_out;
    std::vector<T> packed, packed_transposed, bias, idt;
    int activation;
    T threshold;
    bool residual;
  };
  const T* hidden(int64_t rows, const T* x, Workspace& work) const;
  std::vector<Layer> layers_;
  std::vector<T> last_;
  T last_bias_ = 0;
  int64_t n_in_ = 0, row_stride_ = 0, widest_ = 0;
};

#define DPTF_DECLARE_DENSE_KERNELS(ISA)                                                                      \
  namespace ISA {                                                                                            \
  template <typename T>                                                                                      \
  void gemm_panel(int64_t* rows, int64_t* columns);                                                          \
  template <typename T>                                                                                      \
  void gemm_pack(const T* b, int64_t k, int64_t n, bool transposed, T* packed);                              \
  template <typename T>                                                                                      \
  void gemm(int64_t rows, int64_t k, const T* a, int64_t lda, const T* packed, int64_t n, T* c,              \
            int64_t ldc);                                                                                    \
  template <typename T>                                                                                      \
  void dense_activate(int64_t rows, int64_t n, int64_t ld, int activation, T threshold, const T* bias,       \
                      const T* idt, const T* residual, int64_t ld_residual, T* z, T* dphi);                  \
  template <typename T>                                                                                      \
  void dense_last(int64_t rows, int64_t n, int64_t ld, const T* h, const T* w, T bias, T scale, T* y, T* g); \
  template <typename T>                                                                                      \
  void dense_multiply(int64_t rows, int64_t n, int64_t ld, const T* g, T* dphi);                             \
  template <typename T>                                                                                      \
  void dense_add(int64_t rows, int64_t n, int64_t ld, const T* g, int64_t ld_out, T* out);                   \
  }
DPTF_DECLARE_DENSE_KERNELS(baseline)
DPTF_DECLARE_DENSE_KERNELS(avx2)
DPTF_DECLARE_DENSE_KERNELS(avx512)
#undef DPTF_DECLARE_DENSE_KERNELS

}  // namespace dptf

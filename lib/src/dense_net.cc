#include "dptf/dense_net.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "dptf/isa_dispatch.h"
#include "dptf/round_up.h"

namespace dptf {
namespace {

template <typename T>
int64_t columns() {
  int64_t r = 0, c = 0;
  DPTF_ISA_CALL(gemm_panel<T>(&r, &c));
  return c;
}

template <typename T>
std::vector<T> padded(std::vector<T> v, int64_t n) {
  if (!v.empty()) v.resize(n, T(0));
  return v;
}

}  // namespace

template <typename T>
int64_t DenseNet<T>::row_group() {
  int64_t r = 0, c = 0;
  DPTF_ISA_CALL(gemm_panel<T>(&r, &c));
  return r;
}

template <typename T>
DenseNet<T>::DenseNet(const std::vector<DenseLayerWeights<T>>& layers) {
  const int64_t unit = columns<T>();
  if (layers.size() < 2 || layers.back().n_out != 1)
    throw std::invalid_argument("a fitting net needs a hidden layer and a last layer with one output");
  n_in_ = layers[0].n_in;
  row_stride_ = round_up(n_in_, unit);
  int64_t n_in = n_in_;
  for (size_t k = 0; k < layers.size(); ++k) {
    const DenseLayerWeights<T>& w = layers[k];
    if (w.n_in != n_in || static_cast<int64_t>(w.matrix.size()) != w.n_in * w.n_out ||
        static_cast<int64_t>(w.bias.size()) != w.n_out || (w.residual && w.n_in != w.n_out) ||
        (!w.idt.empty() && static_cast<int64_t>(w.idt.size()) != w.n_out))
      throw std::invalid_argument("fitting layer " + std::to_string(k) + " does not fit the one before it");
    n_in = w.n_out;
    if (k + 1 == layers.size()) break;
    Layer out;
    out.n_in = w.n_in;
    out.n_out = w.n_out;
    out.ld_out = round_up(w.n_out, unit);
    out.bias = padded(w.bias, out.ld_out);
    out.idt = padded(w.idt, out.ld_out);
    out.activation = w.activation;
    out.threshold = w.threshold;
    out.residual = w.residual;
    out.packed.resize(w.n_in * out.ld_out);
    DPTF_ISA_CALL(gemm_pack(w.matrix.data(), w.n_in, w.n_out, false, out.packed.data()));
    out.packed_transposed.resize(w.n_out * round_up(w.n_in, unit));
    DPTF_ISA_CALL(gemm_pack(w.matrix.data(), w.n_out, w.n_in, true, out.packed_transposed.data()));
    widest_ = std::max(widest_, out.ld_out);
    layers_.push_back(std::move(out));
  }
  last_ = padded(layers.back().matrix, layers_.back().ld_out);
  last_bias_ = layers.back().bias[0];
}

/// Evaluates the hidden layers; returns what enters the last one.
template <typename T>
const T* DenseNet<T>::hidden(int64_t rows, const T* x, Workspace& work) const {
  const int64_t padded_rows = round_up(rows, row_group()), block = padded_rows * widest_;
  const size_t n = layers_.size();
  if (static_cast<int64_t>(work.h.size()) < block * static_cast<int64_t>(n)) {
    work.h.assign(block * n, T(0));
    work.dphi.assign(block * n, T(0));
    work.g.assign(2 * block, T(0));
  }
  const T* in = x;
  int64_t ld_in = row_stride_;
  for (size_t k = 0; k < n; ++k) {
    const Layer& w = layers_[k];
    T *h = work.h.data() + k * block, *dphi = work.dphi.data() + k * block;
    DPTF_ISA_CALL(gemm(padded_rows, w.n_in, in, ld_in, w.packed.data(), w.n_out, h, w.ld_out));
    DPTF_ISA_CALL(dense_activate(padded_rows, w.n_out, w.ld_out, w.activation, w.threshold, w.bias.data(),
                                 w.idt.empty() ? nullptr : w.idt.data(), w.residual ? in : nullptr, ld_in, h,
                                 dphi));
    in = h;
    ld_in = w.ld_out;
  }
  return in;
}

template <typename T>
void DenseNet<T>::value(int64_t rows, const T* x, T* y, Workspace& work) const {
  const T* in = hidden(rows, x, work);
  const Layer& top = layers_.back();
  DPTF_ISA_CALL(
      dense_last(rows, top.n_out, top.ld_out, in, last_.data(), last_bias_, T(1), y, work.g.data()));
}

template <typename T>
const T* DenseNet<T>::last_input(int64_t r, int64_t rows, const Workspace& work) const {
  const int64_t block = round_up(rows, row_group()) * widest_;
  return work.h.data() + (layers_.size() - 1) * block + r * layers_.back().ld_out;
}

template <typename T>
void DenseNet<T>::value_and_gradient(int64_t rows, T* x, T scale, T* y, Workspace& work) const {
  const T* in = hidden(rows, x, work);
  const Layer& top = layers_.back();
  DPTF_ISA_CALL(
      dense_last(rows, top.n_out, top.ld_out, in, last_.data(), last_bias_, scale, y, work.g.data()));
  backward(rows, x, work);
}

template <typename T>
T* DenseNet<T>::seeds(int64_t rows, Workspace& work, int64_t* distance) const {
  *distance = layers_.back().ld_out;
  std::fill_n(work.g.data(), round_up(rows, row_group()) * *distance, T(0));
  return work.g.data();
}

template <typename T>
void DenseNet<T>::backward(int64_t rows, T* x, Workspace& work) const {
  const int64_t padded_rows = round_up(rows, row_group()), block = padded_rows * widest_;
  const size_t n = layers_.size();
  T *g = work.g.data(), *next = g + block;
  for (size_t k = n; k-- > 0;) {
    const Layer& w = layers_[k];
    T* dz = work.dphi.data() + k * block;
    DPTF_ISA_CALL(dense_multiply(padded_rows, w.n_out, w.ld_out, g, dz));
    T* out = k ? next : x;
    const int64_t ld = k ? layers_[k - 1].ld_out : row_stride_;
    DPTF_ISA_CALL(gemm(padded_rows, w.n_out, dz, w.ld_out, w.packed_transposed.data(), w.n_in, out, ld));
    if (w.residual) DPTF_ISA_CALL(dense_add(padded_rows, w.n_out, w.ld_out, g, ld, out));
    std::swap(g, next);
  }
}

template class DenseNet<double>;
template class DenseNet<float>;

}  // namespace dptf

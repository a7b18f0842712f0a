#include "dptf/message.h"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "dptf/isa_dispatch.h"
#include "dptf/message_kernels.h"

namespace dptf {
namespace {

/// Rows of a chunk, roughly, and the most chunks: the partition depends on the input alone, and each chunk
/// has its own sums of the weight gradient.
constexpr int64_t kChunkRows = 1024, kMaxChunks = 64;

/// Boundaries of chunks in owners; with local rows a block of owners is never split.
template <typename T>
std::vector<int64_t> chunk_bounds(const Message<T>& p) {
  const int64_t n = std::max<int64_t>(1, std::min(kMaxChunks, p.rows / kChunkRows));
  std::vector<int64_t> bounds{0};
  const int64_t units = p.local ? p.blocks : p.owners;
  const auto owner = [&](int64_t unit) { return p.local ? static_cast<int64_t>(p.block_start[unit]) : unit; };
  int64_t unit = 0;
  for (int64_t c = 1; c < n; ++c) {
    const int64_t target = p.rows * c / n;
    while (unit < units && p.start[owner(unit)] < target) ++unit;
    if (owner(unit) > bounds.back()) bounds.push_back(owner(unit));
  }
  if (p.owners > bounds.back() || bounds.size() == 1) bounds.push_back(p.owners);
  return bounds;
}

template <typename T>
struct Work {
  MessageWeights<T> weights;
  int64_t k_rows = 0;
  std::vector<T> w, wt;
  std::vector<int64_t> bounds;

  explicit Work(const Message<T>& p) : bounds(chunk_bounds(p)) {
    const int64_t columns = p.columns();
    DPTF_ISA_CALL(message_padding<T>(p.k, columns, &weights.c_pad, &weights.k_pad, &k_rows));
    w.assign(p.k * weights.c_pad, T(0));
    wt.assign(columns * weights.k_pad, T(0));
    for (int64_t a = 0; a < p.k; ++a)
      for (int64_t c = 0; c < columns; ++c)
        w[a * weights.c_pad + c] = wt[c * weights.k_pad + a] = p.weight[a * columns + c];
    weights.w = w.data();
    weights.wt = wt.data();
  }
  int64_t chunks() const { return static_cast<int64_t>(bounds.size()) - 1; }

  /// Calls f(chunk, k) for every chunk with its working memory.
  template <typename F>
  void run(const Message<T>& p, int64_t cost_factor, const ParallelFor& parallel, F&& f) const {
    const int64_t cost = std::max<int64_t>(1, p.rows * p.k * p.columns() / (16 * chunks())) * cost_factor;
    parallel(chunks(), cost, [&](int64_t begin, int64_t end) {
      std::vector<T> scratch(message_scratch(weights, k_rows), T(0));
      for (int64_t c = begin; c < end; ++c) {
        MessageChunk<T> chunk;
        chunk.begin = bounds[c];
        chunk.end = bounds[c + 1];
        chunk.scratch = scratch.data();
        f(chunk, c);
      }
    });
  }
};

/// Partial sums of weight, skip and rho, one row for each chunk.
template <typename T>
struct Partials {
  std::vector<T> weight, skip, rho;
  Partials(const Message<T>& p, const Work<T>& work, bool wanted) {
    if (!wanted) return;
    weight.assign(work.chunks() * work.k_rows * work.weights.c_pad, T(0));
    skip.assign(work.chunks() * p.kept, T(0));
    rho.assign(work.chunks() * p.kept, T(0));
  }
  void put(const Message<T>& p, const Work<T>& work, int64_t c, MessageGrad<T>* d) {
    d->weight = weight.empty() ? nullptr : weight.data() + c * work.k_rows * work.weights.c_pad;
    d->skip = weight.empty() ? nullptr : skip.data() + c * p.kept;
    d->rho = weight.empty() ? nullptr : rho.data() + c * p.kept;
  }
  void sum(const Message<T>& p, const Work<T>& work, const MessageGrad<T>& d) const {
    if (weight.empty()) return;
    const int64_t columns = p.columns(), c_pad = work.weights.c_pad;
    std::fill(d.weight, d.weight + p.k * columns, T(0));
    std::fill(d.skip, d.skip + p.kept, T(0));
    std::fill(d.rho, d.rho + p.kept, T(0));
    for (int64_t c = 0; c < work.chunks(); ++c) {
      for (int64_t a = 0; a < p.k; ++a)
        for (int64_t b = 0; b < columns; ++b)
          d.weight[a * columns + b] += weight[(c * work.k_rows + a) * c_pad + b];
      for (int64_t b = 0; b < p.kept; ++b) {
        d.skip[b] += skip[c * p.kept + b];
        d.rho[b] += rho[c * p.kept + b];
      }
    }
  }
};

template <typename T>
void collect(const Message<T>& p, const T* terms, T* dv, const ParallelFor& parallel) {
  if (p.local) return;
  parallel(p.n_v, std::max<int64_t>(1, p.rows / std::max<int64_t>(p.n_v, 1)) * p.columns(),
           [&](int64_t begin, int64_t end) { DPTF_ISA_CALL(message_collect(p, terms, begin, end, dv)); });
}

}  // namespace

template <typename T>
void check_message(const Message<T>& p) {
  const auto fail = [](const std::string& text) { throw std::invalid_argument("message step: " + text); };
  const auto ascending = [&](const int* a, int64_t n, int64_t last, const char* name) {
    bool good = a[0] == 0 && a[n] == last;
    for (int64_t i = 0; good && i < n; ++i) good = a[i] <= a[i + 1];
    if (!good) fail(std::string(name) + " does not partition its rows");
  };
  if (p.kept != 0 && p.k != 1 && p.kept != p.k) fail("the rows kept are neither none nor as wide as x");
  ascending(p.start, p.owners, p.rows, "start");
  int64_t low = 0, high = 0;
  for (int64_t r = 0; r < p.rows; ++r) {
    low = std::min<int64_t>(low, p.v[r]);
    high = std::max<int64_t>(high, p.v[r]);
  }
  if (p.rows && (low < 0 || high >= p.n_v)) fail("v names a row outside 0.." + std::to_string(p.n_v - 1));
  if (p.local) {
    if (p.n_v != p.owners) fail("local rows need as many rows of V as owners");
    ascending(p.block_start, p.blocks, p.owners, "block_start");
    for (int64_t b = 0; b < p.blocks; ++b)
      for (int64_t r = p.start[p.block_start[b]]; r < p.start[p.block_start[b + 1]]; ++r)
        if (p.v[r] < p.block_start[b] || p.v[r] >= p.block_start[b + 1]) fail("v leaves its block");
  } else {
    ascending(p.t_start, p.n_v, p.rows, "t_start");
    for (int64_t r = 0; r < p.rows; ++r)
      if (p.t_rows[r] < 0 || p.t_rows[r] >= p.rows) fail("t_rows names a row that is not there");
  }
}

template <typename T>
void message(const Message<T>& p, T* out, T* y, const ParallelFor& parallel, T* keep) {
  const Work<T> work(p);
  work.run(p, 1, parallel, [&](const MessageChunk<T>& chunk, int64_t) {
    DPTF_ISA_CALL(message_forward(p, work.weights, chunk, out, y, keep));
  });
}

template <typename T>
void message_grad(const Message<T>& p, const T* g_out, const T* g_y, const MessageGrad<T>& d,
                  const ParallelFor& parallel, const T* had) {
  if (had && d.weight) throw std::invalid_argument("message step: what was kept does not serve weights");
  const Work<T> work(p);
  Partials<T> partials(p, work, d.weight != nullptr);
  const std::unique_ptr<T[]> terms(new T[p.local ? 0 : p.rows * p.columns()]);  // all of it is written
  work.run(p, 3, parallel, [&](MessageChunk<T>& chunk, int64_t c) {
    chunk.d = d;
    partials.put(p, work, c, &chunk.d);
    chunk.v_terms = terms.get();
    DPTF_ISA_CALL(message_backward(p, work.weights, chunk, g_out, g_y, had));
  });
  collect(p, terms.get(), d.v_rows, parallel);
  partials.sum(p, work, d);
}

template <typename T>
void message_grad_grad(const Message<T>& p, const T* g_out, const T* g_y, const MessageTangent<T>& t,
                       const MessageGrad<T>& d, T* d_g_out, T* d_g_y, const ParallelFor& parallel) {
  const Work<T> work(p);
  Partials<T> partials(p, work, true);
  const std::unique_ptr<T[]> terms(new T[p.local ? 0 : p.rows * p.columns()]);  // all of it is written
  work.run(p, 6, parallel, [&](MessageChunk<T>& chunk, int64_t c) {
    chunk.d = d;
    partials.put(p, work, c, &chunk.d);
    chunk.v_terms = terms.get();
    DPTF_ISA_CALL(message_second(p, work.weights, chunk, g_out, g_y, t, d_g_out, d_g_y));
  });
  collect(p, terms.get(), d.v_rows, parallel);
  partials.sum(p, work, d);
}

#define DPTF_INSTANTIATE(T)                                                                           \
  template void check_message<T>(const Message<T>&);                                                  \
  template void message<T>(const Message<T>&, T*, T*, const ParallelFor&, T*);                        \
  template void message_grad<T>(const Message<T>&, const T*, const T*, const MessageGrad<T>&,         \
                                const ParallelFor&, const T*);                                        \
  template void message_grad_grad<T>(const Message<T>&, const T*, const T*, const MessageTangent<T>&, \
                                     const MessageGrad<T>&, T*, T*, const ParallelFor&);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf

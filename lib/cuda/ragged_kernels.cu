// Launches of the work items of ragged_work.h.
#include "launch.h"

namespace dptf {
namespace cuda {

template <typename T>
void moments(const RaggedRows& p, const T* w, const T* x, T* h, Stream stream) {
  launch(MomentsItem<T>{p, w, x, h}, p.owners, kWarp, stream);
}

template <typename T>
void moments_to_x(const RaggedRows& p, const T* w, const T* h, T* x, Stream stream) {
  launch(MomentsToXItem<T>{p, w, h, x}, p.n_x, kWarp, stream);
}

template <typename T>
void moments_to_w(const RaggedRows& p, const T* h, const T* x, T* w, Stream stream) {
  launch(MomentsToWItem<T>{p, h, x, w}, p.rows, kWarp, stream);
}

template <typename T>
void spread_rows(int64_t owners, int64_t rows, int64_t width, const int* start, const T* x, T* y,
                 Stream stream) {
  launch(SpreadItem<T>{owners, width, start, x, y}, rows, kWarp, stream);
}

template <typename T>
void sum_rows(int64_t owners, int64_t, int64_t width, const int* start, const T* x, T* y, Stream stream) {
  launch(SegmentSumItem<T>{width, start, x, y}, owners, kWarp, stream);
}

template <typename T>
void take_rows(const RowCopy<T>& p, Stream stream) {
  launch(MoveRowsItem<T, RowMove::take>{p.at, p.columns, p.x_width, p.columns, p.x, p.y}, p.n, kWarp, stream);
}

template <typename T>
void put_rows(const RowCopy<T>& p, T* x, Stream stream) {
  clear(x, sizeof(T) * p.n_x * p.x_width, stream);
  launch(MoveRowsItem<T, RowMove::put>{p.at, p.columns, p.columns, p.x_width, p.y, x}, p.n, kWarp, stream);
}

template <typename T>
void add_rows(const RowCopy<T>& p, T* sum, Stream stream) {
  if (sum != p.x)
    check(cudaMemcpyAsync(sum, p.x, sizeof(T) * p.n_x * p.x_width, cudaMemcpyDeviceToDevice,
                          static_cast<cudaStream_t>(stream.handle)));
  launch(MoveRowsItem<T, RowMove::add>{p.at, p.columns, p.columns, p.x_width, p.y, sum}, p.n, kWarp, stream);
}

template <typename T>
void pair_products(const PairGroups& p, int64_t rows, const T* u, const T* v, T* out, Stream stream) {
  launch(PairDotItem<T>{p, u, v, out}, rows, kWarp, stream);
}

template <typename T>
void pair_sums(const PairGroups& p, int64_t rows, const T* g, const T* v, bool right, T* out, Stream stream) {
  launch(PairApplyItem<T>{p, g, v, right, out}, rows, kWarp, stream);
}

template <typename T>
void activate(int code, T threshold, int order, int64_t n, const T* x, const T* a, const T* b, T* out,
              Stream stream) {
  launch(ActivationItem<T>{code, order, threshold, x, a, b, out}, n, 1, stream);
}

template <typename T>
void message(const Message<T>& p, T* out, T* y, Stream stream) {
  launch(MessageItem<T>{{p, nullptr, nullptr, {}}, out, y}, p.owners, kWarp, stream);
}

template <typename T, int ORDER>
static void gradients(const MessageTerms<T>& terms, const MessageGrad<T>& d, T* dg_out, T* dg_y, T* partial,
                      Stream stream) {
  const Message<T>& p = terms.p;
  launch(MessageOwnerGrad<T, ORDER>{terms, d.u, dg_out, dg_y}, p.owners, kWarp, stream);
  launch(MessageRowGrad<T, ORDER>{terms, d.x, d.w}, p.rows, kWarp, stream);
  launch(MessageNeighborGrad<T, ORDER>{terms, d.v_rows}, p.n_v, kWarp, stream);
  if (!d.weight) return;
  const int64_t chunks = message_chunks(p), size = (p.k + 2) * p.columns();
  clear(partial, sizeof(T) * chunks * size, stream);
  launch(MessageWeightGrad<T, ORDER>{terms, chunks, partial}, chunks, kWarp, stream);
  launch(MessageWeightSum<T>{p, chunks, partial, d.weight, d.skip, d.rho}, size, 1, stream);
}

template <typename T>
void message_grad(const Message<T>& p, const T* g_out, const T* g_y, const MessageGrad<T>& d, T* partial,
                  Stream stream) {
  gradients<T, 1>({p, g_out, g_y, {}}, d, nullptr, nullptr, partial, stream);
}

template <typename T>
void message_grad_grad(const Message<T>& p, const T* g_out, const T* g_y, const MessageTangent<T>& t,
                       const MessageGrad<T>& d, T* dg_out, T* dg_y, T* partial, Stream stream) {
  gradients<T, 2>({p, g_out, g_y, t}, d, dg_out, dg_y, partial, stream);
}

#define DPTF_INSTANTIATE(T)                                                                                \
  template void moments<T>(const RaggedRows&, const T*, const T*, T*, Stream);                             \
  template void moments_to_x<T>(const RaggedRows&, const T*, const T*, T*, Stream);                        \
  template void moments_to_w<T>(const RaggedRows&, const T*, const T*, T*, Stream);                        \
  template void spread_rows<T>(int64_t, int64_t, int64_t, const int*, const T*, T*, Stream);               \
  template void sum_rows<T>(int64_t, int64_t, int64_t, const int*, const T*, T*, Stream);                  \
  template void take_rows<T>(const RowCopy<T>&, Stream);                                                   \
  template void put_rows<T>(const RowCopy<T>&, T*, Stream);                                                \
  template void add_rows<T>(const RowCopy<T>&, T*, Stream);                                                \
  template void pair_products<T>(const PairGroups&, int64_t, const T*, const T*, T*, Stream);              \
  template void pair_sums<T>(const PairGroups&, int64_t, const T*, const T*, bool, T*, Stream);            \
  template void activate<T>(int, T, int, int64_t, const T*, const T*, const T*, T*, Stream);               \
  template void message<T>(const Message<T>&, T*, T*, Stream);                                             \
  template void message_grad<T>(const Message<T>&, const T*, const T*, const MessageGrad<T>&, T*, Stream); \
  template void message_grad_grad<T>(const Message<T>&, const T*, const T*, const MessageTangent<T>&,      \
                                     const MessageGrad<T>&, T*, T*, T*, Stream);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace cuda
}  // namespace dptf

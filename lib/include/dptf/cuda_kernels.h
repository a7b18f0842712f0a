#pragma once

#include "dptf/device_work.h"
#include "dptf/ragged_work.h"

namespace dptf {
namespace cuda {

/// Where a call puts its work; `handle` is a cudaStream_t. It takes the place of the ParallelFor of the
/// functions of the same name for the CPU, whose semantics and shapes these have. All pointers are in the
/// memory of the device; the calls return before the work is done. A failing launch throws
/// std::runtime_error.
struct Stream {
  void* handle = nullptr;
};

/// Copies n values from the host, which may change them as soon as this returns.
template <typename T>
void upload(const T* host, int64_t n, T* device, Stream stream);

template <typename T>
void tabulate(const Tabulate<T>& p, T* out, Stream stream);
template <typename T>
void tabulate_grad(const Tabulate<T>& p, const T* dy, T* dx, T* drows, T* dfactor, Stream stream);
template <typename T>
void tabulate_grad_grad(const Tabulate<T>& p, const T* zx, const T* zrows, const T* zfactor, T* out,
                        Stream stream);

template <typename T>
void embed_contract(const EmbedContract<T>& p, T* a, Stream stream);
template <typename T>
void embed_contract_grad_env(const EmbedContract<T>& p, const T* da, EmbedRows<T> d, Stream stream);
template <typename T>
void embed_contract_grad_nodes(const EmbedContract<T>& p, const T* da, T* dnodes, Stream stream);
template <typename T>
void embed_contract_grad_grad(const EmbedContract<T>& p, const T* da, EmbedRows<const T> z, T* dda, T* dnodes,
                              Stream stream);

/// Rows of the environment matrix for neighbors that were found on the host.
template <typename T>
void env_rows(const EnvSlots<T>& p, int ncomp, int64_t rows, T* em, T* deriv, Stream stream);
template <typename T>
void env_force(const EnvDeriv<T>& p, T* force, Stream stream);
template <typename T>
void env_virial(const EnvDeriv<T>& p, T* virial, T* atom_virial, Stream stream);
template <typename T>
void env_force_grad(const EnvDeriv<T>& p, const T* grad, int64_t grad_atoms, T* grad_net, Stream stream);
template <typename T>
void env_virial_grad(const EnvDeriv<T>& p, const T* grad, const T* grad_atom, T* grad_net, Stream stream);

template <typename T>
void gelu_elements(int order, int64_t n, const T* x, const T* a, const T* b, T* out, Stream stream);

// Ragged rows. Index arrays are in the memory of the device as well; who calls has checked them.

template <typename T>
void moments(const RaggedRows& p, const T* w, const T* x, T* h, Stream stream);
template <typename T>
void moments_to_x(const RaggedRows& p, const T* w, const T* h, T* x, Stream stream);
template <typename T>
void moments_to_w(const RaggedRows& p, const T* h, const T* x, T* w, Stream stream);
template <typename T>
void spread_rows(int64_t owners, int64_t rows, int64_t width, const int* start, const T* x, T* y,
                 Stream stream);
template <typename T>
void sum_rows(int64_t owners, int64_t rows, int64_t width, const int* start, const T* x, T* y, Stream stream);
template <typename T>
void take_rows(const RowCopy<T>& p, Stream stream);
template <typename T>
void put_rows(const RowCopy<T>& p, T* x, Stream stream);
template <typename T>
void add_rows(const RowCopy<T>& p, T* sum, Stream stream);
template <typename T>
void pair_products(const PairGroups& p, int64_t rows, const T* u, const T* v, T* out, Stream stream);
template <typename T>
void pair_sums(const PairGroups& p, int64_t rows, const T* g, const T* v, bool right, T* out, Stream stream);
template <typename T>
void activate(int code, T threshold, int order, int64_t n, const T* x, const T* a, const T* b, T* out,
              Stream stream);
template <typename T>
void message(const Message<T>& p, T* out, T* y, Stream stream);

/// Parts whose weight gradients are summed one after another.
template <typename T>
int64_t message_chunks(const Message<T>& p) {
  return p.owners < 512 ? (p.owners > 0 ? p.owners : 1) : 512;
}
/// `partial` has room for message_chunks(p) * (p.k + 2) * p.columns() numbers where d.weight is given. Unlike
/// on the CPU no output may be the memory of an input.
template <typename T>
void message_grad(const Message<T>& p, const T* g_out, const T* g_y, const MessageGrad<T>& d, T* partial,
                  Stream stream);
template <typename T>
void message_grad_grad(const Message<T>& p, const T* g_out, const T* g_y, const MessageTangent<T>& t,
                       const MessageGrad<T>& d, T* dg_out, T* dg_y, T* partial, Stream stream);

}  // namespace cuda
}  // namespace dptf

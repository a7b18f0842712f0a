#pragma once

#include "dptf/device_work.h"

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
void embed_contract_grad_env(const EmbedContract<T>& p, const T* da, T* denv, Stream stream);
template <typename T>
void embed_contract_grad_nodes(const EmbedContract<T>& p, const T* da, T* dnodes, Stream stream);
template <typename T>
void embed_contract_grad_grad(const EmbedContract<T>& p, const T* da, const T* z, T* dda, T* dnodes,
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

}  // namespace cuda
}  // namespace dptf

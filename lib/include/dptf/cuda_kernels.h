#pragma once

#include "dptf/device_work.h"

namespace dptf {
namespace cuda {

/// All pointers are in the memory of the device, `stream` is a cudaStream_t; the calls return before the work
/// is done. Semantics and shapes are those of the functions of the same name for the CPU. A failing launch
/// throws std::runtime_error.
using Stream = void*;

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
void embed_contract_grad_nodes(const EmbedContract<T>& p, const T* da, const T* z, T* dnodes, Stream stream);
template <typename T>
void embed_contract_grad_grad(const EmbedContract<T>& p, const T* z, T* dda, Stream stream);

template <typename T>
void env_rows(const EnvSlots<T>& p, int ncomp, int64_t rows, T* em, T* deriv, T* rij, Stream stream);
template <typename T>
void env_force(const EnvDeriv<T>& p, T* force, Stream stream);
template <typename T>
void env_virial(const EnvDeriv<T>& p, T* virial, T* atom_virial, Stream stream);
template <typename T>
void env_force_grad(const EnvDeriv<T>& p, const T* grad, int64_t grad_atoms, T* grad_net, Stream stream);
template <typename T>
void env_virial_grad(const EnvDeriv<T>& p, const T* grad, const T* grad_atom, T* grad_net, Stream stream);

}  // namespace cuda
}  // namespace dptf

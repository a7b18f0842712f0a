// Launches of the work items of device_work.h. All mathematics is there and in the element headers that the
// CPU uses.
#include "launch.h"

namespace dptf {
namespace cuda {
template <typename T>
void upload(const T* host, int64_t n, T* device, Stream stream) {
  // From pageable memory the call returns when the bytes have been taken.
  if (n > 0)
    check(cudaMemcpyAsync(device, host, n * sizeof(T), cudaMemcpyHostToDevice,
                          static_cast<cudaStream_t>(stream.handle)));
}
template void upload<int>(const int*, int64_t, int*, Stream);
template void upload<int64_t>(const int64_t*, int64_t, int64_t*, Stream);
template void upload<bool>(const bool*, int64_t, bool*, Stream);

template <typename T>
void tabulate(const Tabulate<T>& p, T* out, Stream stream) {
  using Source = TableSource<T>;
  if (p.ncomp == 4)
    launch(ContractValue<T, Source, 4>{{p}, out}, p.n, kWarp, stream);
  else
    launch(ContractValue<T, Source, 1>{{p}, out}, p.n, kWarp, stream);
}

template <typename T>
void tabulate_grad(const Tabulate<T>& p, const T* dy, T* dx, T* drows, T* dfactor, Stream stream) {
  using Source = TableSource<T>;
  if (p.ncomp == 4)
    launch(ContractGrad<T, Source, 4>{{p}, dy, dx, drows, dfactor, false}, p.n * p.slots, kWarp, stream);
  else
    launch(ContractGrad<T, Source, 1>{{p}, dy, dx, drows, dfactor, false}, p.n * p.slots, kWarp, stream);
}

template <typename T>
void tabulate_grad_grad(const Tabulate<T>& p, const T* zx, const T* zrows, const T* zfactor, T* out,
                        Stream stream) {
  using Source = TableSource<T>;
  if (p.ncomp == 4)
    launch(ContractGradGrad<T, Source, 4>{{p}, zx, zrows, zfactor, out, false}, p.n, kWarp, stream);
  else
    launch(ContractGradGrad<T, Source, 1>{{p}, zx, zrows, zfactor, out, false}, p.n, kWarp, stream);
}

template <typename T>
void embed_contract(const EmbedContract<T>& p, T* a, Stream stream) {
  launch(ContractValue<T, NodeSource<T>, 4>{{p}, a}, p.n_atoms, kWarp, stream);
}

template <typename T>
void embed_contract_grad_env(const EmbedContract<T>& p, const T* da, EmbedRows<T> d, Stream stream) {
  launch(ContractGrad<T, NodeSource<T>, 4>{{p}, da, nullptr, d.env, nullptr, true, d.weight},
         p.n_atoms * p.nnei, kWarp, stream);
}

/// Adjoint of the nodes, of A contracted with da (z empty) or of its gradient contracted with z.
template <typename T>
static void nodes_grad(const EmbedContract<T>& p, const T* da, EmbedRows<const T> z, T* dnodes,
                       Stream stream) {
  clear(dnodes, sizeof(T) * p.n_nets * p.n_pieces * kTerms * p.width, stream);
  launch(NodesGrad<T>{{p}, da, z, dnodes}, p.n_atoms * p.nnei, kWarp, stream);
}

template <typename T>
void embed_contract_grad_nodes(const EmbedContract<T>& p, const T* da, T* dnodes, Stream stream) {
  nodes_grad<T>(p, da, {}, dnodes, stream);
}

template <typename T>
void embed_contract_grad_grad(const EmbedContract<T>& p, const T* da, EmbedRows<const T> z, T* dda, T* dnodes,
                              Stream stream) {
  if (dda)
    launch(ContractGradGrad<T, NodeSource<T>, 4>{{p}, nullptr, z.env, nullptr, dda, true, z.weight},
           p.n_atoms, kWarp, stream);
  if (dnodes) nodes_grad(p, da, z, dnodes, stream);
}

template <typename T>
void env_rows(const EnvSlots<T>& p, int ncomp, int64_t rows, T* em, T* deriv, Stream stream) {
  if (ncomp == 4)
    launch(EnvItem<T, 4>{p, em, deriv}, rows * p.nnei, 1, stream);
  else
    launch(EnvItem<T, 1>{p, em, deriv}, rows * p.nnei, 1, stream);
}

template <typename T>
void env_force(const EnvDeriv<T>& p, T* force, Stream stream) {
  clear(force, sizeof(T) * p.nf * p.nall * 3, stream);
  const int64_t n = p.nf * p.nloc * p.nnei;
  if (p.ncomp == 4)
    launch(ForceItem<T, 4>{p, force}, n, 1, stream);
  else if (p.ncomp == 3)
    launch(ForceItem<T, 3>{p, force}, n, 1, stream);
  else
    launch(ForceItem<T, 1>{p, force}, n, 1, stream);
}

template <typename T>
void env_virial(const EnvDeriv<T>& p, T* virial, T* atom_virial, Stream stream) {
  clear(virial, sizeof(T) * p.nf * 9, stream);
  clear(atom_virial, sizeof(T) * p.nf * p.nall * 9, stream);
  const int64_t n = p.nf * p.nloc * p.nnei;
  if (p.ncomp == 4)
    launch(VirialItem<T, 4>{p, virial, atom_virial}, n, 1, stream);
  else if (p.ncomp == 3)
    launch(VirialItem<T, 3>{p, virial, atom_virial}, n, 1, stream);
  else
    launch(VirialItem<T, 1>{p, virial, atom_virial}, n, 1, stream);
}

template <typename T>
void env_force_grad(const EnvDeriv<T>& p, const T* grad, int64_t grad_atoms, T* grad_net, Stream stream) {
  launch(ForceGradItem<T>{p, grad, grad_atoms, grad_net}, p.nf * p.nloc * p.nnei, 1, stream);
}

template <typename T>
void env_virial_grad(const EnvDeriv<T>& p, const T* grad, const T* grad_atom, T* grad_net, Stream stream) {
  launch(VirialGradItem<T>{p, grad, grad_atom, grad_net}, p.nf * p.nloc * p.nnei, 1, stream);
}

template <typename T>
void gelu_elements(int order, int64_t n, const T* x, const T* a, const T* b, T* out, Stream stream) {
  if (order == 0)
    launch(GeluItem<T, 0>{x, a, b, out}, n, 1, stream);
  else if (order == 1)
    launch(GeluItem<T, 1>{x, a, b, out}, n, 1, stream);
  else
    launch(GeluItem<T, 2>{x, a, b, out}, n, 1, stream);
}

#define DPTF_INSTANTIATE(T)                                                                                \
  template void tabulate<T>(const Tabulate<T>&, T*, Stream);                                               \
  template void tabulate_grad<T>(const Tabulate<T>&, const T*, T*, T*, T*, Stream);                        \
  template void tabulate_grad_grad<T>(const Tabulate<T>&, const T*, const T*, const T*, T*, Stream);       \
  template void embed_contract<T>(const EmbedContract<T>&, T*, Stream);                                    \
  template void embed_contract_grad_env<T>(const EmbedContract<T>&, const T*, EmbedRows<T>, Stream);       \
  template void embed_contract_grad_nodes<T>(const EmbedContract<T>&, const T*, T*, Stream);               \
  template void embed_contract_grad_grad<T>(const EmbedContract<T>&, const T*, EmbedRows<const T>, T*, T*, \
                                            Stream);                                                       \
  template void env_rows<T>(const EnvSlots<T>&, int, int64_t, T*, T*, Stream);                             \
  template void gelu_elements<T>(int, int64_t, const T*, const T*, const T*, T*, Stream);                  \
  template void upload<T>(const T*, int64_t, T*, Stream);                                                  \
  template void env_force<T>(const EnvDeriv<T>&, T*, Stream);                                              \
  template void env_virial<T>(const EnvDeriv<T>&, T*, T*, Stream);                                         \
  template void env_force_grad<T>(const EnvDeriv<T>&, const T*, int64_t, T*, Stream);                      \
  template void env_virial_grad<T>(const EnvDeriv<T>&, const T*, const T*, T*, Stream);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace cuda
}  // namespace dptf

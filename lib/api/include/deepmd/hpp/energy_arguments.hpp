// Arguments that many overloads of the energy models share. No include guard: hpp/deep_pot.hpp and
// hpp/deep_spin.hpp each include it and remove the names at their end, so that none is left to the user.
#define DPTF_HPP_TAIL                                                   \
  const std::vector<VALUETYPE>&fparam = std::vector<VALUETYPE>(),       \
        const std::vector<VALUETYPE>&aparam = std::vector<VALUETYPE>(), \
        const std::vector<double>&charge_spin = std::vector<double>()
#define DPTF_HPP_ATOMIC std::vector<VALUETYPE>&atom_energy, std::vector<VALUETYPE>&atom_virial
#define DPTF_HPP_LIST const int nghost, const InputNlist &lmp_list, const int &ago
#define DPTF_HPP_ALL_ATOMIC \
  std::vector<std::vector<VALUETYPE>>&atom_energy, std::vector<std::vector<VALUETYPE>>&atom_virial

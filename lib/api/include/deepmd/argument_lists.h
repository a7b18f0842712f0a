#pragma once

// Arguments that many overloads of the energy models share.
#define DPTF_TAIL                                                       \
  const std::vector<VALUETYPE>&fparam = std::vector<VALUETYPE>(),       \
        const std::vector<VALUETYPE>&aparam = std::vector<VALUETYPE>(), \
        const std::vector<double>&charge_spin = std::vector<double>()
#define DPTF_LIST const int &nghost, const InputNlist &inlist, const int &ago
#define DPTF_ATOMIC std::vector<VALUETYPE>&atom_energy, std::vector<VALUETYPE>&atom_virial
#define DPTF_ALL_ATOMIC \
  std::vector<std::vector<VALUETYPE>>&all_atom_energy, std::vector<std::vector<VALUETYPE>>&all_atom_virial

#ifndef DPTF_LMP_ELEMENT_MASS_H
#define DPTF_LMP_ELEMENT_MASS_H

#include <string>

namespace LAMMPS_NS {

/// Standard atomic weight of an element in u; 0 for names that are none and for elements without a stable
/// isotope.
double element_mass(const std::string& name);

}  // namespace LAMMPS_NS

#endif

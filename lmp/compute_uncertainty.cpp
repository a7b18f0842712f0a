#include "compute_uncertainty.h"

#include "atom.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "pair_deepmd.h"
#include "update.h"

namespace LAMMPS_NS {

ComputeDeepmdUncertainty::ComputeDeepmdUncertainty(LAMMPS* lmp, int narg, char** arg)
    : Compute(lmp, narg, arg) {
  if (narg != 3) error->all(FLERR, "compute {}: use compute ID group {}", style, style);
  peratom_flag = 1;
  size_peratom_cols = 0;
  timeflag = 1;
}

ComputeDeepmdUncertainty::~ComputeDeepmdUncertainty() { memory->destroy(vector_atom); }

void ComputeDeepmdUncertainty::init() {
  pair_ = dynamic_cast<PairDeepMD*>(force->pair_match("deepmd", 1));
  if (!pair_) error->all(FLERR, "compute {}: there is no pair_style deepmd (or more than one)", style);
  if (!pair_->has_uncertainty())
    error->all(FLERR, "compute {}: the (first) model carries no uncertainties; make them with dp uncertainty",
               style);
}

void ComputeDeepmdUncertainty::compute_peratom() {
  invoked_peratom = update->ntimestep;
  if (atom->nmax > nmax_) {
    nmax_ = atom->nmax;
    memory->destroy(vector_atom);
    memory->create(vector_atom, nmax_, "compute:deepmd/uncertainty");
  }
  pair_->uncertainty(vector_atom);
  for (int i = 0; i < atom->nlocal; ++i)
    if (!(atom->mask[i] & groupbit)) vector_atom[i] = 0;
}

double ComputeDeepmdUncertainty::memory_usage() { return static_cast<double>(nmax_) * sizeof(double); }

}  // namespace LAMMPS_NS

#include "compute_deeptensor.h"

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "pair.h"
#include "update.h"

namespace LAMMPS_NS {

ComputeDeepTensor::ComputeDeepTensor(LAMMPS* lmp, int narg, char** arg) : Compute(lmp, narg, arg) {
  if (narg != 4)
    error->all(FLERR, "compute deeptensor/atom needs one model: compute ID group deeptensor/atom dipole.pb");
  length_unit_ = force->angstrom;
  try {
    model_ = std::make_unique<TensorModel>(arg[3], 0);
  } catch (const std::exception& e) {
    error->all(FLERR, "compute deeptensor/atom: {}", e.what());
  }
  peratom_flag = 1;
  size_peratom_cols = model_->dim();
  timeflag = 1;
}

ComputeDeepTensor::~ComputeDeepTensor() { memory->destroy(array_atom); }

void ComputeDeepTensor::init() {
  const double cutoff = model_->cutoff() * length_unit_;
  if (!force->pair || force->pair->cutforce < cutoff)
    error->all(
        FLERR,
        "compute deeptensor/atom: the model looks {} far; define a pair_style with at least this cutoff",
        cutoff);
  neighbor->add_request(this, NeighConst::REQ_FULL | NeighConst::REQ_OCCASIONAL);
}

void ComputeDeepTensor::init_list(int, NeighList* list) { list_ = list; }

void ComputeDeepTensor::compute_peratom() {
  invoked_peratom = update->ntimestep;
  if (atom->nmax > rows_) {
    memory->destroy(array_atom);
    rows_ = atom->nmax;
    memory->create(array_atom, rows_, size_peratom_cols, "deeptensor/atom:array");
  }
  neighbor->build_one(list_);
  const int nlocal = atom->nlocal, nall = nlocal + atom->nghost;
  const double* h = domain->h;
  double box[9] = {h[0], 0, 0, h[5], h[1], 0, h[4], h[3], h[2]};
  for (double& x : box) x /= length_unit_;
  std::vector<double> coord(3 * static_cast<size_t>(nall));
  std::vector<int> type(nall);
  for (int i = 0; i < nall; ++i) {
    type[i] = atom->type[i] - 1;
    for (int d = 0; d < 3; ++d)
      coord[3 * static_cast<size_t>(i) + d] = (atom->x[i][d] - domain->boxlo[d]) / length_unit_;
  }
  std::unique_ptr<DP_Nlist, void (*)(DP_Nlist*)> nlist(
      DP_NewNlist(list_->inum, list_->ilist, list_->numneigh, list_->firstneigh), DP_DeleteNlist);
  DP_NlistSetMask(nlist.get(), NEIGHMASK);
  std::vector<double> values;
  try {
    if (nlocal > 0) values = model_->compute(coord, type, box, atom->nghost, nlist.get());
  } catch (const std::exception& e) {
    error->one(FLERR, "compute deeptensor/atom: {}", e.what());
  }
  size_t at = 0;
  for (int i = 0; i < nlocal; ++i) {
    const bool has = model_->selects(type[i]), shown = has && (atom->mask[i] & groupbit);
    for (int d = 0; d < size_peratom_cols; ++d)
      array_atom[i][d] = shown ? values[at + d] * length_unit_ : 0.0;
    if (has) at += size_peratom_cols;
  }
}

double ComputeDeepTensor::memory_usage() {
  return sizeof(double) * static_cast<double>(rows_) * size_peratom_cols;
}

}  // namespace LAMMPS_NS

#include "fix_dplr.h"

#include <mpi.h>

#include <cmath>
#include <cstring>

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "input.h"
#include "kspace_dplr.h"
#include "modify.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "pair_deepmd.h"
#include "update.h"
#include "variable.h"

namespace LAMMPS_NS {

namespace {
// Where the dipole model sits in the graph.
constexpr const char* kScope = "dipole_charge";
constexpr int kVirialOrder[6] = {0, 4, 8, 3, 6, 7};
}  // namespace

struct FixDPLR::ModifierHandle {
  explicit ModifierHandle(const std::string& file)
      : dcm(DP_NewDipoleChargeModifierWithParam(file.c_str(), 0, kScope), DP_DeleteDipoleChargeModifier) {
    check();
  }
  void check() const {
    const std::string text = take(DP_DipoleChargeModifierCheckOK(dcm.get()));
    if (!text.empty()) throw std::runtime_error(text);
  }
  std::unique_ptr<DP_DipoleChargeModifier, void (*)(DP_DipoleChargeModifier*)> dcm;
};

FixDPLR::FixDPLR(LAMMPS* lmp, int narg, char** arg) : Fix(lmp, narg, arg) {
  if (std::strcmp(update->unit_style, "lj") == 0) error->all(FLERR, "fix dplr needs physical units, not lj");
  if (atom->map_style == Atom::MAP_NONE) error->all(FLERR, "fix dplr needs an atom map: atom_modify map yes");
  virial_global_flag = energy_global_flag = 1;
  scalar_flag = vector_flag = 1;
  size_vector = 3;
  global_freq = 1;
  extscalar = extvector = 1;
  comm_reverse = 3;
  std::vector<int> types;
  const auto is_keyword = [](const char* word) {
    for (const char* k : {"model", "type_associate", "bond_type", "efield", "pair_deepmd_index"})
      if (std::strcmp(word, k) == 0) return true;
    return false;
  };
  for (int k = 3; k < narg;) {
    const std::string keyword = arg[k++];
    const int first = k;
    while (k < narg && !is_keyword(arg[k])) ++k;
    const int count = k - first;
    if (keyword == "model" && count == 1) {
      file_ = arg[first];
    } else if (keyword == "type_associate" && count > 0 && count % 2 == 0) {
      for (int n = first; n < k; n += 2)
        charge_of_[utils::inumeric(FLERR, arg[n], false, lmp)] =
            utils::inumeric(FLERR, arg[n + 1], false, lmp);
    } else if (keyword == "bond_type" && count > 0) {
      for (int n = first; n < k; ++n) bond_types_.insert(utils::inumeric(FLERR, arg[n], false, lmp));
    } else if (keyword == "efield" && count == 3) {
      has_field_ = true;
      for (int d = 0; d < 3; ++d) {
        const char* word = arg[first + d];
        if (utils::strmatch(word, "^v_"))
          field_name_[d] = word + 2;
        else
          field_[d] = force->qe2f * utils::numeric(FLERR, word, false, lmp);
      }
    } else if (keyword == "pair_deepmd_index" && count == 1) {
      pair_index_ = utils::inumeric(FLERR, arg[first], false, lmp);
    } else {
      error->all(FLERR,
                 "fix dplr: wrong or incomplete keyword {}; the form is: fix ID group dplr model FILE "
                 "type_associate A V ... "
                 "bond_type B ... [efield Ex Ey Ez] [pair_deepmd_index I]",
                 keyword);
    }
  }
  if (file_.empty() || charge_of_.empty() || bond_types_.empty())
    error->all(FLERR, "fix dplr needs the keywords model, type_associate and bond_type");
  for (const auto& [real, charge] : charge_of_)
    if (real < 1 || charge < 1 || real > atom->ntypes || charge > atom->ntypes || real == charge)
      error->all(FLERR, "fix dplr: type_associate {} {} names a type outside 1 to {}", real, charge,
                 atom->ntypes);
  try {
    model_ = std::make_unique<TensorModel>(file_, 0, kScope);
    modifier_ = std::make_unique<ModifierHandle>(file_);
  } catch (const std::exception& e) {
    error->all(
        FLERR,
        "fix dplr: {} (a DPLR model is an energy model that was trained with the modifier dipole_charge)",
        e.what());
  }
  if (model_->dim() != 3) error->all(FLERR, "fix dplr: the model in {} gives no dipoles", file_);
}

FixDPLR::~FixDPLR() {
  if (nlist_) DP_DeleteNlist(nlist_);
}

int FixDPLR::setmask() {
  using namespace FixConst;
  return PRE_EXCHANGE | PRE_FORCE | POST_FORCE | MIN_PRE_EXCHANGE | MIN_PRE_FORCE | MIN_POST_FORCE;
}

void FixDPLR::init() {
  pair_ = dynamic_cast<PairDeepMD*>(force->pair_match("deepmd", 1, pair_index_));
  if (!pair_) pair_ = dynamic_cast<PairDeepMD*>(force->pair_match("deepmd", 0, pair_index_));
  if (!pair_) error->all(FLERR, "fix dplr: pair_style deepmd has to be defined first");
  kspace_ = dynamic_cast<KSpaceDPLR*>(force->kspace);
  if (!kspace_ && force->kspace) error->all(FLERR, "fix dplr: the kspace_style has to be pppm/dplr");
  if (!kspace_ && comm->me == 0)
    error->warning(FLERR, "fix dplr without kspace_style pppm/dplr: charges do not act on each other{}",
                   has_field_ ? ", only the field acts on them" : "");
  for (int d = 0; d < 3; ++d)
    if (!field_name_[d].empty()) {
      const int v = input->variable->find(field_name_[d].c_str());
      if (v < 0 || !input->variable->equalstyle(v))
        error->all(FLERR, "fix dplr efield: {} is not an equal-style variable", field_name_[d]);
    }
}

std::vector<FixDPLR::Pair> FixDPLR::bonded() const {
  std::vector<Pair> out;
  for (int i = 0; i < atom->nlocal; ++i)
    for (int b = 0; b < atom->num_bond[i]; ++b) {
      if (!bond_types_.count(atom->bond_type[i][b])) continue;
      const int j = atom->map(atom->bond_atom[i][b]);
      if (j < 0) continue;
      const auto mine = charge_of_.find(atom->type[i]), other = charge_of_.find(atom->type[j]);
      if (mine != charge_of_.end() && mine->second == atom->type[j])
        out.push_back({i, j});
      else if (other != charge_of_.end() && other->second == atom->type[i])
        out.push_back({j, i});
      else
        error->one(
            FLERR,
            "fix dplr: the bond of atoms {} and {} joins types {} and {}, which type_associate does not",
            atom->tag[i], atom->tag[j], atom->type[i], atom->type[j]);
    }
  return out;
}

void FixDPLR::pre_exchange() { follow(true); }

/// A displaced charge moves between processes with its atom. Before the first step it keeps its velocity,
/// that of the data file or of the end of the run before: it is in the first row of thermo as there.
void FixDPLR::follow(bool velocity) {
  for (const Pair& p : bonded()) {
    if (p.charge >= atom->nlocal) continue;
    for (int d = 0; d < 3; ++d) {
      atom->x[p.charge][d] = atom->x[p.real][d];
      if (velocity) atom->v[p.charge][d] = p.real < atom->nlocal ? atom->v[p.real][d] : 0.0;
    }
    if (p.real < atom->nlocal) atom->image[p.charge] = atom->image[p.real];
  }
}

void FixDPLR::gather() {
  const int nall = atom->nlocal + atom->nghost;
  const double unit = 1 / pair_->length_unit();
  const double* h = domain->h;
  const double box[9] = {h[0], 0, 0, h[5], h[1], 0, h[4], h[3], h[2]};
  for (int k = 0; k < 9; ++k) box_[k] = box[k] * unit;
  coord_.resize(3 * static_cast<size_t>(nall));
  type_.resize(nall);
  std::set<int> charges;
  for (const auto& pair : charge_of_) charges.insert(pair.second);
  for (int i = 0; i < nall; ++i) {
    const int t = atom->type[i];
    type_[i] = charges.count(t) ? -1 : pair_->model_types()[t - 1];
    for (int d = 0; d < 3; ++d)
      coord_[3 * static_cast<size_t>(i) + d] = (atom->x[i][d] - domain->boxlo[d]) * unit;
  }
  if (nlist_) DP_DeleteNlist(nlist_);
  const NeighList* list = pair_->list;
  nlist_ = DP_NewNlist(list->inum, list->ilist, list->numneigh, list->firstneigh);
  DP_NlistSetMask(nlist_, NEIGHMASK);
}

void FixDPLR::setup_pre_force(int vflag) { pre_force(vflag); }
void FixDPLR::setup(int vflag) { post_force(vflag); }

void FixDPLR::pre_force(int) {
  gather();
  const int nlocal = atom->nlocal;
  std::vector<int> charge(nlocal, -1);
  for (const Pair& p : bonded()) {
    if (p.real >= nlocal || p.charge >= nlocal)
      error->one(FLERR,
                 "fix dplr: atom {} and its displaced charge {} are on different processes; let the data "
                 "file place both at "
                 "the same position",
                 atom->tag[p.real], atom->tag[p.charge]);
    charge[p.real] = p.charge;
  }
  std::vector<double> values;
  try {
    if (nlocal > 0) values = model_->compute(coord_, type_, box_, atom->nghost, nlist_);
  } catch (const std::exception& e) {
    error->one(FLERR, "fix dplr: {}", e.what());
  }
  pairs_.clear();
  dipoles_.clear();
  size_t at = 0;
  for (int i = 0; i < nlocal; ++i) {
    if (!model_->selects(type_[i])) continue;
    if (charge[i] < 0)
      error->one(FLERR, "fix dplr: atom {} has a dipole, but no bond to a displaced charge", atom->tag[i]);
    for (int d = 0; d < 3; ++d) {
      const double mu = values[at + d] * pair_->length_unit();
      dipoles_.push_back(mu);
      atom->x[charge[i]][d] = atom->x[i][d] + mu;
    }
    atom->image[charge[i]] = atom->image[i];
    pairs_.push_back({i, charge[i]});
    at += 3;
  }
}

void FixDPLR::update_field() {
  for (int d = 0; d < 3; ++d)
    if (!field_name_[d].empty()) {
      modify->clearstep_compute();
      field_[d] = force->qe2f * input->variable->compute_equal(input->variable->find(field_name_[d].c_str()));
      modify->addstep_compute(update->ntimestep + 1);
    }
}

void FixDPLR::post_force(int vflag) {
  v_init(vflag);
  gather();
  const int nlocal = atom->nlocal, nall = nlocal + atom->nghost;
  std::vector<double> electric;
  if (kspace_) electric = kspace_->electric_forces();
  electric.resize(3 * static_cast<size_t>(nlocal), 0.0);
  std::fill(field_sums_, field_sums_ + 4, 0.0);
  reduced_ = false;
  if (has_field_) {
    update_field();
    for (int i = 0; i < nlocal; ++i) {
      double where[3], pull[3];
      domain->unmap(atom->x[i], atom->image[i], where);
      for (int d = 0; d < 3; ++d) {
        pull[d] = atom->q[i] * field_[d];
        electric[3 * static_cast<size_t>(i) + d] += pull[d];
        field_sums_[0] -= pull[d] * where[d];
        field_sums_[1 + d] += pull[d];
      }
      if (vflag_global)
        // xy is the force along x times y, as fix efield has it; the sum is not symmetric.
        for (int k = 0; k < 6; ++k) virial[k] += pull[kVirialOrder[k] % 3] * where[kVirialOrder[k] / 3];
    }
  }
  // The model counts in eV and Å.
  const double unit = pair_->length_unit() / pair_->energy_unit();
  std::vector<double> delef(electric);
  for (double& x : delef) x *= unit;
  std::vector<int> pairs;
  for (const Pair& p : pairs_) pairs.insert(pairs.end(), {p.real, p.charge});
  forces_.assign(3 * static_cast<size_t>(nall), 0.0);
  double more[9] = {};
  // The dipoles belong to the positions of the real atoms; the displaced charges are no neighbors.
  if (nlocal > 0) {
    DP_DipoleChargeModifierComputeNList(modifier_->dcm.get(), nall, coord_.data(), type_.data(), box_,
                                        pairs.data(), static_cast<int>(pairs_.size()), delef.data(),
                                        atom->nghost, nlist_, forces_.data(), more);
    try {
      modifier_->check();
    } catch (const std::exception& e) {
      error->one(FLERR, "fix dplr: {}", e.what());
    }
  }
  comm->reverse_comm(this);
  for (int i = 0; i < nlocal; ++i)
    for (int d = 0; d < 3; ++d) atom->f[i][d] += forces_[3 * static_cast<size_t>(i) + d] / unit;
  if (vflag_global) {
    for (double& x : more) x *= pair_->energy_unit();
    for (size_t p = 0; p < pairs_.size(); ++p)
      for (int a = 0; a < 3; ++a)
        for (int b = 0; b < 3; ++b)
          more[3 * a + b] -= electric[3 * static_cast<size_t>(pairs_[p].charge) + a] * dipoles_[3 * p + b];
    for (int k = 0; k < 6; ++k) virial[k] += more[kVirialOrder[k]];
  }
  if (vflag_atom) error->all(FLERR, "fix dplr gives no virials of single atoms");
}

int FixDPLR::pack_reverse_comm(int n, int first, double* buf) {
  for (int k = 0; k < 3 * n; ++k) buf[k] = forces_[3 * static_cast<size_t>(first) + k];
  return 3 * n;
}

void FixDPLR::unpack_reverse_comm(int n, int* place, double* buf) {
  for (int i = 0; i < n; ++i)
    for (int d = 0; d < 3; ++d) forces_[3 * static_cast<size_t>(place[i]) + d] += buf[3 * i + d];
}

double FixDPLR::compute_scalar() {
  if (!reduced_) MPI_Allreduce(MPI_IN_PLACE, field_sums_, 4, MPI_DOUBLE, MPI_SUM, world);
  reduced_ = true;
  return field_sums_[0];
}

double FixDPLR::compute_vector(int n) {
  compute_scalar();
  return field_sums_[n + 1];
}

}  // namespace LAMMPS_NS

#include "compute_fparam_dedn.h"

#include <mpi.h>

#include <cstdlib>

#include "error.h"
#include "fix.h"
#include "force.h"
#include "input.h"
#include "modify.h"
#include "pair_deepmd.h"
#include "update.h"
#include "variable.h"

namespace LAMMPS_NS {

ComputeFparamDedn::ComputeFparamDedn(LAMMPS* lmp, int narg, char** arg) : Compute(lmp, narg, arg) {
  if (narg < 4 || narg > 5)
    error->all(FLERR, "compute {}: use compute ID group {} SOURCE [delta]", style, style);
  // v_name, c_ID, c_ID[i], f_ID, f_ID[i]
  const std::string word = arg[3];
  kind_ = word[0];
  const size_t bracket = word.find('[');
  bool ok =
      word.size() > 2 && word[1] == '_' && (kind_ == 'v' || kind_ == 'c' || kind_ == 'f') && bracket != 2;
  if (ok) name_ = word.substr(2, bracket - 2);
  if (ok && bracket != std::string::npos) {
    char* end = nullptr;
    const long entry = std::strtol(word.c_str() + bracket + 1, &end, 10);
    ok = kind_ != 'v' && entry > 0 && entry <= MAXSMALLINT && std::string(end) == "]";
    index_ = static_cast<int>(entry);
  }
  if (!ok)
    error->all(FLERR, "compute {}: {} is not a source; give v_name, c_ID, c_ID[i], f_ID or f_ID[i]", style,
               word);
  if (narg == 5) delta_ = utils::numeric(FLERR, arg[4], false, lmp);
  if (!(delta_ > 0)) error->all(FLERR, "compute {}: the step {} has to be positive", style, arg[4]);
  scalar_flag = 1;
  extscalar = 1;
  timeflag = 1;
}

void ComputeFparamDedn::init() {
  pair_ = dynamic_cast<PairDeepMD*>(force->pair_match("deepmd", 1));
  if (!pair_) error->all(FLERR, "compute {}: there is no pair_style deepmd (or more than one)", style);
  if (pair_->number_of_models() != 1)
    error->all(FLERR, "compute {}: pair_style deepmd has {} models, this compute takes one", style,
               pair_->number_of_models());
  if (pair_->dim_fparam() != 1)
    error->all(FLERR, "compute {}: the model has {} frame parameters, this compute takes one", style,
               pair_->dim_fparam());
  compute_ = nullptr;
  fix_ = nullptr;
  variable_ = -1;
  bool ok = true;
  const auto has = [&](int scalar, int vector, int size) {
    return index_ == 0 ? scalar != 0 : vector && (index_ <= size || size < 0);
  };
  if (kind_ == 'c') {
    compute_ = modify->get_compute_by_id(name_);
    if (!compute_) error->all(FLERR, "compute {}: there is no compute {}", style, name_);
    ok = has(compute_->scalar_flag, compute_->vector_flag, compute_->size_vector);
  } else if (kind_ == 'f') {
    fix_ = modify->get_fix_by_id(name_);
    if (!fix_) error->all(FLERR, "compute {}: there is no fix {}", style, name_);
    ok = has(fix_->scalar_flag, fix_->vector_flag, fix_->size_vector);
  } else {
    variable_ = input->variable->find(name_.c_str());
    if (variable_ < 0) error->all(FLERR, "compute {}: there is no variable {}", style, name_);
    if (!input->variable->equalstyle(variable_))
      error->all(FLERR, "compute {}: the variable {} is not of style equal", style, name_);
  }
  if (!ok)
    error->all(FLERR, "compute {}: {} has no {}", style, name_,
               index_ == 0 ? "scalar" : "entry " + std::to_string(index_));
}

double ComputeFparamDedn::source() {
  if (variable_ >= 0) return input->variable->compute_equal(variable_);
  if (fix_) return index_ == 0 ? fix_->compute_scalar() : fix_->compute_vector(index_ - 1);
  if (index_ == 0) {
    if (compute_->invoked_scalar != update->ntimestep) compute_->compute_scalar();
    compute_->invoked_flag |= INVOKED_SCALAR;
    return compute_->scalar;
  }
  if (compute_->invoked_vector != update->ntimestep) compute_->compute_vector();
  compute_->invoked_flag |= INVOKED_VECTOR;
  return compute_->vector[index_ - 1];
}

double ComputeFparamDedn::compute_scalar() {
  invoked_scalar = update->ntimestep;
  const double local = pair_->fparam_derivative(source(), delta_);
  MPI_Allreduce(&local, &scalar, 1, MPI_DOUBLE, MPI_SUM, world);
  return scalar;
}

}  // namespace LAMMPS_NS

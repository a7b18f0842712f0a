#include "parameter_source.h"

#include "atom.h"
#include "compute.h"
#include "error.h"
#include "fix.h"
#include "modify.h"
#include "update.h"

namespace LAMMPS_NS {

void ParameterSource::take(const std::string& keyword, Kind kind, const std::string& id) {
  if (given()) error->all(FLERR, "pair_style deepmd: {} and {} exclude each other", keyword_, keyword);
  keyword_ = keyword;
  kind_ = kind;
  id_ = id;
}

void ParameterSource::set_numbers(const std::string& keyword, std::vector<double> numbers) {
  take(keyword, NUMBERS, "");
  numbers_ = std::move(numbers);
}
void ParameterSource::set_compute(const std::string& keyword, const std::string& id) {
  take(keyword, COMPUTE, id);
}
void ParameterSource::set_fix(const std::string& keyword, const std::string& id, int index) {
  take(keyword, FIX, id);
  index_ = index;
}

void ParameterSource::set_ttm(const std::string& keyword, const std::string& id) {
  take(keyword, TTM, id);
  electrons_ = std::make_unique<ElectronTemperature>(lmp, keyword, id);
}

std::string ParameterSource::text() const {
  if (kind_ == TTM) return "electron temperatures of fix " + id_;
  if (kind_ == COMPUTE) return "compute " + id_;
  if (kind_ == FIX) return "fix " + id_ + (index_ ? " from entry " + std::to_string(index_) : "");
  std::string out;
  for (double x : numbers_) out += (out.empty() ? "" : " ") + fmt::format("{}", x);
  return out;
}

Compute* ParameterSource::compute() const {
  Compute* out = modify->get_compute_by_id(id_);
  if (!out) error->all(FLERR, "pair_style deepmd {}: there is no compute {}", keyword_, id_);
  return out;
}

Fix* ParameterSource::fix() const {
  Fix* out = modify->get_fix_by_id(id_);
  if (!out) error->all(FLERR, "pair_style deepmd {}: there is no fix {}", keyword_, id_);
  return out;
}

void ParameterSource::check(int dim, bool per_atom) const {
  const auto wants =
      fmt::format("the model needs {} number(s) {}", dim, per_atom ? "for each atom" : "for the frame");
  if (kind_ == NUMBERS && static_cast<int>(numbers_.size()) != dim)
    error->all(FLERR, "pair_style deepmd {}: {} number(s) given, {}", keyword_, numbers_.size(), wants);
  if (kind_ == COMPUTE) {
    const Compute* c = compute();
    const bool ok =
        per_atom ? c->peratom_flag && (dim == 1 ? c->size_peratom_cols == 0 : c->size_peratom_cols >= dim)
                 : (dim == 1 ? c->scalar_flag : c->vector_flag && c->size_vector >= dim);
    if (!ok)
      error->all(FLERR, "pair_style deepmd {}: compute {} does not give them; {}", keyword_, id_, wants);
  }
  if (kind_ == FIX) {
    const Fix* f = fix();
    const bool ok = index_ == 0 ? f->scalar_flag : f->vector_flag && f->size_vector >= index_ - 1 + dim;
    if (!ok) error->all(FLERR, "pair_style deepmd {}: fix {} does not give them; {}", keyword_, id_, wants);
  }
  if (kind_ == TTM) {
    if (dim != 1)
      error->all(FLERR, "pair_style deepmd {}: fix {} gives one electron temperature, {}", keyword_, id_,
                 wants);
    electrons_->check();
  }
}

void ParameterSource::frame(int dim, std::vector<double>& out) const {
  if (kind_ == NUMBERS) {
    out = numbers_;
    return;
  }
  out.resize(dim);
  if (kind_ == TTM) {
    electrons_->update();
    out[0] = electrons_->mean();
    return;
  }
  if (kind_ == FIX) {
    Fix* f = fix();
    for (int k = 0; k < dim; ++k)
      out[k] = index_ == 0 ? f->compute_scalar() : f->compute_vector(index_ - 1 + k);
    return;
  }
  Compute* c = compute();
  if (dim == 1) {
    if (c->invoked_scalar != update->ntimestep) c->compute_scalar();
    c->invoked_flag |= Compute::INVOKED_SCALAR;
    out[0] = c->scalar;
  } else {
    if (c->invoked_vector != update->ntimestep) c->compute_vector();
    c->invoked_flag |= Compute::INVOKED_VECTOR;
    for (int k = 0; k < dim; ++k) out[k] = c->vector[k];
  }
}

void ParameterSource::atoms(int dim, std::vector<double>& out) const {
  const int nlocal = atom->nlocal;
  out.resize(static_cast<size_t>(nlocal) * dim);
  if (kind_ == NUMBERS) {
    for (size_t k = 0; k < out.size(); ++k) out[k] = numbers_[k % dim];
    return;
  }
  if (kind_ == TTM) {
    electrons_->update();
    const int bit = electrons_->group_bit();
    for (int i = 0; i < nlocal; ++i) out[i] = atom->mask[i] & bit ? electrons_->at(atom->x[i]) : 0;
    return;
  }
  Compute* c = compute();
  if (c->invoked_peratom != update->ntimestep) c->compute_peratom();
  c->invoked_flag |= Compute::INVOKED_PERATOM;
  for (int i = 0; i < nlocal; ++i)
    for (int k = 0; k < dim; ++k)
      out[static_cast<size_t>(i) * dim + k] =
          c->size_peratom_cols == 0 ? c->vector_atom[i] : c->array_atom[i][k];
}

void ParameterSource::announce(bigint step) const {
  if (kind_ == COMPUTE) compute()->addstep(step);
}

}  // namespace LAMMPS_NS

#include <algorithm>
#include <numeric>

#include "DeepSpin.h"
#include "call_arrays.h"
#include "deep_pot_impl.h"

namespace deepmd {

/// Adds the virtual atoms and calls the energy model.
///
/// Order of all atoms: local real ones as the caller has them, local virtual ones in the order of their
/// hosts; then real ghosts sorted by type, and virtual ghosts in the order of theirs, as the graph expects
/// them.
class DeepSpinImpl {
 public:
  DeepSpinImpl(const std::string& model, int gpu_rank, const std::string& content)
      : pot(model, gpu_rank, content) {
    if (pot.ntypes_spin < 1) throw deepmd_exception("model " + model + " has no spins; use DeepPot");
    real_types_ = pot.ntypes - pot.ntypes_spin;
    const std::vector<double> length = numbers("spin_attr/virtual_len"),
                              norm = numbers("spin_attr/spin_norm");
    ratio_.assign(real_types_, 0.0);
    for (size_t t = 0; t < std::min(length.size(), ratio_.size()); ++t) ratio_[t] = length[t] / norm[t];
  }

  template <typename V>
  void compute(int nframes, int natoms, const V* coord, const V* spin, const int* atype, const V* box,
               int nghost, const InputNlist* list, int ago, const std::vector<V>& fparam,
               const std::vector<V>& aparam, const std::vector<double>& charge_spin, ENERGYTYPE* ener,
               V* force, V* force_mag, V* virial, V* atom_energy, V* atom_virial) {
    if (natoms < 0 || nghost < 0 || nghost > natoms)
      throw deepmd_exception("numbers of atoms (" + std::to_string(natoms) + ") and ghosts (" +
                             std::to_string(nghost) + ") do not fit");
    if (!list || ago == 0 || static_cast<int>(place_.size()) != natoms) {
      arrange(natoms, atype, nghost);
      if (list) extend(*list, natoms - nghost);
    }
    const size_t n = host_.size();
    std::vector<V> x(nframes * n * 3);
    for (int f = 0; f < nframes; ++f)
      for (size_t k = 0; k < n; ++k) {
        const size_t from = (static_cast<size_t>(f) * natoms + host_[k]) * 3, to = (f * n + k) * 3;
        for (int d = 0; d < 3; ++d)
          x[to + d] = coord[from + d] +
                      (virtual_[k] ? static_cast<V>(ratio_[atype[host_[k]]]) * spin[from + d] : V(0));
      }
    std::vector<V> extended;
    if (!aparam.empty() && pot.daparam) {
      // Virtual atoms have energies of zero, so their parameters do not matter.
      const int width = pot.daparam, given = pot.aparam_nall ? natoms : natoms - nghost;
      const size_t used = pot.aparam_nall ? n : n - ghosts_,
                   frames = aparam.size() / std::max(1, given * width);
      extended.assign(frames * used * width, V(0));
      for (size_t f = 0; f < frames; ++f)
        for (size_t k = 0; k < used; ++k)
          if (!virtual_[k])
            std::copy_n(&aparam[(f * given + host_[k]) * width], width, &extended[(f * used + k) * width]);
    }
    std::vector<V> all(force || force_mag ? nframes * n * 3 : 0), energies(atom_energy ? nframes * n : 0),
        virials(atom_virial ? nframes * n * 9 : 0);
    InputNlist extended_list(static_cast<int>(ilist_.size()), ilist_.data(), numneigh_.data(),
                             firstneigh_.data());
    const PotResults<V> to{ener, all.empty() ? nullptr : all.data(), virial,
                           energies.empty() ? nullptr : energies.data(),
                           virials.empty() ? nullptr : virials.data()};
    pot.compute<V>(nframes, static_cast<int>(n), x.data(), types_.data(), box, ghosts_,
                   list ? &extended_list : nullptr, ago, fparam, extended, charge_spin, false, to);
    const auto gather = [&](const std::vector<V>& from, V* to, int stride, bool of_virtual) {
      if (!to) return;
      std::fill(to, to + static_cast<size_t>(nframes) * natoms * stride, V(0));
      for (int f = 0; f < nframes; ++f)
        for (size_t k = 0; k < n; ++k)
          if (virtual_[k] == of_virtual)
            std::copy_n(&from[(f * n + k) * stride], stride,
                        to + (static_cast<size_t>(f) * natoms + host_[k]) * stride);
    };
    gather(all, force, 3, false);
    gather(all, force_mag, 3, true);
    gather(energies, atom_energy, 1, false);
    gather(virials, atom_virial, 9, false);
  }

  DeepPotImpl pot;

 private:
  std::vector<double> numbers(const std::string& node) const {
    const auto t = pot.graph.constant(node);
    std::vector<double> out(t.NumElements());
    for (size_t k = 0; k < out.size(); ++k)
      out[k] = t.dtype() == tensorflow::DT_FLOAT ? t.flat<float>()(k) : t.flat<double>()(k);
    return out;
  }
  bool has_spin(int type) const { return type >= 0 && type < real_types_ && ratio_[type] > 0; }

  /// Fills host_, virtual_, types_ (of every atom in the order above) and the places of the caller's atoms in
  /// it.
  void arrange(int natoms, const int* atype, int nghost) {
    host_.clear();
    virtual_.clear();
    types_.clear();
    place_.assign(natoms, -1);
    twin_.assign(natoms, -1);
    const auto block = [&](const std::vector<int>& atoms) {
      for (const int i : atoms) {
        place_[i] = static_cast<int>(host_.size());
        host_.push_back(i);
        virtual_.push_back(false);
        types_.push_back(atype[i] < real_types_ ? atype[i] : -1);
      }
      for (const int i : atoms)
        if (has_spin(atype[i])) {
          twin_[i] = static_cast<int>(host_.size());
          host_.push_back(i);
          virtual_.push_back(true);
          types_.push_back(atype[i] + real_types_);
        }
    };
    std::vector<int> local(natoms - nghost), ghosts(nghost);
    std::iota(local.begin(), local.end(), 0);
    std::iota(ghosts.begin(), ghosts.end(), natoms - nghost);
    std::stable_sort(ghosts.begin(), ghosts.end(), [&](int a, int b) { return atype[a] < atype[b]; });
    block(local);
    const size_t n = host_.size();
    block(ghosts);
    ghosts_ = static_cast<int>(host_.size() - n);
  }

  /// The list of real atoms with their own virtual atom and those of their neighbors; virtual atoms have
  /// none.
  void extend(const InputNlist& list, int nloc) {
    const int rows = static_cast<int>(host_.size()) - ghosts_;
    std::vector<std::vector<int>> neighbors(rows);
    for (int k = 0; k < list.inum; ++k) {
      const int i = list.ilist[k];
      if (i < 0 || i >= nloc)
        throw deepmd_exception("row " + std::to_string(k) + " of the neighbor list is for atom " +
                               std::to_string(i) + ", which is not a local atom");
      std::vector<int>& row = neighbors[place_[i]];
      if (twin_[i] >= 0) row.push_back(twin_[i]);
      for (int m = 0; m < list.numneigh[k]; ++m) {
        const int j = list.firstneigh[k][m] & list.mask;
        if (j < 0 || j >= static_cast<int>(place_.size()))
          throw deepmd_exception("the neighbor list of atom " + std::to_string(i) + " names atom " +
                                 std::to_string(j));
        row.push_back(place_[j]);
        if (twin_[j] >= 0) row.push_back(twin_[j]);
      }
    }
    flat_.clear();
    std::vector<size_t> start(rows);
    for (int k = 0; k < rows; ++k) {
      start[k] = flat_.size();
      flat_.insert(flat_.end(), neighbors[k].begin(), neighbors[k].end());
    }
    ilist_.resize(rows);
    numneigh_.resize(rows);
    firstneigh_.resize(rows);
    for (int k = 0; k < rows; ++k) {
      ilist_[k] = k;
      numneigh_[k] = static_cast<int>(neighbors[k].size());
      firstneigh_[k] = flat_.data() + start[k];
    }
  }

  int real_types_ = 0, ghosts_ = 0;
  std::vector<double> ratio_;
  std::vector<int> host_, types_, place_, twin_, ilist_, numneigh_, flat_;
  std::vector<bool> virtual_;
  std::vector<int*> firstneigh_;
};

DeepSpin::DeepSpin() = default;
DeepSpin::~DeepSpin() = default;
DeepSpin::DeepSpin(const std::string& model, const int& gpu_rank, const std::string& file_content) {
  init(model, gpu_rank, file_content);
}
void DeepSpin::init(const std::string& model, const int& gpu_rank, const std::string& file_content) {
  if (!impl_) impl_ = std::make_unique<DeepSpinImpl>(model, gpu_rank, file_content);
}
const ModelHead& DeepSpin::head() const {
  if (!impl_) throw deepmd_exception("no model is loaded");
  return impl_->pot;
}

template <typename V>
void DeepSpin::compute_raw(int nframes, int natoms, const V* coord, const V* spin, const int* atype,
                           const V* box, int nghost, const InputNlist* inlist, int ago,
                           const std::vector<V>& fparam, const std::vector<V>& aparam, ENERGYTYPE* ener,
                           V* force, V* force_mag, V* virial, V* atom_energy, V* atom_virial,
                           const std::vector<double>& charge_spin) {
  head();
  impl_->compute(nframes, natoms, coord, spin, atype, box, nghost, inlist, ago, fparam, aparam, charge_spin,
                 ener, force, force_mag, virial, atom_energy, atom_virial);
}

namespace {

template <typename V>
struct Call {
  DeepSpin& model;
  const std::vector<V>&coord, &spin;
  const std::vector<int>& atype;
  const std::vector<V>&box, &fparam, &aparam;
  const std::vector<double>& charge_spin;
  int nghost = 0;
  const InputNlist* list = nullptr;
  int ago = 0;

  template <typename Energy>
  void operator()(Energy& ener, std::vector<V>& force, std::vector<V>& force_mag, std::vector<V>& virial,
                  std::vector<V>* atom_energy, std::vector<V>* atom_virial) const {
    const size_t natoms = atype.size(), nframes = count_frames(coord, box, natoms, list != nullptr);
    if (spin.size() != coord.size())
      throw deepmd_exception("spin has " + std::to_string(spin.size()) + " numbers, coord " +
                             std::to_string(coord.size()));
    model.compute_raw(static_cast<int>(nframes), static_cast<int>(natoms), coord.data(), spin.data(),
                      atype.data(), box.empty() ? nullptr : box.data(), nghost, list, ago, fparam, aparam,
                      energies(ener, nframes), room(&force, nframes * natoms * 3),
                      room(&force_mag, nframes * natoms * 3), room(&virial, nframes * 9),
                      room(atom_energy, nframes * natoms), room(atom_virial, nframes * natoms * 9),
                      charge_spin);
  }
};

}  // namespace

#undef DPTF_TAIL
#define DPTF_TAIL                                                           \
  const std::vector<VALUETYPE>&fparam, const std::vector<VALUETYPE>&aparam, \
      const std::vector<double>&charge_spin
#define DPTF_DEFINE(ENER)                                                                                   \
  template <typename VALUETYPE>                                                                             \
  void DeepSpin::compute(ENER ener, DPTF_SPIN_OUT, DPTF_SPIN_FRAME, DPTF_TAIL) {                            \
    Call<VALUETYPE>{*this, coord, spin, atype, box, fparam, aparam, charge_spin}(ener, force, force_mag,    \
                                                                                 virial, nullptr, nullptr); \
  }                                                                                                         \
  template <typename VALUETYPE>                                                                             \
  void DeepSpin::compute(ENER ener, DPTF_SPIN_OUT, DPTF_ATOMIC, DPTF_SPIN_FRAME, DPTF_TAIL) {               \
    Call<VALUETYPE>{*this, coord, spin, atype, box, fparam, aparam, charge_spin}(                           \
        ener, force, force_mag, virial, &atom_energy, &atom_virial);                                        \
  }                                                                                                         \
  template <typename VALUETYPE>                                                                             \
  void DeepSpin::compute(ENER ener, DPTF_SPIN_OUT, DPTF_SPIN_FRAME, DPTF_LIST, DPTF_TAIL) {                 \
    Call<VALUETYPE>{*this, coord, spin, atype, box, fparam, aparam, charge_spin, nghost, &inlist, ago}(     \
        ener, force, force_mag, virial, nullptr, nullptr);                                                  \
  }                                                                                                         \
  template <typename VALUETYPE>                                                                             \
  void DeepSpin::compute(ENER ener, DPTF_SPIN_OUT, DPTF_ATOMIC, DPTF_SPIN_FRAME, DPTF_LIST, DPTF_TAIL) {    \
    Call<VALUETYPE>{*this, coord, spin, atype, box, fparam, aparam, charge_spin, nghost, &inlist, ago}(     \
        ener, force, force_mag, virial, &atom_energy, &atom_virial);                                        \
  }
DPTF_DEFINE(ENERGYTYPE&)
DPTF_DEFINE(std::vector<ENERGYTYPE>&)

#define DPTF_OUT_T(V) std::vector<V>&, std::vector<V>&, std::vector<V>&
#define DPTF_ATOMIC_T(V) std::vector<V>&, std::vector<V>&
#define DPTF_FRAME_T(V) \
  const std::vector<V>&, const std::vector<V>&, const std::vector<int>&, const std::vector<V>&
#define DPTF_LIST_T const int&, const InputNlist&, const int&
#define DPTF_TAIL_T(V) const std::vector<V>&, const std::vector<V>&, const std::vector<double>&
#define DPTF_INSTANTIATE_E(V, E)                                                                           \
  template void DeepSpin::compute<V>(E, DPTF_OUT_T(V), DPTF_FRAME_T(V), DPTF_TAIL_T(V));                   \
  template void DeepSpin::compute<V>(E, DPTF_OUT_T(V), DPTF_ATOMIC_T(V), DPTF_FRAME_T(V), DPTF_TAIL_T(V)); \
  template void DeepSpin::compute<V>(E, DPTF_OUT_T(V), DPTF_FRAME_T(V), DPTF_LIST_T, DPTF_TAIL_T(V));      \
  template void DeepSpin::compute<V>(E, DPTF_OUT_T(V), DPTF_ATOMIC_T(V), DPTF_FRAME_T(V), DPTF_LIST_T,     \
                                     DPTF_TAIL_T(V));
#define DPTF_INSTANTIATE(V)                                                                       \
  DPTF_INSTANTIATE_E(V, ENERGYTYPE&)                                                              \
  DPTF_INSTANTIATE_E(V, std::vector<ENERGYTYPE>&)                                                 \
  template void DeepSpin::compute_raw<V>(int, int, const V*, const V*, const int*, const V*, int, \
                                         const InputNlist*, int, const std::vector<V>&,           \
                                         const std::vector<V>&, ENERGYTYPE*, V*, V*, V*, V*, V*,  \
                                         const std::vector<double>&);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

DeepSpinModelDevi::DeepSpinModelDevi() = default;
DeepSpinModelDevi::~DeepSpinModelDevi() = default;
DeepSpinModelDevi::DeepSpinModelDevi(const std::vector<std::string>& models, const int& gpu_rank,
                                     const std::vector<std::string>& file_contents) {
  init(models, gpu_rank, file_contents);
}
void DeepSpinModelDevi::init(const std::vector<std::string>& models, const int& gpu_rank,
                             const std::vector<std::string>& file_contents) {
  if (models_.empty()) models_ = load_models<DeepSpin>(models, gpu_rank, file_contents);
}
const DeepBaseModel& DeepSpinModelDevi::first() const {
  if (models_.empty()) throw deepmd_exception("no model is loaded");
  return *models_[0];
}

#define DPTF_EACH(...)                                                                      \
  first();                                                                                  \
  const size_t n = models_.size();                                                          \
  all_energy.resize(n), all_force.resize(n), all_force_mag.resize(n), all_virial.resize(n); \
  for (size_t k = 0; k < n; ++k)                                                            \
  models_[k]->compute(all_energy[k], all_force[k], all_force_mag[k], all_virial[k], __VA_ARGS__)
template <typename VALUETYPE>
void DeepSpinModelDevi::compute(DPTF_SPIN_ALL, DPTF_SPIN_FRAME, DPTF_TAIL) {
  DPTF_EACH(coord, spin, atype, box, fparam, aparam, charge_spin);
}
template <typename VALUETYPE>
void DeepSpinModelDevi::compute(DPTF_SPIN_ALL, DPTF_ALL_ATOMIC, DPTF_SPIN_FRAME, DPTF_TAIL) {
  all_atom_energy.resize(models_.size()), all_atom_virial.resize(models_.size());
  DPTF_EACH(all_atom_energy[k], all_atom_virial[k], coord, spin, atype, box, fparam, aparam, charge_spin);
}
template <typename VALUETYPE>
void DeepSpinModelDevi::compute(DPTF_SPIN_ALL, DPTF_SPIN_FRAME, DPTF_LIST, DPTF_TAIL) {
  DPTF_EACH(coord, spin, atype, box, nghost, inlist, ago, fparam, aparam, charge_spin);
}
template <typename VALUETYPE>
void DeepSpinModelDevi::compute(DPTF_SPIN_ALL, DPTF_ALL_ATOMIC, DPTF_SPIN_FRAME, DPTF_LIST, DPTF_TAIL) {
  all_atom_energy.resize(models_.size()), all_atom_virial.resize(models_.size());
  DPTF_EACH(all_atom_energy[k], all_atom_virial[k], coord, spin, atype, box, nghost, inlist, ago, fparam,
            aparam, charge_spin);
}
#define DPTF_ALL_T(V)                                                                   \
  std::vector<ENERGYTYPE>&, std::vector<std::vector<V>>&, std::vector<std::vector<V>>&, \
      std::vector<std::vector<V>>&
#define DPTF_ALL_ATOMIC_T(V) std::vector<std::vector<V>>&, std::vector<std::vector<V>>&
#define DPTF_INSTANTIATE_DEVI(V)                                                                            \
  template void DeepSpinModelDevi::compute<V>(DPTF_ALL_T(V), DPTF_FRAME_T(V), DPTF_TAIL_T(V));              \
  template void DeepSpinModelDevi::compute<V>(DPTF_ALL_T(V), DPTF_ALL_ATOMIC_T(V), DPTF_FRAME_T(V),         \
                                              DPTF_TAIL_T(V));                                              \
  template void DeepSpinModelDevi::compute<V>(DPTF_ALL_T(V), DPTF_FRAME_T(V), DPTF_LIST_T, DPTF_TAIL_T(V)); \
  template void DeepSpinModelDevi::compute<V>(DPTF_ALL_T(V), DPTF_ALL_ATOMIC_T(V), DPTF_FRAME_T(V),         \
                                              DPTF_LIST_T, DPTF_TAIL_T(V));
DPTF_INSTANTIATE_DEVI(double)
DPTF_INSTANTIATE_DEVI(float)

}  // namespace deepmd

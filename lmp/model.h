#pragma once
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "deepmd/c_api.h"

namespace LAMMPS_NS {

/// Text returned by the C API, as a string.
inline std::string take(const char* text) {
  std::string out = text ? text : "";
  DP_DeleteChar(text);
  return out;
}

/// Atoms, neighbor list and parameters of one evaluation, in model units.
struct DeepmdInput {
  int nall = 0, nghost = 0;
  std::vector<double> coord, spin, fparam, aparam, charge_spin;  // spin only of models with spins
  std::vector<int> type;
  double box[9] = {};
  DP_Nlist* nlist = nullptr;
  long list_version = 0;  // changes whenever the neighbor list was built anew
};

struct DeepmdOutput {
  double energy = 0, virial[9] = {};
  std::vector<double> force, force_mag, atom_energy, atom_virial;  // the last two only when asked for
};

/// One energy model behind the C API, with spins or without; every error becomes an exception.
class DeepmdModel {
 public:
  DeepmdModel(std::string file, int gpu_rank, const std::string& content, bool spin = false,
              const std::string& precision = "")
      : file_(std::move(file)),
        spin_(spin),
        dp_(open(file_, gpu_rank, content, spin, precision), DP_DeleteDeepBaseModel) {
    check();
    if (!spin_ && DP_DeepBaseModelGetNumbTypesSpin(dp_.get()) > 0)
      throw std::runtime_error(file_ + " is a model with spins; use pair_style deepspin");
  }
  double cutoff() const { return DP_DeepBaseModelGetCutoff(dp_.get()); }
  /// Types of atoms; virtual ones are the model's own affair.
  int ntypes() const {
    return DP_DeepBaseModelGetNumbTypes(dp_.get()) -
           (spin_ ? DP_DeepBaseModelGetNumbTypesSpin(dp_.get()) : 0);
  }
  int dim_fparam() const { return DP_DeepBaseModelGetDimFParam(dp_.get()); }
  /// Whether the model has frame parameters for those who give none.
  bool default_fparam() const { return DP_DeepBaseModelHasDefaultFParam(dp_.get()); }
  int dim_aparam() const { return DP_DeepBaseModelGetDimAParam(dp_.get()); }
  /// Whether ghosts have atomic parameters too.
  bool aparam_of_ghosts() const { return dim_aparam() > 0 && DP_DeepBaseModelIsAParamNAll(dp_.get()); }
  int dim_chg_spin() const { return spin_ ? 0 : DP_DeepPotGetDimChgSpin(pot()); }
  bool has_default_chg_spin() const { return !spin_ && DP_DeepPotHasDefaultChgSpin(pot()); }
  int message_width() const { return spin_ ? 0 : DP_DeepPotGetMessageWidth(pot()); }
  std::string type_map() const { return take(DP_DeepBaseModelGetTypeMap(dp_.get())); }
  std::string runtime_report() const {
    return spin_ ? "virtual atoms for spins" : take(DP_DeepPotGetRuntimeReport(pot()));
  }
  const std::string& file() const { return file_; }

  /// `variance` (nall numbers, of the local atoms) comes from the same evaluation where it is wanted.
  void compute(const DeepmdInput& in, bool atom_energy, bool atom_virial, DeepmdOutput& out,
               std::vector<double>* variance = nullptr) {
    out.force.resize(3 * static_cast<size_t>(in.nall));
    out.force_mag.resize(spin_ ? 3 * static_cast<size_t>(in.nall) : 0);
    out.atom_energy.resize(atom_energy ? in.nall : 0);
    out.atom_virial.resize(atom_virial ? 9 * static_cast<size_t>(in.nall) : 0);
    double *energies = atom_energy ? out.atom_energy.data() : nullptr,
           *virials = atom_virial ? out.atom_virial.data() : nullptr;
    if (spin_)
      DP_DeepSpinComputeNList2(reinterpret_cast<DP_DeepSpin*>(dp_.get()), 1, in.nall, in.coord.data(),
                               in.spin.data(), in.type.data(), in.box, in.nghost, in.nlist, ago(in),
                               given(in.fparam), given(in.aparam), &out.energy, out.force.data(),
                               out.force_mag.data(), out.virial, energies, virials);
    else if (variance)
      run_variance(in, *variance, &out.energy, out.force.data(), out.virial, energies, virials);
    else
      DP_DeepPotComputeNList3(pot(), 1, in.nall, in.coord.data(), in.type.data(), in.box, in.nghost, in.nlist,
                              ago(in), given(in.fparam), given(in.aparam), given(in.charge_spin), &out.energy,
                              out.force.data(), out.virial, energies, virials);
    check();
    seen_ = in.list_version;
  }

  bool has_uncertainty() const { return !spin_ && DP_DeepPotHasUncertainty(pot()); }
  /// Variances of the local atoms (nall numbers), and the rule that turns them into expected errors.
  void variance(const DeepmdInput& in, std::vector<double>& out) {
    run_variance(in, out, nullptr, nullptr, nullptr, nullptr, nullptr);
    check();
    seen_ = in.list_version;
  }
  void uncertainty_rule(double* rule) const {
    DP_DeepPotGetUncertaintyRule(pot(), rule);
    check();
  }

 private:
  void run_variance(const DeepmdInput& in, std::vector<double>& out, double* energy, double* force,
                    double* virial, double* atom_energy, double* atom_virial) {
    out.resize(in.nall);
    DP_DeepPotComputeVarianceNList(pot(), in.nall, in.coord.data(), in.type.data(), in.box, in.nghost,
                                   in.nlist, ago(in), given(in.fparam), given(in.aparam),
                                   given(in.charge_spin), out.data(), energy, force, virial, atom_energy,
                                   atom_virial);
  }
  // A model that was not evaluated when the list was built has not seen it yet.
  int ago(const DeepmdInput& in) const { return seen_ == in.list_version ? 1 : 0; }
  static const double* given(const std::vector<double>& v) { return v.empty() ? nullptr : v.data(); }
  // Handles of models may be used as those of their base.
  static DP_DeepBaseModel* open(const std::string& file, int gpu_rank, const std::string& content, bool spin,
                                const std::string& precision) {
    const int size = static_cast<int>(content.size());
    if (spin)
      return reinterpret_cast<DP_DeepBaseModel*>(
          DP_NewDeepSpinWithParam2(file.c_str(), gpu_rank, content.data(), size));
    return reinterpret_cast<DP_DeepBaseModel*>(
        DP_NewDeepPotWithPrecision(file.c_str(), gpu_rank, content.data(), size, precision.c_str()));
  }
  DP_DeepPot* pot() const { return reinterpret_cast<DP_DeepPot*>(dp_.get()); }
  void check() const {
    const std::string text = take(DP_DeepBaseModelCheckOK(dp_.get()));
    if (!text.empty())
      throw std::runtime_error(text.find(file_) == std::string::npos ? file_ + ": " + text : text);
  }
  std::string file_;
  bool spin_;
  std::unique_ptr<DP_DeepBaseModel, void (*)(DP_DeepBaseModel*)> dp_;
  long seen_ = 0;
};

}  // namespace LAMMPS_NS

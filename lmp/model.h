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
  std::vector<double> coord, fparam, aparam;
  std::vector<int> type;
  double box[9] = {};
  DP_Nlist* nlist = nullptr;
  long list_version = 0;  // changes whenever the neighbor list was built anew
};

struct DeepmdOutput {
  double energy = 0, virial[9] = {};
  std::vector<double> force, atom_energy, atom_virial;  // the last two only when asked for
};

/// One energy model behind the C API; every error becomes an exception.
class DeepmdModel {
 public:
  DeepmdModel(std::string file, int gpu_rank, const std::string& content)
      : file_(std::move(file)),
        dp_(DP_NewDeepPotWithParam2(file_.c_str(), gpu_rank, content.data(),
                                    static_cast<int>(content.size())),
            DP_DeleteDeepPot) {
    check();
  }
  double cutoff() const { return DP_DeepPotGetCutoff(dp_.get()); }
  int ntypes() const { return DP_DeepPotGetNumbTypes(dp_.get()); }
  int dim_fparam() const { return DP_DeepPotGetDimFParam(dp_.get()); }
  int dim_aparam() const { return DP_DeepPotGetDimAParam(dp_.get()); }
  int message_width() const { return DP_DeepPotGetMessageWidth(dp_.get()); }
  std::string type_map() const { return take(DP_DeepPotGetTypeMap(dp_.get())); }
  std::string runtime_report() const { return take(DP_DeepPotGetRuntimeReport(dp_.get())); }
  const std::string& file() const { return file_; }

  void compute(const DeepmdInput& in, bool atom_energy, bool atom_virial, DeepmdOutput& out) {
    out.force.resize(3 * static_cast<size_t>(in.nall));
    out.atom_energy.resize(atom_energy ? in.nall : 0);
    out.atom_virial.resize(atom_virial ? 9 * static_cast<size_t>(in.nall) : 0);
    // A model that was not evaluated when the list was built has not seen it yet.
    const int ago = seen_ == in.list_version ? 1 : 0;
    DP_DeepPotComputeNList2(dp_.get(), 1, in.nall, in.coord.data(), in.type.data(), in.box, in.nghost,
                            in.nlist, ago, in.fparam.empty() ? nullptr : in.fparam.data(),
                            in.aparam.empty() ? nullptr : in.aparam.data(), &out.energy, out.force.data(),
                            out.virial, atom_energy ? out.atom_energy.data() : nullptr,
                            atom_virial ? out.atom_virial.data() : nullptr);
    check();
    seen_ = in.list_version;
  }

 private:
  void check() const {
    const std::string text = take(DP_DeepPotCheckOK(dp_.get()));
    if (!text.empty())
      throw std::runtime_error(text.find(file_) == std::string::npos ? file_ + ": " + text : text);
  }
  std::string file_;
  std::unique_ptr<DP_DeepPot, void (*)(DP_DeepPot*)> dp_;
  long seen_ = 0;
};

}  // namespace LAMMPS_NS

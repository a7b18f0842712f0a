#pragma once
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "deepmd/c_api.h"
#include "model.h"

namespace LAMMPS_NS {

/// A tensor model behind the C API; every error becomes an exception.
class TensorModel {
 public:
  TensorModel(std::string file, int gpu_rank, const char* scope = "")
      : file_(std::move(file)),
        dt_(DP_NewDeepTensorWithParam(file_.c_str(), gpu_rank, scope), DP_DeleteDeepTensor) {
    check();
    const int n = DP_DeepTensorGetNumbSelTypes(dt_.get());
    const int* types = DP_DeepTensorGetSelTypes(dt_.get());
    selected_.assign(DP_DeepTensorGetNumbTypes(dt_.get()), false);
    for (int k = 0; k < n; ++k)
      if (types[k] >= 0 && types[k] < static_cast<int>(selected_.size())) selected_[types[k]] = true;
  }
  double cutoff() const { return DP_DeepTensorGetCutoff(dt_.get()); }
  int dim() const { return DP_DeepTensorGetOutputDim(dt_.get()); }
  bool selects(int type) const {
    return type >= 0 && type < static_cast<int>(selected_.size()) && selected_[type];
  }
  /// Tensors of the local atoms of the selected types, in their order.
  std::vector<double> compute(const std::vector<double>& coord, const std::vector<int>& type,
                              const double* box, int nghost, const DP_Nlist* nlist) {
    double* values = nullptr;
    int size = 0;
    DP_DeepTensorComputeTensorNList(dt_.get(), static_cast<int>(type.size()), coord.data(), type.data(), box,
                                    nghost, nlist, &values, &size);
    std::vector<double> out(values, values + size);
    DP_DeleteArray(values);
    check();
    return out;
  }

 private:
  void check() const {
    const std::string text = take(DP_DeepTensorCheckOK(dt_.get()));
    if (!text.empty()) throw std::runtime_error(file_ + ": " + text);
  }
  std::string file_;
  std::unique_ptr<DP_DeepTensor, void (*)(DP_DeepTensor*)> dt_;
  std::vector<bool> selected_;
};

}  // namespace LAMMPS_NS

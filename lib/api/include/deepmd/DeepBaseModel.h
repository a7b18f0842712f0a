#pragma once

#include <string>
#include <vector>

#include "common.h"

namespace deepmd {

struct ModelHead;

/// What every model can tell about itself. Functions throw deepmd_exception when no model is loaded.
class DeepBaseModel {
 public:
  virtual ~DeepBaseModel() = default;
  /// Cutoff radius in Å.
  double cutoff() const;
  int numb_types() const;
  /// Number of types that carry a spin.
  int numb_types_spin() const;
  int dim_fparam() const;
  int dim_aparam() const;
  /// Numbers of a frame's charge and spin multiplicity: 2, or 0 for models that take none.
  int dim_chg_spin() const;
  /// Whether atom parameters are given for ghosts too.
  bool is_aparam_nall() const;
  /// Whether the model has these for callers that give none.
  bool has_default_fparam() const;
  bool has_default_chg_spin() const;
  /// Type names, separated by blanks.
  void get_type_map(std::string& type_map) const;
  void print_summary(const std::string& pre) const;
  /// Which path evaluates the model (fused kernels or the graph as it is), and why.
  std::string runtime_report() const;
  /// Numbers per atom that a message-passing model exchanges between processes; 0 for other models.
  int message_width() const;

 protected:
  virtual const ModelHead& head() const = 0;
};

/// Several models of one kind: what the first of them tells, and the statistics of their results.
class DeepBaseModelDevi {
 public:
  virtual ~DeepBaseModelDevi() = default;
  /// The largest of all.
  virtual double cutoff() const { return first().cutoff(); }
  int numb_types() const { return first().numb_types(); }
  int numb_types_spin() const { return first().numb_types_spin(); }
  int dim_fparam() const { return first().dim_fparam(); }
  int dim_aparam() const { return first().dim_aparam(); }
  int dim_chg_spin() const { return first().dim_chg_spin(); }
  bool is_aparam_nall() const { return first().is_aparam_nall(); }
  bool has_default_fparam() const { return first().has_default_fparam(); }

  /// avg = mean over models.
  template <typename VALUETYPE>
  void compute_avg(VALUETYPE& avg, const std::vector<VALUETYPE>& xx);
  template <typename VALUETYPE>
  void compute_avg(std::vector<VALUETYPE>& avg, const std::vector<std::vector<VALUETYPE>>& xx);
  /// std[i] = sqrt(mean over models of |x_i - avg_i|^2), the norm over `stride` components.
  template <typename VALUETYPE>
  void compute_std(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                   const std::vector<std::vector<VALUETYPE>>& xx, const int& stride);
  template <typename VALUETYPE>
  void compute_std_e(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                     const std::vector<std::vector<VALUETYPE>>& xx);
  template <typename VALUETYPE>
  void compute_std_f(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                     const std::vector<std::vector<VALUETYPE>>& xx);
  /// std[i] /= |avg_i| + eps.
  template <typename VALUETYPE>
  void compute_relative_std(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                            const VALUETYPE eps, const int& stride);
  template <typename VALUETYPE>
  void compute_relative_std_f(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                              const VALUETYPE eps);

 protected:
  virtual const DeepBaseModel& first() const = 0;
};

}  // namespace deepmd

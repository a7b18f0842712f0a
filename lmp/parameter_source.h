#pragma once
#include <memory>
#include <string>
#include <vector>

#include "electron_temperature.h"
#include "pointers.h"

namespace LAMMPS_NS {

/// Where the frame or atom parameters of a model come from: numbers, a compute, a fix, or the
/// electron temperatures of a fix ttm.
class ParameterSource : protected Pointers {
 public:
  explicit ParameterSource(class LAMMPS* lmp) : Pointers(lmp) {}

  /// Keywords told before: numbers, `*_from_compute`, `*_from_fix`. A second source for the same parameter is
  /// an error.
  void set_numbers(const std::string& keyword, std::vector<double> numbers);
  void set_compute(const std::string& keyword, const std::string& id);
  void set_fix(const std::string& keyword, const std::string& id, int index);
  void set_ttm(const std::string& keyword, const std::string& id);

  void reset() {
    kind_ = NONE;
    numbers_.clear();
    index_ = 0;
    electrons_.reset();
  }
  bool given() const { return kind_ != NONE; }
  const std::string& keyword() const { return keyword_; }
  std::string text() const;

  /// dim numbers of the frame.
  void frame(int dim, std::vector<double>& out) const;
  /// nlocal x dim numbers of the local atoms.
  void atoms(int dim, std::vector<double>& out) const;
  /// Stops with the reason when the source cannot give dim numbers.
  void check(int dim, bool per_atom) const;
  /// A compute that is evaluated between timesteps needs to know the next one.
  void announce(bigint step) const;

 private:
  enum Kind { NONE, NUMBERS, COMPUTE, FIX, TTM };
  void take(const std::string& keyword, Kind kind, const std::string& id);
  class Compute* compute() const;
  class Fix* fix() const;
  Kind kind_ = NONE;
  std::string keyword_, id_;
  std::vector<double> numbers_;
  int index_ = 0;
  std::unique_ptr<ElectronTemperature> electrons_;
};

}  // namespace LAMMPS_NS

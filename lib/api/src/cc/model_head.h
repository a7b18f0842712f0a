#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "graph_runner.h"

namespace deepmd {

/// A loaded graph and the attributes that models of all kinds have.
struct ModelHead {
  /// Throws when the file is no model of a version that can be run. `scope` is where a model sits inside
  /// another graph.
  ModelHead(const std::string& model, int gpu_rank, const std::string& content, const std::string& scope = "",
            const std::string& precision = "");

  GraphRunner graph;
  std::string file, type, names;  // names: of the atom types, separated by blanks
  double rcut = 0;
  int ntypes = 0, ntypes_spin = 0, dfparam = 0, daparam = 0;
  int dim_chg_spin = 0;  // charge and spin multiplicity of a frame
  bool default_chg_spin = false;
  std::vector<double> default_fparam;  // for callers that give none; may be empty
  int message_width = 0;               // of the features that ghosts need, 0 without message passing
  bool aparam_nall = false, single = false;
  bool takes_field = false;    // an electric field per atom
  double bytes_per_atom = 0;   // forecast of the memory of an evaluation, 0 where the model tells none
  bool counts_memory = false;  // an op compares the memory that the neighbors need with what there is
};

}  // namespace deepmd

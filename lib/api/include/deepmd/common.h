#pragma once

#include <string>
#include <vector>

#include "AtomMap.h"
#include "errors.h"
#include "neighbor_list.h"

namespace deepmd {

typedef double ENERGYTYPE;

/// Thread numbers from the environment (DP_INTRA_OP_PARALLELISM_THREADS, DP_INTER_OP_PARALLELISM_THREADS or
/// their TF_ spellings); 0 lets TensorFlow decide.
void get_env_nthreads(int& num_intra_nthreads, int& num_inter_nthreads);

/// Loads the ops beside this library, and the libraries named in DP_PLUGIN_PATH. Called by every model; may
/// be repeated.
void load_op_library();

/// The content of a file.
void read_file_to_string(std::string model, std::string& file_content);

/// A frozen graph in text form to the binary form.
void convert_pbtxt_to_pb(std::string fn_pb_txt, std::string fn_pb);

/// Keep the atoms whose type is in sel_type. fwd_map[old] is the new index or -1, bkw_map the old index of
/// each kept atom.
void select_by_type(std::vector<int>& fwd_map, std::vector<int>& bkw_map, int& nghost_real,
                    const std::vector<double>& dcoord_, const std::vector<int>& datype_, const int& nghost,
                    const std::vector<int>& sel_type_);

/// Keep the atoms with a type in [0, ntypes).
void select_real_atoms(std::vector<int>& fwd_map, std::vector<int>& bkw_map, int& nghost_real,
                       const std::vector<double>& dcoord_, const std::vector<int>& datype_, const int& nghost,
                       const int& ntypes);

/// Scatter rows of `stride` values to their new places; rows whose place is -1 are dropped.
template <typename VT>
void select_map(std::vector<VT>& out, const std::vector<VT>& in, const std::vector<int>& fwd_map,
                const int& stride, const int& nframes = 1, const int& nall1 = 0, const int& nall2 = 0);

/// What evaluates a model file.
enum DPBackend { TensorFlow, PyTorch, Paddle, JAX, PyTorchExportable, Unknown };

/// The backend of a model, by the ending of its name. Throws for an ending that no backend has.
DPBackend get_backend(const std::string& model);

/// Whether a graph of this model version can be run.
bool model_compatable(std::string& model_version);

/// "scope/" or "".
std::string name_prefix(const std::string& name_scope);

/// Versions and settings, one line each, to standard output.
void print_summary(const std::string& pre);

}  // namespace deepmd

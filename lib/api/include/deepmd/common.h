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

/// The same with coordinates of another type, which are not looked at.
template <typename VT>
void select_by_type(std::vector<int>& fwd_map, std::vector<int>& bkw_map, int& nghost_real,
                    const std::vector<VT>&, const std::vector<int>& datype_, const int& nghost,
                    const std::vector<int>& sel_type_) {
  select_by_type(fwd_map, bkw_map, nghost_real, std::vector<double>(), datype_, nghost, sel_type_);
}
template <typename VT>
void select_real_atoms(std::vector<int>& fwd_map, std::vector<int>& bkw_map, int& nghost_real,
                       const std::vector<VT>&, const std::vector<int>& datype_, const int& nghost,
                       const int& ntypes) {
  select_real_atoms(fwd_map, bkw_map, nghost_real, std::vector<double>(), datype_, nghost, ntypes);
}

/// Scatter rows of `stride` values to their new places; rows whose place is -1 are dropped.
template <typename VT>
void select_map(std::vector<VT>& out, const std::vector<VT>& in, const std::vector<int>& fwd_map,
                const int& stride, const int& nframes = 1, const int& nall1 = 0, const int& nall2 = 0);

/// The same into places that are there.
template <typename VT>
void select_map(typename std::vector<VT>::iterator out, typename std::vector<VT>::const_iterator in,
                const std::vector<int>& fwd_map, const int& stride, const int& nframes = 1,
                const int& nall1 = 0, const int& nall2 = 0) {
  const size_t from = nall1 ? nall1 : fwd_map.size();
  size_t to = nall2;
  if (!to)
    for (int place : fwd_map) to += place >= 0;
  for (size_t f = 0; f < static_cast<size_t>(nframes); ++f)
    for (size_t i = 0; i < from; ++i)
      for (int s = 0; fwd_map[i] >= 0 && s < stride; ++s)
        out[(f * to + fwd_map[i]) * stride + s] = in[(f * from + i) * stride + s];
}

/// Bring rows back: row i of out becomes row fwd_map[i] of in; where that is -1, out stays as it is.
template <typename VT>
void select_map_inv(typename std::vector<VT>::iterator out, typename std::vector<VT>::const_iterator in,
                    const std::vector<int>& fwd_map, const int& stride) {
  for (size_t i = 0; i < fwd_map.size(); ++i)
    for (int s = 0; fwd_map[i] >= 0 && s < stride; ++s) out[i * stride + s] = in[fwd_map[i] * stride + s];
}
/// The same; out grows to one row for each place.
template <typename VT>
void select_map_inv(std::vector<VT>& out, const std::vector<VT>& in, const std::vector<int>& fwd_map,
                    const int& stride) {
  if (out.size() < fwd_map.size() * stride) out.resize(fwd_map.size() * stride);
  select_map_inv<VT>(out.begin(), in.begin(), fwd_map, stride);
}

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

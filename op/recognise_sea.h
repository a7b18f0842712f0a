#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "graph_index.h"

namespace dptf {

/// What could not be told from the graph and has to be found out by trying.
struct SeaVariant {
  std::set<std::pair<int, int>> excluded;  // pairs of a one-sided descriptor that are masked in the graph
  // Vectors of the types [.., type_dim] where nets take them as further inputs (node t_typeebd).
  std::vector<double> type_vectors;
  int64_t type_dim = 0;
  bool smooth = false;  // the factors of types in se_atten are switched, and the attention
  bool directions = true, no_diagonal = false;  // of attention layers
};

/// The node DptfFusedSea that stands for a standard se_e2_a energy model; throws std::runtime_error with the
/// reason when the graph is something else. `compute` is DT_DOUBLE or DT_FLOAT.
tensorflow::NodeDef recognise_sea(const GraphIndex& graph, const SeaVariant& variant,
                                  tensorflow::DataType compute);

/// Whether the graph has the environment op of se_atten and a type embedding.
bool is_atten(const GraphIndex& graph);
/// Whether there are attention layers.
bool has_attention(const GraphIndex& graph);
/// The same for an energy model with se_atten.
tensorflow::NodeDef recognise_atten(const GraphIndex& graph, const SeaVariant& variant,
                                    tensorflow::DataType compute);

/// Precision of the embedding and fitting nets of the graph.
struct SeaPrecision {
  bool any_single = false, all_single = false;
};
SeaPrecision sea_precision(const GraphIndex& graph);

/// True when pairs may be masked in a way that names and shapes do not show.
bool sea_may_mask_pairs(const GraphIndex& graph);

}  // namespace dptf

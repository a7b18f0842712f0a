#pragma once

#include <string>
#include <utility>
#include <vector>

#include "dptf/embed_table.h"
#include "recognise_sea.h"

namespace dptf {
namespace recognise {

/// Ends the recognition: the graph is run as it is, for this reason.
[[noreturn]] void no(const std::string& why);
/// Property of the model: ener, dipole, polar, dos, ...
std::string property_type(const GraphIndex& g);
/// A constant that has to be there.
GraphIndex::Array required(const GraphIndex& g, const std::string& name);

tensorflow::Tensor tensor_of(const std::vector<double>& values, const tensorflow::TensorShape& shape);
tensorflow::Tensor tensor_of(const std::vector<double>& values);
/// Appends to a list of tensors.
void push(tensorflow::NodeDef* node, const char* attr, const tensorflow::Tensor& t);
void set_tensor(tensorflow::NodeDef* node, const char* attr, const tensorflow::Tensor& t);

/// An activation by its code, with the threshold of silut.
struct Phi {
  int code = 0;
  double threshold = 3;
  bool operator==(const Phi& other) const { return code == other.code && threshold == other.threshold; }
};

/// Activation applied after the layer with this bias: the op that reads (x W + b).
Phi activation_after(const GraphIndex& g, const std::string& bias);
/// Writes an activation to the attributes <which>_activation and <which>_threshold.
void set_activation(tensorflow::NodeDef* node, const std::string& which, const Phi& phi);

/// Makes the first layer of a net one of its first input alone; the others have these values.
void fold_first(const std::vector<double>& rest, EmbedLayer* layer);
/// Layers of one embedding net, appended to the attribute; returns their number and width. `rest`: inputs
/// beside the one number.
std::pair<int, int64_t> push_embedding(const GraphIndex& g, const std::string& scope,
                                       const std::string& suffix, tensorflow::NodeDef* node,
                                       const std::vector<double>& rest = {});
/// Row of the type embedding.
std::vector<double> type_vector(const SeaVariant& variant, int type);

/// DptfFusedSea with what the model's inputs and the environment op `env` tell.
tensorflow::NodeDef begin_node(const GraphIndex& g, const tensorflow::NodeDef* env,
                               tensorflow::DataType compute);
/// Fitting nets, parameters, energies by type, variances and inputs. `width` is that of the embedding nets.
/// Of other properties the same; scale and shift of polarizabilities are left to be found out.
void push_property(const GraphIndex& g, int nt, int64_t width, const SeaVariant& variant,
                   tensorflow::NodeDef* node);

}  // namespace recognise
}  // namespace dptf

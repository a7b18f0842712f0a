#include "graph_upgrade.h"

#include <map>
#include <set>
#include <string>

#include "tensorflow/core/framework/node_def.pb.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/tensor.pb.h"

namespace deepmd {
namespace {

const std::map<std::string, std::string> kOps = {{"DescrptNorot", "ProdEnvMatA"},
                                                 {"DescrptSeA", "ProdEnvMatA"},
                                                 {"DescrptSeR", "ProdEnvMatR"},
                                                 {"ProdForceNorot", "ProdForceSeA"},
                                                 {"ProdVirialNorot", "ProdVirialSeA"},
                                                 {"TabInter", "PairTab"},
                                                 {"TabulateFusion", "TabulateFusionSeA"},
                                                 {"TabulateFusionGrad", "TabulateFusionSeAGrad"},
                                                 {"TabulateFusionGradGrad", "TabulateFusionSeAGradGrad"}};

const std::map<std::string, std::string> kNodes = {
    {"t_rcut", "descrpt_attr/rcut"},      {"t_ntypes", "descrpt_attr/ntypes"},
    {"energy_test", "o_energy"},          {"force_test", "o_force"},
    {"virial_test", "o_virial"},          {"atom_energy_test", "o_atom_energy"},
    {"atom_virial_test", "o_atom_virial"}};

void rename_nodes(tensorflow::GraphDef* graph) {
  for (auto& node : *graph->mutable_node()) {
    const auto renamed = kNodes.find(node.name());
    if (renamed != kNodes.end()) node.set_name(renamed->second);
    for (auto& input : *node.mutable_input()) {
      const size_t begin = input[0] == '^' ? 1 : 0, colon = input.find(':');
      const auto it = kNodes.find(input.substr(begin, colon == std::string::npos ? colon : colon - begin));
      if (it == kNodes.end()) continue;
      const std::string port = colon == std::string::npos ? "" : input.substr(colon);
      input = input.substr(0, begin) + it->second + port;
    }
  }
}

/// Ops of builds before 1.3 had one floating type; it shows in the placeholder of the coordinates.
void add_float_type(tensorflow::GraphDef* graph) {
  tensorflow::DataType type = tensorflow::DT_DOUBLE;
  for (const auto& node : graph->node())
    if (node.name() == "t_coord" && node.attr().count("dtype")) type = node.attr().at("dtype").type();
  for (auto& node : *graph->mutable_node()) {
    bool typed = false;
    for (const char* start : {"Descrpt", "ProdEnvMat", "ProdForce", "ProdVirial", "SoftMin", "PairTab"})
      typed = typed || node.op().rfind(start, 0) == 0;
    if (typed && !node.attr().count("T")) (*node.mutable_attr())["T"].set_type(type);
  }
}

void add_constant(tensorflow::GraphDef* graph, const std::string& name, const tensorflow::Tensor& value) {
  auto* node = graph->add_node();
  node->set_name(name);
  node->set_op("Const");
  (*node->mutable_attr())["dtype"].set_type(value.dtype());
  value.AsProtoField((*node->mutable_attr())["value"].mutable_tensor());
}

}  // namespace

void upgrade_graph(tensorflow::GraphDef* graph) {
  std::set<std::string> names;
  for (const auto& node : graph->node()) names.insert(node.name());
  if (names.count("energy_test") && !names.count("o_energy")) {
    rename_nodes(graph);
    names.insert("descrpt_attr/rcut");
  }
  if (!names.count("model_attr/model_version")) add_float_type(graph);
  for (auto& node : *graph->mutable_node()) {
    const auto it = kOps.find(node.op());
    if (it != kOps.end()) node.set_op(it->second);
  }
  if (!names.count("descrpt_attr/rcut") && !names.count("dipole_charge/descrpt_attr/rcut")) return;
  for (const char* name : {"fitting_attr/dfparam", "fitting_attr/daparam"})
    if (!names.count(name)) {
      tensorflow::Tensor zero(tensorflow::DT_INT32, tensorflow::TensorShape({}));
      zero.scalar<int>()() = 0;
      add_constant(graph, name, zero);
    }
  const std::map<std::string, std::string> texts = {{"model_attr/tmap", ""},
                                                    {"model_attr/model_type", "ener"}};
  for (const auto& item : texts)
    if (!names.count(item.first)) {
      tensorflow::Tensor text(tensorflow::DT_STRING, tensorflow::TensorShape({}));
      text.scalar<tensorflow::tstring>()() = item.second;
      add_constant(graph, item.first, text);
    }
}

}  // namespace deepmd

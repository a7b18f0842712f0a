#include "graph_index.h"

#include "tensorflow/core/framework/attr_value.pb.h"
#include "tensorflow/core/framework/tensor.pb.h"

namespace dptf {

std::string GraphIndex::base_name(std::string input) {
  if (!input.empty() && input[0] == '^') input.erase(0, 1);
  const size_t colon = input.rfind(':');
  return colon == std::string::npos ? input : input.substr(0, colon);
}

GraphIndex::GraphIndex(const tensorflow::GraphDef& graph) {
  for (const auto& n : graph.node()) {
    // The dipole model that comes with a long-range model is a graph of its own.
    if (n.name().rfind("dipole_charge/", 0) == 0) continue;
    nodes_[n.name()] = &n;
    for (const auto& input : n.input()) readers_[base_name(input)].push_back(&n);
  }
}

const tensorflow::NodeDef* GraphIndex::node(const std::string& name) const {
  const auto it = nodes_.find(name);
  return it == nodes_.end() ? nullptr : it->second;
}

std::optional<tensorflow::Tensor> GraphIndex::tensor(const std::string& name) const {
  const auto* n = node(name);
  if (!n || n->op() != "Const" || !n->attr().count("value")) return std::nullopt;
  tensorflow::Tensor t;
  if (!t.FromProto(n->attr().at("value").tensor())) return std::nullopt;
  return t;
}

std::optional<GraphIndex::Array> GraphIndex::constant(const std::string& name) const {
  const auto t = tensor(name);
  if (!t) return std::nullopt;
  Array out;
  for (int d = 0; d < t->dims(); ++d) out.shape.push_back(t->dim_size(d));
  out.values.resize(t->NumElements());
  for (size_t k = 0; k < out.values.size(); ++k) switch (t->dtype()) {
      case tensorflow::DT_DOUBLE:
        out.values[k] = t->flat<double>()(k);
        break;
      case tensorflow::DT_FLOAT:
        out.values[k] = t->flat<float>()(k);
        break;
      case tensorflow::DT_INT32:
        out.values[k] = t->flat<int>()(k);
        break;
      default:
        return std::nullopt;
    }
  return out;
}

std::string GraphIndex::text(const std::string& name) const {
  const auto t = tensor(name);
  if (!t || t->dtype() != tensorflow::DT_STRING || t->NumElements() != 1) return "";
  return std::string(t->flat<tensorflow::tstring>()(0));
}

std::vector<const tensorflow::NodeDef*> GraphIndex::consumers(const std::string& name) const {
  std::vector<const tensorflow::NodeDef*> out;
  const auto it = readers_.find(name);
  if (it == readers_.end()) return out;
  for (const auto* n : it->second) {
    if (n->op() == "Identity") {
      const auto more = consumers(n->name());
      out.insert(out.end(), more.begin(), more.end());
    } else {
      out.push_back(n);
    }
  }
  return out;
}

std::vector<const tensorflow::NodeDef*> GraphIndex::all(const std::set<std::string>& ops) const {
  std::vector<const tensorflow::NodeDef*> found;
  for (const auto& [name, n] : nodes_)
    if (ops.count(n->op())) found.push_back(n);
  return found;
}

const tensorflow::NodeDef* GraphIndex::only(const std::set<std::string>& ops) const {
  const auto found = all(ops);
  return found.size() == 1 ? found[0] : nullptr;
}

std::string GraphIndex::source(const std::string& input) const {
  std::string name = base_name(input);
  const tensorflow::NodeDef* n = node(name);
  while (n && n->op() == "Identity") {
    name = base_name(n->input(0));
    n = node(name);
  }
  return name;
}

}  // namespace dptf

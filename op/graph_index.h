#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tensorflow/core/framework/graph.pb.h"
#include "tensorflow/core/framework/node_def.pb.h"
#include "tensorflow/core/framework/tensor.h"

namespace dptf {

/// Look-ups in a frozen graph: nodes by name, constants behind Identity nodes, consumers.
class GraphIndex {
 public:
  explicit GraphIndex(const tensorflow::GraphDef& graph);

  const tensorflow::NodeDef* node(const std::string& name) const;
  /// The value of a constant as float64, with its shape; nothing when there is no such constant of numbers.
  struct Array {
    std::vector<int64_t> shape;
    std::vector<double> values;
    int64_t size() const { return static_cast<int64_t>(values.size()); }
  };
  std::optional<Array> constant(const std::string& name) const;
  std::optional<tensorflow::Tensor> tensor(const std::string& name) const;
  std::string text(const std::string& name) const;
  /// Nodes that read `name`, directly or through Identity nodes.
  std::vector<const tensorflow::NodeDef*> consumers(const std::string& name) const;
  /// The only node with one of these ops; nullptr when there is none or more than one.
  const tensorflow::NodeDef* only(const std::set<std::string>& ops) const;
  /// All nodes with one of these ops, by name.
  std::vector<const tensorflow::NodeDef*> all(const std::set<std::string>& ops) const;
  /// Name of the node behind an input, seen through Identity nodes.
  std::string source(const std::string& input) const;
  /// Name of the node that an input names (^name, name:1).
  static std::string base_name(std::string input);

 private:
  std::map<std::string, const tensorflow::NodeDef*> nodes_;
  std::map<std::string, std::vector<const tensorflow::NodeDef*>> readers_;
};

}  // namespace dptf

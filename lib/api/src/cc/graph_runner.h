#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tensorflow/core/framework/graph.pb.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/public/session.h"

namespace deepmd {

/// A node through which features of atoms pass on their way to other processes or blocks of atoms.
struct ExchangeNode {
  std::string name, input;  // input: the tensor that goes in
  bool adjoint = false;     // rows of ghosts are added to those of their owners
  tensorflow::DataType type = tensorflow::DT_DOUBLE;
};

/// A frozen graph with its TensorFlow session. Loading checks every op against the allow-list, gives old
/// graphs the nodes they lack, and lets the op library replace what it knows by fused ops.
class GraphRunner {
 public:
  using Tensor = tensorflow::Tensor;

  /// `content` may be empty: then the file is read. `as_is` leaves every op in place; `precision` is that of
  /// the fused ops (empty: as the graph, or DPTF_PRECISION). Throws deepmd_exception.
  GraphRunner(const std::string& path, int gpu_rank, const std::string& content, bool as_is = false,
              const std::string& precision = "");
  ~GraphRunner();

  bool has(const std::string& node) const { return nodes_.count(node) > 0; }
  /// "" for a node that is not there.
  std::string op(const std::string& node) const { return has(node) ? nodes_.at(node).op() : ""; }
  /// The value of a Const node; throws when it does not exist.
  Tensor constant(const std::string& node) const;
  template <typename T>
  T scalar(const std::string& node) const {
    return constant(node).scalar<T>()();
  }
  template <typename T>
  T scalar_or(const std::string& node, T fallback) const {
    return has(node) ? scalar<T>(node) : fallback;
  }
  std::string text(const std::string& node, const std::string& fallback) const;
  /// A constant of doubles; empty when there is none.
  std::vector<double> numbers(const std::string& node) const {
    if (!has(node)) return {};
    const Tensor& t = constant(node);
    return {t.flat<double>().data(), t.flat<double>().data() + t.NumElements()};
  }
  /// Those that nodes depend on, in their order.
  std::vector<ExchangeNode> exchanges(const std::vector<std::string>& fetches) const;
  tensorflow::DataType dtype(const std::string& node) const { return constant(node).dtype(); }

  /// Evaluate nodes (or tensors, NAME:NUMBER), `here` on the calling thread (its parallel parts excepted).
  /// Feeds and fetches of equal names reuse one prepared call.
  std::vector<Tensor> run(const std::vector<std::pair<std::string, Tensor>>& feeds,
                          const std::vector<std::string>& fetches, bool here = false) const;

  /// Which path evaluates the model, in words.
  const std::string& report() const { return report_; }

 private:
  void check_ops(const tensorflow::GraphDef& graph) const;

  std::string path_, report_;
  std::map<std::string, tensorflow::NodeDef>
      nodes_;  // Const nodes with their values, other nodes with their inputs
  std::unique_ptr<tensorflow::Session> session_;
  mutable std::map<std::string, tensorflow::Session::CallableHandle> callables_;
};

}  // namespace deepmd

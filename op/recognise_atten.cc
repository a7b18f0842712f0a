// Energy models with se_atten (DPA-1): the embedding of a neighbor is a net of one number for each pair of
// types, so the kernels of se_e2_a evaluate them. Attention layers stand between the embeddings and the sum
// over the neighbors.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <tuple>

#include "recognise_parts.h"
#include "tensorflow/core/framework/attr_value.pb.h"

namespace dptf {

using namespace recognise;
using tensorflow::NodeDef;
using tensorflow::TensorShape;
using Array = GraphIndex::Array;

namespace {

const std::string kScope = "filter_type_all";
/// Most nets of pairs of types.
constexpr int64_t kMostNets = 150;

/// The number that was written into the input: attributes of ops are of single precision, the switch is not.
double shortest_decimal(float x) {
  char text[32];
  for (int digits = 6; digits < 10; ++digits) {
    std::snprintf(text, sizeof text, "%.*g", digits, static_cast<double>(x));
    if (std::strtof(text, nullptr) == x) break;
  }
  return std::strtod(text, nullptr);
}

/// Types of a pair, whose rows enter nets in this order.
struct Pair {
  int neighbor, center;
};

class Embedding {
 public:
  Embedding(const GraphIndex& g, const SeaVariant& variant, NodeDef* node)
      : g_(g), variant_(variant), node_(node) {}

  /// What all nets of pairs share; returns their width.
  int64_t begin() {
    const auto& ops = g_.all({"TabulateFusionSeAtten"});
    const int64_t dim = variant_.type_dim;
    stored_ = !ops.empty();
    strip_ = stored_;
    int layers = 0;
    int64_t width = 0;
    if (stored_) {
      if (ops.size() != 1) no("there is more than one table");
      const auto table = g_.constant(g_.source(ops[0]->input(0))),
                 info = g_.constant(g_.source(ops[0]->input(1)));
      if (!table || !info || table->shape.size() != 2 || table->shape[1] % 6 || info->size() != 6)
        no("the table is not a constant");
      width = table->shape[1] / 6;
      push(node_, "embed", tensor_of(table->values, TensorShape({table->shape[0], table->shape[1]})));
      push(node_, "embed", tensor_of(info->values));
    } else {
      const Array w = required(g_, kScope + "/matrix_1");
      if (w.shape.size() != 2) no("a layer of the embedding net is no matrix");
      activation_ = activation_after(g_, kScope + "/bias_1");
      strip_ = w.shape[0] == 1;
      two_types_ = w.shape[0] == 1 + 2 * dim;
      if (!strip_ && !two_types_ && w.shape[0] != 1 + dim)
        no("the embedding net does not take the types as expected");
      if (strip_)
        std::tie(layers, width) = push_embedding(g_, kScope, "", node_);
      else
        std::tie(layers, width) = net_size();
    }
    if (strip_) find_factors(width);
    (*node_->mutable_attr())["embed_layers"].set_i(layers);
    set_activation(node_, "embed", activation_);
    return width;
  }

  bool strip() const { return strip_; }

  /// The net of a pair, in strip form with the factor and its switch (or none); returns its number.
  int add(Pair pair, bool with_factor, const std::vector<double>& turn) {
    if (!strip_) push_embedding(g_, kScope, "", node_, row(pair));
    (*node_->mutable_attr())["base_of"].mutable_list()->add_i(strip_ ? 0 : count_);
    push(node_, "type_factor", tensor_of(strip_ && with_factor ? factor(pair) : std::vector<double>()));
    push(node_, "type_switch", tensor_of(turn));
    return count_++;
  }

 private:
  /// Number of layers and width of the embedding net.
  std::pair<int, int64_t> net_size() const {
    int n = 0;
    int64_t width = 0;
    while (const auto b = g_.constant(kScope + "/bias_" + std::to_string(n + 1))) ++n, width = b->size();
    return {n, width};
  }

  /// Rows of the type embedding that enter a net.
  std::vector<double> row(Pair pair) const {
    std::vector<double> out = type_vector(variant_, pair.neighbor);
    if (!two_types_) return out;
    const std::vector<double> center = type_vector(variant_, pair.center);
    out.insert(out.end(), center.begin(), center.end());
    return out;
  }

  int64_t n_rows() const { return static_cast<int64_t>(variant_.type_vectors.size()) / variant_.type_dim; }

  /// In strip form the factors are a net of the types, or (in compressed graphs) its values.
  void find_factors(int64_t width) {
    for (const char* suffix : {"_two_side_ebd", "_one_side_ebd"})
      if (const auto w = g_.constant(kScope + "/matrix_1" + suffix)) {
        suffix_ = suffix;
        two_types_ = w->shape[0] == 2 * variant_.type_dim;
        if (stored_) activation_ = activation_after(g_, kScope + "/bias_1" + suffix);
        return;
      }
    const int64_t n = n_rows();
    for (const NodeDef* gather : g_.all({"GatherV2"})) {
      const auto rows = g_.constant(g_.source(gather->input(0)));
      if (!rows || rows->shape.size() != 2 || rows->shape[1] != width) continue;
      if (rows->shape[0] != n * n && rows->shape[0] != n) continue;
      two_types_ = rows->shape[0] == n * n;
      values_ = *rows;
      return;
    }
    no("there are no factors of the types");
  }

  std::vector<double> factor(Pair pair) const {
    if (values_.size()) {
      const int64_t m = values_.shape[1], at = (two_types_ ? pair.center * n_rows() : 0) + pair.neighbor;
      return {values_.values.begin() + at * m, values_.values.begin() + (at + 1) * m};
    }
    const std::vector<double> types = row(pair);
    EmbedNet net;
    net.activation = activation_.code;
    net.threshold = activation_.threshold;
    net.rest.assign(types.begin() + 1, types.end());
    int64_t n_in = static_cast<int64_t>(types.size());
    for (int l = 1;; ++l) {
      const std::string at = "_" + std::to_string(l) + suffix_;
      const auto w = g_.constant(kScope + "/matrix" + at);
      if (!w) break;
      EmbedLayer layer;
      layer.bias = required(g_, kScope + "/bias" + at).values;
      layer.n_out = static_cast<int64_t>(layer.bias.size());
      layer.n_in = n_in;
      layer.matrix = w->values;
      if (w->size() != n_in * layer.n_out) no("the net of the types does not take them");
      const bool residual = layer.n_out == n_in || layer.n_out == 2 * n_in;
      if (const auto dt = g_.constant(kScope + "/idt" + at); dt && residual) layer.idt = dt->values;
      n_in = layer.n_out;
      net.layers.push_back(std::move(layer));
    }
    std::vector<double> jet(3 * net.width());
    net.jets(types.data(), 1, jet.data());
    jet.resize(net.width());
    return jet;
  }

  const GraphIndex& g_;
  const SeaVariant& variant_;
  NodeDef* node_;
  bool stored_ = false, strip_ = false, two_types_ = false;
  Phi activation_;
  int count_ = 0;
  std::string suffix_;
  Array values_;
};

/// Weights and form of the attention layers.
void push_attention(const GraphIndex& g, const SeaVariant& variant, float length, NodeDef* node) {
  for (int l = 0; g.node("attention_layer_" + std::to_string(l) + "/c_query/matrix"); ++l) {
    const std::string scope = "attention_layer_" + std::to_string(l) + "/";
    for (const char* name :
         {"c_query/matrix", "c_query/bias", "c_key/matrix", "c_key/bias", "c_value/matrix", "c_value/bias",
          "c_out/matrix", "c_out/bias", "layer_normalization/gamma", "layer_normalization/beta"})
      push(node, "attention", tensor_of(required(g, scope + name).values));
  }
  const auto eps = g.constant("attention_layer_0/layer_normalization/add/y");
  push(node, "attention_numbers",
       tensor_of({eps && eps->size() == 1 ? eps->values[0] : 1e-3, shortest_decimal(length),
                  variant.directions ? 1.0 : 0.0, variant.smooth ? 1.0 : 0.0,
                  variant.no_diagonal ? 1.0 : 0.0}));
}

}  // namespace

bool has_attention(const GraphIndex& g) { return g.node("attention_layer_0/c_query/matrix"); }

bool is_atten(const GraphIndex& g) { return g.only({"ProdEnvMatAMix"}) && g.node("t_typeebd"); }

NodeDef recognise_atten(const GraphIndex& g, const SeaVariant& variant, tensorflow::DataType compute) {
  const NodeDef* env = g.only({"ProdEnvMatAMix"});
  NodeDef node = begin_node(g, env, compute);
  auto& attr = *node.mutable_attr();
  if (env->attr().at("sel_a").list().i_size() != 1) no("there is not one number of neighbors");
  const int64_t nnei = env->attr().at("sel_a").list().i(0);
  const Array avg = required(g, "descrpt_attr/t_avg"), dev = required(g, "descrpt_attr/t_std");
  if (avg.shape.size() != 2 || avg.shape[1] != 4 * nnei || dev.shape != avg.shape)
    no("t_avg does not fit sel");
  const int nt = static_cast<int>(avg.shape[0]);
  for (int64_t k = 0; k < avg.size(); ++k) {
    const int64_t first = k / (4 * nnei) * 4 * nnei + k % 4;
    if (avg.values[k] != avg.values[first] || dev.values[k] != dev.values[first])
      no("t_avg differs between slots of a type");
  }
  if (int64_t{nt} * (nt + 1) > kMostNets)
    no("there are more than " + std::to_string(kMostNets) + " pairs of types");

  attr["mixed_sel"].set_i(nnei);
  Embedding embedding(g, variant, &node);
  const int64_t width = embedding.begin();
  std::vector<double> davg, dstd;
  bool mean = false;
  for (int ti = 0; ti < nt; ++ti) {
    attr["sel"].mutable_list()->add_i(nnei);
    const int64_t at = ti * 4 * nnei;
    for (int c = 0; c < 4; ++c) mean = mean || avg.values[at + c] != 0;
    for (int tj = 0; tj < nt; ++tj) {
      davg.insert(davg.end(), &avg.values[at], &avg.values[at] + 4);
      dstd.insert(dstd.end(), &dev.values[at], &dev.values[at] + 4);
      const bool excluded = variant.excluded.count({ti, tj}) > 0;
      std::vector<double> turn;
      if (embedding.strip() && variant.smooth)
        turn = {shortest_decimal(env->attr().at("rcut_r_smth").f()), avg.values[at], dev.values[at]};
      attr["net_of"].mutable_list()->add_i(excluded ? -1 : embedding.add({tj, ti}, true, turn));
    }
  }
  // Where the mean of the rows is not zero, empty slots count. Their type is the last row; a switch is zero
  // there.
  for (int ti = 0; ti < nt && mean; ++ti)
    attr["empty_net_of"].mutable_list()->add_i(embedding.add({nt, ti}, !variant.smooth, {}));
  const TensorShape stat_shape({nt, nt, 4});
  if (has_attention(g)) {
    if (mean) no("empty slots count in the attention");
    push_attention(g, variant, env->attr().at("rcut_r_smth").f(), &node);
  }
  set_tensor(&node, "davg", tensor_of(davg, stat_shape));
  set_tensor(&node, "dstd", tensor_of(dstd, stat_shape));
  push_property(g, nt, width, variant, &node);
  return node;
}

}  // namespace dptf

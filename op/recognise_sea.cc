#include "recognise_sea.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <stdexcept>

#include "dptf/activation.h"
#include "dptf/dense_net.h"
#include "net_table.h"
#include "recognise_parts.h"
#include "tensorflow/core/framework/attr_value.pb.h"
#include "tensorflow/core/framework/node_def_util.h"
#include "tensorflow/core/framework/tensor.pb.h"

namespace dptf {

using tensorflow::NodeDef;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using Array = GraphIndex::Array;

namespace recognise {

void no(const std::string& why) { throw std::runtime_error(why); }

Array required(const GraphIndex& g, const std::string& name) {
  const auto a = g.constant(name);
  if (!a) no("there is no constant " + name);
  return *a;
}

Tensor tensor_of(const std::vector<double>& values, const TensorShape& shape) {
  Tensor t(tensorflow::DT_DOUBLE, shape);
  std::copy(values.begin(), values.end(), t.flat<double>().data());
  return t;
}
Tensor tensor_of(const std::vector<double>& values) {
  return tensor_of(values, TensorShape({static_cast<int64_t>(values.size())}));
}

std::string property_type(const GraphIndex& g) {
  const std::string type = g.text("model_attr/model_type");
  return type.empty() ? "ener" : type;
}

/// Nodes that read (x W + b). Where the part of a first layer that belongs to the types is looked up, this is
/// what reads its sum with the part of the number.
static std::vector<const NodeDef*> after_layer(const GraphIndex& g, const NodeDef* add) {
  std::vector<const NodeDef*> out;
  for (const NodeDef* n : g.consumers(add->name())) {
    if (n->name().rfind("gradients", 0) == 0) continue;
    if (n->op() != "GatherV2" && n->op() != "Gather") {
      out.push_back(n);
      continue;
    }
    for (const NodeDef* sum : g.consumers(n->name()))
      if (sum->op() == "Add" || sum->op() == "AddV2")
        for (const NodeDef* next : g.consumers(sum->name()))
          if (next->name().rfind("gradients", 0) != 0) out.push_back(next);
  }
  return out;
}

/// Whether the factor of the cube of (x W + b) is a number of single precision, cast.
static bool coarse_cube(const GraphIndex& g, const NodeDef* add) {
  for (const NodeDef* n : after_layer(g, add)) {
    if (n->op() != "Pow") continue;
    for (const NodeDef* product : g.consumers(n->name()))
      for (const std::string& side : product->input()) {
        const NodeDef* cast = g.node(g.source(side));
        if (!cast || cast->op() != "Cast" || cast->attr().at("SrcT").type() != tensorflow::DT_FLOAT) continue;
        const auto factor = g.constant(g.source(cast->input(0)));
        if (factor && factor->size() == 1 && std::fabs(factor->values[0] - 0.044715) < 1e-8) return true;
      }
  }
  return false;
}

/// Activation applied after the layer with this bias: the op that reads (x W + b).
Phi activation_after(const GraphIndex& g, const std::string& bias) {
  static const std::map<std::string, Activation> codes = {
      {"Tanh", Activation::tanh},      {"Gelu", Activation::gelu},   {"GeluCustom", Activation::gelu},
      {"Relu", Activation::relu},      {"Relu6", Activation::relu6}, {"Softplus", Activation::softplus},
      {"Sigmoid", Activation::sigmoid}};
  static const std::set<std::string> comparisons = {"Less", "LessEqual", "Greater", "GreaterEqual"};
  const auto named = [](Activation a) { return Phi{static_cast<int>(a)}; };
  for (const NodeDef* add : g.consumers(bias)) {
    if (add->op() != "BiasAdd" && add->op() != "Add" && add->op() != "AddV2") continue;
    bool sigmoid = false, cubic = false;
    int products = 0;
    for (const NodeDef* n : after_layer(g, add)) {
      // silut takes one of two forms on either side of a threshold.
      if (comparisons.count(n->op()))
        for (const std::string& side : n->input())
          if (const auto level = g.constant(g.source(side)); level && level->size() == 1)
            return {kSilut, level->values[0]};
      const auto it = codes.find(n->op());
      if (it != codes.end() && it->second != Activation::sigmoid) return named(it->second);
      sigmoid = sigmoid || n->op() == "Sigmoid";
      products += n->op() == "Mul";
      cubic = cubic || n->op() == "Pow";
    }
    if (sigmoid) return named(products ? Activation::silu : Activation::sigmoid);
    // gelu written out: x / 2 (1 + tanh(c (x + d x^3))), with the cube as a power or as products.
    if (cubic && coarse_cube(g, add)) return Phi{kGeluOfTensorFlow};
    if (cubic || products > 2) return named(Activation::gelu);
    return named(Activation::linear);
  }
  no("no op adds " + bias);
}

/// Writes an activation to the attributes <which>_activation and <which>_threshold.
void set_activation(NodeDef* node, const std::string& which, const Phi& phi) {
  auto& attr = *node->mutable_attr();
  attr[which + "_activation"].set_i(phi.code);
  const float high = static_cast<float>(phi.threshold);
  auto* parts = attr[which + "_threshold"].mutable_list();
  parts->clear_f();
  parts->add_f(high);
  parts->add_f(static_cast<float>(phi.threshold - high));
}

void push(NodeDef* node, const char* attr, const Tensor& t) {
  t.AsProtoTensorContent((*node->mutable_attr())[attr].mutable_list()->add_tensor());
}

/// Adds to a bias what inputs of fixed value contribute: those whose weights are the rows from `first` on.
static void fold(const std::vector<double>& inputs, const std::vector<double>& matrix, int64_t first,
                 std::vector<double>* bias) {
  const size_t n = bias->size();
  for (size_t k = 0; k < inputs.size(); ++k)
    for (size_t c = 0; c < n; ++c) (*bias)[c] += inputs[k] * matrix[(first + k) * n + c];
}

/// Makes the first layer of a net one of its first input alone; the others have these values.
void fold_first(const std::vector<double>& rest, EmbedLayer* layer) {
  if (rest.empty()) return;
  if (layer->n_out <= 2 || layer->n_out == layer->n_in || layer->n_out == 2 * layer->n_in)
    no("the first layer of an embedding net adds its input, the types");
  fold(rest, layer->matrix, 1, &layer->bias);
  layer->matrix.resize(layer->n_out);
  layer->n_in = 1;
}

/// Layers of one embedding net, appended to the attribute; returns their number and width. `rest`: inputs
/// beside the one number.
std::pair<int, int64_t> push_embedding(const GraphIndex& g, const std::string& scope,
                                       const std::string& suffix, NodeDef* node,
                                       const std::vector<double>& rest) {
  int64_t n_in = 1 + static_cast<int64_t>(rest.size());
  int l = 1;
  for (;; ++l) {
    const std::string at = "_" + std::to_string(l) + suffix;
    const auto w = g.constant(scope + "/matrix" + at);
    if (!w) break;
    const Array b = required(g, scope + "/bias" + at);
    if (w->size() != n_in * b.size()) no("the net " + scope + " (" + suffix + ") does not take one number");
    const auto dt = g.constant(scope + "/idt" + at);
    const bool residual = b.size() == n_in || b.size() == 2 * n_in;
    EmbedLayer layer;
    layer.n_in = n_in;
    layer.n_out = b.size();
    layer.matrix = w->values;
    layer.bias = b.values;
    if (l == 1) fold_first(rest, &layer);
    push(node, "embed", tensor_of(layer.matrix, TensorShape({layer.n_in, layer.n_out})));
    push(node, "embed", tensor_of(layer.bias));
    push(node, "embed", tensor_of(dt && residual ? dt->values : std::vector<double>()));
    n_in = b.size();
  }
  return {l - 1, n_in};
}

void set_tensor(NodeDef* node, const char* attr, const Tensor& t) {
  t.AsProtoTensorContent((*node->mutable_attr())[attr].mutable_tensor());
}

std::vector<double> type_vector(const SeaVariant& variant, int type) {
  if (static_cast<int64_t>(variant.type_vectors.size()) < (type + 1) * variant.type_dim || !variant.type_dim)
    no("the vectors of the types are not known");
  const auto row = variant.type_vectors.begin() + type * variant.type_dim;
  return {row, row + variant.type_dim};
}

}  // namespace recognise

namespace {

using namespace recognise;

/// End of the names of the fitting net of a type; models with vectors of types have one for all.
std::string fitting_tail(const GraphIndex& g, int type) {
  return g.node("layer_0/matrix") ? "" : "_type_" + std::to_string(type);
}

struct Fitting {
  int layers = 0;
  int64_t n_in = 0, n_out = 0;
  double vacuum = 0;  // value at a zero descriptor, where the graph subtracts it
};

/// What a fitting net takes beside the descriptor: after it the vector of the type, parameters of frame and
/// atom (so many), and a constant vector.
struct FittingInputs {
  std::vector<double> type, constant;
  int64_t parameters = 0;
};

/// Makes the first layer one of the descriptor and the parameters alone.
void fold_first(const FittingInputs& inputs, DenseLayerWeights<double>* layer) {
  const int64_t n_type = static_cast<int64_t>(inputs.type.size()),
                n_constant = static_cast<int64_t>(inputs.constant.size()),
                first = layer->n_in - n_constant - inputs.parameters - n_type;
  if (first < 1) no("the fitting net has too few inputs");
  fold(inputs.type, layer->matrix, first, &layer->bias);
  fold(inputs.constant, layer->matrix, layer->n_in - n_constant, &layer->bias);
  const auto row = [&](int64_t r) { return layer->matrix.begin() + r * layer->n_out; };
  layer->matrix.erase(row(layer->n_in - n_constant), layer->matrix.end());
  layer->matrix.erase(row(first), row(first + n_type));
  layer->n_in -= n_constant + n_type;
}

/// What the net of a density of states is followed by: out = (y + bias) scale + shift, by component, or
/// nothing.
struct Affine {
  std::vector<double> bias, scale, shift;
};

void fold_last(const Affine& a, DenseLayerWeights<double>* layer) {
  const size_t n = layer->bias.size();
  if (a.bias.empty()) return;
  if (a.bias.size() != n) no("the shift does not fit the fitting net");
  for (size_t k = 0; k < layer->matrix.size(); ++k) layer->matrix[k] *= a.scale[k % n];
  for (size_t c = 0; c < n; ++c) layer->bias[c] = (layer->bias[c] + a.bias[c]) * a.scale[c] + a.shift[c];
}

Fitting push_fitting(const GraphIndex& g, int type, NodeDef* node, const Phi& activation,
                     const FittingInputs& inputs, const Affine& affine = {}) {
  const std::string tail = fitting_tail(g, type);
  std::vector<DenseLayerWeights<double>> net;
  for (int l = 0;; ++l) {
    const std::string scope = "layer_" + std::to_string(l) + tail;
    const bool hidden = g.node(scope + "/matrix") != nullptr;
    const std::string at = hidden ? scope : "final_layer" + tail;
    const Array w = required(g, at + "/matrix"), b = required(g, at + "/bias");
    const auto dt = g.constant(at + "/idt");
    if (w.shape.size() != 2) no(at + "/matrix is not a matrix");
    DenseLayerWeights<double> layer;
    layer.n_in = w.shape[0];
    layer.n_out = w.shape[1];
    layer.matrix = w.values;
    layer.bias = b.values;
    layer.activation = activation.code;
    layer.threshold = activation.threshold;
    layer.residual = hidden && l > 0 && layer.n_in == layer.n_out;
    if (dt && layer.residual) layer.idt = dt->values;
    if (l == 0) fold_first(inputs, &layer);
    if (!hidden) fold_last(affine, &layer);
    push(node, "fit", tensor_of(layer.matrix, TensorShape({layer.n_in, layer.n_out})));
    push(node, "fit", tensor_of(layer.bias));
    push(node, "fit", tensor_of(layer.idt));
    net.push_back(std::move(layer));
    if (!hidden) break;
  }
  Fitting out;
  out.layers = static_cast<int>(net.size());
  if (out.layers < 2) no("the fitting net has no hidden layer");
  out.n_in = net[0].n_in;
  out.n_out = net.back().n_out;
  int products = 0;
  for (const NodeDef* n : g.consumers("layer_0" + tail + "/matrix"))
    products += n->op() == "MatMul" && n->name().rfind("gradients", 0) != 0;
  if (products > 1) {
    if (out.n_out != 1) no("the fitting net is used twice");
    const DenseNet<double> dense(net);
    DenseNet<double>::Workspace work;
    std::vector<double> x(dense.row_stride() * DenseNet<double>::row_group(), 0.0),
        y(DenseNet<double>::row_group());
    dense.value_and_gradient(1, x.data(), 1.0, y.data(), work);
    out.vacuum = y[0];
  }
  return out;
}

std::vector<double> stat_pair(const GraphIndex& g, const std::string& key, int64_t dim) {
  std::vector<double> out = required(g, "fitting_attr/t_" + key + "_avg").values;
  const auto istd = required(g, "fitting_attr/t_" + key + "_istd").values;
  out.insert(out.end(), istd.begin(), istd.end());
  if (static_cast<int64_t>(out.size()) != 2 * dim)
    no("the statistics of " + key + " do not fit its dimension");
  return out;
}

/// Whether one embedding net serves all pairs, with the vectors of their types as inputs.
bool takes_types(const GraphIndex& g) { return g.node("filter_type_all/matrix_1") != nullptr; }

bool one_sided(const GraphIndex& g) { return g.node("filter_type_all/matrix_1_0") != nullptr; }

bool is_compressed(const GraphIndex& g) { return !g.all({"TabulateFusionSeA", "TabulateFusion"}).empty(); }

/// The embedding net that takes types, as one net of a number for every pair of types (or neighbor type).
int64_t push_pair_nets(const GraphIndex& g, int nt, const SeaVariant& variant, NodeDef* node,
                       std::vector<int>* net_of) {
  const std::string scope = "filter_type_all";
  if (g.node(scope + "/matrix_1_two_side_ebd") || g.node(scope + "/matrix_1_one_side_ebd"))
    no("its embedding is the product of a net of the distance and one of the types");
  const Array first = required(g, scope + "/matrix_1");
  const bool one = first.shape[0] == 1 + variant.type_dim;
  std::pair<int, int64_t> size;
  for (int ti = 0; ti < (one ? 1 : nt); ++ti)
    for (int tj = 0; tj < nt; ++tj) {
      std::vector<double> rest = type_vector(variant, tj);
      if (!one) {
        const std::vector<double> center = type_vector(variant, ti);
        rest.insert(rest.end(), center.begin(), center.end());
      }
      size = push_embedding(g, scope, "", node, rest);
      for (int t = one ? 0 : ti; t < (one ? nt : ti + 1); ++t)
        (*net_of)[t * nt + tj] = variant.excluded.count({t, tj}) ? -1 : ti * nt + tj;
    }
  (*node->mutable_attr())["embed_layers"].set_i(size.first);
  set_activation(node, "embed", activation_after(g, scope + "/bias_1"));
  return size.second;
}

/// All embedding nets; sets net_of [nt, nt] and returns their width.
int64_t push_nets(const GraphIndex& g, int nt, const SeaVariant& variant, NodeDef* node,
                  std::vector<int>* net_of) {
  const bool one = one_sided(g);
  int layers = 0, nets = 0;
  int64_t width = 0;
  std::string a_bias;
  for (int ti = 0; ti < (one ? 1 : nt); ++ti)
    for (int tj = 0; tj < nt; ++tj) {
      const std::string scope = "filter_type_" + (one ? std::string("all") : std::to_string(ti));
      const auto [n, w] = push_embedding(g, scope, "_" + std::to_string(tj), node);
      if (n == 0) {
        // Two-sided graphs have no net for a pair that is left out.
        if (one) no("there is no net for neighbor type " + std::to_string(tj));
        continue;
      }
      if ((layers && n != layers) || (width && w != width)) no("the embedding nets differ in size");
      layers = n;
      width = w;
      a_bias = scope + "/bias_1_" + std::to_string(tj);
      if (one)
        for (int t = 0; t < nt; ++t) (*net_of)[t * nt + tj] = variant.excluded.count({t, tj}) ? -1 : nets;
      else
        (*net_of)[ti * nt + tj] = nets;
      ++nets;
    }
  if (!nets) no("there is no embedding net of se_e2_a");
  (*node->mutable_attr())["embed_layers"].set_i(layers);
  set_activation(node, "embed", activation_after(g, a_bias));
  return width;
}

/// First slot of the block of neighbors that an op of a compressed graph reads, from the slice before it.
int64_t first_slot(const GraphIndex& g, const NodeDef* op) {
  const NodeDef* n = g.node(GraphIndex::base_name(op->input(3)));
  while (n && (n->op() == "Reshape" || n->op() == "Identity" || n->op() == "Cast"))
    n = g.node(GraphIndex::base_name(n->input(0)));
  if (!n || (n->op() != "Slice" && n->op() != "StridedSlice"))
    no("the input of " + op->name() + " is not a slice");
  const auto begin = g.constant(GraphIndex::base_name(n->input(1)));
  if (!begin || begin->size() != 2) no("the slice " + n->name() + " has no constant start");
  return static_cast<int64_t>(begin->values[1]) / 4;
}

/// A table that stands in the graph; returns its width.
int64_t push_table(const GraphIndex& g, const NodeDef* op, const Array& info, NodeDef* node) {
  const auto table = g.constant(g.source(op->input(0)));
  if (!table || table->shape.size() != 2 || table->shape[1] % 6)
    no("the table of " + op->name() + " is not a constant");
  push(node, "embed", tensor_of(table->values, TensorShape({table->shape[0], table->shape[1]})));
  push(node, "embed", tensor_of(info.values));
  return table->shape[1] / 6;
}

/// A table that is made from a net (DptfNetTable); returns its width.
int64_t push_table_source(const GraphIndex& g, const NodeDef* source, const Array& info, NodeDef* node) {
  const auto runs = g.constant(g.source(source->input(0))), rest = g.constant(g.source(source->input(1))),
             weights = g.constant(g.source(source->input(2)));
  if (!rest || rest->shape.size() != 2 || rest->shape[0] != 1) no(source->name() + " makes several tables");
  if (!runs || !weights || runs->shape.size() != 2 || runs->shape[1] != 6)
    no("the net of " + source->name() + " is not a constant");
  std::vector<int> widths;
  for (auto w : source->attr().at("widths").list().i()) widths.push_back(static_cast<int>(w));
  EmbedNet net;
  const std::string wrong = read_layers(weights->values, widths, &net);
  if (!wrong.empty() || widths[0] != 1 + rest->size()) no("the net of " + source->name() + ": " + wrong);
  recognise::fold_first(rest->values, &net.layers[0]);
  for (const EmbedLayer& layer : net.layers) {
    push(node, "embed", tensor_of(layer.matrix, TensorShape({layer.n_in, layer.n_out})));
    push(node, "embed", tensor_of(layer.bias));
    push(node, "embed", tensor_of(layer.idt));
  }
  std::vector<double> own;
  for (int64_t r = 0; r < runs->shape[0]; ++r)
    own.insert(own.end(), runs->values.begin() + 6 * r + 1, runs->values.begin() + 6 * r + 6);
  push(node, "embed_tables", tensor_of(own, TensorShape({runs->shape[0], 5})));
  push(node, "embed_tables", tensor_of(info.values));
  auto& attr = *node->mutable_attr();
  const int layers = static_cast<int>(net.layers.size());
  for (const auto& [key, value] :
       {std::make_pair("embed_layers", layers),
        std::make_pair("embed_activation", static_cast<int>(source->attr().at("activation").i()))}) {
    if (attr.count(key) && attr[key].i() != value) no("the nets of the tables differ");
    attr[key].set_i(value);
  }
  attr["embed_threshold"] = source->attr().at("threshold");
  return widths.back();
}

/// The same for the tables of a compressed graph.
int64_t push_tables(const GraphIndex& g, const std::vector<int>& sel, const SeaVariant& variant,
                    NodeDef* node, std::vector<int>* net_of) {
  const int nt = static_cast<int>(sel.size());
  int nets = 0;
  int64_t width = 0;
  bool made = false;
  for (const NodeDef* op : g.all({"TabulateFusionSeA", "TabulateFusion"})) {
    const std::string scope = op->name().substr(0, op->name().rfind('/'));
    int ti = -1;
    if (scope.rfind("filter_type_", 0) != 0) no("the table of " + op->name() + " is of another descriptor");
    if (scope != "filter_type_all") ti = std::atoi(scope.c_str() + 12);
    const int64_t first = first_slot(g, op);
    int tj = 0;
    for (int64_t start = 0; tj < nt && (start != first || sel[tj] == 0); start += sel[tj++]) {
    }
    if (tj >= nt || ti >= nt) no("the block of " + op->name() + " is not one of a neighbor type");
    const auto info = g.constant(g.source(op->input(1)));
    if (!info || info->size() != 6) no("the table of " + op->name() + " is not a constant");
    const NodeDef* source = g.node(g.source(op->input(0)));
    const bool net = source && source->op() == "DptfNetTable";
    if (nets && net != made) no("only some of the tables are made from nets");
    made = net;
    const int64_t own = net ? push_table_source(g, source, *info, node) : push_table(g, op, *info, node);
    if (width && width != own) no("the tables differ in width");
    width = own;
    for (int t = ti < 0 ? 0 : ti; t < (ti < 0 ? nt : ti + 1); ++t)
      (*net_of)[t * nt + tj] = variant.excluded.count({t, tj}) ? -1 : nets;
    ++nets;
  }
  if (!made) {
    (*node->mutable_attr())["embed_layers"].set_i(0);
    (*node->mutable_attr())["embed_activation"].set_i(0);
  }
  return width;
}

const NodeDef* env_op(const GraphIndex& g) {
  const NodeDef* env = g.only({"ProdEnvMatA", "DescrptSeA", "DescrptNorot"});
  if (!env) no("there is not exactly one environment op of se_e2_a");
  return env;
}

}  // namespace

bool sea_may_mask_pairs(const GraphIndex& g) {
  return one_sided(g) || takes_types(g) || g.node("layer_0/matrix") ||
         (is_compressed(g) && !g.node("filter_type_0/TabulateFusionSeA"));
}

SeaPrecision sea_precision(const GraphIndex& g) {
  SeaPrecision out;
  out.all_single = true;
  bool found = false;
  std::vector<std::string> names = {"filter_type_all/matrix_1_0",
                                    "filter_type_0/matrix_1_0",
                                    "filter_type_0/matrix_1_1",
                                    "filter_type_all/matrix_1",
                                    "layer_0_type_0/matrix",
                                    "layer_0_type_1/matrix",
                                    "layer_0/matrix",
                                    "t_coord"};
  for (const NodeDef* op : g.all({"TabulateFusionSeA", "TabulateFusion", "TabulateFusionSeAtten"}))
    names.push_back(g.source(op->input(0)));
  for (const std::string& name : names) {
    const NodeDef* n = g.node(name);
    const char* key = n && n->op() == "DptfNetTable" ? "T" : "dtype";
    if (!n || !n->attr().count(key)) continue;
    const bool single = n->attr().at(key).type() == tensorflow::DT_FLOAT;
    out.any_single = out.any_single || single;
    // Single-precision positions alone do not make the nets so.
    if (name != "t_coord") out.all_single = out.all_single && single, found = true;
  }
  out.all_single = out.all_single && found;
  return out;
}

NodeDef recognise::begin_node(const GraphIndex& g, const NodeDef* env, tensorflow::DataType compute) {
  static const std::map<std::string, std::vector<std::string>> outputs = {
      {"ener", {"o_energy", "o_force", "o_virial"}},
      {"dipole", {"o_dipole"}},
      {"polar", {"o_polar"}},
      {"dos", {"o_dos", "o_atom_dos"}}};
  const std::string type = property_type(g);
  if (!outputs.count(type)) no("it is a model of type " + type);
  std::vector<std::string> names = outputs.at(type);
  for (const char* name : {"t_coord", "t_type", "t_natoms", "t_box", "t_mesh"}) names.push_back(name);
  for (const std::string& name : names)
    if (!g.node(name)) no("there is no node " + name);
  if (g.constant("spin_attr/ntypes_spin") && g.constant("spin_attr/ntypes_spin")->values[0] > 0)
    no("it has spins");
  NodeDef node;
  node.set_name("dptf_fused");
  node.set_op("DptfFusedSea");
  auto& attr = *node.mutable_attr();
  const auto dtype = g.node("t_coord")->attr().at("dtype").type();
  attr["T"].set_type(dtype);
  attr["compute"].set_type(compute);
  attr["rcut"].set_f(env->attr().at("rcut_r").f());
  attr["rcut_smth"].set_f(env->attr().at("rcut_r_smth").f());
  return node;
}

/// Types that have the property.
static std::vector<bool> selected_types(const GraphIndex& g, const std::string& kind, int nt) {
  if (kind != "dipole" && kind != "polar") return std::vector<bool>(nt, true);
  std::vector<bool> out(nt, false);
  for (double t : required(g, "model_attr/sel_type").values) {
    if (t < 0 || t >= nt) no("sel_type names a type that is not there");
    out[static_cast<int>(t)] = true;
  }
  return out;
}

/// Row of a type of a density of states, in whose absence every number is `otherwise`.
static std::vector<double> row_of_type(const std::optional<Array>& a, int t, int nt, int64_t n,
                                       double otherwise) {
  if (!a || a->size() != nt * n) return std::vector<double>(n, otherwise);
  return {a->values.begin() + t * n, a->values.begin() + (t + 1) * n};
}

void recognise::push_property(const GraphIndex& g, int nt, int64_t width, const SeaVariant& variant,
                              NodeDef* node) {
  const std::string kind = property_type(g);
  const std::vector<bool> selected = selected_types(g, kind, nt);
  const int chosen = static_cast<int>(std::find(selected.begin(), selected.end(), true) - selected.begin());
  if (chosen == nt) no("no type has the property");
  auto& attr = *node->mutable_attr();
  const auto df = g.constant("fitting_attr/dfparam"), da = g.constant("fitting_attr/daparam");
  const int64_t dfparam = df ? static_cast<int64_t>(df->values[0]) : 0;
  const int64_t daparam = da ? static_cast<int64_t>(da->values[0]) : 0;
  if ((dfparam && !g.node("t_fparam")) || (daparam && !g.node("t_aparam")))
    no("a parameter has no placeholder");
  if (g.node("fitting_attr/aparam_nall")) no("atom parameters of ghost atoms are not known");
  const Phi activation = activation_after(g, "layer_0" + fitting_tail(g, chosen) + "/bias");
  set_activation(node, "fit", activation);
  const auto bias = g.constant("fitting_attr/t_bias_atom_e");
  const auto out_bias = g.constant("model_attr/model_attr/t_out_bias"),
             out_std = g.constant("model_attr/model_attr/t_out_std");
  std::vector<double> affine(3 * nt);
  int64_t n_in = 0, n_out = 0;
  int fit_layers = 0;
  while (g.node("layer_" + std::to_string(fit_layers) + fitting_tail(g, chosen) + "/matrix")) ++fit_layers;
  ++fit_layers;
  for (int t = 0; t < nt; ++t) {
    affine[nt + t] = 1;
    if (!selected[t]) {
      for (int k = 0; k < 3 * fit_layers; ++k) push(node, "fit", tensor_of({}));
      continue;
    }
    Affine last;
    if (kind == "dos") {
      const int64_t n = required(g, "final_layer" + fitting_tail(g, t) + "/bias").size();
      last.bias = row_of_type(g.constant("fitting_attr/t_bias_dos"), t, nt, n, 0);
      last.scale = row_of_type(out_std, t, nt, n, 1);
      last.shift = row_of_type(out_bias, t, nt, n, 0);
    }
    FittingInputs inputs;
    inputs.parameters = dfparam + daparam;
    if (g.node("layer_0/matrix")) inputs.type = type_vector(variant, t);
    if (const auto c = g.constant("fitting_attr/t_case_embd")) inputs.constant = c->values;
    const Fitting f = push_fitting(g, t, node, activation, inputs, last);
    if (f.layers != fit_layers || (n_in && f.n_in != n_in) || (n_out && f.n_out != n_out))
      no("the fitting nets differ in size");
    n_in = f.n_in;
    n_out = f.n_out;
    if (kind != "ener") continue;
    if (n_out != 1) no("the fitting net has more than one output");
    if (f.vacuum != 0 && dfparam + daparam) no("vacuum energies depend on parameters");
    affine[t] = (bias && t < bias->size() ? bias->values[t] : 0) - f.vacuum;
    affine[nt + t] = out_std && t < out_std->size() ? out_std->values[t] : 1;
    affine[2 * nt + t] = out_bias && t < out_bias->size() ? out_bias->values[t] : 0;
  }
  attr["head"].set_s(kind == "ener"     ? "energy"
                     : kind == "dos"    ? "vector"
                     : kind == "dipole" ? "dipole"
                     : n_out == width   ? "polar_diagonal"
                                        : "polar");
  attr["fit_layers"].set_i(fit_layers);
  set_tensor(node, "affine", tensor_of(affine, TensorShape({3, nt})));
  const int64_t descriptor = n_in - dfparam - daparam;
  if (descriptor <= 0 || descriptor % width || descriptor / width > width)
    no("the fitting net does not fit the descriptor");
  attr["axis"].set_i(descriptor / width);
  set_tensor(node, "fparam_stat",
             tensor_of(dfparam ? stat_pair(g, "fparam", dfparam) : std::vector<double>()));
  set_tensor(node, "aparam_stat",
             tensor_of(daparam ? stat_pair(g, "aparam", daparam) : std::vector<double>()));

  // Tables reach a good deal below the closest pair of the training data, where that is known.
  double closest = 0.5;
  if (const auto d = g.constant("train_attr/min_nbor_dist"))
    if (d->size() == 1 && d->values[0] > 0.1) closest = std::min(std::max(0.7 * d->values[0], 0.3), 1.5);
  attr["min_distance"].set_f(static_cast<float>(closest));
  // Variances (dp uncertainty).
  const auto factors = g.constant("uncertainty_attr/factors");
  set_tensor(node, "factors", tensor_of(factors ? factors->values : std::vector<double>()));
  const auto reach = g.constant("uncertainty_attr/cutoff"),
             exponent = g.constant("uncertainty_attr/exponent");
  attr["reach"].set_f(factors && reach ? static_cast<float>(reach->values[0]) : 0.0f);
  attr["exponent"].set_f(factors && exponent ? static_cast<float>(exponent->values[0]) : 1.0f);
  for (const char* input : {"t_coord", "t_type", "t_natoms", "t_box", "t_mesh"}) node->add_input(input);
  node->add_input(dfparam ? "t_fparam" : "dptf_none");
  node->add_input(daparam ? "t_aparam" : "dptf_none");
  node->add_input("dptf_none");
}

NodeDef recognise_sea(const GraphIndex& g, const SeaVariant& variant, tensorflow::DataType compute) {
  const NodeDef* env = env_op(g);
  NodeDef node = begin_node(g, env, compute);
  auto& attr = *node.mutable_attr();
  std::vector<int> sel;
  for (auto s : env->attr().at("sel_a").list().i()) sel.push_back(static_cast<int>(s));
  const int nt = static_cast<int>(sel.size());
  int nnei = 0;
  for (int s : sel) {
    attr["sel"].mutable_list()->add_i(s);
    nnei += s;
  }

  // Statistics are one row of four for each center type, repeated over the slots; a block may differ from
  // another.
  const Array avg = required(g, "descrpt_attr/t_avg"), dev = required(g, "descrpt_attr/t_std");
  if (avg.size() != int64_t{4} * nt * nnei || dev.size() != avg.size()) no("t_avg does not fit sel");
  std::vector<double> davg, dstd;
  for (int ti = 0; ti < nt; ++ti) {
    int slot = 0;
    for (int tj = 0; tj < nt; ++tj) {
      for (int c = 0; c < 4; ++c) {
        // An empty block takes any numbers.
        const int64_t first = (int64_t{1} * ti * nnei + std::min(slot, nnei - 1)) * 4 + c;
        davg.push_back(avg.values[first]);
        dstd.push_back(dev.values[first]);
        for (int k = slot; k < slot + sel[tj]; ++k) {
          const int64_t at = (int64_t{1} * ti * nnei + k) * 4 + c;
          if (avg.values[at] != davg.back() || dev.values[at] != dstd.back())
            no("t_avg differs between slots of a type");
        }
      }
      slot += sel[tj];
    }
  }
  const TensorShape stat_shape({nt, nt, 4});
  set_tensor(&node, "davg", tensor_of(davg, stat_shape));
  set_tensor(&node, "dstd", tensor_of(dstd, stat_shape));

  std::vector<int> net_of(nt * nt, -1);
  const int64_t width = is_compressed(g) ? push_tables(g, sel, variant, &node, &net_of)
                        : takes_types(g) ? push_pair_nets(g, nt, variant, &node, &net_of)
                                         : push_nets(g, nt, variant, &node, &net_of);
  for (int n : net_of) attr["net_of"].mutable_list()->add_i(n);

  push_property(g, nt, width, variant, &node);
  return node;
}

}  // namespace dptf

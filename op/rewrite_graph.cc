// Replaces the compute part of a frozen graph by fused ops, and proves on a small configuration that nothing
// changed.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>
#include <tuple>

#include "dptf/cpu_isa.h"
#include "recognise_parts.h"
#include "recognise_sea.h"
#include "tensorflow/core/framework/attr_value.pb.h"
#include "tensorflow/core/framework/tensor.pb.h"
#include "tensorflow/core/protobuf/config.pb.h"
#include "tensorflow/core/public/session.h"

namespace dptf {
namespace {

using tensorflow::DataType;
using tensorflow::GraphDef;
using tensorflow::NodeDef;
using tensorflow::Tensor;
using tensorflow::TensorShape;

/// A node that is replaced, and the output of the fused op that it gets.
struct Target {
  std::string name;
  int port;
};
constexpr int kEnergy = 0, kForce = 1, kVirial = 2, kAtomEnergy = 3, kAtomVirial = 4, kFeatures = 5,
              kVariance = 6, kMeanVariance = 7, kProperty = 8;
bool is_double(int port) { return port == kEnergy || (port >= kFeatures && port < kProperty); }

std::vector<Target> targets_of(const std::string& kind) {
  if (kind == "ener")
    return {{"o_energy", kEnergy},          {"o_force", kForce},
            {"o_virial", kVirial},          {"o_atom_energy", kAtomEnergy},
            {"o_atom_virial", kAtomVirial}, {"o_last_layer_features", kFeatures},
            {"o_atom_variance", kVariance}, {"o_mean_variance", kMeanVariance}};
  if (kind == "dos") return {{"o_dos", kEnergy}, {"o_atom_dos", kProperty}};
  return {{"o_" + kind, kProperty},
          {"o_global_" + kind, kEnergy},
          {"o_force", kForce},
          {"o_virial", kVirial},
          {"o_atom_virial", kAtomVirial}};
}
/// Where a long-range model has its dipole model, and what is made of the product of dipoles and t_ef.
constexpr const char* kDipoleScope = "dipole_charge/";
const std::vector<Target> kWork = {
    {"o_dm_force", kForce}, {"o_dm_virial", kVirial}, {"o_dm_av", kAtomVirial}};

/// The part of a graph below a scope, under names without it.
GraphDef part_of(const GraphDef& graph, const std::string& scope) {
  if (scope.empty()) return graph;
  GraphDef out;
  for (const auto& node : graph.node()) {
    if (node.name().rfind(scope, 0) != 0) continue;
    NodeDef* copy = out.add_node();
    *copy = node;
    copy->set_name(node.name().substr(scope.size()));
    for (auto& input : *copy->mutable_input()) {
      const size_t at = input[0] == '^' ? 1 : 0;
      if (input.compare(at, scope.size(), scope) == 0) input.erase(at, scope.size());
    }
  }
  return out;
}
/// Variances lose digits: the matrix of the features is all but singular.
constexpr double kLoss = 1e6;

std::string scope_of(const NodeDef& fused) { return fused.name().substr(0, fused.name().rfind('/') + 1); }

/// The graph with its output nodes reading from the fused op. Everything else stays: nodes that nothing
/// fetches cost nothing.
GraphDef fused_graph(const GraphDef& graph, const NodeDef& fused, const std::vector<Target>& targets) {
  GraphDef out = graph;
  const DataType dtype = fused.attr().at("T").type();
  for (auto& node : *out.mutable_node())
    for (const auto& [target, k] : targets) {
      if (node.name() != target) continue;
      const DataType from = is_double(k) ? tensorflow::DT_DOUBLE : dtype;
      // Identity, Reshape, Sum and Cast tell what they give; anything else is taken to give the type of the
      // graph.
      DataType to = from;
      if (node.attr().count("DstT"))
        to = node.attr().at("DstT").type();
      else if (node.attr().count("T"))
        to = node.attr().at("T").type();
      const std::string name = node.name();
      node.Clear();
      node.set_name(name);
      node.add_input(k == 0 ? fused.name() : fused.name() + ":" + std::to_string(k));
      if (from == to) {
        node.set_op("Identity");
        (*node.mutable_attr())["T"].set_type(from);
      } else {
        node.set_op("Cast");
        (*node.mutable_attr())["SrcT"].set_type(from);
        (*node.mutable_attr())["DstT"].set_type(to);
      }
    }
  *out.add_node() = fused;
  const std::string name = scope_of(fused) + "dptf_none";
  for (const auto& node : graph.node())
    if (node.name() == name) return out;
  NodeDef* none = out.add_node();
  none->set_name(name);
  none->set_op("Const");
  (*none->mutable_attr())["dtype"].set_type(dtype);
  Tensor(dtype, TensorShape({0})).AsProtoTensorContent((*none->mutable_attr())["value"].mutable_tensor());
  return out;
}

using Feeds = std::vector<std::pair<std::string, Tensor>>;

Tensor integers(const std::vector<int>& v) {
  Tensor t(tensorflow::DT_INT32, TensorShape({static_cast<int64_t>(v.size())}));
  std::copy(v.begin(), v.end(), t.flat<int>().data());
  return t;
}
Tensor reals(const std::vector<double>& v, DataType dtype) {
  Tensor t(dtype, TensorShape({static_cast<int64_t>(v.size())}));
  for (size_t k = 0; k < v.size(); ++k) {
    if (dtype == tensorflow::DT_FLOAT)
      t.flat<float>()(k) = static_cast<float>(v[k]);
    else
      t.flat<double>()(k) = v[k];
  }
  return t;
}

/// A jittered lattice under a triclinic cell with atoms of the given types (sorted), and a close pair, or one
/// far apart.
Feeds configuration(const NodeDef& fused, const std::vector<int>& types, int ntypes, bool periodic,
                    bool apart) {
  const DataType dtype = fused.attr().at("T").type();
  const double rcut = fused.attr().at("rcut").f(), spacing = std::max(0.42 * rcut, 1.2);
  std::mt19937 random(20240229);
  std::uniform_real_distribution<double> uniform(-0.18, 0.18);
  const int n = static_cast<int>(types.size()), side = static_cast<int>(std::ceil(std::cbrt(n)));
  const double a = side * spacing;
  const double box[9] = {a, 0, 0, 0.2 * a, 1.02 * a, 0, -0.1 * a, 0.15 * a, 0.97 * a};
  std::vector<int> place(side * side * side);
  for (size_t k = 0; k < place.size(); ++k) place[k] = static_cast<int>(k);
  std::shuffle(place.begin(), place.end(), random);
  std::vector<double> coord;
  for (int i = 0; i < n; ++i) {
    const int p = place[i];
    double s[3] = {double(p / (side * side)), double(p / side % side), double(p % side)};
    for (double& x : s) x = (x + 0.5 + uniform(random)) / side;
    for (int d = 0; d < 3; ++d) coord.push_back(s[0] * box[d] + s[1] * box[3 + d] + s[2] * box[6 + d]);
  }
  if (n > 1)
    for (int d = 0; d < 3; ++d) coord[3 * (n - 1) + d] = coord[d] + (d != 0 ? 0.1 : apart ? 9 * rcut : 0.85);
  const std::string scope = scope_of(fused);
  std::vector<int> natoms(2 + ntypes, 0);
  natoms[0] = natoms[1] = n;
  for (int t : types) ++natoms[2 + t];
  Feeds feeds = {{scope + "t_coord", reals(coord, dtype)},
                 {scope + "t_type", integers(types)},
                 {scope + "t_natoms", integers(natoms)},
                 {scope + "t_box", reals(std::vector<double>(box, box + 9), dtype)},
                 {scope + "t_mesh", integers(std::vector<int>(periodic ? 6 : 0, 0))}};
  const auto parameters = [&](const char* attr, const char* name, int copies) {
    Tensor stat;
    if (!stat.FromProto(fused.attr().at(attr).tensor()) || stat.NumElements() == 0) return;
    const int64_t dim = stat.NumElements() / 2;
    std::vector<double> v;
    for (int i = 0; i < copies; ++i)
      for (int64_t k = 0; k < dim; ++k)
        v.push_back(stat.flat<double>()(k) + (0.3 + 0.1 * (i % 5)) / stat.flat<double>()(dim + k));
    feeds.push_back({scope + name, reals(v, dtype)});
  };
  parameters("fparam_stat", "t_fparam", 1);
  parameters("aparam_stat", "t_aparam", n);
  return feeds;
}

int env_number(const char* name) {
  for (const char* prefix : {"DP_", "TF_"})
    if (const char* text = std::getenv((std::string(prefix) + name).c_str())) return std::atoi(text);
  return 0;
}

/// Runs one graph several times; sessions of the process share the thread pools that the first one sized.
class Runner {
 public:
  Runner(const GraphDef& graph, const std::vector<std::string>& wanted) {
    tensorflow::SessionOptions options;
    options.config.set_intra_op_parallelism_threads(env_number("INTRA_OP_PARALLELISM_THREADS"));
    options.config.set_inter_op_parallelism_threads(env_number("INTER_OP_PARALLELISM_THREADS"));
    options.config.mutable_graph_options()->mutable_rewrite_options()->set_disable_meta_optimizer(true);
    (*options.config.mutable_device_count())["GPU"] = 0;
    session_.reset(tensorflow::NewSession(options));
    if (!session_) throw std::runtime_error("no session for the self-check");
    check(session_->Create(graph));
    for (const std::string& name : wanted)
      for (const auto& node : graph.node())
        if (node.name() == name) outputs_.push_back(name);
  }
  ~Runner() {
    if (session_) session_->Close().IgnoreError();
  }
  std::vector<Tensor> run(const Feeds& feeds) const {
    std::vector<Tensor> out;
    check(session_->Run(feeds, outputs_, {}, &out));
    return out;
  }
  const std::vector<std::string>& outputs() const { return outputs_; }
  /// Numbers that a node gives.
  int64_t size(const std::string& name, const Feeds& feeds) const {
    std::vector<Tensor> out;
    check(session_->Run(feeds, {name}, {}, &out));
    return out[0].NumElements();
  }

 private:
  static void check(const absl::Status& status) {
    if (!status.ok()) throw std::runtime_error("the self-check failed: " + std::string(status.message()));
  }
  std::unique_ptr<tensorflow::Session> session_;
  std::vector<std::string> outputs_;
};

double value(const Tensor& t, int64_t k) {
  return t.dtype() == tensorflow::DT_FLOAT ? t.flat<float>()(k) : t.flat<double>()(k);
}

/// Largest deviation between the outputs of two graphs, each relative to the largest number of the output;
/// that of variances in units of kLoss.
double deviation(const std::vector<std::string>& names, const std::vector<Tensor>& a,
                 const std::vector<Tensor>& b) {
  if (a.size() != b.size()) return INFINITY;
  double worst = 0;
  for (size_t o = 0; o < a.size(); ++o) {
    if (a[o].dtype() != b[o].dtype() || a[o].NumElements() != b[o].NumElements()) return INFINITY;
    double size = 0, difference = 0;
    for (int64_t k = 0; k < a[o].NumElements(); ++k) {
      size = std::max(size, std::fabs(value(a[o], k)));
      const double d = std::fabs(value(a[o], k) - value(b[o], k));
      difference = std::max(difference, std::isfinite(d) ? d : INFINITY);
    }
    const bool variance = names[o] == "o_atom_variance" || names[o] == "o_mean_variance";
    worst = std::max(worst, difference / std::max(size, 1e-3) / (variance ? kLoss : 1));
  }
  return worst;
}

/// Pairs whose distance does not matter: a frame of two atoms of these types shows no force. Where the
/// property is no energy, whose forces may cancel, the two atoms are the same when they are far apart.
template <typename Configuration>
std::set<std::pair<int, int>> masked_pairs(const Runner& plain, const Configuration& configuration,
                                           const std::string& output, bool is_energy, int ntypes) {
  std::set<std::pair<int, int>> out;
  const auto& names = plain.outputs();
  const size_t at = std::find(names.begin(), names.end(), output) - names.begin();
  if (at == names.size()) return out;
  for (int ti = 0; ti < ntypes; ++ti)
    for (int tj = ti; tj < ntypes; ++tj) {
      const Tensor near = plain.run(configuration({ti, tj}, false, false))[at];
      Tensor far;
      if (!is_energy) far = plain.run(configuration({ti, tj}, false, true))[at];
      bool any = false;
      for (int64_t k = 0; k < near.NumElements(); ++k)
        any = any || value(near, k) != (is_energy ? 0 : value(far, k));
      if (!any) out.insert({ti, tj}), out.insert({tj, ti});
    }
  return out;
}

std::string format(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1e", x);
  return text;
}

/// Largest differences of energy, force and virial in words.
std::string differences(const std::vector<std::string>& names, const std::vector<Tensor>& a,
                        const std::vector<Tensor>& b, int atoms) {
  std::string out;
  for (const auto& [name, what, unit, per_atom] : {std::make_tuple("o_energy", "energy", "eV/atom", true),
                                                   std::make_tuple("o_force", "force", "eV/Å", false),
                                                   std::make_tuple("o_virial", "virial", "eV/atom", true)}) {
    const size_t o = std::find(names.begin(), names.end(), name) - names.begin();
    if (o == names.size()) continue;
    double worst = 0;
    for (int64_t k = 0; k < a[o].NumElements(); ++k)
      worst = std::max(worst, std::fabs(value(a[o], k) - value(b[o], k)));
    out += (out.empty() ? "" : ", ") + std::string(what) + " " + format(worst / (per_atom ? atoms : 1)) +
           " " + unit;
  }
  return out;
}

/// Scale and shift of the diagonal of polarizabilities, by type, from those of a test configuration: that of
/// the graph and the one with neither.
void calibrate(const Tensor& wanted, const Tensor& found, const std::vector<int>& types, NodeDef* fused) {
  Tensor affine;
  if (!affine.FromProto(fused->attr().at("affine").tensor()) || wanted.NumElements() != found.NumElements())
    throw std::runtime_error("the polarizabilities do not fit the graph");
  const int nt = static_cast<int>(affine.dim_size(1)), layers = fused->attr().at("fit_layers").i();
  int64_t row = 0;
  for (int t = 0; t < nt; ++t) {
    const auto& first = fused->attr().at("fit").list().tensor(3 * layers * t);
    const int64_t n = std::count(types.begin(), types.end(), t);
    if (!first.tensor_shape().dim_size() || first.tensor_shape().dim(0).size() == 0) continue;
    // What lies off the diagonal and differences on it give the scale.
    double product = 0, square = 0, trace = 0, largest = 0;
    for (int64_t k = row; k < row + n; ++k)
      for (int c = 0; c < 9; ++c) {
        const double mean = (value(found, 9 * k) + value(found, 9 * k + 4) + value(found, 9 * k + 8)) / 3,
                     wish = (value(wanted, 9 * k) + value(wanted, 9 * k + 4) + value(wanted, 9 * k + 8)) / 3,
                     a = value(found, 9 * k + c) - (c % 4 ? 0 : mean),
                     b = value(wanted, 9 * k + c) - (c % 4 ? 0 : wish);
        product += a * b;
        square += a * a;
        largest = std::max(largest, std::fabs(value(wanted, 9 * k + c)));
      }
    double scale = square > 0 ? product / square : 1;
    // Numbers of inputs are short; what is small beside the shift tells them less well.
    const double digits = std::round(scale * 1e6) / 1e6,
                 doubt = std::max(1e-9, 1e-14 * largest / std::sqrt(square / std::max<int64_t>(n, 1)));
    if (std::fabs(scale - digits) < doubt * std::fabs(scale)) scale = digits;
    for (int64_t k = row; k < row + n; ++k)
      for (int c : {0, 4, 8}) trace += value(wanted, 9 * k + c) - scale * value(found, 9 * k + c);
    affine.matrix<double>()(1, t) = scale;
    affine.matrix<double>()(2, t) = n ? trace / (3.0 * n) : 0;
    row += n;
  }
  affine.AsProtoTensorContent((*fused->mutable_attr())["affine"].mutable_tensor());
}

/// The graph with the model below a scope fused; throws with the reason when there is none.
GraphDef rewrite(const GraphDef& graph, const std::string& scope, bool single, std::string* report) {
  const GraphDef part = part_of(graph, scope);
  const GraphIndex index(part);
  const std::string kind = recognise::property_type(index);
  SeaVariant variant;
  if (index.node("t_typeebd") && index.only({"ProdEnvMatA", "DescrptSeA", "ProdEnvMatAMix"})) {
    const Tensor vectors = Runner(graph, {scope + "t_typeebd"}).run({})[0];
    if (vectors.dims() != 2 || vectors.dim_size(0) < 1) throw std::runtime_error("t_typeebd is no matrix");
    variant.type_dim = vectors.dim_size(1);
    for (int64_t k = 0; k < vectors.NumElements(); ++k) variant.type_vectors.push_back(value(vectors, k));
  }
  // A graph whose nets are of single precision is only defined up to its rounding, and is computed likewise.
  const SeaPrecision nets = sea_precision(index);
  const DataType compute = single || nets.all_single ? tensorflow::DT_FLOAT : tensorflow::DT_DOUBLE;
  const double tolerance = compute == tensorflow::DT_FLOAT || nets.any_single ? 2e-5 : 1e-10;
  std::vector<Target> targets = targets_of(kind);
  for (Target& t : targets) t.name = scope + t.name;
  const bool work = scope == kDipoleScope && GraphIndex(graph).node("o_dm_force");
  std::vector<std::string> wanted;
  for (const Target& t : targets) wanted.push_back(t.name);
  for (const Target& t : kWork)
    if (work) wanted.push_back(t.name);
  const Runner plain(graph, wanted);
  const bool atten = is_atten(index);
  const auto recognise = [&] {
    NodeDef node = atten ? recognise_atten(index, variant, compute) : recognise_sea(index, variant, compute);
    node.set_name(scope + node.name());
    for (auto& input : *node.mutable_input()) input.insert(0, scope);
    return node;
  };
  const auto assemble = [&](const NodeDef& fused) {
    GraphDef out = fused_graph(graph, fused, targets);
    if (!work) return out;
    NodeDef node = fused;
    node.set_name(fused.name() + "_work");
    (*node.mutable_attr())["given"].set_b(true);
    (*node.mutable_attr())["sign"].set_f(-1);
    node.set_input(node.input_size() - 1, "t_ef");
    return fused_graph(out, node, kWork);
  };
  NodeDef fused = recognise();
  const int ntypes = fused.attr().at("sel").list().i_size();
  std::vector<int> types;
  const int n = std::min(std::max(14, 2 * ntypes), 240);
  for (int i = 0; i < n; ++i) types.push_back(i * ntypes / n);
  const auto with_work = [&](const std::vector<int>& of_atoms, bool periodic, bool apart) {
    Feeds feeds = configuration(fused, of_atoms, ntypes, periodic, apart);
    if (!work) return feeds;
    const int64_t size = plain.size(scope + "o_dipole", feeds);
    std::vector<double> ef;
    for (int64_t k = 0; k < size; ++k) ef.push_back(std::sin(1.0 + 3.0 * k));
    feeds.push_back({"t_ef", reals(ef, fused.attr().at("T").type())});
    return feeds;
  };
  const Feeds feeds = with_work(types, true, false);
  const auto reference = plain.run(feeds);
  GraphDef out;
  double worst = 0;
  const auto try_it = [&] {
    fused = recognise();
    if (kind == "polar") {
      const std::string name = scope + "o_polar";
      const size_t at =
          std::find(plain.outputs().begin(), plain.outputs().end(), name) - plain.outputs().begin();
      calibrate(reference[at], Runner(assemble(fused), {name}).run(feeds)[0], types, &fused);
    }
    out = assemble(fused);
    worst = deviation(plain.outputs(), reference, Runner(out, wanted).run(feeds));
  };
  try_it();
  // Names and shapes do not show these options: what agrees is taken.
  const auto try_forms = [&](int first) {
    for (int k = first; !(worst <= tolerance) && k < (has_attention(index) ? 8 : 2); ++k) {
      variant.smooth = k & 1;
      variant.directions = !(k & 2);
      variant.no_diagonal = k & 4;
      try_it();
    }
  };
  if (atten) try_forms(1);
  if (!(worst <= tolerance) && sea_may_mask_pairs(index) && ntypes <= 12) {
    const bool energy = kind == "ener";
    const std::string shown = energy ? "o_force" : kind == "dos" ? "o_atom_dos" : "o_" + kind;
    variant.excluded = masked_pairs(plain, with_work, scope + shown, energy, ntypes);
    if (!variant.excluded.empty() && !has_attention(index)) try_it();
    if (!variant.excluded.empty() && has_attention(index)) try_forms(0);
  }
  if (!(worst <= tolerance))
    throw std::runtime_error("the fused kernels deviate from the graph by " + format(worst) +
                             " on a test configuration");
  *report = std::string(atten ? "fused se_atten kernels (" : "fused se_e2_a kernels (") +
            (compute == tensorflow::DT_FLOAT ? "float32" : "float64") + ", " + cpu_isa_name(cpu_isa()) + "; ";
  if (fused.attr().count("embed_tables")) *report += "tables made from the nets; ";
  if (single && !nets.all_single && kind == "ener")
    *report += "errors of float32 on a test configuration: " +
               differences(plain.outputs(), reference, Runner(out, wanted).run(feeds), n) + ")";
  else
    *report += "agree with the graph to " + format(worst) + ")";
  return out;
}

/// The fused graph; throws with the reason when there is none.
GraphDef rewrite(const GraphDef& graph, bool single, std::string* report) {
  GraphDef out = graph;
  std::string why, of_dipoles;
  bool dipoles = false;
  if (GraphIndex(part_of(graph, kDipoleScope)).node("o_dipole")) {
    try {
      out = rewrite(graph, kDipoleScope, single, &of_dipoles);
      dipoles = true;
    } catch (const std::runtime_error& e) {
      of_dipoles = std::string("run as the graph says: ") + e.what();
    }
  }
  try {
    out = rewrite(out, "", single, report);
  } catch (const std::runtime_error& e) {
    if (!dipoles) throw;
    *report = std::string("graph run as it is: ") + e.what();
    *report += "; dipoles: " + of_dipoles;
    return out;
  }
  if (!of_dipoles.empty()) *report += "; dipoles: " + of_dipoles;
  return out;
}

/// Precision asked for in the options or, without such a wish, in the environment.
bool single_precision(const char* options) {
  const std::string wish = options ? options : "";
  const char* variable = std::getenv("DPTF_PRECISION");
  const std::string precision = wish.empty() && variable ? variable : wish;
  if (precision != "" && precision != "float32" && precision != "float64")
    throw std::invalid_argument("DPTF_PRECISION: '" + precision +
                                "' is not a precision; use float32 or float64");
  return precision == "float32";
}

char* copy(const std::string& text) {
  char* out = static_cast<char*>(std::malloc(text.size() + 1));
  std::memcpy(out, text.data(), text.size());
  out[text.size()] = 0;
  return out;
}

}  // namespace
}  // namespace dptf

/// Takes a serialized frozen graph; 0: *out holds an equivalent graph with fused ops (release both texts with
/// dptf_free); 1: the graph has to be run as it is, and *report says why; 2: a wish that makes no sense.
/// options: "float32" computes in single precision, "float64" does not, "" leaves it to DPTF_PRECISION.
/// DPTF_PLAIN keeps every graph as it is.
extern "C" __attribute__((visibility("default"))) int dptf_rewrite_graph(const char* in, size_t n, char** out,
                                                                         size_t* n_out, char** report,
                                                                         const char* options) {
  std::string text;
  int code = 1;
  *out = nullptr;
  *n_out = 0;
  try {
    const bool single = dptf::single_precision(options);
    const char* keep = std::getenv("DPTF_PLAIN");
    if (keep && *keep && std::strcmp(keep, "0")) {
      text = "graph run as it is (DPTF_PLAIN is set)";
    } else {
      tensorflow::GraphDef graph;
      if (!graph.ParseFromArray(in, static_cast<int>(n)))
        throw std::runtime_error("the graph cannot be read");
      const std::string bytes = dptf::rewrite(graph, single, &text).SerializeAsString();
      *out = dptf::copy(bytes);
      *n_out = bytes.size();
      code = 0;
    }
  } catch (const std::invalid_argument& e) {
    text = e.what();
    code = 2;
  } catch (const std::exception& e) {
    text = std::string("graph run as it is: ") + e.what();
  }
  *report = dptf::copy(text);
  return code;
}

extern "C" __attribute__((visibility("default"))) void dptf_free(char* p) { std::free(p); }

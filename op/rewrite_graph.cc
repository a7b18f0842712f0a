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

constexpr const char* kOutputs[] = {"o_energy",        "o_force",        "o_virial",
                                    "o_atom_energy",   "o_atom_virial",  "o_last_layer_features",
                                    "o_atom_variance", "o_mean_variance"};
constexpr int kNumOutputs = 8, kFeatures = 5, kVariance = 6;
/// Variances lose digits: the matrix of the features is all but singular.
constexpr double kLoss = 1e6;

/// The graph with its output nodes reading from the fused op. Everything else stays: nodes that nothing
/// fetches cost nothing.
GraphDef fused_graph(const GraphDef& graph, const NodeDef& fused) {
  GraphDef out = graph;
  const DataType dtype = fused.attr().at("T").type();
  for (auto& node : *out.mutable_node())
    for (int k = 0; k < kNumOutputs; ++k) {
      if (node.name() != kOutputs[k]) continue;
      const DataType from = k == 0 || k >= kFeatures ? tensorflow::DT_DOUBLE : dtype;
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
  NodeDef* none = out.add_node();
  none->set_name("dptf_none");
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

/// A jittered lattice under a triclinic cell with atoms of the given types (sorted), and a close pair.
Feeds configuration(const NodeDef& fused, const std::vector<int>& types, int ntypes, bool periodic) {
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
    for (int d = 0; d < 3; ++d) coord[3 * (n - 1) + d] = coord[d] + (d == 0 ? 0.85 : 0.1);
  std::vector<int> natoms(2 + ntypes, 0);
  natoms[0] = natoms[1] = n;
  for (int t : types) ++natoms[2 + t];
  Feeds feeds = {{"t_coord", reals(coord, dtype)},
                 {"t_type", integers(types)},
                 {"t_natoms", integers(natoms)},
                 {"t_box", reals(std::vector<double>(box, box + 9), dtype)},
                 {"t_mesh", integers(std::vector<int>(periodic ? 6 : 0, 0))}};
  const auto parameters = [&](const char* attr, const char* name, int copies) {
    Tensor stat;
    if (!stat.FromProto(fused.attr().at(attr).tensor()) || stat.NumElements() == 0) return;
    const int64_t dim = stat.NumElements() / 2;
    std::vector<double> v;
    for (int i = 0; i < copies; ++i)
      for (int64_t k = 0; k < dim; ++k)
        v.push_back(stat.flat<double>()(k) + (0.3 + 0.1 * (i % 5)) / stat.flat<double>()(dim + k));
    feeds.push_back({name, reals(v, dtype)});
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
  explicit Runner(const GraphDef& graph,
                  const std::vector<std::string>& wanted = {std::begin(kOutputs), std::end(kOutputs)}) {
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
  double worst = 0;
  for (size_t o = 0; o < a.size(); ++o) {
    if (a[o].dtype() != b[o].dtype() || a[o].NumElements() != b[o].NumElements()) return INFINITY;
    double size = 0, difference = 0;
    for (int64_t k = 0; k < a[o].NumElements(); ++k) {
      size = std::max(size, std::fabs(value(a[o], k)));
      const double d = std::fabs(value(a[o], k) - value(b[o], k));
      difference = std::max(difference, std::isfinite(d) ? d : INFINITY);
    }
    const bool variance = names[o] == kOutputs[kVariance] || names[o] == kOutputs[kVariance + 1];
    worst = std::max(worst, difference / std::max(size, 1e-3) / (variance ? kLoss : 1));
  }
  return worst;
}

/// Pairs whose distance does not matter: a frame of two atoms of these types shows no force.
std::set<std::pair<int, int>> masked_pairs(const Runner& plain, const NodeDef& fused, int ntypes) {
  std::set<std::pair<int, int>> out;
  const auto& names = plain.outputs();
  const size_t f = std::find(names.begin(), names.end(), "o_force") - names.begin();
  for (int ti = 0; ti < ntypes; ++ti)
    for (int tj = ti; tj < ntypes; ++tj) {
      const auto result = plain.run(configuration(fused, {ti, tj}, ntypes, false));
      bool any = false;
      for (int64_t k = 0; k < result[f].NumElements(); ++k) any = any || value(result[f], k) != 0;
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

/// The fused graph; throws with the reason when there is none.
GraphDef rewrite(const GraphDef& graph, bool single, std::string* report) {
  const GraphIndex index(graph);
  SeaVariant variant;
  if (index.node("t_typeebd") && index.only({"ProdEnvMatA", "DescrptSeA", "ProdEnvMatAMix"})) {
    const Tensor vectors = Runner(graph, {"t_typeebd"}).run({})[0];
    if (vectors.dims() != 2 || vectors.dim_size(0) < 1) throw std::runtime_error("t_typeebd is no matrix");
    variant.type_dim = vectors.dim_size(1);
    for (int64_t k = 0; k < vectors.NumElements(); ++k) variant.type_vectors.push_back(value(vectors, k));
  }
  // A graph whose nets are of single precision is only defined up to its rounding, and is computed likewise.
  const SeaPrecision nets = sea_precision(index);
  const DataType compute = single || nets.all_single ? tensorflow::DT_FLOAT : tensorflow::DT_DOUBLE;
  const double tolerance = compute == tensorflow::DT_FLOAT || nets.any_single ? 2e-5 : 1e-10;
  const Runner plain(graph);
  const bool atten = is_atten(index);
  const auto recognise = [&] {
    return atten ? recognise_atten(index, variant, compute) : recognise_sea(index, variant, compute);
  };
  NodeDef fused = recognise();
  GraphDef out = fused_graph(graph, fused);
  const int ntypes = fused.attr().at("sel").list().i_size();
  std::vector<int> types;
  const int n = std::min(std::max(14, 2 * ntypes), 240);
  for (int i = 0; i < n; ++i) types.push_back(i * ntypes / n);
  const Feeds feeds = configuration(fused, types, ntypes, true);
  const auto reference = plain.run(feeds);
  double worst = deviation(plain.outputs(), reference, Runner(out).run(feeds));
  const auto again = [&] {
    fused = recognise();
    out = fused_graph(graph, fused);
    worst = deviation(plain.outputs(), reference, Runner(out).run(feeds));
  };
  if (!(worst <= tolerance) && atten) {
    variant.smooth = true;
    again();
  }
  if (!(worst <= tolerance) && sea_may_mask_pairs(index) && ntypes <= 12) {
    variant.excluded = masked_pairs(plain, fused, ntypes);
    if (!variant.excluded.empty()) again();
  }
  if (!(worst <= tolerance))
    throw std::runtime_error("the fused kernels deviate from the graph by " + format(worst) +
                             " on a test configuration");
  *report = std::string(atten ? "fused se_atten kernels (" : "fused se_e2_a kernels (") +
            (compute == tensorflow::DT_FLOAT ? "float32" : "float64") + ", " + cpu_isa_name(cpu_isa()) + "; ";
  if (fused.attr().count("embed_tables")) *report += "tables made from the nets; ";
  if (single && !nets.all_single)
    *report += "errors of float32 on a test configuration: " +
               differences(plain.outputs(), reference, Runner(out).run(feeds), n) + ")";
  else
    *report += "agree with the graph to " + format(worst) + ")";
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

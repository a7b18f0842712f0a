#include "graph_runner.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>

#include "absl/log/globals.h"
#include "common.h"
#include "errors.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "graph_upgrade.h"
#include "op_allowlist.h"
#include "tensorflow/core/framework/tensor.pb.h"
#include "tensorflow/core/protobuf/config.pb.h"

namespace deepmd {

void end_quiet_load();  // of libdeepmd_quiet

namespace {

constexpr const char *kForward = "DptfHalo", *kAdjoint = "DptfHaloGrad";

__attribute__((constructor)) void loaded() { end_quiet_load(); }

void require(const absl::Status& status) {
  if (status.ok()) return;
  const std::string text(status.message());
  // Behind the message come the name of the node and hints for those who run TensorFlow themselves.
  if (status.code() == absl::StatusCode::kResourceExhausted)
    throw deepmd_exception_oom("out of memory: " + text.substr(0, text.find("\n\t [[")));
  throw tf_exception(text);
}

/// Keeps TensorFlow's start-up notes (processor features, missing CUDA drivers) off standard error, in every
/// MPI rank, unless TF_CPP_MIN_LOG_LEVEL asks for them. Real failures come back as a status.
class QuietStart {
 public:
  QuietStart() {
    setenv("TF_CPP_MIN_LOG_LEVEL", "2", 0);
    const char* level = std::getenv("TF_CPP_MIN_LOG_LEVEL");
    quiet_ = level && std::atoi(level) >= 2;
    if (quiet_) absl::SetMinLogLevel(absl::LogSeverityAtLeast::kInfinity);
  }
  ~QuietStart() {
    if (quiet_) absl::SetMinLogLevel(absl::LogSeverityAtLeast::kError);
  }

 private:
  bool quiet_ = false;
};

/// Calls dptf_rewrite_graph of the op library, if it has one; see op/rewrite_*.cc.
bool rewrite(const tensorflow::GraphDef& graph, const std::string& precision, tensorflow::GraphDef* fused,
             std::string* report) {
  using Rewrite = int (*)(const char*, size_t, char**, size_t*, char**, const char*);
  using Free = void (*)(char*);
  const auto call = reinterpret_cast<Rewrite>(dlsym(RTLD_DEFAULT, "dptf_rewrite_graph"));
  const auto release = reinterpret_cast<Free>(dlsym(RTLD_DEFAULT, "dptf_free"));
  if (!call || !release) {
    *report = "graph run as it is (no fused kernels in this build)";
    return false;
  }
  const std::string in = graph.SerializeAsString();
  char *out = nullptr, *text = nullptr;
  size_t n = 0;
  const int code = call(in.data(), in.size(), &out, &n, &text, precision.c_str());
  if (text) *report = text;
  const bool done = code == 0 && out && fused->ParseFromArray(out, static_cast<int>(n));
  release(out);
  release(text);
  if (code == 2) throw deepmd_exception(*report);
  return done;
}

/// Lists are made, and refused where memory does not suffice, before anything is exchanged with others.
void lists_before_exchanges(tensorflow::GraphDef* graph) {
  std::vector<std::string> lists;
  for (const auto& node : graph->node())
    if (node.op() == "DptfRaggedEdges") lists.push_back("^" + node.name());
  for (auto& node : *graph->mutable_node())
    if (node.op() == kForward)
      for (const auto& list : lists) node.add_input(list);
}

/// The node of an input like NAME, NAME:1 or ^NAME.
std::string node_of(const std::string& input) {
  const size_t begin = input[0] == '^' ? 1 : 0, colon = input.find(':');
  return input.substr(begin, colon == std::string::npos ? colon : colon - begin);
}

}  // namespace

GraphRunner::GraphRunner(const std::string& path, int gpu_rank, const std::string& content, bool as_is,
                         const std::string& precision)
    : path_(path) {
  const QuietStart quiet;
  load_op_library();
  std::string file;
  if (content.empty()) read_file_to_string(path, file);
  const std::string& bytes = content.empty() ? file : content;
  tensorflow::GraphDef graph;
  if (bytes.empty()) throw deepmd_exception(path + " is empty");
  google::protobuf::io::ArrayInputStream stream(bytes.data(), static_cast<int>(bytes.size()));
  google::protobuf::io::CodedInputStream coded(&stream);
  if (!graph.ParseFromCodedStream(&coded) || graph.node_size() == 0)
    throw deepmd_exception(path + " is not a frozen graph, or it is truncated (" +
                           std::to_string(bytes.size()) + " bytes)");
  check_ops(graph);
  upgrade_graph(&graph);
  tensorflow::GraphDef fused;
  if (as_is)
    report_ = "graph run as it is (part of another graph)";
  else if (rewrite(graph, precision, &fused, &report_))
    graph.Swap(&fused);
  lists_before_exchanges(&graph);
  for (auto& node : graph.node()) {
    tensorflow::NodeDef& kept = nodes_[node.name()];
    kept.set_op(node.op());
    *kept.mutable_input() = node.input();
    if (node.attr().count("T")) (*kept.mutable_attr())["T"] = node.attr().at("T");
    // Small constants are attributes of the model; big ones stay in the session only.
    if (node.op() == "Const" && node.ByteSizeLong() < (1 << 16)) kept = node;
  }
  tensorflow::SessionOptions options;
  int intra = 0, inter = 0;
  get_env_nthreads(intra, inter);
  options.config.set_intra_op_parallelism_threads(intra);
  options.config.set_inter_op_parallelism_threads(inter);
  options.config.set_allow_soft_placement(true);
  options.config.mutable_gpu_options()->set_allow_growth(true);
  options.config.mutable_gpu_options()->set_per_process_gpu_memory_fraction(0.9);
  if (gpu_rank > 0) {
    const char* visible = std::getenv("DPTF_GPUS_PER_NODE");
    const int n = visible ? std::atoi(visible) : 0;
    if (n > 0) options.config.mutable_gpu_options()->set_visible_device_list(std::to_string(gpu_rank % n));
  }
  session_.reset(tensorflow::NewSession(options));
  if (!session_) throw tf_exception("no session could be created");
  require(session_->Create(std::move(graph)));
}

GraphRunner::~GraphRunner() {
  if (!session_) return;
  for (auto& call : callables_) session_->ReleaseCallable(call.second).IgnoreError();
  session_->Close().IgnoreError();
}

void GraphRunner::check_ops(const tensorflow::GraphDef& graph) const {
  static const std::set<std::string> allowed(std::begin(kAllowedOps), std::end(kAllowedOps));
  auto check = [&](const tensorflow::NodeDef& node) {
    if (allowed.count(node.op()) || node.op().rfind(kOwnOpPrefix, 0) == 0) return;
    if (node.op().find("Nvnmd") != std::string::npos)
      throw deepmd_exception(path_ + " holds the op " + node.op() + " (node " + node.name() +
                             "), which emulates the fixed-point arithmetic of NVNMD hardware and is not run "
                             "here; use a model trained without the nvnmd section");
    throw deepmd_exception(path_ + " holds the op " + node.op() + " (node " + node.name() +
                           "), which a model does not need; the file is not trusted");
  };
  for (const auto& node : graph.node()) check(node);
  for (const auto& function : graph.library().function())
    for (const auto& node : function.node_def()) check(node);
}

GraphRunner::Tensor GraphRunner::constant(const std::string& node) const {
  const auto it = nodes_.find(node);
  if (it == nodes_.end() || it->second.op() != "Const" || !it->second.attr().count("value"))
    throw deepmd_exception(path_ + " has no constant " + node + ": it is not a model of this kind");
  Tensor out;
  if (!out.FromProto(it->second.attr().at("value").tensor()))
    throw deepmd_exception(path_ + ": the constant " + node + " cannot be read");
  return out;
}

std::string GraphRunner::text(const std::string& node, const std::string& fallback) const {
  return has(node) ? std::string(constant(node).scalar<tensorflow::tstring>()()) : fallback;
}

std::vector<ExchangeNode> GraphRunner::exchanges(const std::vector<std::string>& fetches) const {
  std::vector<ExchangeNode> found;
  std::set<std::string> seen;
  // Nodes to visit; with true when all that they depend on has been visited.
  std::vector<std::pair<std::string, bool>> todo;
  for (const auto& fetch : fetches) todo.emplace_back(node_of(fetch), false);
  while (!todo.empty()) {
    const auto [name, done] = todo.back();
    todo.pop_back();
    const auto node = nodes_.find(name);
    if (node == nodes_.end()) continue;
    const auto& def = node->second;
    if (done) {
      found.push_back({name, def.input(0), def.op() == kAdjoint, def.attr().at("T").type()});
    } else if (seen.insert(name).second) {
      if (def.op() == kForward || def.op() == kAdjoint) todo.emplace_back(name, true);
      for (const auto& input : def.input()) todo.emplace_back(node_of(input), false);
    }
  }
  return found;
}

std::vector<tensorflow::Tensor> GraphRunner::run(const std::vector<std::pair<std::string, Tensor>>& feeds,
                                                 const std::vector<std::string>& fetches, bool here) const {
  std::string key;
  std::vector<Tensor> values;
  values.reserve(feeds.size());
  for (const auto& feed : feeds) {
    key += feed.first + ",";
    values.push_back(feed.second);
  }
  for (const auto& fetch : fetches) key += "|" + fetch;
  if (here) key += "!";
  auto it = callables_.find(key);
  if (it == callables_.end()) {
    tensorflow::CallableOptions options;
    if (here) options.mutable_run_options()->set_inter_op_thread_pool(-1);
    for (const auto& feed : feeds) options.add_feed(feed.first + ":0");
    for (const auto& fetch : fetches)
      options.add_fetch(fetch.find(':') == std::string::npos ? fetch + ":0" : fetch);
    tensorflow::Session::CallableHandle handle;
    require(session_->MakeCallable(options, &handle));
    it = callables_.emplace(key, handle).first;
  }
  std::vector<Tensor> out;
  require(session_->RunCallable(it->second, values, &out, nullptr));
  return out;
}

}  // namespace deepmd

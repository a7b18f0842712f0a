#include "common.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <mutex>
#include <numeric>
#include <sstream>

#include "google/protobuf/text_format.h"
#include "tensorflow/core/framework/graph.pb.h"

namespace deepmd {
namespace {

int env_number(const char* kind) {
  for (const char* prefix : {"DP_", "TF_"}) {
    const char* value = std::getenv((std::string(prefix) + kind).c_str());
    if (value && *value) return std::max(0, std::atoi(value));
  }
  return 0;
}

/// The folder of this very library.
std::string own_folder() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<void*>(&own_folder), &info) || !info.dli_fname) return "";
  const std::string path = info.dli_fname;
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

void open_library(const std::string& path) {
  if (!dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL))
    throw deepmd_exception("cannot load " + path + ": " + dlerror());
}

/// The session factory registers itself when libtensorflow_cc is loaded; no symbol names it.
void open_session_library() { open_library("libtensorflow_cc.so.2"); }

}  // namespace

void get_env_nthreads(int& num_intra_nthreads, int& num_inter_nthreads) {
  num_intra_nthreads = env_number("INTRA_OP_PARALLELISM_THREADS");
  num_inter_nthreads = env_number("INTER_OP_PARALLELISM_THREADS");
}

void load_op_library() {
  static std::once_flag once;
  std::call_once(once, [] {
    open_session_library();
    open_library(own_folder() + "/libdeepmd_op.so");
    const std::string gpu = own_folder() + "/libdeepmd_op_cuda.so";  // of builds with DPTF_CUDA=1
    if (std::ifstream(gpu).good()) open_library(gpu);
    if (const char* plugins = std::getenv("DP_PLUGIN_PATH")) {
      std::stringstream list(plugins);
      for (std::string path; std::getline(list, path, ':');)
        if (!path.empty()) open_library(path);
    }
  });
}

void read_file_to_string(std::string model, std::string& file_content) {
  std::ifstream file(model, std::ios::binary);
  if (!file) throw deepmd_exception("cannot open the model file " + model);
  file_content.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

void convert_pbtxt_to_pb(std::string fn_pb_txt, std::string fn_pb) {
  std::string text;
  read_file_to_string(fn_pb_txt, text);
  tensorflow::GraphDef graph;
  if (!google::protobuf::TextFormat::ParseFromString(text, &graph))
    throw deepmd_exception(fn_pb_txt + " is not a graph in text form");
  std::ofstream out(fn_pb, std::ios::binary);
  if (!out || !graph.SerializeToOstream(&out)) throw deepmd_exception("cannot write " + fn_pb);
}

AtomMap::AtomMap(std::vector<int>::const_iterator begin, std::vector<int>::const_iterator end) {
  const std::vector<int> types(begin, end);
  bkw_.resize(types.size());
  std::iota(bkw_.begin(), bkw_.end(), 0);
  std::stable_sort(bkw_.begin(), bkw_.end(), [&](int a, int b) { return types[a] < types[b]; });
  fwd_.resize(types.size());
  atype_.resize(types.size());
  for (size_t k = 0; k < bkw_.size(); ++k) {
    fwd_[bkw_[k]] = static_cast<int>(k);
    atype_[k] = types[bkw_[k]];
  }
}

template <typename VALUETYPE>
void AtomMap::forward(typename std::vector<VALUETYPE>::iterator out,
                      typename std::vector<VALUETYPE>::const_iterator in, int stride, int nframes,
                      int nall) const {
  const size_t n = bkw_.size(), frame = (nall ? nall : n) * stride;
  for (int f = 0; f < nframes; ++f)
    for (size_t k = 0; k < n; ++k)
      for (int s = 0; s < stride; ++s) out[f * frame + k * stride + s] = in[f * frame + bkw_[k] * stride + s];
}

template <typename VALUETYPE>
void AtomMap::backward(typename std::vector<VALUETYPE>::iterator out,
                       typename std::vector<VALUETYPE>::const_iterator in, int stride, int nframes,
                       int nall) const {
  const size_t n = bkw_.size(), frame = (nall ? nall : n) * stride;
  for (int f = 0; f < nframes; ++f)
    for (size_t k = 0; k < n; ++k)
      for (int s = 0; s < stride; ++s) out[f * frame + bkw_[k] * stride + s] = in[f * frame + k * stride + s];
}

#define DPTF_INSTANTIATE(T)                                                                                  \
  template void AtomMap::forward<T>(std::vector<T>::iterator, std::vector<T>::const_iterator, int, int, int) \
      const;                                                                                                 \
  template void AtomMap::backward<T>(std::vector<T>::iterator, std::vector<T>::const_iterator, int, int,     \
                                     int) const;
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)
DPTF_INSTANTIATE(int)
#undef DPTF_INSTANTIATE

void convert_nlist(InputNlist& to_nlist, std::vector<std::vector<int>>& from_nlist) {
  to_nlist.inum = static_cast<int>(from_nlist.size());
  for (int k = 0; k < to_nlist.inum; ++k) {
    to_nlist.ilist[k] = k;
    to_nlist.numneigh[k] = static_cast<int>(from_nlist[k].size());
    to_nlist.firstneigh[k] = from_nlist[k].data();
  }
}

void NeighborListData::copy_from_nlist(const InputNlist& inlist) {
  ilist.assign(inlist.ilist, inlist.ilist + inlist.inum);
  jlist.resize(inlist.inum);
  for (int k = 0; k < inlist.inum; ++k) {
    jlist[k].assign(inlist.firstneigh[k], inlist.firstneigh[k] + inlist.numneigh[k]);
    for (int& j : jlist[k]) j &= inlist.mask;
  }
}

void NeighborListData::shuffle(const AtomMap& map) { shuffle(map.get_fwd_map()); }

void NeighborListData::shuffle(const std::vector<int>& fwd_map) {
  const auto rename = [&](int& i) {
    if (static_cast<size_t>(i) < fwd_map.size()) i = fwd_map[i];
  };
  for (int& i : ilist) rename(i);
  for (auto& row : jlist)
    for (int& j : row) rename(j);
}

void NeighborListData::shuffle_exclude_empty(const std::vector<int>& fwd_map) {
  shuffle(fwd_map);
  size_t rows = 0;
  for (size_t k = 0; k < ilist.size(); ++k) {
    if (ilist[k] < 0) continue;
    auto& row = jlist[k];
    row.erase(std::remove_if(row.begin(), row.end(), [](int j) { return j < 0; }), row.end());
    ilist[rows] = ilist[k];
    if (rows != k) jlist[rows] = std::move(row);
    ++rows;
  }
  ilist.resize(rows);
  jlist.resize(rows);
}

void NeighborListData::make_inlist(InputNlist& inlist) {
  numneigh.resize(ilist.size());
  firstneigh.resize(ilist.size());
  for (size_t k = 0; k < ilist.size(); ++k) {
    numneigh[k] = static_cast<int>(jlist[k].size());
    firstneigh[k] = jlist[k].data();
  }
  inlist = InputNlist(static_cast<int>(ilist.size()), ilist.data(), numneigh.data(), firstneigh.data());
}

int max_numneigh(const InputNlist& nlist) {
  int most = 0;
  for (int k = 0; k < nlist.inum; ++k) most = std::max(most, nlist.numneigh[k]);
  return most;
}

namespace {
template <typename Keep>
void select(std::vector<int>& fwd_map, std::vector<int>& bkw_map, int& nghost_real,
            const std::vector<int>& type, int nghost, const Keep& keep) {
  const int nall = static_cast<int>(type.size()), nloc = nall - nghost;
  fwd_map.assign(nall, -1);
  bkw_map.clear();
  nghost_real = 0;
  for (int i = 0; i < nall; ++i) {
    if (!keep(type[i])) continue;
    fwd_map[i] = static_cast<int>(bkw_map.size());
    bkw_map.push_back(i);
    if (i >= nloc) ++nghost_real;
  }
}
}  // namespace

void select_by_type(std::vector<int>& fwd_map, std::vector<int>& bkw_map, int& nghost_real,
                    const std::vector<double>&, const std::vector<int>& datype_, const int& nghost,
                    const std::vector<int>& sel_type_) {
  select(fwd_map, bkw_map, nghost_real, datype_, nghost,
         [&](int t) { return std::find(sel_type_.begin(), sel_type_.end(), t) != sel_type_.end(); });
}

void select_real_atoms(std::vector<int>& fwd_map, std::vector<int>& bkw_map, int& nghost_real,
                       const std::vector<double>&, const std::vector<int>& datype_, const int& nghost,
                       const int& ntypes) {
  select(fwd_map, bkw_map, nghost_real, datype_, nghost, [&](int t) { return t >= 0 && t < ntypes; });
}

template <typename VT>
void select_map(std::vector<VT>& out, const std::vector<VT>& in, const std::vector<int>& fwd_map,
                const int& stride, const int& nframes, const int& nall1, const int& nall2) {
  const size_t from = nall1 ? nall1 : fwd_map.size();
  const size_t to =
      nall2 ? nall2 : std::count_if(fwd_map.begin(), fwd_map.end(), [](int k) { return k >= 0; });
  out.resize(to * stride * nframes);
  for (int f = 0; f < nframes; ++f)
    for (size_t i = 0; i < from; ++i) {
      if (fwd_map[i] < 0) continue;
      for (int s = 0; s < stride; ++s)
        out[(f * to + fwd_map[i]) * stride + s] = in[(f * from + i) * stride + s];
    }
}
template void select_map<double>(std::vector<double>&, const std::vector<double>&, const std::vector<int>&,
                                 const int&, const int&, const int&, const int&);
template void select_map<float>(std::vector<float>&, const std::vector<float>&, const std::vector<int>&,
                                const int&, const int&, const int&, const int&);
template void select_map<int>(std::vector<int>&, const std::vector<int>&, const std::vector<int>&, const int&,
                              const int&, const int&, const int&);

DPBackend get_backend(const std::string& model) {
  static const std::pair<const char*, DPBackend> endings[] = {
      {".pb", TensorFlow},    {".pth", PyTorch}, {".pt2", PyTorchExportable}, {".savedmodel", JAX},
      {".savedmodeltf", JAX}, {".json", Paddle}, {".pdmodel", Paddle}};
  for (const auto& known : endings) {
    const std::string ending = known.first;
    if (model.size() >= ending.size() && !model.compare(model.size() - ending.size(), ending.size(), ending))
      return known.second;
  }
  throw deepmd_exception("Unsupported model file format: " + model + " (this library runs .pb graphs)");
}

bool model_compatable(std::string& model_version) {
  // 0.0: graphs of release 1.x; they get their missing attributes at load time.
  int major = -1, minor = -1;
  char dot = 0;
  std::stringstream(model_version) >> major >> dot >> minor;
  return dot == '.' && ((major == 1 && minor <= 1) || (major == 0 && minor == 0));
}

std::string name_prefix(const std::string& name_scope) { return name_scope.empty() ? "" : name_scope + "/"; }

void print_summary(const std::string& pre) {
  int intra = 0, inter = 0;
  get_env_nthreads(intra, inter);
  std::cout << pre << "installed to:         " << own_folder() << "\n"
            << pre << "source:               dptf " << DPTF_VERSION << "\n"
            << pre << "support model ver.:   1.1\n"
            << pre << "build variant:        cpu\n"
            << pre << "build with tf:        " << DPTF_TF_VERSION << "\n"
            << pre << "set tf intra_op_parallelism_threads: " << intra << "\n"
            << pre << "set tf inter_op_parallelism_threads: " << inter << std::endl;
}

}  // namespace deepmd

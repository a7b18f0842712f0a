#pragma once

#include <cmath>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../c_api.h"

namespace deepmd {
namespace hpp {

typedef double ENERGYTYPE;

/// Base of every exception of these headers.
struct deepmd_exception : public std::runtime_error {
  deepmd_exception() : std::runtime_error("DeePMD-kit C API Error!") {}
  explicit deepmd_exception(const std::string& msg) : std::runtime_error("DeePMD-kit C API Error: " + msg) {}
};

namespace detail {

/// Text that the library allocated, as a string.
inline std::string take(const char* text) {
  const std::string out = text ? text : "";
  DP_DeleteChar(text);
  return out;
}

/// Throws when the text of a CheckOK function is not empty.
inline void check(const char* text) {
  const std::string message = take(text);
  if (!message.empty()) throw deepmd_exception(message);
}

template <typename T>
const T* pointer(const std::vector<T>& v) {
  return v.empty() ? nullptr : v.data();
}

/// Parameters of all frames: given once for all of them, or frame by frame, or not at all.
template <typename T>
std::vector<T> tile(const std::vector<T>& given, size_t nframes, size_t per_frame, const char* name) {
  if (given.empty() || given.size() == nframes * per_frame) return given;
  if (given.size() != per_frame)
    throw deepmd_exception(std::string(name) + " has " + std::to_string(given.size()) +
                           " numbers, the model needs " + std::to_string(per_frame) + " per frame");
  std::vector<T> out;
  out.reserve(nframes * per_frame);
  for (size_t f = 0; f < nframes; ++f) out.insert(out.end(), given.begin(), given.end());
  return out;
}

/// Room for an output; null for one that is not wanted.
template <typename T>
T* sized(std::vector<T>* v, size_t n) {
  if (!v) return nullptr;
  v->resize(n);
  return v->data();
}

/// Opens several models; `file_content` may be empty: then the files are read.
template <typename Handle>
Handle* new_models(Handle* (*create)(const char**, int, int, const char**, int, const int*),
                   const std::vector<std::string>& models, int gpu_rank,
                   const std::vector<std::string>& file_content) {
  std::vector<const char*> names, contents;
  std::vector<int> sizes;
  for (const auto& m : models) names.push_back(m.c_str());
  for (const auto& c : file_content) {
    contents.push_back(c.data());
    sizes.push_back(static_cast<int>(c.size()));
  }
  return create(names.data(), static_cast<int>(names.size()), gpu_rank, contents.data(),
                static_cast<int>(contents.size()), sizes.data());
}

/// Warns of a second call of an initializer.
inline bool warn_second(bool loaded) {
  if (loaded)
    std::cerr << "WARNING: deep-potential should not be initialized twice, do nothing at the second call "
                 "of initializer"
              << std::endl;
  return loaded;
}

/// Energies go to one number or to a vector.
inline double* energies(double& e, size_t nframes) {
  if (nframes != 1) throw deepmd_exception("one energy was asked for " + std::to_string(nframes) + " frames");
  return &e;
}
inline double* energies(std::vector<double>& e, size_t nframes) {
  e.resize(nframes);
  return e.data();
}

/// Numbers of frames and atoms of one call, from the sizes of its arrays.
template <typename T>
size_t count_frames(const std::vector<T>& coord, const std::vector<T>& box, size_t natoms) {
  const size_t nframes = natoms ? coord.size() / (3 * natoms) : box.empty() ? 1 : box.size() / 9;
  if (coord.size() != nframes * natoms * 3)
    throw deepmd_exception("coord has " + std::to_string(coord.size()) +
                           " numbers, which is no multiple of 3 x " + std::to_string(natoms) + " atoms");
  if (!box.empty() && box.size() != nframes * 9)
    throw deepmd_exception("box has " + std::to_string(box.size()) + " numbers for " +
                           std::to_string(nframes) + " frames (9 each, or none)");
  return nframes;
}

template <typename T>
void one_frame(const std::vector<T>& coord, const std::vector<T>& box, size_t natoms) {
  if (count_frames(coord, box, natoms) != 1) throw deepmd_exception("this model takes one frame at a time");
}

template <typename T>
void same_size(const std::vector<T>& v, const std::vector<T>& coord, const char* name) {
  if (v.size() != coord.size())
    throw deepmd_exception(std::string(name) + " has " + std::to_string(v.size()) + " numbers, coord " +
                           std::to_string(coord.size()));
}

}  // namespace detail

/// A neighbor list in the layout of LAMMPS; the arrays are borrowed, see deepmd/neighbor_list.h.
struct InputNlist {
  InputNlist() : InputNlist(0, nullptr, nullptr, nullptr) {}
  InputNlist(int inum_, int* ilist_, int* numneigh_, int** firstneigh_)
      : inum(inum_),
        ilist(ilist_),
        numneigh(numneigh_),
        firstneigh(firstneigh_),
        nl(DP_NewNlist(inum_, ilist_, numneigh_, firstneigh_)) {
    detail::check(DP_NlistCheckOK(nl));
  }
  /// With the communication pattern of the engine, for models that exchange features between ranks.
  InputNlist(int inum_, int* ilist_, int* numneigh_, int** firstneigh_, int nswap, int* sendnum, int* recvnum,
             int* firstrecv, int** sendlist, int* sendproc, int* recvproc, void* world, int nprocs = 1)
      : inum(inum_),
        ilist(ilist_),
        numneigh(numneigh_),
        firstneigh(firstneigh_),
        nl(DP_NewNlist_comm(inum_, ilist_, numneigh_, firstneigh_, nswap, sendnum, recvnum, firstrecv,
                            sendlist, sendproc, recvproc, world, nprocs)) {
    detail::check(DP_NlistCheckOK(nl));
  }
  InputNlist(const InputNlist&) = delete;
  InputNlist& operator=(const InputNlist&) = delete;
  InputNlist(InputNlist&& other) noexcept { swap(other); }
  InputNlist& operator=(InputNlist&& other) noexcept {
    swap(other);
    return *this;
  }
  ~InputNlist() {
    if (nl) DP_DeleteNlist(nl);
  }
  /// Every index is AND-ed with the mask when it is read.
  void set_mask(int mask) { DP_NlistSetMask(nl, mask); }
  /// The local atom that every atom is an image of, for models that pass messages, in one process.
  void set_mapping(int* mapping) { DP_NlistSetMapping(nl, mapping); }
  /// The same with several processes; see deepmd/neighbor_list.h.
  void set_exchange(void* engine, int (*forward)(void*, double*, int), int (*reverse)(void*, double*, int)) {
    DP_NlistSetExchange(nl, engine, forward, reverse);
  }

  int inum = 0;
  int* ilist = nullptr;
  int* numneigh = nullptr;
  int** firstneigh = nullptr;
  DP_Nlist* nl = nullptr;

 private:
  void swap(InputNlist& other) noexcept {
    std::swap(inum, other.inum);
    std::swap(ilist, other.ilist);
    std::swap(numneigh, other.numneigh);
    std::swap(firstneigh, other.firstneigh);
    std::swap(nl, other.nl);
  }
};

/// Points `to_nlist` (whose three arrays have room for from_nlist.size() entries) to the rows of
/// `from_nlist`.
inline void convert_nlist(InputNlist& to_nlist, std::vector<std::vector<int>>& from_nlist) {
  const int n = static_cast<int>(from_nlist.size());
  for (int k = 0; k < n; ++k) {
    to_nlist.ilist[k] = k;
    to_nlist.numneigh[k] = static_cast<int>(from_nlist[k].size());
    to_nlist.firstneigh[k] = from_nlist[k].data();
  }
  to_nlist = InputNlist(n, to_nlist.ilist, to_nlist.numneigh, to_nlist.firstneigh);
}

/// A frozen graph in text form to the binary form.
inline void convert_pbtxt_to_pb(std::string fn_pb_txt, std::string fn_pb) {
  DP_ConvertPbtxtToPb(fn_pb_txt.c_str(), fn_pb.c_str());
}

/// The content of a file.
inline void read_file_to_string(std::string model, std::string& file_content) {
  int size = 0;
  const char* bytes = DP_ReadFileToChar2(model.c_str(), &size);
  file_content = std::string(bytes, size < 0 ? -size : size);
  DP_DeleteChar(bytes);
  if (size < 0) {
    const std::string message = file_content;
    file_content.clear();
    throw deepmd_exception(message);
  }
}

/// Keep the atoms whose type is in sel_type. fwd_map[old] is the new index or -1, bkw_map the old index of
/// each kept atom.
template <typename VALUETYPE>
void select_by_type(std::vector<int>& fwd_map, std::vector<int>& bkw_map, int& nghost_real,
                    const std::vector<VALUETYPE>&, const std::vector<int>& datype_, const int& nghost,
                    const std::vector<int>& sel_type_) {
  const int natoms = static_cast<int>(datype_.size());
  int nreal = 0;
  fwd_map.resize(natoms);
  bkw_map.resize(natoms);
  DP_SelectByType(natoms, datype_.data(), nghost, static_cast<int>(sel_type_.size()), sel_type_.data(),
                  fwd_map.data(), &nreal, bkw_map.data(), &nghost_real);
  bkw_map.resize(nreal);
}

/// Keep the atoms with a type in [0, ntypes).
template <typename VALUETYPE>
void select_real_atoms(std::vector<int>& fwd_map, std::vector<int>& bkw_map, int& nghost_real,
                       const std::vector<VALUETYPE>& dcoord_, const std::vector<int>& datype_,
                       const int& nghost, const int& ntypes) {
  std::vector<int> all(ntypes);
  for (int t = 0; t < ntypes; ++t) all[t] = t;
  select_by_type(fwd_map, bkw_map, nghost_real, dcoord_, datype_, nghost, all);
}

/// Scatter rows of `stride` values to their new places; rows whose place is -1 are dropped.
template <typename VT>
void select_map(std::vector<VT>& out, const std::vector<VT>& in, const std::vector<int>& fwd_map,
                const int& stride, const int& nframes = 1, const int& nall1 = 0, const int& nall2 = 0) {
  const size_t from = nall1 ? nall1 : fwd_map.size();
  size_t to = nall2;
  if (!to)
    for (int place : fwd_map) to += place >= 0;
  out.resize(to * stride * nframes);
  for (size_t f = 0; f < static_cast<size_t>(nframes); ++f)
    for (size_t i = 0; i < from; ++i) {
      if (fwd_map[i] < 0) continue;
      for (int s = 0; s < stride; ++s)
        out[(f * to + fwd_map[i]) * stride + s] = in[(f * from + i) * stride + s];
    }
}

/// What every model can tell about itself; holds the handle of the C library.
class DeepBaseModel {
 public:
  double cutoff() const { return DP_DeepBaseModelGetCutoff(loaded()); }
  int numb_types() const { return DP_DeepBaseModelGetNumbTypes(loaded()); }
  int numb_types_spin() const { return DP_DeepBaseModelGetNumbTypesSpin(loaded()); }
  int dim_fparam() const { return DP_DeepBaseModelGetDimFParam(loaded()); }
  int dim_aparam() const { return DP_DeepBaseModelGetDimAParam(loaded()); }
  bool is_aparam_nall() const { return DP_DeepBaseModelIsAParamNAll(loaded()); }
  bool has_default_fparam() const { return DP_DeepBaseModelHasDefaultFParam(loaded()); }
  /// Type names, separated by blanks.
  void get_type_map(std::string& type_map) const {
    type_map = detail::take(DP_DeepBaseModelGetTypeMap(loaded()));
  }
  void print_summary(const std::string& pre) const { DP_PrintSummary(pre.c_str()); }

 protected:
  DeepBaseModel() : dpbase_(nullptr, DP_DeleteDeepBaseModel) {}
  ~DeepBaseModel() = default;
  DeepBaseModel(DeepBaseModel&&) = default;
  DeepBaseModel& operator=(DeepBaseModel&&) = default;
  DP_DeepBaseModel* loaded() const {
    if (!dpbase_) throw deepmd_exception("no model is loaded");
    return dpbase_.get();
  }
  bool loaded_already() const { return detail::warn_second(dpbase_ != nullptr); }
  void check() const { detail::check(DP_DeepBaseModelCheckOK(loaded())); }
  /// Keeps a handle; throws what its construction left in it.
  void own(DP_DeepBaseModel* handle) {
    dpbase_.reset(handle);
    try {
      check();
    } catch (...) {
      dpbase_.reset();
      throw;
    }
  }
  std::unique_ptr<DP_DeepBaseModel, void (*)(DP_DeepBaseModel*)> dpbase_;
};

/// Several models of one kind: what the first of them tells, and the statistics of their results.
class DeepBaseModelDevi {
 public:
  double cutoff() const { return DP_DeepBaseModelDeviGetCutoff(loaded()); }
  int numb_types() const { return DP_DeepBaseModelDeviGetNumbTypes(loaded()); }
  int numb_types_spin() const { return DP_DeepBaseModelDeviGetNumbTypesSpin(loaded()); }
  int dim_fparam() const { return DP_DeepBaseModelDeviGetDimFParam(loaded()); }
  int dim_aparam() const { return DP_DeepBaseModelDeviGetDimAParam(loaded()); }
  bool is_aparam_nall() const { return DP_DeepBaseModelDeviIsAParamNAll(loaded()); }
  bool has_default_fparam() const { return DP_DeepBaseModelDeviHasDefaultFParam(loaded()); }

  /// avg = mean over models.
  template <typename VALUETYPE>
  void compute_avg(VALUETYPE& avg, const std::vector<VALUETYPE>& xx) {
    double sum = 0;
    for (VALUETYPE x : xx) sum += x;
    avg = static_cast<VALUETYPE>(xx.empty() ? 0.0 : sum / xx.size());
  }
  template <typename VALUETYPE>
  void compute_avg(std::vector<VALUETYPE>& avg, const std::vector<std::vector<VALUETYPE>>& xx) {
    avg.assign(xx.empty() ? 0 : xx[0].size(), VALUETYPE(0));
    for (const auto& x : xx)
      for (size_t i = 0; i < avg.size(); ++i) avg[i] += x[i] / static_cast<VALUETYPE>(xx.size());
  }
  /// std[i] = sqrt(mean over models of |x_i - avg_i|^2), the norm over `stride` components.
  template <typename VALUETYPE>
  void compute_std(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                   const std::vector<std::vector<VALUETYPE>>& xx, const int& stride) {
    std.assign(avg.size() / stride, VALUETYPE(0));
    for (size_t i = 0; i < std.size(); ++i) {
      double sum = 0;
      for (const auto& x : xx)
        for (int s = 0; s < stride; ++s) {
          const double d = static_cast<double>(x[i * stride + s]) - avg[i * stride + s];
          sum += d * d;
        }
      std[i] = static_cast<VALUETYPE>(std::sqrt(sum / xx.size()));
    }
  }
  template <typename VALUETYPE>
  void compute_std_e(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                     const std::vector<std::vector<VALUETYPE>>& xx) {
    compute_std(std, avg, xx, 1);
  }
  template <typename VALUETYPE>
  void compute_std_f(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                     const std::vector<std::vector<VALUETYPE>>& xx) {
    compute_std(std, avg, xx, 3);
  }
  /// std[i] /= |avg_i| + eps.
  template <typename VALUETYPE>
  void compute_relative_std(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                            const VALUETYPE eps, const int& stride) {
    for (size_t i = 0; i < std.size(); ++i) {
      double norm = 0;
      for (int s = 0; s < stride; ++s) norm += static_cast<double>(avg[i * stride + s]) * avg[i * stride + s];
      std[i] = static_cast<VALUETYPE>(std[i] / (std::sqrt(norm) + eps));
    }
  }
  template <typename VALUETYPE>
  void compute_relative_std_f(std::vector<VALUETYPE>& std, const std::vector<VALUETYPE>& avg,
                              const VALUETYPE eps) {
    compute_relative_std(std, avg, eps, 3);
  }

 protected:
  DeepBaseModelDevi() : dpbase_(nullptr, DP_DeleteDeepBaseModelDevi) {}
  ~DeepBaseModelDevi() = default;
  DeepBaseModelDevi(DeepBaseModelDevi&&) = default;
  DeepBaseModelDevi& operator=(DeepBaseModelDevi&&) = default;
  DP_DeepBaseModelDevi* loaded() const {
    if (!dpbase_) throw deepmd_exception("no model is loaded");
    return dpbase_.get();
  }
  bool loaded_already() const { return detail::warn_second(dpbase_ != nullptr); }
  void check() const { detail::check(DP_DeepBaseModelDeviCheckOK(loaded())); }
  void own(DP_DeepBaseModelDevi* handle, size_t numb_models) {
    dpbase_.reset(handle);
    this->numb_models = numb_models;
    try {
      check();
    } catch (...) {
      dpbase_.reset();
      throw;
    }
  }
  /// Rows of `n` numbers for each model.
  template <typename T>
  std::vector<std::vector<T>> split(const std::vector<T>& all, size_t n) const {
    std::vector<std::vector<T>> out;
    for (size_t k = 0; k < numb_models; ++k) out.emplace_back(all.begin() + k * n, all.begin() + (k + 1) * n);
    return out;
  }
  std::unique_ptr<DP_DeepBaseModelDevi, void (*)(DP_DeepBaseModelDevi*)> dpbase_;
  size_t numb_models = 0;
};

/// Versions and settings, one line each, to standard output.
inline void print_summary(const std::string& pre) { DP_PrintSummary(pre.c_str()); }

}  // namespace hpp
}  // namespace deepmd

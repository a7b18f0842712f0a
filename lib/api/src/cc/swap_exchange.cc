#include "swap_exchange.h"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <string>
#include <vector>

#include "errors.h"

namespace deepmd {
namespace {

constexpr const char* kCall = "MPI_Sendrecv";

/// The MPI library of this program; it may be out of sight of others, as in Python. Null without one.
void* find_mpi() {
  std::vector<std::string> loaded;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* names) {
        static_cast<std::vector<std::string>*>(names)->push_back(info->dlpi_name ? info->dlpi_name : "");
        return 0;
      },
      &loaded);
  if (dlsym(RTLD_DEFAULT, kCall)) return dlopen(nullptr, RTLD_LAZY);
  for (const auto& path : loaded) {
    const auto slash = path.rfind('/');
    if (path.compare(slash == std::string::npos ? 0 : slash + 1, 6, "libmpi")) continue;
    void* const library = dlopen(path.c_str(), RTLD_LAZY | RTLD_NOLOAD);
    if (library && dlsym(library, kCall)) return library;
  }
  return nullptr;
}

void* mpi_symbol(const char* name) {
  static void* library = nullptr;
  if (!library) library = find_mpi();
  return library ? dlsym(library, name) : nullptr;
}

template <typename F>
F* symbol(const char* name) {
  return reinterpret_cast<F*>(mpi_symbol(name));
}

/// MPI of one binary interface: handles are numbers (MPICH and its kin) or pointers (Open MPI).
template <typename Communicator, typename Type>
struct Mpi {
  Communicator world;
  Type number;
  void* ignored_status;

  int size() const {
    auto* call = symbol<int(Communicator, int*)>("MPI_Comm_size");
    int n = 1;
    return call && call(world, &n) == 0 ? n : 1;
  }
  int exchange(const double* out, int n_out, int to, double* in, int n_in, int from) const {
    using Call = int(const void*, int, Type, int, int, void*, int, Type, int, int, Communicator, void*);
    constexpr int kTag = 0x4450;
    return symbol<Call>(kCall)(out, n_out, number, to, kTag, in, n_in, number, from, kTag, world,
                               ignored_status);
  }
};

/// Calls f with the MPI of this program; `fallback` when there is none, or it is not running.
template <typename F>
int with_mpi(const void* world, int fallback, const F& f) {
  auto* initialized = symbol<int(int*)>("MPI_Initialized");
  int running = 0;
  if (!world || !initialized || !mpi_symbol(kCall) || initialized(&running) || !running) return fallback;
  if (void* number = mpi_symbol("ompi_mpi_double"))
    return f(Mpi<void*, void*>{*static_cast<void* const*>(world), number, nullptr});
  constexpr int kMpichDouble = 0x4c00080b;
  return f(Mpi<int, int>{*static_cast<const int*>(world), kMpichDouble, reinterpret_cast<void*>(1)});
}

}  // namespace

int number_of_processes(const void* world) {
  return with_mpi(world, 1, [](const auto& mpi) { return mpi.size(); });
}

void SwapExchange::init(const InputNlist& list) {
  list_ = list;
  if (!list.sendnum || !list.recvnum || !list.firstrecv || !list.sendlist || !list.sendproc || !list.recvproc)
    throw deepmd_exception("the neighbor list has " + std::to_string(list.nswap) +
                           " swaps, but not all of their arrays");
  alone_ = number_of_processes(list.world) == 1;
  for (int s = 0; s < list.nswap; ++s)
    if (alone_ && (list.sendproc[s] != list.recvproc[s] || list.sendnum[s] != list.recvnum[s]))
      throw deepmd_exception("swap " + std::to_string(s) +
                             " of the neighbor list goes to another process, but `world` is no running MPI "
                             "communicator with several of them");
}

int SwapExchange::swap(int s, bool back, double* rows, int width) {
  const size_t w = width;
  const int* const atoms = list_.sendlist[s];
  const int n = list_.sendnum[s], m = list_.recvnum[s];
  double* const ghosts = rows + w * list_.firstrecv[s];
  out_.resize(w * n);
  in_.resize(w * n);
  if (!back)
    for (int k = 0; k < n; ++k) std::copy_n(rows + w * atoms[k], w, out_.begin() + w * k);
  int code = 0;
  if (alone_)
    std::copy_n(back ? ghosts : out_.data(), w * m, back ? in_.data() : ghosts);
  else
    code = with_mpi(list_.world, 1, [&](const auto& mpi) {
      return back ? mpi.exchange(ghosts, width * m, list_.recvproc[s], in_.data(), width * n,
                                 list_.sendproc[s])
                  : mpi.exchange(out_.data(), width * n, list_.sendproc[s], ghosts, width * m,
                                 list_.recvproc[s]);
    });
  for (int k = 0; back && !code && k < n; ++k)
    for (size_t i = 0; i < w; ++i) rows[w * atoms[k] + i] += in_[w * k + i];
  return code;
}

int SwapExchange::forward(void* self, double* rows, int width) {
  auto* x = static_cast<SwapExchange*>(self);
  for (int s = 0; s < x->list_.nswap; ++s)
    if (const int code = x->swap(s, false, rows, width)) return code;
  return 0;
}

int SwapExchange::reverse(void* self, double* rows, int width) {
  auto* x = static_cast<SwapExchange*>(self);
  for (int s = x->list_.nswap - 1; s >= 0; --s)
    if (const int code = x->swap(s, true, rows, width)) return code;
  return 0;
}

}  // namespace deepmd

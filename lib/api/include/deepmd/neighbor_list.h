#pragma once

#include <vector>

namespace deepmd {

/// A neighbor list in the layout of LAMMPS: row k belongs to atom ilist[k] and holds numneigh[k] indices
/// firstneigh[k][...]. All pointers are borrowed. Indices run over local and ghost atoms; every index is
/// AND-ed with `mask` when it is read.
struct InputNlist {
  int inum = 0;
  int* ilist = nullptr;
  int* numneigh = nullptr;
  int** firstneigh = nullptr;
  // Communication pattern of the engine, for models that exchange features between ranks.
  int nswap = 0;
  int* sendnum = nullptr;
  int* recvnum = nullptr;
  int* firstrecv = nullptr;
  int** sendlist = nullptr;
  int* sendproc = nullptr;
  int* recvproc = nullptr;
  void* world = nullptr;
  int mask = 0xFFFFFFFF;
  int* mapping = nullptr;
  int nprocs = 1;
  // Exchange of features with the processes that own the ghosts (own addition): `rows` has `width` numbers
  // for every local atom and ghost; forward overwrites those of ghosts with those of their owners, reverse
  // adds those of ghosts to their owners. Both return 0 on success.
  void* engine = nullptr;
  int (*forward_rows)(void* engine, double* rows, int width) = nullptr;
  int (*reverse_rows)(void* engine, double* rows, int width) = nullptr;

  InputNlist() = default;
  InputNlist(int inum_, int* ilist_, int* numneigh_, int** firstneigh_)
      : inum(inum_), ilist(ilist_), numneigh(numneigh_), firstneigh(firstneigh_) {}
  InputNlist(int inum_, int* ilist_, int* numneigh_, int** firstneigh_, int nswap_, int* sendnum_,
             int* recvnum_, int* firstrecv_, int** sendlist_, int* sendproc_, int* recvproc_, void* world_,
             int nprocs_ = 1)
      : inum(inum_),
        ilist(ilist_),
        numneigh(numneigh_),
        firstneigh(firstneigh_),
        nswap(nswap_),
        sendnum(sendnum_),
        recvnum(recvnum_),
        firstrecv(firstrecv_),
        sendlist(sendlist_),
        sendproc(sendproc_),
        recvproc(recvproc_),
        world(world_),
        nprocs(nprocs_) {}
  void set_mask(int mask_) { mask = mask_; }
  /// The local atom that every atom is an image of, for models that pass messages, in one process.
  void set_mapping(int* mapping_) { mapping = mapping_; }
  /// The same with several processes.
  void set_exchange(void* engine_, int (*forward)(void*, double*, int), int (*reverse)(void*, double*, int)) {
    engine = engine_;
    forward_rows = forward;
    reverse_rows = reverse;
  }
  bool has_exchange() const { return forward_rows && reverse_rows; }
};

/// Points `to_nlist` (whose three arrays have room for from_nlist.size() entries) to the rows of
/// `from_nlist`.
void convert_nlist(InputNlist& to_nlist, std::vector<std::vector<int>>& from_nlist);

/// The longest row.
int max_numneigh(const InputNlist& nlist);

}  // namespace deepmd

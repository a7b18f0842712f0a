#pragma once

#include <vector>

#include "AtomMap.h"

namespace deepmd {

/// A neighbor list in the layout of LAMMPS: row k belongs to atom ilist[k] and holds numneigh[k] indices
/// firstneigh[k][...]. All pointers are borrowed. Indices run over local and ghost atoms; every index is
/// AND-ed with `mask` when it is read.
struct InputNlist {
  int inum = 0;
  int* ilist = nullptr;
  int* numneigh = nullptr;
  int** firstneigh = nullptr;
  // Communication pattern of the engine, for models that exchange features between ranks: in swap s the rows
  // sendlist[s] go to process sendproc[s], and recvnum[s] rows of process recvproc[s] are put from row
  // firstrecv[s] on. `world` points to the MPI communicator; nprocs is taken from it.
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

/// A neighbor list with storage of its own: row k belongs to atom ilist[k] and is jlist[k].
struct NeighborListData {
  std::vector<int> ilist;
  std::vector<std::vector<int>> jlist;
  // What make_inlist() hands out.
  std::vector<int> numneigh;
  std::vector<int*> firstneigh;

  /// Copies the rows, with the mask taken off.
  void copy_from_nlist(const InputNlist& inlist);
  /// To the order of the sorted local atoms; indices of ghosts stay.
  void shuffle(const AtomMap& map);
  /// Renames atom i to fwd_map[i]; indices beyond the map stay.
  void shuffle(const std::vector<int>& fwd_map);
  /// The same, and leaves out rows and neighbors whose fwd_map is negative.
  void shuffle_exclude_empty(const std::vector<int>& fwd_map);
  /// Points a list to this data, which has to outlive it.
  void make_inlist(InputNlist& inlist);
};

/// Points `to_nlist` (whose three arrays have room for from_nlist.size() entries) to the rows of
/// `from_nlist`.
void convert_nlist(InputNlist& to_nlist, std::vector<std::vector<int>>& from_nlist);

/// The longest row.
int max_numneigh(const InputNlist& nlist);

}  // namespace deepmd

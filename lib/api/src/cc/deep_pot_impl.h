#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common.h"
#include "dptf/list_extras.h"
#include "memory_blocks.h"
#include "model_head.h"
#include "swap_exchange.h"

namespace deepmd {

/// Atoms that take part, their order by type, and a private copy of the neighbor list in that order.
struct LocalOrder {
  std::vector<int> fwd, bkw;  // real atoms: old -> new index or -1, new -> old
  int nloc = 0, nghost = 0;   // real ones
  AtomMap sorted;             // of the real local atoms
  std::vector<int> ilist, numneigh, neighbors;
  std::vector<int*> firstneigh;

  void build(const int* atype, int natoms, int nghost_all, int ntypes);
  void copy_list(const InputNlist& list);
  /// An atom without type and neighbors, for processes that own nothing but take part in an exchange.
  void add_virtual_atom();
  /// Owners of all atoms in the order of the graph.
  std::vector<int> owners(const int* mapping) const;
  /// Caller's index of the atom at place k of the graph's order (local atoms sorted, then ghosts); -1 for a
  /// virtual one.
  int atom_at(int k) const { return bkw[k < nloc ? sorted.get_bkw_map()[k] : k]; }
};

/// Hands rows in the order of the graph to an engine, which sees its own order.
struct RowExchange {
  const LocalOrder* order = nullptr;
  void* engine = nullptr;
  int (*forward_rows)(void* engine, double* rows, int width) = nullptr;
  int (*reverse_rows)(void* engine, double* rows, int width) = nullptr;
  std::vector<double> rows;
  int calls = 0;  // since the last list was prepared
  static int forward(void* self, double* rows, int width);
  static int reverse(void* self, double* rows, int width);

 private:
  void put(const double* from, int width);
  void take(double* to, int width, int begin, int end) const;
};

/// Where the results of an evaluation go; what is null is not evaluated.
template <typename VALUETYPE>
struct PotResults {
  ENERGYTYPE* ener = nullptr;                                // [nframes]
  VALUETYPE *force = nullptr, *virial = nullptr;             // [nframes, natoms, 3], [nframes, 9]
  VALUETYPE *atom_energy = nullptr, *atom_virial = nullptr;  // [nframes, natoms], [nframes, natoms, 9]
  const char* node = nullptr;                                // a further node of one number per local atom
  VALUETYPE* at_node = nullptr;                              // [nframes, natoms], 0 for ghosts
};

class DeepPotImpl : public ModelHead {
 public:
  DeepPotImpl(const std::string& model, int gpu_rank, const std::string& content,
              const std::string& precision = "");

  template <typename VALUETYPE>
  void compute(int nframes, int natoms, const VALUETYPE* coord, const int* atype, const VALUETYPE* box,
               int nghost, const InputNlist* list, int ago, const std::vector<VALUETYPE>& fparam,
               const std::vector<VALUETYPE>& aparam, const std::vector<double>& charge_spin, bool mixed,
               const PotResults<VALUETYPE>& to);

 private:
  /// One run of the graph.
  template <typename VALUETYPE>
  void compute_whole(int nframes, int natoms, const VALUETYPE* coord, const int* atype, const VALUETYPE* box,
                     int nghost, const InputNlist* list, int ago, const std::vector<VALUETYPE>& fparam,
                     const std::vector<VALUETYPE>& aparam, const std::vector<double>& charge_spin, bool mixed,
                     const PotResults<VALUETYPE>& to);
  template <typename FP, typename VALUETYPE>
  void evaluate(int nframes, int natoms, const VALUETYPE* coord, const int* atype, const VALUETYPE* box,
                int nghost, bool has_list, int ago, const std::vector<VALUETYPE>& fparam,
                const std::vector<VALUETYPE>& aparam, const std::vector<double>& charge_spin, bool mixed,
                const PotResults<VALUETYPE>& to);
  /// The same for one frame, some atoms at a time: with their neighbors as ghosts they are a problem of their
  /// own, but for the features of these.
  template <typename VALUETYPE>
  void compute_blocks(int natoms, const VALUETYPE* coord, const int* atype, const VALUETYPE* box, int nghost,
                      const InputNlist& list, const std::vector<VALUETYPE>& fparam,
                      const std::vector<VALUETYPE>& aparam, const std::vector<double>& charge_spin,
                      const PotResults<VALUETYPE>& to);
  /// The same without a list of the caller.
  template <typename VALUETYPE>
  void compute_listed(int natoms, const VALUETYPE* coord, const int* atype, const VALUETYPE* box,
                      const std::vector<VALUETYPE>& fparam, const std::vector<VALUETYPE>& aparam,
                      const std::vector<double>& charge_spin, const PotResults<VALUETYPE>& to);
  /// Rows that the features of the caller's atoms have in the tables of blocks, and their number.
  std::pair<std::vector<int>, int> table_rows(int natoms, const int* atype, int nghost,
                                              const InputNlist& list) const;
  /// Atoms of the first blocks; throws where the tables do not fit. Tells once that there are blocks.
  int first_size(int nloc, const Relay& relay);
  void set_engine(const InputNlist& list);
  void prepare_messages(const InputNlist& list);
  LocalOrder order_;
  dptf::ListExtras extras_;
  RowExchange exchange_;
  SwapExchange swaps_;
  std::vector<int> owners_;
  bool have_list_ = false, told_blocks_ = false;
  int in_blocks_ = -1;  // atoms of the last frame where it was evaluated in blocks
  // While a frame is evaluated in blocks.
  Relay* relay_ = nullptr;
  const ListBlock* block_ = nullptr;
};

}  // namespace deepmd

#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common.h"
#include "graph_runner.h"

namespace deepmd {

/// Bytes of DPTF_MEMORY, or of a share of the free memory, divided among the processes of the machine; 0
/// where neither is known.
double memory_limit(double share);

/// Atoms that may be evaluated at once: as many as fit in DPTF_MEMORY (bytes, or with a unit: 500M, 4G), or
/// in a share of the free memory. At least 1; natoms where all fit.
int atoms_per_block(int natoms, double bytes_per_atom, double share = 0.5);

/// Throws where the atoms of a model that is not evaluated in blocks do not fit in DPTF_MEMORY.
void check_whole(int natoms, double bytes_per_atom, const std::string& model);

/// Some rows of a neighbor list as a problem of its own: their atoms, then all neighbors as ghosts.
struct ListBlock {
  std::vector<int> atoms;  // caller's index of every atom, the local ones first
  int nloc = 0;
  std::vector<int> ilist, numneigh, neighbors;
  std::vector<int*> firstneigh;

  /// The given rows of a list over natoms atoms; `place` is [natoms], -1 everywhere, and left so.
  ListBlock(const InputNlist& list, const std::vector<int>& rows, int natoms, std::vector<int>* place);
  InputNlist list();
};

/// A frame with periodic images (box may be null) as a problem with ghosts: the list that graphs make
/// themselves.
template <typename V>
struct OwnList {
  std::vector<V> coord;
  std::vector<int> type, mapping;  // of atoms and images
  std::vector<int> ilist, numneigh, neighbors;
  std::vector<int*> firstneigh;

  OwnList(const V* coord, const int* type, int natoms, const V* box, double rcut);
  InputNlist list();
};

/// Features of atoms that blocks read of each other (message passing), one table after the other: that of
/// exchange k is made by evaluating its input for all blocks, with the tables before fed.
class Relay {
 public:
  using Feeds = std::vector<std::pair<std::string, tensorflow::Tensor>>;

  /// `row` is the row of every atom of the caller, `rows` their number; ghosts may share that of their owner.
  /// `width` is that of tables to which no block has anything to give.
  Relay(std::vector<ExchangeNode> links, std::vector<int> row, int rows, int width)
      : links_(std::move(links)), row_(std::move(row)), rows_(rows), width_(width) {}
  size_t size() const { return links_.size(); }
  /// Bytes of all tables, with so many numbers in a row.
  double bytes(int width) const;

  bool complete() const { return tables_.size() == links_.size(); }
  const ExchangeNode& next() const { return links_[tables_.size()]; }
  /// The rows of atoms (local ones first) of the tables made so far.
  void feed(const std::vector<int>& atoms, int nloc, Feeds* feeds) const;
  /// The input of the next exchange for a block.
  void put(const tensorflow::Tensor& x, const std::vector<int>& atoms, int nloc);
  /// All blocks gave theirs: complete(rows, width) may complete the sums by those of other processes.
  template <typename F>
  void finish(const F& complete) {
    sum_.resize(static_cast<size_t>(rows_) * width_);
    complete(sum_.data(), width_);
    keep();
  }

 private:
  void keep();
  std::vector<ExchangeNode> links_;
  std::vector<int> row_;
  int rows_ = 0, width_ = 0;
  std::vector<double> sum_;  // [rows, width] of the exchange that is being made
  std::vector<tensorflow::Tensor> tables_;
};

}  // namespace deepmd

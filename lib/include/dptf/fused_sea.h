#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "dptf/attention.h"
#include "dptf/dense_net.h"
#include "dptf/embed_table.h"
#include "dptf/env_mat.h"
#include "dptf/parallel.h"

namespace dptf {

/// What the fitting nets give, with R the angular part (width, 3) of A of an atom and y the outputs: an
/// energy; a dipole y R; a polarizability R^T diag(y) R or R^T (Y + Y^T) R; the outputs themselves.
enum class SeaHead { energy, dipole, polar_diagonal, polar, vector };

/// Attention layers of se_atten, which mix the embeddings of an atom's neighbors; without layers there are
/// none.
struct SeaAttention {
  AttentionForm form;
  bool directions = true;    // the weights are multiplied with cosines between neighbors
  double switch_length = 0;  // of the switch 1 - (1 - length w/r)^3, where the form is smooth
  int64_t hidden = 0;
  std::vector<std::vector<double>>
      layers;  // ten arrays of each in the order of AttentionWeights, one after another
};

/// Constants of a model with the se_e2_a descriptor, or with se_atten, as they stand in a frozen
/// graph.
struct SeaModel {
  SeaHead head = SeaHead::energy;
  int ntypes = 0;
  std::vector<int> sel;  // slots of each type, or
  int mixed_sel = 0;     // slots for the nearest neighbors of any type
  float rcut = 0, rcut_smth = 0;
  int axis = 0;
  std::vector<double> davg, dstd;  // [ntypes, ntypes (blocks of sel), 4]
  std::vector<EmbedNet> nets;
  std::vector<int> net_of;  // [ntypes, ntypes]; -1: the pair contributes nothing
  // Nets of the empty slots of a mixed list, [ntypes] or none; the slots of a type have the net of the pair.
  std::vector<EmbedNet> empty;
  std::vector<std::vector<DenseLayerWeights<double>>> fitting;  // of each type; none: it has no property
  // E_i = (net + bias) scale + shift, [ntypes]; a polarizability is scaled, and shift is added to its
  // diagonal.
  std::vector<double> bias, scale, shift;
  std::vector<double> fparam_avg, fparam_istd, aparam_avg, aparam_istd;
  // Variances of atoms are |phi L|^2, phi what enters the last layer; L of each type, [ntypes, n, n] with n
  // the widest phi, or empty. Their means over neighbors have weights (1 - (r / reach)^2)^exponent; reach 0:
  // the atom alone; at most the cutoff.
  std::vector<double> factors;
  double reach = 0, exponent = 1;
  SeaAttention attention;
  double min_distance = 0.5;  // Å; tables reach to it, closer neighbors are evaluated exactly
};

/// Atoms of all frames and the neighbor list, as the graph's inputs give them.
template <typename T>
struct SeaInput {
  int64_t nf = 0, nloc = 0, nall = 0;
  const T *coord = nullptr, *box = nullptr;  // [nf, nall, 3], [nf, 9]
  const int* type = nullptr;                 // [nf, nall]
  bool periodic = false;
  const ExternalList* list = nullptr;
  const T *fparam = nullptr, *aparam = nullptr;  // [nf, dim], [nf, nloc, dim]
  // What the property of an atom is multiplied with, [nf, nloc, dim], where its derivatives are wanted:
  // forces and virials are those of the sum of the products.
  const double* cotangent = nullptr;
};

/// Null: not wanted. energy [nf] eV, force [nf, nall, 3] eV/Å, virial [nf, 9] eV, atom_energy [nf, nloc],
/// atom_virial [nf, nall, 9] on the neighbor, features [nf, nloc, n]: what enters the last layer, variance
/// and its mean over an atom and its local neighbors [nf, nloc].
template <typename T>
struct SeaOutput {
  double* energy = nullptr;
  T *force = nullptr, *virial = nullptr, *atom_energy = nullptr, *atom_virial = nullptr;
  double *features = nullptr, *variance = nullptr, *mean_variance = nullptr;
  double* property = nullptr;  // [nf, nloc, dim], where it is no energy
};

/// The whole model from positions to forces in blocks of atoms: environment rows, tabulated contraction,
/// descriptor, fitting net, and the way back. Within a piece of a table the contraction is a sum of products
/// of the neighbors' moments and the coefficients of the piece, so its cost hardly grows with the number of
/// neighbors. Nothing is stored for a neighbor beyond its block; rows and their derivatives are formed twice.
/// C is the type that is computed in; sums over atoms are double.
template <typename C>
class FusedSea {
 public:
  explicit FusedSea(SeaModel model);
  ~FusedSea();

  /// Returns the number of neighbors that found no slot (sel exceeded). Throws std::invalid_argument on bad
  /// input. The result depends on `threads` only through the order of sums.
  template <typename T>
  int64_t evaluate(const SeaInput<T>& in, const SeaOutput<T>& out, int threads, const ParallelFor& parallel);

  /// Largest number of features of an atom; where a type has fewer, the rest is zero.
  int64_t n_features() const;
  /// Numbers of the property of an atom.
  int64_t dim() const;
  bool has_variance() const { return !m_.factors.empty(); }
  /// Largest relative interpolation error of the tables.
  double table_error() const;
  int64_t table_bytes() const;

 private:
  struct Worker;
  template <typename T>
  struct Frame;
  struct PadTerm {
    bool used = false;
    std::vector<C> a;  // [4, stride]: what one empty slot adds
  };
  struct Lookup {
    const int* piece_of = nullptr;  // of a bin; nullptr: the pair contributes nothing
    int64_t bins = 0;
    double x0 = 0, inv_bin = 1;
    const double* ends = nullptr;  // of pieces that end within bins
    int pieces = 0;
  };

  void make_tables();
  void make_lookup();
  void make_pads();
  void make_fitting();
  void make_factors();
  void make_attention();
  void attend(int b, int64_t g0, int64_t base, C* a, Worker& w) const;
  void attend_back(int b, int64_t g0, int64_t n_groups, const C* da, Worker& w) const;
  template <typename T>
  int64_t evaluate_frame(const SeaInput<T>& in, const SeaOutput<T>& out, int64_t frame, int parts,
                         const ParallelFor& parallel);
  template <typename T>
  void sum_parts(const SeaInput<T>& in, const SeaOutput<T>& out, int64_t frame,
                 const std::vector<std::unique_ptr<Worker>>& workers, const ParallelFor& parallel) const;
  void order_atoms(const int* type, int64_t nloc, Worker& w) const;
  template <typename T, typename Visit>
  void block(const Frame<T>& frame, int type, const int* atoms, int n, const Visit& visit, Worker& w);
  template <typename T, typename Visit>
  void gather(const Frame<T>& frame, int i, int ti, const Visit& visit, Worker& w);
  void evaluate_property(int ti, const int* atoms, int n, double* property, const double* cotangent,
                         Worker& w) const;
  void multiply_by_outputs(const C* y, const C* a, C* q) const;
  void add_direct(int ti, int b, int n, const double* cotangent, Worker& w) const;
  void limit_to_sel(const double* coord, int i, const int* type, Worker& w);
  void sort_into_groups(int ti, Worker& w);
  void weigh_neighbors(const int* target, int64_t nloc, double* sum, Worker& w) const;
  void add_variances(int ti, const int* atoms, int n, double* variance, bool mean, Worker& w) const;
  std::unique_ptr<Worker> borrow();
  void give_back(std::unique_ptr<Worker> w);

  SeaModel m_;
  int nnei_ = 0, functions_ = kBasis;
  int64_t width_ = 0, stride_ = 0, packed_ = 0, dim_fparam_ = 0, dim_aparam_ = 0;
  std::vector<C> avg_, inv_std_;
  std::vector<EmbedTable<C>> tables_;
  std::vector<Lookup> lookup_;        // [ntypes, ntypes]
  std::vector<int64_t> first_piece_;  // [ntypes, ntypes + 1]: pieces of a center's pairs, counted up
  std::vector<PadTerm> pads_;         // [ntypes, ntypes]
  std::vector<DenseNet<C>> fitting_;
  std::vector<PackedAttention<C>> attention_;
  std::vector<AlignedVector<double>> factors_;  // of each type, packed
  std::mutex mutex_;
  std::vector<std::unique_ptr<Worker>> idle_;
};

}  // namespace dptf

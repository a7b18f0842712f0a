#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dptf/aligned.h"
#include "dptf/tabulate_element.h"

namespace dptf {

/// One layer of an embedding net, row-major matrix [n_in, n_out]; idt may be empty. A layer
/// whose width equals its input (or twice its input) adds it (or it twice).
struct EmbedLayer {
  int64_t n_in = 1, n_out = 0;
  std::vector<double> matrix, bias, idt;
};

/// Consecutive rows of a table that is made from a net: `count` intervals of length `spacing` (the last one
/// to `end`) from `begin` on, in a table where they are as long as `width`.
struct TableRun {
  double begin = 0, spacing = 1;
  int64_t count = 0;
  double end = 1, width = 1;
};

/// An embedding net of one number, as layers or (in compressed models) as a table, which is stored or made
/// from the layers.
struct EmbedNet {
  std::vector<EmbedLayer> layers;
  int activation = 1;
  double threshold = 3;        // of silut, activation 8
  std::vector<double> rest;    // the inputs of the first layer beside the one number, fixed
  std::vector<double> stored;  // [grid.rows, width, 6], or empty: rows are made when they are wanted
  std::vector<TableRun> runs;  // of a table that is made from the layers
  TableGrid<double> grid;      // of a table
  // With a factor f (width) of a pair of types the net stands for g(x) (1 + f s), s = 1 or, where there is a
  // length r_s, the switch 1 - (1 - r_s (x deviation + mean))^3, at most 1.
  std::vector<double> factor;
  double switch_length = 0, switch_mean = 0, switch_deviation = 1;
  bool is_stored() const { return grid.rows > 0; }
  int64_t width() const {
    return stored.empty() ? (layers.empty() ? 0 : layers.back().n_out)
                          : static_cast<int64_t>(stored.size()) / (6 * grid.rows);
  }
  /// Whether the net consists of straight lines.
  bool is_straight() const;
  /// Places between low and high where a net of layers is not smooth, in order.
  std::vector<double> kinks(double low, double high) const;
  /// Rows begin to end of the table that the layers make with these runs, [rows, width, 6].
  template <typename T>
  void make_rows(const std::vector<TableRun>& of, int64_t begin, int64_t end, T* out) const;
  /// Value, first and second derivative at n arguments: out [n, 3, width].
  void jets(const double* x, int64_t n, double* out) const;
  /// The same of the layers, whatever the table says.
  void layer_jets(const double* x, int64_t n, double* out) const;
  /// Where the switch ends, in its third derivative; not a number without one.
  double bend() const;

 private:
  void plain_jets(const double* x, int64_t n, double* out) const;
};

/// Functions that a piece is a combination of, in h = (x - center) inv_half of [-1, 1]: T_p(h) for p < 8,
/// then T_8(h) T_p(h), with the Chebyshev polynomials T_p. They span the polynomials of degree 15, and the
/// second half follows from the first by one product.
constexpr int kBasis = 16;

/// An embedding net in few wide pieces of high degree, so that the sums over neighbors are sums of the 16
/// functions, and what is used of the table stays in the caches next to the core. Pieces are as wide as the
/// error allows; those of a stored net begin and end where its own do, and a single piece of it is exact;
/// those of a net that is not smooth begin and end where its kinks are.
template <typename T>
struct EmbedTable {
  EmbedNet net;
  double x0 = 0, bin = 1;     // pieces lie on equal bins from x0 on
  std::vector<int> piece_of;  // of a bin; -1: arguments there are evaluated exactly
  std::vector<T> center, inv_half;
  std::vector<double> ends;  // upper ends of pieces that end within bins; piece_of is the first one of a bin
  int functions = kBasis;    // leading functions that are used: two where pieces are straight
  int64_t stride = 0;        // width rounded up for the vector loops, padded with zeros
  AlignedVector<T> rows;     // [pieces, kBasis, stride]
  AlignedVector<T> columns;  // the same as [pieces, stride, kBasis]
  double error = 0;          // largest deviation of value and slope, relative to their largest size

  /// Coefficients of a straight line that is exact at x, in value and slope (center x, inv_half 1), in both
  /// layouts.
  void exact_piece(double x, T* rows, T* columns) const;
};

/// Table over [low, high] (a stored net: over its fine part), in at most max_bins bins. Pieces are halved
/// until the relative error of value and slope is below the tolerances.
template <typename T>
EmbedTable<T> embed_table(EmbedNet net, double low, double high, double value_tolerance,
                          double slope_tolerance, int64_t max_bins);

}  // namespace dptf

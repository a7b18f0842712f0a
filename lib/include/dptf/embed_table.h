#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dptf/aligned.h"
#include "dptf/tabulate_element.h"

namespace dptf {

/// One layer of an embedding net of one number, row-major matrix [n_in, n_out]; idt may be empty. A layer
/// whose width equals its input (or twice its input) adds it (or it twice).
struct EmbedLayer {
  int64_t n_in = 1, n_out = 0;
  std::vector<double> matrix, bias, idt;
};

/// An embedding net of one number, as layers or (in compressed models) as a stored table.
struct EmbedNet {
  std::vector<EmbedLayer> layers;
  int activation = 1;
  std::vector<double> stored;  // [grid.rows, width, 6]
  TableGrid<double> grid;
  bool is_stored() const { return !stored.empty(); }
  int64_t width() const {
    return is_stored() ? static_cast<int64_t>(stored.size()) / (6 * grid.rows)
                       : (layers.empty() ? 0 : layers.back().n_out);
  }
  /// Value, first and second derivative at n arguments: out [n, 3, width].
  void jets(const double* x, int64_t n, double* out) const;
};

/// An embedding net as quintic Hermite pieces on a uniform grid, exact outside of it. A stored net is a sum
/// of such pieces already: its grid is kept, or thinned out as far as the error allows; where
/// rounding spoiled the joints its polynomials are kept as they are.
template <typename T>
struct EmbedTable {
  EmbedNet net;
  double x0 = 0, h = 1;
  int64_t n_nodes = 0, stride = 0;  // stride: width rounded up for the vector loops, padded with zeros
  AlignedVector<T> nodes;           // [n_nodes, 3, stride]; with `powers` [n_nodes - 1, 6, stride]
  bool powers = false;              // pieces are polynomials that do not join smoothly (stored in float32)
  double error = 0;  // largest deviation of value and slope between nodes, relative to their largest size

  bool covers(T x) const {
    return x >= T(x0) && x <= static_cast<T>(x0 + h * static_cast<double>(n_nodes - 1));
  }
  /// A single piece that is exact at x: its left node is x itself, to be used with t = 0. piece: [2, 3,
  /// stride].
  void exact_piece(T x, T* piece) const;
};

/// Grid over [low, high] with the spacing halved until the interpolation error is below `tolerance`, at most
/// max_nodes nodes. The range of a stored net is that of its fine part.
template <typename T>
EmbedTable<T> embed_table(const EmbedNet& net, double low, double high, double tolerance, int64_t max_nodes);

}  // namespace dptf

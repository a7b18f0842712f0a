#include "memory_blocks.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "dptf/memory_size.h"
#include "dptf/neighbor_search.h"

namespace deepmd {
namespace {

/// Bytes of DPTF_MEMORY, 0 without it.
double budget() {
  const double value = dptf::given_memory();
  if (value < 0)
    throw deepmd_exception(std::string("DPTF_MEMORY is '") + std::getenv("DPTF_MEMORY") +
                           "'; give bytes, for instance 4G or 500M");
  return value;
}

}  // namespace

double memory_limit(double share) {
  const double limit = budget();
  return limit > 0 ? limit : share * dptf::memory_info("MemAvailable:") / dptf::processes_here();
}

int atoms_per_block(int natoms, double bytes_per_atom, double share) {
  if (!(bytes_per_atom > 0)) return natoms;
  const double limit = memory_limit(share), atoms = limit / bytes_per_atom;
  return limit == 0 || atoms >= natoms ? natoms : std::max(1, static_cast<int>(atoms));
}

void check_whole(int natoms, double bytes_per_atom, const std::string& model) {
  const double limit = budget(), need = natoms * bytes_per_atom;
  if (limit == 0 || need <= limit) return;
  char text[200];
  std::snprintf(text, sizeof text, "%d atoms need about %.3g GB of memory, DPTF_MEMORY allows %.3g GB",
                natoms, need * 1e-9, limit * 1e-9);
  throw deepmd_exception(model + ": " + text +
                         ". Several frames at once, spins, fields and parameters of ghosts are not evaluated "
                         "in blocks of atoms: use fewer atoms, or more ranks");
}

ListBlock::ListBlock(const InputNlist& from, const std::vector<int>& rows, int natoms,
                     std::vector<int>* place)
    : nloc(static_cast<int>(rows.size())) {
  auto& at = *place;
  for (const int row : rows) {
    const int i = from.ilist[row];
    if (i < 0 || i >= natoms || at[i] >= 0)
      throw deepmd_exception("row " + std::to_string(row) + " of the neighbor list is for atom " +
                             std::to_string(i) + " of " + std::to_string(natoms) + ", or names it again");
    at[i] = static_cast<int>(atoms.size());
    atoms.push_back(i);
  }
  std::vector<size_t> start;
  for (const int row : rows) {
    start.push_back(neighbors.size());
    for (int n = 0; n < from.numneigh[row]; ++n) {
      const int j = from.firstneigh[row][n] & from.mask;
      if (j < 0 || j >= natoms)
        throw deepmd_exception("the neighbor list of atom " + std::to_string(from.ilist[row]) +
                               " names atom " + std::to_string(j) + " of " + std::to_string(natoms));
      if (at[j] < 0) {
        at[j] = static_cast<int>(atoms.size());
        atoms.push_back(j);
      }
      neighbors.push_back(at[j]);
    }
    ilist.push_back(static_cast<int>(ilist.size()));
    numneigh.push_back(from.numneigh[row]);
  }
  for (size_t s : start) firstneigh.push_back(neighbors.data() + s);
  for (int i : atoms) at[i] = -1;
}

template <typename V>
OwnList<V>::OwnList(const V* x, const int* types, int natoms, const V* box, double rcut) {
  // A little more than the cutoff: the graph decides who is a neighbor.
  const double reach = rcut * (1 + 1e-6) + 1e-6;
  dptf::ExtendedFrame frame;
  try {
    frame = dptf::extend_frame(x, types, natoms, box, reach);
  } catch (const std::invalid_argument& e) {
    throw deepmd_exception(e.what());
  }
  coord.assign(frame.coord.begin(), frame.coord.end());
  type = std::move(frame.type);
  mapping = std::move(frame.mapping);
  const dptf::CellList cells(frame.coord.data(), static_cast<int64_t>(type.size()), reach);
  for (int i = 0; i < natoms; ++i) {
    const size_t before = neighbors.size();
    cells.visit(&frame.coord[3 * static_cast<size_t>(i)], [&](int j, double) {
      if (j != i) neighbors.push_back(j);
    });
    ilist.push_back(i);
    numneigh.push_back(static_cast<int>(neighbors.size() - before));
  }
  int* row = neighbors.data();
  for (const int n : numneigh) {
    firstneigh.push_back(row);
    row += n;
  }
}

template <typename V>
InputNlist OwnList<V>::list() {
  InputNlist out(static_cast<int>(ilist.size()), ilist.data(), numneigh.data(), firstneigh.data());
  out.set_mapping(mapping.data());
  return out;
}
template struct OwnList<double>;
template struct OwnList<float>;

double Relay::bytes(int width) const {
  double numbers = 0;
  for (const auto& link : links_) numbers += tensorflow::DataTypeSize(link.type);
  return numbers * width * rows_;
}

void Relay::feed(const std::vector<int>& atoms, int nloc, Feeds* feeds) const {
  for (size_t j = 0; j < tables_.size(); ++j) {
    const size_t n = links_[j].adjoint ? nloc : atoms.size();
    const int64_t width = tables_[j].dim_size(1);
    tensorflow::Tensor rows(links_[j].type, tensorflow::TensorShape({static_cast<int64_t>(n), width}));
    const size_t bytes = width * tensorflow::DataTypeSize(links_[j].type);
    const char* const from = tables_[j].tensor_data().data();
    char* const to = const_cast<char*>(rows.tensor_data().data());
    for (size_t k = 0; k < n; ++k) std::memcpy(to + k * bytes, from + row_[atoms[k]] * bytes, bytes);
    feeds->emplace_back(links_[j].name, rows);
  }
}

void Relay::put(const tensorflow::Tensor& x, const std::vector<int>& atoms, int nloc) {
  const bool adjoint = next().adjoint;
  const size_t n = adjoint ? atoms.size() : nloc;
  if (x.dims() != 2 || x.dim_size(0) != static_cast<int64_t>(n))
    throw deepmd_exception("features at " + next().name + " have no row for every atom of a block");
  width_ = static_cast<int>(x.dim_size(1));
  sum_.resize(static_cast<size_t>(rows_) * width_);
  const auto add = [&](const auto* from) {
    for (size_t k = 0; k < n; ++k)
      for (int d = 0; d < width_; ++d) {
        double& to = sum_[static_cast<size_t>(row_[atoms[k]]) * width_ + d];
        to = (adjoint ? to : 0.0) + from[k * width_ + d];
      }
  };
  if (x.dtype() == tensorflow::DT_FLOAT)
    add(x.flat<float>().data());
  else
    add(x.flat<double>().data());
}

void Relay::keep() {
  tensorflow::Tensor table(next().type, tensorflow::TensorShape({rows_, width_}));
  if (next().type == tensorflow::DT_FLOAT)
    std::copy(sum_.begin(), sum_.end(), table.flat<float>().data());
  else
    std::copy(sum_.begin(), sum_.end(), table.flat<double>().data());
  tables_.push_back(table);
  sum_.clear();
}

InputNlist ListBlock::list() { return InputNlist(nloc, ilist.data(), numneigh.data(), firstneigh.data()); }

}  // namespace deepmd

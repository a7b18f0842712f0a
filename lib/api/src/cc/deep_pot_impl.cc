#include "deep_pot_impl.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "dptf/atom_blocks.h"

namespace deepmd {

using tensorflow::Tensor;
using tensorflow::TensorShape;

void LocalOrder::build(const int* atype, int natoms, int nghost_all, int ntypes) {
  const std::vector<int> types(atype, atype + natoms);
  select_real_atoms(fwd, bkw, nghost, {}, types, nghost_all, ntypes);
  nloc = static_cast<int>(bkw.size()) - nghost;
  std::vector<int> local(nloc);
  for (int k = 0; k < nloc; ++k) local[k] = types[bkw[k]];
  sorted = AtomMap(local.begin(), local.end());
}

void LocalOrder::copy_list(const InputNlist& list) {
  ilist.resize(nloc);
  numneigh.assign(nloc, 0);
  firstneigh.resize(nloc);
  size_t total = 0;
  for (int k = 0; k < list.inum; ++k) total += list.numneigh[k];
  neighbors.clear();
  neighbors.reserve(total);
  std::vector<size_t> start(nloc);
  int rows = 0;
  const int natoms = static_cast<int>(fwd.size());
  // Place in the graph's order of every atom of the caller, -1 for ignored ones.
  std::vector<int> place(natoms);
  for (int i = 0; i < natoms; ++i)
    place[i] = fwd[i] < 0 || fwd[i] >= nloc ? fwd[i] : sorted.get_fwd_map()[fwd[i]];
  for (int k = 0; k < list.inum; ++k) {
    const int i = list.ilist[k];
    if (i < 0 || i >= natoms || (fwd[i] >= nloc))
      throw deepmd_exception("row " + std::to_string(k) + " of the neighbor list is for atom " +
                             std::to_string(i) + ", which is not a local atom");
    if (fwd[i] < 0) continue;
    ilist[rows] = place[i];
    start[rows] = neighbors.size();
    for (int n = 0; n < list.numneigh[k]; ++n) {
      const int j = list.firstneigh[k][n] & list.mask;
      if (j < 0 || j >= natoms)
        throw deepmd_exception("the neighbor list of atom " + std::to_string(i) + " names atom " +
                               std::to_string(j) + " of " + std::to_string(natoms));
      if (place[j] >= 0) neighbors.push_back(place[j]);
    }
    numneigh[rows] = static_cast<int>(neighbors.size() - start[rows]);
    ++rows;
  }
  if (rows != nloc)
    throw deepmd_exception("the neighbor list has rows for " + std::to_string(rows) + " of " +
                           std::to_string(nloc) + " local atoms");
  for (int k = 0; k < nloc; ++k) firstneigh[k] = neighbors.data() + start[k];
}

void LocalOrder::add_virtual_atom() {
  for (int& f : fwd)
    if (f >= 0) ++f;
  bkw.insert(bkw.begin(), -1);
  nloc = 1;
  const std::vector<int> types(1, 0);
  sorted = AtomMap(types.begin(), types.end());
  ilist.assign(1, 0);
  numneigh.assign(1, 0);
  firstneigh.assign(1, neighbors.data());
}

std::vector<int> LocalOrder::owners(const int* mapping) const {
  std::vector<int> out(nloc + nghost);
  for (int k = 0; k < nloc + nghost; ++k) {
    const int i = atom_at(k), owner = k < nloc ? i : mapping[i];
    if (owner < 0 || owner >= static_cast<int>(fwd.size()) || fwd[owner] < 0 || fwd[owner] >= nloc)
      throw deepmd_exception("the mapping says that atom " + std::to_string(i) + " is an image of atom " +
                             std::to_string(owner) + ", which is not a local atom");
    out[k] = sorted.get_fwd_map()[fwd[owner]];
  }
  return out;
}

void RowExchange::put(const double* from, int width) {
  rows.assign(order->fwd.size() * width, 0.0);
  for (int k = 0; k < order->nloc + order->nghost; ++k)
    if (order->atom_at(k) >= 0)
      std::copy(from + static_cast<size_t>(k) * width, from + static_cast<size_t>(k + 1) * width,
                rows.begin() + static_cast<size_t>(order->atom_at(k)) * width);
}

void RowExchange::take(double* to, int width, int begin, int end) const {
  for (int k = begin; k < end; ++k) {
    const int i = order->atom_at(k);
    if (i >= 0)
      std::copy(rows.begin() + static_cast<size_t>(i) * width,
                rows.begin() + static_cast<size_t>(i + 1) * width, to + static_cast<size_t>(k) * width);
  }
}

int RowExchange::forward(void* self, double* rows, int width) {
  auto* x = static_cast<RowExchange*>(self);
  ++x->calls;
  x->put(rows, width);
  const int code = x->forward_rows(x->engine, x->rows.data(), width);
  x->take(rows, width, x->order->nloc, x->order->nloc + x->order->nghost);
  return code;
}

int RowExchange::reverse(void* self, double* rows, int width) {
  auto* x = static_cast<RowExchange*>(self);
  ++x->calls;
  x->put(rows, width);
  const int code = x->reverse_rows(x->engine, x->rows.data(), width);
  x->take(rows, width, 0, x->order->nloc);
  return code;
}

/// Whether features are exchanged by the engine's means; a mapping does in one process.
static bool exchanges(const InputNlist& list) {
  return list.has_exchange() || (list.nswap > 0 && (!list.mapping || number_of_processes(list.world) > 1));
}

void DeepPotImpl::set_engine(const InputNlist& list) {
  exchange_.order = &order_;
  exchange_.calls = 0;
  if (list.has_exchange()) {
    exchange_.engine = list.engine;
    exchange_.forward_rows = list.forward_rows;
    exchange_.reverse_rows = list.reverse_rows;
  } else {
    swaps_.init(list);
    exchange_.engine = &swaps_;
    exchange_.forward_rows = SwapExchange::forward;
    exchange_.reverse_rows = SwapExchange::reverse;
  }
}

void DeepPotImpl::prepare_messages(const InputNlist& list) {
  extras_ = dptf::ListExtras();
  if (relay_) {
    extras_.fed = true;
    extras_.reserved = relay_->bytes(message_width);
  } else if (exchanges(list)) {
    set_engine(list);
    extras_.engine = &exchange_;
    extras_.forward = RowExchange::forward;
    extras_.reverse = RowExchange::reverse;
  } else if (order_.nghost > 0) {
    if (!list.mapping)
      throw deepmd_exception(
          "model " + file +
          " passes messages between atoms and has to know whose images the ghosts are: give the "
          "neighbor list a mapping (one process), or swaps or an exchange (several); see InputNlist");
    owners_ = order_.owners(list.mapping);
    extras_.mapping = owners_.data();
    extras_.nmapping = static_cast<int64_t>(owners_.size());
  }
}

DeepPotImpl::DeepPotImpl(const std::string& model, int gpu_rank, const std::string& content,
                         const std::string& precision)
    : ModelHead(model, gpu_rank, content, "", precision) {
  if (type != "ener")
    throw deepmd_exception("model " + model + " is of type '" + type + "', an energy model is needed");
  if (graph.has("t_efield"))
    throw deepmd_exception("model " + model +
                           " needs the electric field at every atom, which only Python gives (efield)");
}

namespace {

template <typename V>
void clear(const PotResults<V>& to, int nframes, int natoms) {
  const size_t frames = nframes, atoms = frames * natoms;
  if (to.ener) std::fill_n(to.ener, frames, 0.0);
  const std::pair<V*, size_t> parts[] = {{to.force, 3 * atoms},
                                         {to.virial, 9 * frames},
                                         {to.atom_energy, atoms},
                                         {to.atom_virial, 9 * atoms},
                                         {to.at_node, atoms}};
  for (const auto& part : parts)
    if (part.first) std::fill_n(part.first, part.second, V(0));
}

}  // namespace

template <typename VALUETYPE>
void DeepPotImpl::compute(int nframes, int natoms, const VALUETYPE* coord, const int* atype,
                          const VALUETYPE* box, int nghost, const InputNlist* list, int ago,
                          const std::vector<VALUETYPE>& fparam, const std::vector<VALUETYPE>& aparam,
                          const std::vector<double>& charge_spin, bool mixed,
                          const PotResults<VALUETYPE>& to) {
  if (to.node && !graph.has(to.node)) throw deepmd_exception("model " + file + " has no node " + to.node);
  if (nframes < 0 || natoms < 0 || nghost < 0 || nghost > natoms)
    throw deepmd_exception("numbers of frames (" + std::to_string(nframes) + "), atoms (" +
                           std::to_string(natoms) + ") and ghosts (" + std::to_string(nghost) +
                           ") do not fit");
  const size_t n_coord = static_cast<size_t>(nframes) * natoms * 3;
  for (size_t i = 0; i < n_coord; ++i)
    if (!std::isfinite(coord[i]))
      throw deepmd_exception("coordinate " + std::to_string(i % 3) + " of atom " +
                             std::to_string(i / 3 % natoms) + " in frame " +
                             std::to_string(i / (3 * static_cast<size_t>(natoms))) + " is not finite");
  const int nloc = natoms - nghost;
  // Uncertainties of atoms are means over neighbors.
  const bool local = !to.node || std::strcmp(to.node, "o_atom_uncertainty") != 0;
  const bool can_split =
      local && nloc > 0 && nframes == 1 && !mixed && ntypes_spin == 0 && !aparam_nall && !takes_field;
  const auto in_blocks = [&] {
    have_list_ = false;
    if (list)
      compute_blocks(natoms, coord, atype, box, nghost, *list, fparam, aparam, charge_spin, to);
    else
      compute_listed(natoms, coord, atype, box, fparam, aparam, charge_spin, to);
    have_list_ = false;
    in_blocks_ = natoms;
  };
  // The lists of blocks are made anew in every call.
  if (list && in_blocks_ == natoms) ago = 0;
  in_blocks_ = -1;
  if (message_width == 0) {
    if (can_split && atoms_per_block(nloc, bytes_per_atom) < nloc) return in_blocks();
  } else if (!counts_memory) {
    if (!can_split)
      check_whole(nloc * nframes, bytes_per_atom, file);
    else if (atoms_per_block(nloc, bytes_per_atom, 1.0) < nloc)
      return in_blocks();
  }
  exchange_.calls = 0;
  try {
    compute_whole(nframes, natoms, coord, atype, box, nghost, list, ago, fparam, aparam, charge_spin, mixed,
                  to);
  } catch (const deepmd_exception_oom&) {
    // What was exchanged with other processes is not exchanged again.
    if (message_width == 0 || !can_split || exchange_.calls > 0) throw;
    in_blocks();
  }
}

template <typename VALUETYPE>
void DeepPotImpl::compute_whole(int nframes, int natoms, const VALUETYPE* coord, const int* atype,
                                const VALUETYPE* box, int nghost, const InputNlist* list, int ago,
                                const std::vector<VALUETYPE>& fparam, const std::vector<VALUETYPE>& aparam,
                                const std::vector<double>& charge_spin, bool mixed,
                                const PotResults<VALUETYPE>& to) {
  if (mixed) {
    have_list_ = false;
    // The graph reads types per frame; atoms keep their order.
    order_.build(std::vector<int>(natoms, 0).data(), natoms, 0, 1);
  } else if (!list) {
    have_list_ = false;
    order_.build(atype, natoms, 0, ntypes);
  } else if (ago == 0 || !have_list_ || static_cast<int>(order_.fwd.size()) != natoms) {
    if (ago != 0)
      throw deepmd_exception("ago is " + std::to_string(ago) + ", but no list was given for these " +
                             std::to_string(natoms) + " atoms before; call with ago 0 first");
    have_list_ = false;
    order_.build(atype, natoms, nghost, ntypes);
    order_.copy_list(*list);
    if (message_width > 0 && order_.nloc == 0 && exchanges(*list)) order_.add_virtual_atom();
    have_list_ = true;
  }
  if (list && message_width > 0) prepare_messages(*list);
  if (!relay_ || relay_->complete()) clear(to, nframes, natoms);
  if (order_.nloc == 0 || nframes == 0) return;
  if (single)
    evaluate<float>(nframes, natoms, coord, atype, box, nghost, list != nullptr, ago, fparam, aparam,
                    charge_spin, mixed, to);
  else
    evaluate<double>(nframes, natoms, coord, atype, box, nghost, list != nullptr, ago, fparam, aparam,
                     charge_spin, mixed, to);
}

namespace {

/// Results of some atoms, to be added to those of the caller.
template <typename V>
struct PartResults {
  ENERGYTYPE energy = 0;
  std::vector<V> force, virial, atom_energy, atom_virial, at_node;
  PotResults<V> own;  // what is wanted of them

  PartResults(const PotResults<V>& to, size_t natoms)
      : own{to.ener ? &energy : nullptr,
            room(to.force, &force, 3 * natoms),
            room(to.virial, &virial, 9),
            room(to.atom_energy, &atom_energy, natoms),
            room(to.atom_virial, &atom_virial, 9 * natoms),
            to.node,
            room(to.at_node, &at_node, natoms)} {}
  PartResults(const PartResults&) = delete;  // `own` points into it

  /// `atoms` says which atoms of the caller they are.
  void add(const std::vector<int>& atoms, const PotResults<V>& to) const {
    if (to.ener) *to.ener += energy;
    for (int d = 0; to.virial && d < 9; ++d) to.virial[d] += virial[d];
    add_rows(atoms, 3, force, to.force);
    add_rows(atoms, 1, atom_energy, to.atom_energy);
    add_rows(atoms, 9, atom_virial, to.atom_virial);
    add_rows(atoms, 1, at_node, to.at_node);
  }

 private:
  static V* room(const V* wanted, std::vector<V>* values, size_t size) {
    if (!wanted) return nullptr;
    values->resize(size);
    return values->data();
  }
  static void add_rows(const std::vector<int>& atoms, size_t stride, const std::vector<V>& rows, V* to) {
    for (size_t k = 0; to && k < atoms.size(); ++k)
      for (size_t d = 0; d < stride; ++d) to[atoms[k] * stride + d] += rows[k * stride + d];
  }
};

}  // namespace

template <typename VALUETYPE>
void DeepPotImpl::compute_listed(int natoms, const VALUETYPE* coord, const int* atype, const VALUETYPE* box,
                                 const std::vector<VALUETYPE>& fparam, const std::vector<VALUETYPE>& aparam,
                                 const std::vector<double>& charge_spin, const PotResults<VALUETYPE>& to) {
  OwnList<VALUETYPE> own(coord, atype, natoms, box, rcut);
  const int nall = static_cast<int>(own.type.size());
  PartResults<VALUETYPE> all(to, nall);
  compute_blocks(nall, own.coord.data(), own.type.data(), box, nall - natoms, own.list(), fparam, aparam,
                 charge_spin, all.own);
  clear(to, 1, natoms);
  all.add(own.mapping, to);
}

std::pair<std::vector<int>, int> DeepPotImpl::table_rows(int natoms, const int* atype, int nghost,
                                                         const InputNlist& list) const {
  std::vector<int> row(natoms);
  std::iota(row.begin(), row.end(), 0);
  if (exchanges(list)) return {row, natoms};
  const int nloc = natoms - nghost;
  if (nghost > 0 && !list.mapping)
    throw deepmd_exception("model " + file +
                           " passes messages between atoms: give the neighbor list a mapping");
  for (int i = nloc; i < natoms; ++i) {
    row[i] = atype[i] < 0 ? 0 : list.mapping[i];
    if (row[i] < 0 || row[i] >= nloc)
      throw deepmd_exception("the mapping says that atom " + std::to_string(i) + " is an image of atom " +
                             std::to_string(row[i]) + ", which is not a local atom");
  }
  return {row, nloc};
}

int DeepPotImpl::first_size(int nloc, const Relay& relay) {
  const double tables = relay.bytes(message_width), most = memory_limit(1.0);
  const double need = tables + (counts_memory ? 0 : bytes_per_atom);
  char text[300];
  if (most > 0 && need >= most) {
    std::snprintf(text, sizeof text,
                  "features of %d atoms and the smallest block need %.3g GB, %.3g GB are allowed or free",
                  nloc, need * 1e-9, most * 1e-9);
    throw deepmd_exception_oom(file + ": " + text + "; use fewer atoms, or ranks on more machines");
  }
  int size = (nloc + 1) / 2;
  if (most > 0 && bytes_per_atom > 0)
    size = static_cast<int>(std::clamp((memory_limit(0.5) - tables) / bytes_per_atom, 1.0, 1.0 * size));
  if (!told_blocks_) {
    told_blocks_ = true;
    std::snprintf(
        text, sizeof text,
        "%d atoms do not fit in memory at once: evaluated in blocks of at most %d atoms, with about "
        "%.2g times the arithmetic (more memory: DPTF_MEMORY=8G, or ranks on more machines)",
        nloc, size, dptf::block_cost(relay.size()));
    std::fprintf(stderr, "%s: %s\n", file.c_str(), text);
  }
  return size;
}

/// The nodes that results need; virials of old graphs are sums of atomic ones.
template <typename VALUETYPE>
static std::vector<std::string> fetches_for(const PotResults<VALUETYPE>& to, bool sum_virial) {
  std::vector<std::string> fetches;
  if (to.ener) fetches.push_back("o_energy");
  if (to.force) fetches.push_back("o_force");
  if (to.virial && !sum_virial) fetches.push_back("o_virial");
  if (to.atom_energy) fetches.push_back("o_atom_energy");
  if (to.atom_virial || sum_virial) fetches.push_back("o_atom_virial");
  if (to.at_node) fetches.push_back(to.node);
  return fetches;
}

template <typename VALUETYPE>
void DeepPotImpl::compute_blocks(int natoms, const VALUETYPE* coord, const int* atype, const VALUETYPE* box,
                                 int nghost, const InputNlist& list, const std::vector<VALUETYPE>& fparam,
                                 const std::vector<VALUETYPE>& aparam, const std::vector<double>& charge_spin,
                                 const PotResults<VALUETYPE>& to) {
  clear(to, 1, natoms);
  const int nloc = natoms - nghost;
  const bool own_aparam = daparam && aparam.size() == static_cast<size_t>(nloc) * daparam;
  std::vector<int> place(natoms, -1);
  const auto evaluate_block = [&](ListBlock& block, PotResults<VALUETYPE> parts) {
    const int n = static_cast<int>(block.atoms.size());
    std::vector<VALUETYPE> x(3 * static_cast<size_t>(n)), a;
    std::vector<int> types(n);
    for (int k = 0; k < n; ++k) {
      types[k] = atype[block.atoms[k]];
      std::copy_n(coord + 3 * static_cast<size_t>(block.atoms[k]), 3, x.begin() + 3 * static_cast<size_t>(k));
    }
    for (int k = 0; own_aparam && k < block.nloc; ++k)
      a.insert(a.end(), aparam.begin() + static_cast<size_t>(block.atoms[k]) * daparam,
               aparam.begin() + static_cast<size_t>(block.atoms[k] + 1) * daparam);
    const InputNlist own = block.list();
    block_ = &block;
    compute_whole(1, n, x.data(), types.data(), box, n - block.nloc, &own, 0, fparam, own_aparam ? a : aparam,
                  charge_spin, false, parts);
  };
  const auto add_outputs = [&](ListBlock& block) {
    PartResults<VALUETYPE> part(to, block.atoms.size());
    evaluate_block(block, part.own);
    part.add(block.atoms, to);
  };
  // Rows of the list, in groups of atoms that are close to each other.
  std::vector<int> rows(list.inum), row_of(natoms, -1);
  for (int k = 0; k < list.inum; ++k) {
    if (list.ilist[k] < 0 || list.ilist[k] >= natoms)
      throw deepmd_exception("row " + std::to_string(k) + " of the neighbor list is for atom " +
                             std::to_string(list.ilist[k]) + " of " + std::to_string(natoms));
    row_of[list.ilist[k]] = k;
  }
  const auto split = [&](const std::vector<int>& rows, int size) {
    std::vector<int> atoms;
    for (const int k : rows) atoms.push_back(list.ilist[k]);
    auto groups = dptf::compact_groups(std::move(atoms), coord, size);
    for (auto& group : groups)
      for (int& i : group) i = row_of[i];
    return groups;
  };
  std::vector<std::vector<int>> groups;
  const auto sweep = [&](const auto& act) {
    auto todo = std::move(groups);
    std::reverse(todo.begin(), todo.end());
    groups.clear();
    while (!todo.empty()) {
      auto group = std::move(todo.back());
      todo.pop_back();
      ListBlock block(list, group, natoms, &place);
      try {
        act(block);
      } catch (const deepmd_exception_oom&) {
        if (group.size() == 1) throw;
        auto halves = split(group, static_cast<int>(group.size() + 1) / 2);
        todo.insert(todo.end(), std::make_move_iterator(halves.rbegin()),
                    std::make_move_iterator(halves.rend()));
        continue;
      }
      groups.push_back(std::move(group));
    }
  };
  std::iota(rows.begin(), rows.end(), 0);
  if (message_width == 0) {
    groups = split(rows, atoms_per_block(nloc, bytes_per_atom));
    return sweep(add_outputs);
  }
  const bool sum_virial = to.virial && !graph.has("o_virial"), exchange = exchanges(list);
  auto [row, height] = table_rows(natoms, atype, nghost, list);
  Relay relay(graph.exchanges(fetches_for(to, sum_virial)), std::move(row), height, message_width);
  groups = split(rows, first_size(nloc, relay));
  if (exchange) set_engine(list);
  relay_ = &relay;
  try {
    while (!relay.complete()) {
      sweep([&](ListBlock& block) { evaluate_block(block, to); });
      relay.finish([&](double* rows, int width) {
        const auto call = relay.next().adjoint ? exchange_.reverse_rows : exchange_.forward_rows;
        if (exchange && call(exchange_.engine, rows, width) != 0)
          throw deepmd_exception("the exchange of atom features between processes failed");
      });
    }
    sweep(add_outputs);
  } catch (...) {
    relay_ = nullptr;
    throw;
  }
  relay_ = nullptr;
}

namespace {

/// dim numbers per frame (and per row), given once for all frames or frame by frame.
template <typename VALUETYPE>
bool tiled(const std::vector<VALUETYPE>& value, size_t per_frame, size_t nframes, const char* name) {
  if (value.size() == per_frame * nframes) return false;
  if (value.size() == per_frame) return true;
  throw deepmd_exception(std::string(name) + " has " + std::to_string(value.size()) +
                         " numbers, the model needs " + std::to_string(per_frame) + " per frame (" +
                         std::to_string(nframes) + " frames)");
}

/// Parameters of frames, given once for all of them or frame by frame.
template <typename FP, typename V>
Tensor frame_numbers(const std::vector<V>& value, int nframes, int dim, const char* name) {
  const bool tile = tiled(value, dim, nframes, name);
  Tensor t(tensorflow::DataTypeToEnum<FP>::v(), TensorShape({nframes, dim}));
  for (int i = 0; i < nframes * dim; ++i) t.flat<FP>()(i) = static_cast<FP>(value[tile ? i % dim : i]);
  return t;
}

}  // namespace

template <typename FP, typename VALUETYPE>
void DeepPotImpl::evaluate(int nframes, int natoms, const VALUETYPE* coord, const int* atype,
                           const VALUETYPE* box, int nghost, bool has_list, int ago,
                           const std::vector<VALUETYPE>& fparam, const std::vector<VALUETYPE>& aparam,
                           const std::vector<double>& charge_spin, bool mixed,
                           const PotResults<VALUETYPE>& to) {
  const auto fp = tensorflow::DataTypeToEnum<FP>::v();
  const int nloc = order_.nloc, nall = nloc + order_.nghost;
  Tensor t_coord(fp, TensorShape({nframes, 3 * nall})),
      t_type(tensorflow::DT_INT32, TensorShape({nframes, nall})), t_box(fp, TensorShape({nframes, 9})),
      t_natoms(tensorflow::DT_INT32, TensorShape({ntypes + 2}));
  auto c = t_coord.flat<FP>();
  auto ty = t_type.flat<int>();
  std::vector<int> at(nall);
  for (int k = 0; k < nall; ++k) at[k] = order_.atom_at(k);
  for (int f = 0; f < nframes; ++f)
    for (int k = 0; k < nall; ++k) {
      const size_t to = static_cast<size_t>(f) * nall + k;
      if (at[k] < 0) {
        for (int d = 0; d < 3; ++d) c(3 * to + d) = 0;
        ty(to) = -1;
        continue;
      }
      const size_t from = static_cast<size_t>(f) * natoms + at[k];
      for (int d = 0; d < 3; ++d) c(3 * to + d) = static_cast<FP>(coord[3 * from + d]);
      ty(to) = atype[mixed ? from : at[k]];
      if (mixed && ty(to) >= ntypes)
        throw deepmd_exception("atom " + std::to_string(at[k]) + " has type " + std::to_string(ty(to)) +
                               " of " + std::to_string(ntypes));
    }
  for (int i = 0; i < nframes * 9; ++i) t_box.flat<FP>()(i) = box ? static_cast<FP>(box[i]) : FP(0);
  auto na = t_natoms.flat<int>();
  na.setZero();
  na(0) = nloc;
  na(1) = nall;
  if (mixed) {
    na(2) = nloc;
  } else {
    for (int k = 0; k < nloc; ++k)
      if (ty(k) >= 0) ++na(2 + ty(k));
  }
  const int mesh_size = has_list ? 16 : 6 * (box != nullptr) + mixed;
  Tensor t_mesh(tensorflow::DT_INT32, TensorShape({mesh_size}));
  t_mesh.flat<int>().setZero();
  if (has_list) {
    int* m = t_mesh.flat<int>().data();
    m[0] = ago;
    m[1] = nloc;
    const int* ilist = order_.ilist.data();
    const int* numneigh = order_.numneigh.data();
    int* const* firstneigh = order_.firstneigh.data();
    std::memcpy(m + 4, &ilist, sizeof ilist);
    std::memcpy(m + 8, &numneigh, sizeof numneigh);
    std::memcpy(m + 12, &firstneigh, sizeof firstneigh);
    if (message_width > 0) dptf::put_extras(&extras_, m);
  }
  std::vector<std::pair<std::string, Tensor>> feeds = {
      {"t_coord", t_coord}, {"t_type", t_type}, {"t_natoms", t_natoms}, {"t_box", t_box}, {"t_mesh", t_mesh}};
  if (dfparam && graph.has("t_fparam")) {
    const std::vector<VALUETYPE> own(default_fparam.begin(), default_fparam.end());
    feeds.emplace_back("t_fparam", frame_numbers<FP>(fparam.empty() && !own.empty() ? own : fparam, nframes,
                                                     dfparam, "fparam"));
  }
  if (!charge_spin.empty() && !dim_chg_spin)
    throw deepmd_exception("charge_spin was given, but " + file + " takes none");
  if (dim_chg_spin && (!charge_spin.empty() || !default_chg_spin))
    feeds.emplace_back("t_charge_spin", frame_numbers<FP>(charge_spin, nframes, dim_chg_spin, "charge_spin"));
  if (daparam && graph.has("t_aparam")) {
    const int given = aparam_nall ? natoms : natoms - nghost, used = aparam_nall ? nall : nloc;
    const bool tile = tiled(aparam, static_cast<size_t>(given) * daparam, nframes, "aparam");
    Tensor t(fp, TensorShape({nframes, used * daparam}));
    for (int f = 0; f < nframes; ++f)
      for (int k = 0; k < used; ++k)
        for (int d = 0; d < daparam; ++d)
          t.flat<FP>()((static_cast<size_t>(f) * used + k) * daparam + d) =
              at[k] < 0 ? FP(0)
                        : static_cast<FP>(
                              aparam[(static_cast<size_t>(tile ? 0 : f) * given + at[k]) * daparam + d]);
    feeds.emplace_back("t_aparam", t);
  }
  feeds.erase(std::remove_if(feeds.begin(), feeds.end(), [&](const auto& f) { return !graph.has(f.first); }),
              feeds.end());
  const auto scatter = [&](const Tensor& t, int rows, int stride, VALUETYPE* into) {
    const auto put = [&](const auto* from) {
      for (int f = 0; f < nframes; ++f)
        for (int k = 0; k < rows; ++k)
          for (int s = 0; at[k] >= 0 && s < stride; ++s)
            into[(static_cast<size_t>(f) * natoms + at[k]) * stride + s] =
                static_cast<VALUETYPE>(from[(static_cast<size_t>(f) * rows + k) * stride + s]);
    };
    if (t.dtype() == tensorflow::DT_FLOAT)
      put(t.flat<float>().data());
    else
      put(t.flat<double>().data());
  };
  const bool sum_virial = to.virial && !graph.has("o_virial");
  if (relay_) {
    std::vector<int> atoms;
    for (const int k : at) atoms.push_back(block_->atoms[k]);
    relay_->feed(atoms, nloc, &feeds);
    if (!relay_->complete()) return relay_->put(graph.run(feeds, {relay_->next().input})[0], atoms, nloc);
  }
  const std::vector<std::string> fetches = fetches_for(to, sum_virial);
  if (fetches.empty()) return;
  const std::vector<Tensor> out = graph.run(feeds, fetches, has_list && extras_.has_exchange());

  size_t next = 0;
  if (to.ener) {
    const Tensor& t = out[next++];
    for (int f = 0; f < nframes; ++f)
      to.ener[f] = t.dtype() == tensorflow::DT_FLOAT ? t.flat<float>()(f) : t.flat<double>()(f);
  }
  if (to.force) scatter(out[next++], nall, 3, to.force);
  if (to.virial && !sum_virial) {
    const FP* v = out[next++].flat<FP>().data();
    for (int i = 0; i < nframes * 9; ++i) to.virial[i] = static_cast<VALUETYPE>(v[i]);
  }
  if (to.atom_energy) {
    // Models with spins give energies of the real atoms, which come first.
    const Tensor& t = out[next++];
    scatter(t, static_cast<int>(t.NumElements() / nframes), 1, to.atom_energy);
  }
  if (to.atom_virial || sum_virial) {
    const Tensor& t = out[next++];
    if (to.atom_virial) scatter(t, nall, 9, to.atom_virial);
    if (sum_virial)
      for (int f = 0; f < nframes; ++f)
        for (int k = 0; k < nall * 9; ++k)
          to.virial[9 * f + k % 9] +=
              static_cast<VALUETYPE>(t.flat<FP>()(static_cast<size_t>(f) * nall * 9 + k));
  }
  if (to.at_node) scatter(out[next++], nloc, 1, to.at_node);
}

template void DeepPotImpl::compute<double>(int, int, const double*, const int*, const double*, int,
                                           const InputNlist*, int, const std::vector<double>&,
                                           const std::vector<double>&, const std::vector<double>&, bool,
                                           const PotResults<double>&);
template void DeepPotImpl::compute<float>(int, int, const float*, const int*, const float*, int,
                                          const InputNlist*, int, const std::vector<float>&,
                                          const std::vector<float>&, const std::vector<double>&, bool,
                                          const PotResults<float>&);

}  // namespace deepmd

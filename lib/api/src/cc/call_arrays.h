#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common.h"

namespace deepmd {

// What the overloads of the energy models share: sizes of arrays, room for outputs, loading of several
// models.

/// Frames of a call by the sizes of its arrays; a call without atoms has those of its boxes.
template <typename V>
size_t count_frames(const std::vector<V>& coord, const std::vector<V>& box, size_t natoms, bool has_list) {
  const size_t nframes = natoms ? coord.size() / (3 * natoms) : has_list || box.empty() ? 1 : box.size() / 9;
  if (coord.size() != nframes * natoms * 3)
    throw deepmd_exception("coord has " + std::to_string(coord.size()) +
                           " numbers, which is no multiple of 3 x " + std::to_string(natoms) + " atoms");
  if (!box.empty() && box.size() != nframes * 9)
    throw deepmd_exception("box has " + std::to_string(box.size()) + " numbers for " +
                           std::to_string(nframes) + " frames (9 each, or none)");
  return nframes;
}

/// Energies go to one number or to a vector.
inline ENERGYTYPE* energies(std::vector<ENERGYTYPE>& e, size_t nframes) {
  e.assign(nframes, 0.0);
  return e.data();
}
inline ENERGYTYPE* energies(ENERGYTYPE& e, size_t nframes) {
  if (nframes > 1) throw deepmd_exception("one energy was asked for " + std::to_string(nframes) + " frames");
  e = 0.0;
  return &e;
}

/// Null for an output that is not wanted.
template <typename V>
V* room(std::vector<V>* v, size_t n) {
  if (!v) return nullptr;
  v->resize(n);
  return v->data();
}

/// Models of the same types; contents may be empty: then the files are read.
template <typename Model>
std::vector<std::unique_ptr<Model>> load_models(const std::vector<std::string>& files, int gpu_rank,
                                                const std::vector<std::string>& contents) {
  if (files.empty()) throw deepmd_exception("model deviation needs at least one model");
  if (!contents.empty() && contents.size() != files.size())
    throw deepmd_exception("file contents are given for " + std::to_string(contents.size()) + " of " +
                           std::to_string(files.size()) + " models");
  std::vector<std::unique_ptr<Model>> out;
  std::string first_names, names;
  for (size_t k = 0; k < files.size(); ++k) {
    out.push_back(std::make_unique<Model>(files[k], gpu_rank, contents.empty() ? "" : contents[k]));
    out[k]->get_type_map(names);
    if (k == 0) first_names = names;
    if (out[k]->numb_types() != out[0]->numb_types() || names != first_names)
      throw deepmd_exception("models " + files[0] + " and " + files[k] + " have different types ('" +
                             first_names + "' and '" + names + "')");
  }
  return out;
}

}  // namespace deepmd

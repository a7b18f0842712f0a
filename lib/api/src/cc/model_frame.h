#pragma once

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "deep_pot_impl.h"

namespace deepmd {

/// A model on one frame: which atoms take part, and what the graph is fed.
class ModelFrame {
 public:
  ModelFrame(const std::string& model, int gpu_rank, const std::string& scope)
      : head(model, gpu_rank, "", scope), prefix(name_prefix(scope)) {
    const auto t = head.graph.constant(prefix + "model_attr/sel_type");
    for (int k = 0; k < t.NumElements(); ++k) sel_type.push_back(t.flat<int>()(k));
    selected.assign(head.ntypes, false);
    for (const int s : sel_type)
      if (s >= 0 && s < head.ntypes) selected[s] = true;
  }

  /// Decides on the order of the atoms; the list is copied.
  void arrange(int natoms, const int* atype, int nghost, const InputNlist* list) {
    if (natoms < 0 || nghost < 0 || nghost > natoms)
      throw deepmd_exception("numbers of atoms (" + std::to_string(natoms) + ") and ghosts (" +
                             std::to_string(nghost) + ") do not fit");
    order.build(atype, natoms, nghost, head.ntypes);
    if (list) order.copy_list(*list);
    at.resize(order.nloc + order.nghost);
    for (size_t k = 0; k < at.size(); ++k) at[k] = order.atom_at(static_cast<int>(k));
    // Rows of selected atoms in the graph's order, and the same atoms in the caller's order.
    rows.clear();
    for (int k = 0; k < order.nloc; ++k)
      if (selected[atype[at[k]]]) rows.push_back(at[k]);
  }

  template <typename FP, typename V>
  std::vector<std::pair<std::string, tensorflow::Tensor>> feeds(const V* coord, const int* atype,
                                                                const V* box, bool has_list) const {
    using tensorflow::Tensor;
    using tensorflow::TensorShape;
    const auto fp = tensorflow::DataTypeToEnum<FP>::v();
    const int nall = static_cast<int>(at.size());
    Tensor t_coord(fp, TensorShape({1, 3 * nall})), t_type(tensorflow::DT_INT32, TensorShape({1, nall})),
        t_box(fp, TensorShape({1, 9})), t_natoms(tensorflow::DT_INT32, TensorShape({head.ntypes + 2})),
        t_mesh(tensorflow::DT_INT32, TensorShape({has_list ? 16 : 6 * (box != nullptr)}));
    auto natoms = t_natoms.flat<int>();
    natoms.setZero();
    natoms(0) = order.nloc;
    natoms(1) = nall;
    for (int k = 0; k < nall; ++k) {
      for (int d = 0; d < 3; ++d) t_coord.flat<FP>()(3 * k + d) = static_cast<FP>(coord[3 * at[k] + d]);
      t_type.flat<int>()(k) = atype[at[k]];
      if (k < order.nloc) ++natoms(2 + atype[at[k]]);
    }
    for (int i = 0; i < 9; ++i) t_box.flat<FP>()(i) = box ? static_cast<FP>(box[i]) : FP(0);
    t_mesh.flat<int>().setZero();
    if (has_list) {
      int* m = t_mesh.flat<int>().data();
      m[1] = order.nloc;
      const int *ilist = order.ilist.data(), *numneigh = order.numneigh.data();
      int* const* firstneigh = order.firstneigh.data();
      std::memcpy(m + 4, &ilist, sizeof ilist);
      std::memcpy(m + 8, &numneigh, sizeof numneigh);
      std::memcpy(m + 12, &firstneigh, sizeof firstneigh);
    }
    return {{prefix + "t_coord", t_coord},
            {prefix + "t_type", t_type},
            {prefix + "t_natoms", t_natoms},
            {prefix + "t_box", t_box},
            {prefix + "t_mesh", t_mesh}};
  }

  ModelHead head;
  std::string prefix;
  LocalOrder order;
  std::vector<int> at, rows, sel_type;
  std::vector<bool> selected;
};

}  // namespace deepmd

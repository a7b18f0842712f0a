#include "dptf/local_frame.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "dptf/center_visit.h"
#include "dptf/scatter.h"

namespace dptf {
namespace {

template <typename T>
T dot(const T* a, const T* b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

template <typename T>
void add_cross(const T* a, const T* b, T* out) {
  for (int k = 0; k < 3; ++k) out[k] += a[(k + 1) % 3] * b[(k + 2) % 3] - a[(k + 2) % 3] * b[(k + 1) % 3];
}

/// Right-handed frame: x along r1, y the direction of r2 across x.
template <typename T>
struct Axes {
  T r1[3], r2[3], length, across;  // |r1|; |r2 - (r2.x) x|
  T unit[3][3] = {};               // x, y, z

  Axes(const T* a, const T* b) {
    std::copy(a, a + 3, r1);
    std::copy(b, b + 3, r2);
    length = std::sqrt(dot(r1, r1));
    T v[3];
    for (int k = 0; k < 3; ++k) unit[0][k] = r1[k] / length;
    const T along = dot(r2, unit[0]);
    for (int k = 0; k < 3; ++k) v[k] = r2[k] - along * unit[0][k];
    across = std::sqrt(dot(v, v));
    for (int k = 0; k < 3; ++k) unit[1][k] = v[k] / across;
    add_cross(unit[0], unit[1], unit[2]);
  }

  /// d1, d2 := derivatives in r1 and r2 of g . unit[axis].
  void adjoint(int axis, const T g[3], T d1[3], T d2[3]) const {
    T gx[3] = {}, gy[3] = {};
    if (axis == 0) std::copy(g, g + 3, gx);
    if (axis == 1) std::copy(g, g + 3, gy);
    if (axis == 2) {  // z = x cross y
      add_cross(unit[1], g, gx);
      add_cross(g, unit[0], gy);
    }
    T gv[3];  // in r2 - (r2.x) x
    for (int k = 0; k < 3; ++k) gv[k] = (gy[k] - dot(gy, unit[1]) * unit[1][k]) / across;
    const T s = dot(gv, unit[0]), along = dot(r2, unit[0]);
    for (int k = 0; k < 3; ++k) {
      d2[k] = gv[k] - s * unit[0][k];
      gx[k] -= s * r2[k] + along * gv[k];
    }
    const T t = dot(gx, unit[0]);
    for (int k = 0; k < 3; ++k) d1[k] = (gx[k] - t * unit[0][k]) / length;
  }
};

/// Places of the types within the angular and the radial slots.
struct Layout {
  std::vector<int> start[2], size[2];
  Layout(const std::vector<int>& sel_a, const std::vector<int>& sel_r) : size{sel_a, sel_r} {
    for (int kind = 0; kind < 2; ++kind) {
      int at = 0;
      for (int s : size[kind]) {
        start[kind].push_back(at);
        at += s;
      }
    }
  }
};

/// Slots of one center: index of the neighbor (in positions), or -1.
template <typename T>
struct Row {
  const Layout& layout;
  const std::vector<int>& slots;  // angular, then radial
  const T* rij;
  int n_angular;

  int slot(int kind, int place) const { return kind ? n_angular + place : place; }
  const T* vector(int kind, int place) const { return rij + 3 * slot(kind, place); }

  /// Place of the neighbor that a rule names, `skip` further; -1 when there is none.
  int find(int kind, int type, int place, int skip) const {
    const auto &start = layout.start[kind], &size = layout.size[kind];
    const int ntypes = static_cast<int>(size.size());
    if (type >= 0) {
      place += skip;
      if (type >= ntypes || place < 0 || place >= size[type]) return -1;
      return slots[slot(kind, start[type] + place)] < 0 ? -1 : start[type] + place;
    }
    // The nearest few of all types but one, which the radial list counts differently (as in every release).
    const int without = kind ? -type : -(type + 1);
    std::vector<std::pair<T, int>> near;
    for (int t = 0; t < ntypes; ++t)
      for (int k = 0; t != without && k < std::min(3, size[t]); ++k) {
        const int at = start[t] + k;
        if (slots[slot(kind, at)] >= 0) near.push_back({dot(vector(kind, at), vector(kind, at)), at});
      }
    std::sort(near.begin(), near.end());
    place += skip;
    return place >= 0 && place < static_cast<int>(near.size()) ? near[place].second : -1;
  }
};

/// Fills the four numbers of `axis`: the rule's neighbors, the second one replaced when it is opposite to the
/// first.
template <typename T>
void choose_axes(const LocalFrame<T>& p, const Row<T>& row, int center_type, int64_t atom, int* axis) {
  int rule[6];
  if (!p.axis_rule.empty()) {
    std::copy_n(p.axis_rule.begin() + 6 * center_type, 6, rule);
  } else {
    const int kind = row.n_angular > 1 ? 0 : 1;
    for (int a = 0; a < 2; ++a) rule[3 * a] = kind, rule[3 * a + 1] = 0, rule[3 * a + 2] = a;
  }
  const auto find = [&](int a, int skip) {
    if (!p.axis_rule.empty()) return row.find(rule[3 * a], rule[3 * a + 1], rule[3 * a + 2], skip);
    // No rule: the first slots of the list, whatever their types.
    const int place = rule[3 * a + 2] + skip, n = rule[3 * a] ? p.nnei() - row.n_angular : row.n_angular;
    return place < n && row.slots[row.slot(rule[3 * a], place)] >= 0 ? place : -1;
  };
  for (int a = 0; a < 2; ++a) {
    axis[2 * a] = rule[3 * a];
    axis[2 * a + 1] = find(a, 0);
  }
  const auto need = [&](int place) {
    if (place < 0)
      throw std::invalid_argument(
          "atom " + std::to_string(atom) + " has too few neighbors within " + std::to_string(p.rcut) +
          " for the two axes of its local frame (axis_rule); loc_frame cannot describe it");
  };
  need(axis[1]);
  need(axis[3]);
  const T *r1 = row.vector(axis[0], axis[1]), *r2 = row.vector(axis[2], axis[3]);
  const T lengths = dot(r1, r1) * dot(r2, r2), cosine = dot(r1, r2) / std::sqrt(lengths);
  T normal[3] = {};
  add_cross(r1, r2, normal);
  // Opposite vectors are avoided from afar, as in every release; parallel ones where they span no plane.
  if (std::fabs(cosine + 1) < T(1e-4) || dot(normal, normal) < T(1e-14) * lengths) {
    axis[3] = find(1, 1);
    need(axis[3]);
  }
}

/// Where the derivative of the axis atom stands that a slot is taken for; nullptr for other slots. In every
/// release a radial slot is taken for an axis atom when the places agree, even if the axis comes from the
/// angular slots. Then the axis atom gets the neighbor's force too: kept, since it is part of the numbers of
/// old models.
template <typename T>
T* axis_part(const int* axis, int kind, int place, T* parts) {
  for (int a = 0; a < 2; ++a)
    if (place == axis[2 * a + 1] && (kind == 1 || axis[2 * a] == 0)) return parts + 3 * (a + 1);
  return nullptr;
}

template <typename T>
void fill(const LocalFrame<T>& p, const Layout& layout, const Positions& pos, int64_t center, int64_t frame,
          const std::vector<int>& slots, const LocalFrameOut<T>& out) {
  const int na = p.n_angular(), nnei = p.nnei(), width = p.width(), type = pos.type[center];
  const int64_t row = frame * p.nloc + center;
  T *em = out.em + row * width, *deriv = out.deriv + row * width * 12, *rij = out.rij + row * nnei * 3;
  int *axis = out.axis + 4 * row, *nlist = out.nlist + row * nnei;
  std::fill(deriv, deriv + width * 12, T(0));
  for (int k = 0; k < nnei; ++k) {
    const int j = slots[k];
    nlist[k] = j < 0 ? -1 : pos.reported(j);
    for (int x = 0; x < 3; ++x)
      rij[3 * k + x] =
          j < 0 ? T(0)
                : static_cast<T>(pos.coord[3 * static_cast<int64_t>(j) + x] - pos.coord[3 * center + x]);
  }
  if (type < 0) {  // a virtual center has no environment at all
    std::fill(em, em + width, T(0));
    std::fill(out.rot_mat + 9 * row, out.rot_mat + 9 * row + 9, T(0));
    axis[0] = axis[1] = axis[2] = 0, axis[3] = std::min(1, std::max(0, nnei - 1));
    return;
  }
  choose_axes(p, Row<T>{layout, slots, rij, na}, type, center, axis);
  const int slot1 = axis[0] ? na + axis[1] : axis[1], slot2 = axis[2] ? na + axis[3] : axis[3];
  const Axes<T> axes(rij + 3 * slot1, rij + 3 * slot2);
  std::copy(&axes.unit[0][0], &axes.unit[0][0] + 9, out.rot_mat + 9 * row);
  constexpr int order[3] = {2, 0, 1};  // components along z, x, y
  const T *avg = p.davg + static_cast<int64_t>(type) * width,
          *std_ = p.dstd + static_cast<int64_t>(type) * width;
  int component = 0;
  for (int k = 0; k < nnei; ++k) {
    const T *d = rij + 3 * k, r2 = dot(d, d), inv2 = slots[k] < 0 ? T(0) : 1 / r2, inv = std::sqrt(inv2);
    for (int c = 0; c < (k < na ? 4 : 1); ++c, ++component) {
      T value = inv, parts[12] = {};  // derivatives in center, axis atoms, neighbor
      T* own = parts + 9;
      if (c == 0) {
        for (int x = 0; x < 3; ++x) own[x] = -inv * inv2 * d[x];
      } else {
        const T* unit = axes.unit[order[c - 1]];
        value = dot(d, unit) * inv2;
        T g[3];
        for (int x = 0; x < 3; ++x) {
          own[x] = unit[x] * inv2 - 2 * value * inv2 * d[x];
          g[x] = d[x] * inv2;
        }
        axes.adjoint(order[c - 1], g, parts + 3, parts + 6);
      }
      for (int x = 0; x < 3; ++x) parts[x] = -(parts[3 + x] + parts[6 + x] + own[x]);
      // The slot of an axis atom holds its whole derivative twice, as axis and as neighbor; the force counts
      // it once.
      if (T* whole = axis_part(axis, k < na ? 0 : 1, k < na ? k : k - na, parts))
        for (int x = 0; x < 3; ++x) own[x] = whole[x] += own[x];
      em[component] = (value - avg[component]) / std_[component];
      if (slots[k] < 0) continue;
      for (int x = 0; x < 12; ++x) deriv[component * 12 + x] = parts[x] / std_[component];
    }
  }
}

/// The nearest sel_a[t] neighbors of type t to the angular slots, the next sel_r[t] to the radial ones.
/// Returns the number left out.
template <typename T>
int assign(const LocalFrame<T>& p, const Layout& layout, const std::vector<RankedNeighbor>& ranked,
           std::vector<int>& slots) {
  slots.assign(p.nnei(), -1);
  std::vector<int> used(p.ntypes, 0);
  int lost = 0;
  for (const RankedNeighbor& c : ranked) {
    const int k = used[c.type]++, a = p.sel_a[c.type];
    if (k < a)
      slots[layout.start[0][c.type] + k] = c.index;
    else if (k - a < p.sel_r[c.type])
      slots[p.n_angular() + layout.start[1][c.type] + k - a] = c.index;
    else
      ++lost;
  }
  return lost;
}

/// Calls body(component, D, atom, r) for the three atoms besides the center that a row's components move
/// with: D [3] derivative in the atom's position, r [3] vector from the center to it.
template <typename T, typename Body>
void visit_displaced(const FrameDeriv<T>& p, int64_t row, const Body& body) {
  const int* list = p.nlist + row * p.nnei();
  const int* axis = p.axis + 4 * row;
  const int slot1 = axis[0] ? p.n_angular + axis[1] : axis[1],
            slot2 = axis[2] ? p.n_angular + axis[3] : axis[3];
  for (int m = 0; m < p.width(); ++m) {
    const int slot = m < 4 * p.n_angular ? m / 4 : m - 3 * p.n_angular;
    if (list[slot] < 0) continue;
    const int slots[3] = {slot1, slot2, slot};
    for (int q = 0; q < (slot == slot1 || slot == slot2 ? 2 : 3); ++q)
      if (const int64_t atom = list[slots[q]]; atom >= 0)
        body(m, p.deriv + (row * p.width() + m) * 12 + 3 * (q + 1), atom,
             p.rij ? p.rij + (row * p.nnei() + slots[q]) * 3 : nullptr);
  }
}

}  // namespace

template <typename T>
int64_t local_frame(const LocalFrame<T>& p, const LocalFrameOut<T>& out, const ParallelFor& parallel) {
  check_atoms(p.nf, p.nloc, p.nall, p.ntypes, p.type, p.list);
  const Layout layout(p.sel_a, p.sel_r);
  return visit_frames(p.nf, p.nloc, p.list, parallel, [&](int64_t f, const ParallelFor& inner) {
    FrameAtoms<T> atoms;
    atoms.nloc = p.nloc;
    atoms.nall = p.nall;
    atoms.coord = p.coord + f * p.nall * 3;
    atoms.type = p.type + f * p.nall;
    atoms.box = p.periodic ? p.box + f * 9 : nullptr;
    atoms.list = p.list;
    atoms.rcut = p.rcut;
    std::atomic<int64_t> lost{0};
    std::vector<std::string> errors(p.nloc);  // an exception must not leave a thread of the pool
    visit_centers(
        atoms, inner,
        [&](const Positions& pos, int64_t i, std::vector<RankedNeighbor>& near, std::vector<int>& slots) {
          rank_candidates(pos, i, p.rcut, &near);
          lost += assign(p, layout, near, slots);
          try {
            fill(p, layout, pos, i, f, slots, out);
          } catch (const std::invalid_argument& e) {
            errors[i] = e.what();
          }
        });
    for (const std::string& error : errors)
      if (!error.empty()) throw std::invalid_argument(error);
    return lost.load();
  });
}

template <typename T>
void frame_force(const FrameDeriv<T>& p, T* force, const ParallelFor& parallel) {
  ScatterSum<T> sum(force, p.nf, p.nloc, 3 * p.nall);
  scatter(p.nf, p.nloc, p.width() * 24, parallel, [&](int64_t f, int64_t begin, int64_t end, int64_t copy) {
    T* out = sum.row(f, copy);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = f * p.nloc + i;
      const T* g = p.net_deriv + row * p.width();
      const T* own = p.deriv + row * p.width() * 12;
      for (int m = 0; m < p.width(); ++m)
        for (int x = 0; x < 3; ++x) out[3 * i + x] -= g[m] * own[12 * m + x];
      visit_displaced(p, row, [&](int m, const T* d, int64_t atom, const T*) {
        for (int x = 0; x < 3; ++x) out[3 * atom + x] -= g[m] * d[x];
      });
    }
  });
  sum.finish();
}

template <typename T>
void frame_virial(const FrameDeriv<T>& p, T* virial, T* atom_virial, const ParallelFor& parallel) {
  ScatterSum<T> sum(virial, p.nf, p.nloc, 9), atomic(atom_virial, p.nf, p.nloc, 9 * p.nall);
  scatter(p.nf, p.nloc, p.width() * 60, parallel, [&](int64_t f, int64_t begin, int64_t end, int64_t copy) {
    T *total = sum.row(f, copy), *out = atomic.row(f, copy);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = f * p.nloc + i;
      visit_displaced(p, row, [&](int m, const T* d, int64_t atom, const T* r) {
        for (int x = 0; x < 9; ++x) {
          const T w = -p.net_deriv[row * p.width() + m] * d[x / 3] * r[x % 3];
          total[x] += w;
          out[9 * atom + x] += w;
        }
      });
    }
  });
  sum.finish();
  atomic.finish();
}

template <typename T>
void frame_force_grad(const FrameDeriv<T>& p, const T* grad, int64_t grad_atoms, T* grad_net,
                      const ParallelFor& parallel) {
  parallel(p.nf * p.nloc, p.width() * 24, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T *g = grad + row / p.nloc * grad_atoms * 3, *own = p.deriv + row * p.width() * 12;
      T* out = grad_net + row * p.width();
      for (int m = 0; m < p.width(); ++m) out[m] = -dot(g + row % p.nloc * 3, own + 12 * m);
      visit_displaced(p, row, [&](int m, const T* d, int64_t atom, const T*) {
        out[m] -= dot(g + atom % grad_atoms * 3, d);
      });
    }
  });
}

template <typename T>
void frame_virial_grad(const FrameDeriv<T>& p, const T* grad, const T* grad_atom, T* grad_net,
                       const ParallelFor& parallel) {
  parallel(p.nf * p.nloc, p.width() * 60, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t f = row / p.nloc;
      T* out = grad_net + row * p.width();
      std::fill(out, out + p.width(), T(0));
      visit_displaced(p, row, [&](int m, const T* d, int64_t atom, const T* r) {
        for (int x = 0; x < 9; ++x) {
          const T g = grad[9 * f + x] + (grad_atom ? grad_atom[(f * p.nall + atom) * 9 + x] : T(0));
          out[m] -= g * d[x / 3] * r[x % 3];
        }
      });
    }
  });
}

#define DPTF_INSTANTIATE(T)                                                                           \
  template int64_t local_frame<T>(const LocalFrame<T>&, const LocalFrameOut<T>&, const ParallelFor&); \
  template void frame_force<T>(const FrameDeriv<T>&, T*, const ParallelFor&);                         \
  template void frame_virial<T>(const FrameDeriv<T>&, T*, T*, const ParallelFor&);                    \
  template void frame_force_grad<T>(const FrameDeriv<T>&, const T*, int64_t, T*, const ParallelFor&); \
  template void frame_virial_grad<T>(const FrameDeriv<T>&, const T*, const T*, T*, const ParallelFor&);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf

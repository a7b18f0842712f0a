// DeepSpin, DeepTensor and DipoleChargeModifier: every overload against the first one; compiled once for the
// C++ library and once (-DHEADER_ONLY) for the header-only interface.
//   usage: cc_models spin|tensor|modifier MODEL FRAME
// Prints the numbers of the first call, which the test compares with Python's.
#ifdef HEADER_ONLY
#include <deepmd/deepmd.hpp>
namespace api = deepmd::hpp;
#else
#include <deepmd/DataModifier.h>
#include <deepmd/DeepSpin.h>
#include <deepmd/DeepTensor.h>
namespace api = deepmd;
#endif

#include <fstream>

#include "cc_checks.h"

struct Frame {
  Vec box, coord, open;
  std::vector<int> type;
  // All pairs of an open system, as a list.
  std::vector<std::vector<int>> rows;
  std::vector<int> ilist, numneigh;
  std::vector<int*> firstneigh;

  explicit Frame(const char* path) : box(9) {
    std::ifstream file(path);
    size_t n = 0;
    file >> n;
    coord.resize(3 * n);
    type.resize(n);
    for (double& x : box) file >> x;
    for (size_t i = 0; i < n; ++i) file >> type[i] >> coord[3 * i] >> coord[3 * i + 1] >> coord[3 * i + 2];
    rows.resize(n);
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j)
        if (j != i) rows[i].push_back(static_cast<int>(j));
    ilist.resize(n);
    numneigh.resize(n);
    firstneigh.resize(n);
  }
  api::InputNlist list() {
    api::InputNlist out(static_cast<int>(rows.size()), ilist.data(), numneigh.data(), firstneigh.data());
    api::convert_nlist(out, rows);
    return out;
  }
};

static void spin(const std::string& model, Frame& x) {
  throws("no model is loaded", [] { api::DeepSpin().cutoff(); });
  throws("absent.pb", [] { api::DeepSpin("absent.pb"); });
  api::DeepSpin dp(model);
  api::InputNlist list = x.list();
  Vec s(x.coord.size());
  for (size_t k = 0; k < s.size(); ++k) s[k] = std::sin(1.0 + static_cast<double>(k));
  double e, e1;
  Vec f, m, v, ae, av, f1, m1, v1, ae1, av1, en;
  dp.compute(e, f, m, v, ae, av, x.coord, s, x.type, x.box);
  dp.compute(e1, f1, m1, v1, x.coord, s, x.type, x.box);
  same("energy", Vec(1, e1), Vec(1, e), 1e-13);
  same("magnetic force", m1, m, 1e-13);
  dp.compute(en, f1, m1, v1, ae1, av1, twice(x.coord), twice(s), x.type, twice(x.box));
  same("two frames: energy", en, Vec(2, e), 1e-13);
  same("two frames: atomic virial", av1, twice(av), 1e-12);
  dp.compute(en, f1, m1, v1, twice(x.coord), twice(s), x.type, twice(x.box));
  same("two frames: force", f1, twice(f), 1e-12);
  throws("spin has", [&] { dp.compute(e1, f1, m1, v1, x.coord, Vec(3, 0.0), x.type, x.box); });
  throws("charge_spin",
         [&] { dp.compute(e1, f1, m1, v1, x.coord, s, x.type, x.box, Vec(), Vec(), Vec{-1, 2}); });
  Vecf ff, fm, fv;
  dp.compute(e1, ff, fm, fv, single(x.coord), single(s), x.type, single(x.box));
  same("float: magnetic force", fm, m, 1e-5);
  double oe;
  Vec of, om, ov, oae, oav;
  dp.compute(oe, of, om, ov, oae, oav, x.coord, s, x.type, Vec());
  for (int ago = 0; ago < 2; ++ago) {
    dp.compute(e1, f1, m1, v1, x.coord, s, x.type, x.box, 0, list, ago);
    same("list: energy", Vec(1, e1), Vec(1, oe), 1e-12);
    same("list: magnetic force", m1, om, 1e-12);
    dp.compute(en, f1, m1, v1, ae1, av1, x.coord, s, x.type, x.box, 0, list, ago);
    same("list: atomic energy", ae1, oae, 1e-12);
  }
  api::DeepSpinModelDevi devi({model, model});
  Vec all_e;
  std::vector<Vec> all_f, all_m, all_v, all_ae, all_av;
  devi.compute(all_e, all_f, all_m, all_v, x.coord, s, x.type, x.box);
  same("models: energy", all_e, Vec(2, e), 1e-13);
  devi.compute(all_e, all_f, all_m, all_v, all_ae, all_av, x.coord, s, x.type, x.box);
  same("models: magnetic force", all_m[1], m, 1e-13);
  devi.compute(all_e, all_f, all_m, all_v, x.coord, s, x.type, x.box, 0, list, 0);
  same("models, list: force", all_f[1], of, 1e-12);
  devi.compute(all_e, all_f, all_m, all_v, all_ae, all_av, x.coord, s, x.type, x.box, 0, list, 1);
  same("models, list: atomic energy", all_ae[0], oae, 1e-12);
  throws("charge_spin", [&] {
    devi.compute(all_e, all_f, all_m, all_v, x.coord, s, x.type, x.box, 0, list, 0, Vec(), Vec(), Vec{-1, 2});
  });
  require(dp.dim_chg_spin() == 0 && devi.dim_chg_spin() == 0, "models that take no charge and spin");
  require(dp.numb_types_spin() == 1 && dp.numb_types() == 3 && devi.numb_types_spin() == 1, "types");
  print("energy", Vec(1, e));
  print("force", f);
  print("magnetic", m);
  print("virial", v);
}

static void tensor(const std::string& model, Frame& x) {
  throws("no model is loaded", [] { api::DeepTensor().cutoff(); });
  throws("absent.pb", [] { api::DeepTensor("absent.pb"); });
  api::DeepTensor dt(model);
  api::InputNlist list = x.list();
  Vec t, g, f, v, t1, g1, f1, v1, a, a1;
  dt.compute(g, f, v, t, a, x.coord, x.type, x.box);
  dt.compute(t1, x.coord, x.type, x.box);
  same("atomic tensor", t1, t, 1e-13);
  dt.compute(g1, f1, v1, x.coord, x.type, x.box);
  same("tensor", g1, g, 1e-13);
  same("force", f1, f, 1e-13);
  Vec ot, og, of, ov, oa;
  dt.compute(og, of, ov, ot, oa, x.coord, x.type, Vec());
  dt.compute(t1, x.coord, x.type, x.box, 0, list);
  same("list: atomic tensor", t1, ot, 1e-12);
  dt.compute(g1, f1, v1, x.coord, x.type, x.box, 0, list);
  same("list: virial", v1, ov, 1e-12);
  dt.compute(g1, f1, v1, t1, a1, x.coord, x.type, x.box, 0, list);
  same("list: atomic virial", a1, oa, 1e-12);
  Vecf ft, fg, ff, fv;
  dt.compute(ft, single(x.coord), x.type, single(x.box));
  same("float: atomic tensor", ft, t, 1e-5);
  dt.compute(fg, ff, fv, single(x.coord), x.type, single(x.box));
  same("float: tensor", fg, g, 1e-5);
  std::string names;
  dt.get_type_map(names);
  require(dt.numb_types() == 2 && dt.output_dim() == 3 && dt.sel_types().size() == 1 &&
              dt.sel_types()[0] == 0 && dt.cutoff() > 1 && names.find(' ') != std::string::npos,
          "getters");
  print("tensor", g);
  print("atomic", t);
  print("force", f);
  print("virial", v);
}

static void modifier(const std::string& model, Frame& x) {
  throws("absent.pb", [] { api::DipoleChargeModifier("absent.pb", 0, "dipole_charge"); });
  api::DipoleChargeModifier dcm(model, 0, "dipole_charge");
  // Every atom of the first type gets a displaced charge, of a type that the model does not know.
  std::vector<std::pair<int, int>> pairs;
  const size_t n = x.type.size();
  for (size_t i = 0; i < n; ++i)
    if (x.type[i] == 0) {
      pairs.emplace_back(static_cast<int>(i), static_cast<int>(x.type.size()));
      x.type.push_back(2);
      for (int d = 0; d < 3; ++d) x.coord.push_back(x.coord[3 * i + d] + 0.1);
      x.rows.emplace_back();
    }
  x.ilist.resize(x.type.size());
  x.numneigh.resize(x.type.size());
  x.firstneigh.resize(x.type.size());
  api::InputNlist list = x.list();
  Vec ef(3 * x.type.size()), f, v;
  for (size_t k = 0; k < ef.size(); ++k) ef[k] = std::cos(static_cast<double>(k));
  dcm.compute(f, v, x.coord, x.type, x.box, pairs, ef, 0, list);
  Vecf ff, fv;
  dcm.compute(ff, fv, single(x.coord), x.type, single(x.box), pairs, single(ef), 0, list);
  same("float: force", ff, f, 1e-5);
  same("float: virial", fv, v, 1e-5);
  require(dcm.numb_types() == 2 && dcm.sel_types().size() == 1 && dcm.cutoff() > 1, "getters");
  print("force", f);
  print("virial", v);
}

int main(int, char** argv) {
  const std::string kind = argv[1];
  Frame frame(argv[3]);
  (kind == "spin" ? spin : kind == "tensor" ? tensor : modifier)(argv[2], frame);
  return failures ? 1 : 0;
}

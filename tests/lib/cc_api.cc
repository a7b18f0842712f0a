// Every overload of deepmd::DeepPot and DeepPotModelDevi against the first one; compiled once for the C++
// library and once
// (-DHEADER_ONLY) for the header-only interface.  usage: cc_api MODEL FRAME [fparam aparam]
// Prints the numbers of the first call, which the test compares with the reference.
#ifdef HEADER_ONLY
#include <deepmd/deepmd.hpp>
namespace api = deepmd::hpp;
#else
#include <deepmd/DeepPot.h>
namespace api = deepmd;
#endif

#include <cstdlib>
#include <fstream>

#include "cc_checks.h"

int main(int, char** argv) {
  const std::string model = argv[1];
  std::ifstream file(argv[2]);
  size_t n = 0;
  file >> n;
  Vec box(9), coord(3 * n), fparam, aparam;
  std::vector<int> type(n);
  for (double& x : box) file >> x;
  for (size_t i = 0; i < n; ++i) file >> type[i] >> coord[3 * i] >> coord[3 * i + 1] >> coord[3 * i + 2];
  if (!file) return std::printf("cannot read %s\n", argv[2]), 2;

  api::DeepPot dp;
  throws("no model is loaded", [&] { dp.cutoff(); });
  dp.init(model);
  for (int k = 0; k < dp.dim_fparam(); ++k) fparam.push_back(std::atof(argv[3 + k]));
  for (size_t i = 0; i < n * dp.dim_aparam(); ++i) aparam.push_back(0.1 + 0.02 * i);

  double e, e1;
  Vec f, v, ae, av, f1, v1, ae1, av1, en;
  dp.compute(e, f, v, ae, av, coord, type, box, fparam, aparam);
  const Vec e_one(1, e), e_two(2, e);
  dp.compute(e1, f1, v1, coord, type, box, fparam, aparam);
  same("energy", Vec(1, e1), e_one, 1e-13);
  same("force", f1, f, 1e-13);
  same("virial", v1, v, 1e-13);
  const Vec coord2 = twice(coord), box2 = twice(box);
  dp.compute(en, f1, v1, coord2, type, box2, fparam, aparam);
  same("two frames: energy", en, e_two, 1e-13);
  same("two frames: force", f1, twice(f), 1e-13);
  dp.compute(en, f1, v1, ae1, av1, coord2, type, box2, twice(fparam), twice(aparam));
  same("two frames: atomic energy", ae1, twice(ae), 1e-13);
  same("two frames: atomic virial", av1, twice(av), 1e-13);
  throws("one energy was asked for", [&] { dp.compute(e1, f1, v1, coord2, type, box2, fparam, aparam); });
  throws("box has 10 numbers", [&] {
    Vec wrong = box;
    wrong.push_back(0);
    dp.compute(e1, f1, v1, coord, type, wrong, fparam, aparam);
  });
  throws("coord has", [&] {
    Vec wrong = coord;
    wrong.push_back(0);
    dp.compute(e1, f1, v1, wrong, type, box, fparam, aparam);
  });

  Vecf ff, fv, fae, fav;
  dp.compute(e1, ff, fv, fae, fav, single(coord), type, single(box), single(fparam), single(aparam));
  same("float: energy", Vec(1, e1), e_one, 1e-6);
  same("float: force", ff, f, 1e-5);
  same("float: atomic virial", fav, av, 1e-5);
  dp.compute(en, ff, fv, single(coord), type, single(box), single(fparam), single(aparam));
  same("float: virial", fv, v, 1e-5);

  // Without a cell all atoms are in the list of an open system.
  std::vector<std::vector<int>> rows(n);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j)
      if (j != i) rows[i].push_back(static_cast<int>(j));
  std::vector<int> ilist(n), numneigh(n);
  std::vector<int*> firstneigh(n);
  api::InputNlist list(static_cast<int>(n), ilist.data(), numneigh.data(), firstneigh.data());
  api::convert_nlist(list, rows);
  Vec of, ov, oae, oav;
  double oe;
  dp.compute(oe, of, ov, oae, oav, coord, type, Vec(), fparam, aparam);
  for (int ago = 0; ago < 2; ++ago) {
    dp.compute(e1, f1, v1, coord, type, box, 0, list, ago, fparam, aparam);
    same("list: energy", Vec(1, e1), Vec(1, oe), 1e-13);
    same("list: force", f1, of, 1e-12);
    dp.compute(en, f1, v1, ae1, av1, coord, type, box, 0, list, ago, fparam, aparam);
    same("list: atomic energy", ae1, oae, 1e-12);
    same("list: virial", v1, ov, 1e-11);
    dp.compute(en, ff, fv, single(coord), type, single(box), 0, list, ago, single(fparam), single(aparam));
    same("list, float: force", ff, of, 1e-5);
    dp.compute(e1, ff, fv, fae, fav, single(coord), type, single(box), 0, list, ago, single(fparam),
               single(aparam));
    same("list, float: atomic energy", fae, oae, 1e-5);
  }

  std::string names;
  dp.get_type_map(names);
  if (names.find(' ') == std::string::npos || dp.numb_types() != 2 || dp.cutoff() < 1 ||
      dp.numb_types_spin() != 0 || dp.is_aparam_nall() || dp.has_default_fparam() || dp.dim_chg_spin() != 0)
    std::printf("FAILED: getters\n"), ++failures;
  if (dp.dim_fparam())
    throws("fparam",
           [&] { dp.compute(e1, f1, v1, coord, type, box, Vec(dp.dim_fparam() + 1, 0.0), aparam); });
  throws("absent.pb", [] { api::DeepPot("absent.pb"); });

  std::string content;
  api::read_file_to_string(model, content);
  throws("absent", [&] {
    std::string text;
    api::read_file_to_string("absent", text);
  });
  api::DeepPotModelDevi devi({model, "again.pb"}, 0, {content, content});
  Vec all_e;
  std::vector<Vec> all_f, all_v, all_ae, all_av;
  devi.compute(all_e, all_f, all_v, coord, type, box, fparam, aparam);
  same("models: energy", all_e, e_two, 1e-13);
  same("models: force", all_f[1], f, 1e-13);
  devi.compute(all_e, all_f, all_v, all_ae, all_av, coord, type, box, fparam, aparam);
  same("models: atomic virial", all_av[1], av, 1e-13);
  devi.compute(all_e, all_f, all_v, coord, type, box, 0, list, 0, fparam, aparam);
  same("models, list: force", all_f[0], of, 1e-12);
  devi.compute(all_e, all_f, all_v, all_ae, all_av, coord, type, box, 0, list, 1, fparam, aparam);
  same("models, list: atomic energy", all_ae[1], oae, 1e-12);
  std::vector<Vecf> all_ff, all_fv;
  devi.compute(all_e, all_ff, all_fv, single(coord), type, single(box), single(fparam), single(aparam));
  same("models, float: force", all_ff[1], f, 1e-5);

  Vec avg, std_f, relative;
  std::vector<Vec> xx = {f, f};
  for (double& x : xx[1]) x += 0.3;
  devi.compute_avg(avg, xx);
  devi.compute_std_f(std_f, avg, xx);
  same("deviation", std_f, Vec(n, 0.15 * std::sqrt(3.0)), 1e-12);
  relative = std_f;
  devi.compute_relative_std_f(relative, avg, 0.5);
  for (size_t i = 0; i < n; ++i)
    std_f[i] /= std::sqrt(avg[3 * i] * avg[3 * i] + avg[3 * i + 1] * avg[3 * i + 1] +
                          avg[3 * i + 2] * avg[3 * i + 2]) +
                0.5;
  same("relative deviation", relative, std_f, 1e-12);
  devi.compute_std_e(std_f, avg, xx);
  same("deviation of numbers", std_f, Vec(3 * n, 0.15), 1e-12);
  double mean;
  devi.compute_avg(mean, Vec{1.0, 2.0});
  same("mean", Vec(1, mean), Vec(1, 1.5), 0);
  throws("no model is loaded", [] { api::DeepPotModelDevi().cutoff(); });

  std::vector<int> fwd, bkw, kept;
  int ghosts = 0;
  const std::vector<int> some = {1, -1, 0, 5, 1};
  api::select_real_atoms(fwd, bkw, ghosts, Vec(), some, 2, 2);
  api::select_map<int>(kept, some, fwd, 1);
  if (fwd != std::vector<int>({0, -1, 1, -1, 2}) || bkw != std::vector<int>({0, 2, 4}) || ghosts != 1 ||
      kept != std::vector<int>({1, 0, 1}))
    std::printf("FAILED: selections\n"), ++failures;
#ifndef HEADER_ONLY
  // The forms that old programs use: single precision, places that are there, and the way back.
  api::select_by_type<float>(fwd, bkw, ghosts, std::vector<float>(), some, 2, {0, 5});
  Vec there(6, 9.0), back(10, 9.0);
  const Vec ten = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  api::select_map<double>(there.begin(), ten.begin(), {2, -1, 0, -1, 1}, 2, 1, 5, 3);
  api::select_map_inv<double>(back, {1, 2, 3, 4, 5, 6}, {2, -1, 0, -1, 1}, 2);
  if (fwd != std::vector<int>({-1, -1, 0, 1, -1}) || ghosts != 1 || there != Vec({5, 6, 9, 10, 1, 2}) ||
      back != Vec({5, 6, 9, 9, 1, 2, 9, 9, 3, 4}))
    std::printf("FAILED: selections of old programs\n"), ++failures;
#endif

  std::printf("energy %.15g\nvirial", e);
  for (double x : v) std::printf(" %.15g", x);
  std::printf("\nforce");
  for (double x : f) std::printf(" %.15g", x);
  std::printf("\n");
  return failures ? 1 : 0;
}

// The work items of accelerators, run on the host, against the CPU kernels. Prints the largest relative
// difference of each.
#include "dptf/device_work.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "dptf/env_mat.h"
#include "dptf/layer_derivative.h"

using namespace dptf;

namespace {

std::mt19937 engine(7);
std::vector<double> numbers(size_t n, double low = -1, double high = 1) {
  std::uniform_real_distribution<double> d(low, high);
  std::vector<double> v(n);
  for (double& x : v) x = d(engine);
  return v;
}

template <typename F>
void work(const F& f, int64_t n) {
  for (int64_t i = 0; i < n; ++i) f(i, 0, 1);
}

void compare(const char* name, const std::vector<double>& a, const std::vector<double>& b) {
  double size = 1e-300, worst = a.size() == b.size() ? 0 : INFINITY;
  for (size_t k = 0; k < std::min(a.size(), b.size()); ++k) {
    size = std::max(size, std::fabs(b[k]));
    worst = std::max(worst, std::fabs(a[k] - b[k]));
  }
  std::printf("%s %.3e\n", name, worst / size);
}

template <int NCOMP>
void tables(const char* name, bool symmetric, bool with_factor) {
  const int64_t n = 6, slots = 5, width = 7, rows = symmetric ? 18 : 12;
  const auto table = numbers(rows * width * 6), x = numbers(n * slots, -1.5, 4),
             r = numbers(n * slots * NCOMP), factor = numbers(n * slots * width),
             dy = numbers(n * NCOMP * width), zx = numbers(n * slots), zr = numbers(n * slots * NCOMP),
             zf = numbers(n * slots * width);
  Tabulate<double> p;
  const double info[6] = {-1, 1, 3, 0.25, 0.5, -1};
  p.table = table.data();
  p.grid = TableGrid<double>::from_info(info, rows, symmetric);
  p.width = width;
  p.n = n;
  p.slots = slots;
  p.ncomp = NCOMP;
  p.x = x.data();
  p.rows = r.data();
  p.factor = with_factor ? factor.data() : nullptr;
  using Source = TableSource<double>;
  std::vector<double> a(n * NCOMP * width), b(a), dxa(n * slots), dxb(dxa), dra(r.size()), drb(dra),
      dfa(factor.size()), dfb(dfa);
  work(ContractValue<double, Source, NCOMP>{{p}, a.data()}, n);
  tabulate(p, b.data(), serial_for);
  compare(name, a, b);
  work(
      ContractGrad<double, Source, NCOMP>{
          {p}, dy.data(), dxa.data(), dra.data(), with_factor ? dfa.data() : nullptr, false},
      n * slots);
  tabulate_grad(p, dy.data(), dxb.data(), drb.data(), with_factor ? dfb.data() : nullptr, serial_for);
  compare("gradient of the argument", dxa, dxb);
  compare("gradient of the row", dra, drb);
  compare("gradient of the factor", dfa, dfb);
  const double* z = with_factor ? zf.data() : nullptr;
  work(ContractGradGrad<double, Source, NCOMP>{{p}, zx.data(), zr.data(), z, a.data(), false}, n);
  tabulate_grad_grad(p, zx.data(), zr.data(), z, b.data(), serial_for);
  compare("second gradient", a, b);
}

void nets(bool mixed, bool weighted) {
  const int sel[2] = {mixed ? 5 : 3, mixed ? 0 : 2}, net_of[4] = {0, 1, -1, 2};
  const std::vector<int> atype = {0, 1, 1, 0, -1, 0};
  EmbedContract<double> p;
  p.n_atoms = 6;
  p.nnei = 5;
  p.ntypes = 2;
  p.n_nets = 3;
  p.n_pieces = 4;
  p.width = 6;
  p.sel = sel;
  p.net_of = net_of;
  p.atype = atype.data();
  const auto env = numbers(6 * 5 * 4, -0.9, 0.9), nodes = numbers(3 * 4 * kTerms * 6),
             da = numbers(6 * 4 * 6), z = numbers(6 * 5 * 4);
  std::vector<int> nlist(30, 1);
  for (int k = 0; mixed && k < 30; ++k) nlist[k] = k % 3 - 1;  // types of neighbors, -1: empty
  p.mixed = mixed;
  p.env = env.data();
  p.nlist = nlist.data();
  p.nodes = nodes.data();
  p.x0 = -1;
  p.h = 0.5;
  using Source = NodeSource<double>;
  const auto weight = numbers(30, 0, 1), z_weight = numbers(30);
  p.weight = weighted ? weight.data() : nullptr;
  const double* const adjoint = weighted ? z_weight.data() : nullptr;
  std::vector<double> a(6 * 4 * 6), b(a), ea(env.size()), eb(ea), na(nodes.size()), nb(na), wa(30), wb(30);
  double *const dwa = weighted ? wa.data() : nullptr, *const dwb = weighted ? wb.data() : nullptr;
  work(ContractValue<double, Source, 4>{{p}, a.data()}, 6);
  embed_contract(p, b.data(), serial_for);
  compare("net contraction", a, b);
  work(ContractGrad<double, Source, 4>{{p}, da.data(), nullptr, ea.data(), nullptr, true, dwa}, 30);
  embed_contract_grad_env<double>(p, da.data(), {eb.data(), dwb}, serial_for);
  compare("net gradient", ea, eb);
  compare("gradient of weights", wa, wb);
  work(ContractGradGrad<double, Source, 4>{{p}, nullptr, z.data(), nullptr, a.data(), true, adjoint}, 6);
  embed_contract_grad_grad<double>(p, da.data(), {z.data(), adjoint}, b.data(), nullptr, serial_for);
  compare("net second gradient", a, b);
  for (const bool second : {false, true}) {
    std::fill(na.begin(), na.end(), 0.0);
    const EmbedRows<const double> rows =
        second ? EmbedRows<const double>{z.data(), adjoint} : EmbedRows<const double>{};
    work(NodesGrad<double>{{p}, da.data(), rows, na.data()}, 30);
    if (second)
      embed_contract_grad_grad<double>(p, da.data(), rows, nullptr, nb.data(), serial_for);
    else
      embed_contract_grad_nodes(p, da.data(), nb.data(), serial_for);
    compare(second ? "second gradient of nodes" : "gradient of nodes", na, nb);
  }
}

void gelu() {
  const auto x = numbers(40, -4, 4), a = numbers(40), b = numbers(40);
  std::vector<double> mine(40), cpu(40);
  const int code = static_cast<int>(Activation::gelu);
  work(GeluItem<double, 0>{x.data(), nullptr, nullptr, mine.data()}, 40);
  activation_elements<double>(code, 0, 40, x.data(), nullptr, nullptr, cpu.data());
  compare("gelu", mine, cpu);
  work(GeluItem<double, 1>{x.data(), a.data(), nullptr, mine.data()}, 40);
  activation_elements<double>(code, 1, 40, x.data(), a.data(), nullptr, cpu.data());
  compare("gradient of gelu", mine, cpu);
  work(GeluItem<double, 2>{x.data(), a.data(), b.data(), mine.data()}, 40);
  activation_elements<double>(code, 2, 40, x.data(), a.data(), b.data(), cpu.data());
  compare("second gradient of gelu", mine, cpu);
}

template <int NCOMP>
void geometry() {
  // Two frames of eight atoms in open space; slots as the CPU kernel finds them, so only the rows are
  // compared.
  const int64_t nf = 2, n = 8;
  EnvMat<double> e;
  const auto coord = numbers(nf * n * 3, 0, 3), avg = numbers(2 * 6 * NCOMP, 0, 0.2),
             dev = numbers(2 * 6 * NCOMP, 0.2, 0.5);
  std::vector<int> type(nf * n);
  for (int64_t k = 0; k < nf * n; ++k) type[k] = k % 5 == 4 ? -1 : static_cast<int>(k % 2);
  const std::vector<double> box(nf * 9, 0.0);
  e.nf = nf;
  e.nloc = e.nall = n;
  e.ntypes = 2;
  e.rows = NCOMP == 1 ? EnvRows::radial : EnvRows::angular;
  e.rcut = 2.5f;
  e.rcut_smth = 0.7f;
  e.sel = {3, 3};
  e.coord = coord.data();
  e.box = box.data();
  e.type = type.data();
  e.davg = avg.data();
  e.dstd = dev.data();
  const int64_t slots = nf * n * 6;
  std::vector<double> em(slots * NCOMP), deriv(slots * NCOMP * 3), rij(slots * 3), em2(em), deriv2(deriv),
      rij2(rij);
  std::vector<int> nlist(slots);
  EnvMatOut<double> out;
  out.em = em.data();
  out.deriv = deriv.data();
  out.rij = rij.data();
  out.nlist = nlist.data();
  env_mat(e, out, serial_for);
  // A device gets neighbors and vectors alone.
  EnvMatOut<double> found;
  std::vector<int> nlist2(slots);
  found.rij = rij2.data();
  found.nlist = nlist2.data();
  env_mat(e, found, serial_for);
  EnvSlots<double> s;
  s.nnei = 6;
  s.rs = e.rcut_smth;
  s.rc = e.rcut;
  s.range = e.rcut - e.rcut_smth;
  s.type = type.data();
  s.rij = rij2.data();
  s.nlist = nlist2.data();
  s.davg = avg.data();
  s.dstd = dev.data();
  work(EnvItem<double, NCOMP>{s, em2.data(), deriv2.data()}, slots);
  compare("environment rows", em2, em);
  compare("environment derivatives", deriv2, deriv);
  compare("vectors", rij2, rij);

  const auto g = numbers(slots * NCOMP), force_adjoint = numbers(nf * n * 3), va = numbers(nf * 9),
             aa = numbers(nf * n * 9);
  EnvDeriv<double> p;
  p.nf = nf;
  p.nloc = p.nall = n;
  p.nnei = 6;
  p.ncomp = NCOMP;
  p.net_deriv = g.data();
  p.deriv = deriv.data();
  p.rij = rij.data();
  p.nlist = nlist.data();
  std::vector<double> f(nf * n * 3), f2(f), v(nf * 9), v2(v), w(nf * n * 9), w2(w), h(g.size()), h2(g.size());
  work(ForceItem<double, NCOMP>{p, f2.data()}, slots);
  env_force(p, f.data(), serial_for);
  compare("force", f2, f);
  work(VirialItem<double, NCOMP>{p, v2.data(), w2.data()}, slots);
  env_virial(p, v.data(), w.data(), serial_for);
  compare("virial", v2, v);
  compare("atomic virial", w2, w);
  work(ForceGradItem<double>{p, force_adjoint.data(), n, h2.data()}, slots);
  env_force_grad(p, force_adjoint.data(), n, h.data(), serial_for);
  compare("gradient of the force", h2, h);
  work(VirialGradItem<double>{p, va.data(), aa.data(), h2.data()}, slots);
  env_virial_grad(p, va.data(), aa.data(), h.data(), serial_for);
  compare("gradient of the virial", h2, h);
}

}  // namespace

int main() {
  tables<4>("table contraction", false, false);
  tables<4>("table contraction with factor", false, true);
  tables<1>("table contraction of angles", true, false);
  nets(false, false);
  nets(true, false);
  nets(true, true);
  gelu();
  geometry<4>();
  geometry<1>();
}

// Times of the hot kernels by themselves, for one atom with 90 neighbors of water: make bench-kernels.
// Prints a line per kernel: name, microseconds per atom (median of repetitions, one thread), and how much
// memory it touches.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "dptf/aligned.h"
#include "dptf/cpu_isa.h"
#include "dptf/dense_net.h"
#include "dptf/embed_contract.h"
#include "dptf/fitting_net.h"
#include "dptf/force_virial.h"
#include "dptf/fused_sea.h"
#include "dptf/message.h"
#include "dptf/tabulate.h"

using namespace dptf;

namespace {

constexpr int64_t kAtoms = 192, kSlots = 138, kWidth = 100, kPieces = 5;

std::vector<double> numbers(size_t n, double low = -1, double high = 1) {
  static std::mt19937 engine(1);
  std::uniform_real_distribution<double> d(low, high);
  std::vector<double> v(n);
  for (double& x : v) x = d(engine);
  return v;
}

/// Processor time of this thread: it does not count what other programs take.
double now() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

void measure(const char* name, int64_t atoms, const std::function<void()>& call) {
  call();
  std::vector<double> seconds;
  for (int k = 0; k < 15; ++k) {
    const double begin = now();
    call();
    seconds.push_back(now() - begin);
  }
  std::nth_element(seconds.begin(), seconds.begin() + 7, seconds.end());
  std::printf("| %-44s | %9.3f |\n", name, 1e6 * seconds[7] / static_cast<double>(atoms));
}

void contraction() {
  const int sel[2] = {46, 92}, net_of[4] = {0, 1, 0, 1};
  std::vector<int> atype(kAtoms), nlist(kAtoms * kSlots);
  // A third of the slots is empty, as in water with the usual sel.
  for (int64_t k = 0; k < kAtoms * kSlots; ++k) nlist[k] = k % kSlots % 46 < 30 ? 1 : -1;
  auto env = numbers(kAtoms * kSlots * 4, -0.3, 4);
  for (int64_t k = 0; k < kAtoms * kSlots; ++k)
    if (nlist[k] < 0) std::fill_n(env.begin() + 4 * k, 4, -0.2);
  for (int64_t i = 0; i < kAtoms; ++i)  // neighbors of a type are sorted by distance
    for (int64_t k = i * kSlots; k < (i + 1) * kSlots; k += 46)
      for (int64_t a = k + 1; a < k + 46 && nlist[a] >= 0; ++a)
        for (int64_t b = a; b > k && env[4 * b] > env[4 * b - 4]; --b) std::swap(env[4 * b], env[4 * b - 4]);
  const auto nodes = numbers(2 * kPieces * kTerms * kWidth), da = numbers(kAtoms * 4 * kWidth),
             z = numbers(kAtoms * kSlots * 4);
  EmbedContract<double> p;
  p.n_atoms = kAtoms;
  p.nnei = kSlots;
  p.ntypes = 2;
  p.sel = sel;
  p.net_of = net_of;
  p.atype = atype.data();
  p.env = env.data();
  p.nlist = nlist.data();
  p.n_nets = 2;
  p.n_pieces = kPieces;
  p.width = kWidth;
  p.nodes = nodes.data();
  p.x0 = -0.5;
  p.h = 1;
  std::vector<double> a(kAtoms * 4 * kWidth), e(env.size()), n(nodes.size());
  measure("training: contraction", kAtoms, [&] { embed_contract(p, a.data(), serial_for); });
  measure("training: its gradient to positions", kAtoms,
          [&] { embed_contract_grad_env<double>(p, da.data(), {e.data(), nullptr}, serial_for); });
  measure("training: its gradient to the nets", kAtoms,
          [&] { embed_contract_grad_nodes(p, da.data(), n.data(), serial_for); });
  measure("training: second gradient, to the nets too", kAtoms, [&] {
    embed_contract_grad_grad<double>(p, da.data(), {z.data(), nullptr}, a.data(), n.data(), serial_for);
  });
}

template <typename T>
void tables(const char* value, const char* gradient) {
  const int64_t rows = 860;
  const auto wide = numbers(rows * kWidth * 6), x_wide = numbers(kAtoms * kSlots, 0, 4),
             r_wide = numbers(kAtoms * kSlots * 4);
  const std::vector<T> table(wide.begin(), wide.end()), x(x_wide.begin(), x_wide.end()),
      r(r_wide.begin(), r_wide.end());
  const T info[6] = {-1, 6, 30, T(0.01), T(0.15), -1};
  Tabulate<T> p;
  p.table = table.data();
  p.grid = TableGrid<T>::from_info(info, rows, false);
  p.width = kWidth;
  p.n = kAtoms;
  p.slots = kSlots;
  p.x = x.data();
  p.rows = r.data();
  std::vector<T> a(kAtoms * 4 * kWidth), dx(x.size()), dr(r.size());
  measure(value, kAtoms, [&] { tabulate(p, a.data(), serial_for); });
  measure(gradient, kAtoms,
          [&] { tabulate_grad<T>(p, a.data(), dx.data(), dr.data(), nullptr, serial_for); });
}

void geometry() {
  std::vector<int> nlist(kAtoms * kSlots);
  for (int64_t k = 0; k < kAtoms * kSlots; ++k) nlist[k] = static_cast<int>(k * 7919 % kAtoms);
  const auto g = numbers(kAtoms * kSlots * 4), d = numbers(kAtoms * kSlots * 12),
             rij = numbers(kAtoms * kSlots * 3);
  EnvDeriv<double> p;
  p.nf = 1;
  p.nloc = p.nall = kAtoms;
  p.nnei = kSlots;
  p.net_deriv = g.data();
  p.deriv = d.data();
  p.rij = rij.data();
  p.nlist = nlist.data();
  std::vector<double> f(3 * kAtoms), v(9), w(9 * kAtoms), out(g.size());
  measure("ProdForceSeA", kAtoms, [&] { env_force(p, f.data(), serial_for); });
  measure("ProdVirialSeA", kAtoms, [&] { env_virial(p, v.data(), w.data(), serial_for); });
  measure("ProdForceSeAGrad", kAtoms, [&] { env_force_grad(p, f.data(), kAtoms, out.data(), serial_for); });
}

template <typename T>
std::vector<T> cast(const std::vector<double>& v) {
  return std::vector<T>(v.begin(), v.end());
}

/// Fitting nets in training, a third of the atoms of one type.
template <typename T>
void training_fitting(const char* value, const char* derivatives) {
  const int64_t widths[] = {1600, 240, 240, 240, 1};
  std::vector<std::vector<T>> arrays;
  arrays.reserve(2 * 4 * 6);
  const auto array = [&](int64_t n) {
    arrays.push_back(cast<T>(numbers(n, -0.05, 0.05)));
    return arrays.back().data();
  };
  std::vector<std::vector<FittingLayer<T>>> nets(2);
  std::vector<std::vector<FittingLayerGrad<T>>> grads(2);
  for (int net = 0; net < 2; ++net)
    for (int k = 0; k < 4; ++k) {
      const int64_t in = widths[k], out = widths[k + 1];
      const bool middle = k == 1 || k == 2;
      nets[net].push_back(
          {in, out, k < 3, middle, array(in * out), array(out), middle ? array(out) : nullptr});
      grads[net].push_back({array(in * out), array(out), middle ? array(out) : nullptr});
    }
  std::vector<std::vector<int64_t>> rows(2);
  for (int64_t i = 0; i < kAtoms; ++i) rows[i >= kAtoms / 3].push_back(i);
  const FittingNets<T> f(nets, rows);
  const auto x = cast<T>(numbers(kAtoms * 1600)), z = cast<T>(numbers(kAtoms * 1600)),
             dy = cast<T>(numbers(kAtoms));
  std::vector<T> y(kAtoms), dydx(x.size()), dx(x.size()), pre(kAtoms * f.n_kept()), adjoint(pre);
  measure(value, kAtoms,
          [&] { f.value(x.data(), y.data(), pre.data(), dydx.data(), adjoint.data(), 1, serial_for); });
  measure(derivatives, kAtoms, [&] {
    f.gradient(x.data(), pre.data(), adjoint.data(), dy.data(), z.data(), dx.data(), grads, 1, serial_for);
  });
}

template <typename T>
void fitting(const char* name) {
  std::vector<DenseLayerWeights<T>> layers;
  int64_t n_in = 1480;
  for (int64_t n_out : {240, 240, 240, 1}) {
    DenseLayerWeights<T> w;
    w.n_in = n_in;
    w.n_out = n_out;
    w.activation = n_out > 1 ? 1 : 0;
    w.residual = n_in == n_out;
    const auto m = numbers(n_in * n_out, -0.05, 0.05), b = numbers(n_out);
    w.matrix.assign(m.begin(), m.end());
    w.bias.assign(b.begin(), b.end());
    layers.push_back(w);
    n_in = n_out;
  }
  const DenseNet<T> net(layers);
  typename DenseNet<T>::Workspace work;
  constexpr int kRows = 32;
  AlignedVector<T> x((kRows + 16) * net.row_stride(), T(0.01)), kept(x);
  std::vector<T> y(kRows + 16);
  measure(name, kRows, [&] {
    x = kept;
    net.value_and_gradient(kRows, x.data(), T(1), y.data(), work);
  });
}

/// Random layers of these widths, n_in first.
template <typename Layer>
std::vector<Layer> layers(std::initializer_list<int64_t> widths) {
  std::vector<Layer> out;
  const int64_t* n_in = widths.begin();
  for (const int64_t* n = n_in + 1; n != widths.end(); n_in = n++) {
    Layer w;
    w.n_in = *n_in;
    w.n_out = *n;
    const double size = std::sqrt(3.0 / static_cast<double>(*n_in + *n));
    w.matrix = numbers(*n_in * *n, -size, size);
    w.bias = numbers(*n);
    out.push_back(w);
  }
  return out;
}

/// The whole model on a box of 1029 atoms: search for neighbors, energy, forces and virial.
template <typename C>
void whole_model(const char* name) {
  SeaModel m;
  m.ntypes = 2;
  m.sel = {46, 92};
  m.rcut = 6;
  m.rcut_smth = 0.5;
  m.axis = 16;
  for (int p = 0; p < 4; ++p) {
    m.davg.insert(m.davg.end(), {0.05, 0, 0, 0});
    m.dstd.insert(m.dstd.end(), {0.13, 0.08, 0.08, 0.08});
  }
  m.net_of = {0, 1, 0, 1};
  m.nets.resize(2);
  for (auto& net : m.nets) net.layers = layers<EmbedLayer>({1, 25, 50, kWidth});
  for (int t = 0; t < 2; ++t) {
    m.fitting.push_back(layers<DenseLayerWeights<double>>({kWidth * 16, 240, 240, 240, 1}));
    for (size_t k = 0; k < 3; ++k) m.fitting[t][k].activation = 1;
    for (size_t k = 1; k < 3; ++k) m.fitting[t][k].residual = true;
  }
  m.bias = m.shift = {0, 0};
  m.scale = {1, 1};
  FusedSea<C> model(m);
  constexpr int kSide = 7;
  constexpr double kSpacing = 3.1;
  std::vector<double> coord;
  std::vector<int> type;
  for (int i = 0; i < kSide * kSide * kSide; ++i) {
    const double at[3] = {kSpacing * (i % kSide), kSpacing * (i / kSide % kSide),
                          kSpacing * (i / kSide / kSide)};
    for (int atom = 0; atom < 3; ++atom) {
      const auto d = numbers(3);
      const double length = std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
      for (int x = 0; x < 3; ++x) coord.push_back(at[x] + (atom ? 0.97 * d[x] / length : 0.02 * d[x]));
      type.push_back(atom ? 1 : 0);
    }
  }
  const double box[9] = {kSide * kSpacing, 0, 0, 0, kSide * kSpacing, 0, 0, 0, kSide * kSpacing};
  SeaInput<double> in;
  in.nf = 1;
  in.nloc = in.nall = static_cast<int64_t>(type.size());
  in.coord = coord.data();
  in.box = box;
  in.type = type.data();
  in.periodic = true;
  std::vector<double> force(coord.size());
  double energy = 0, virial[9];
  SeaOutput<double> out;
  out.energy = &energy;
  out.force = force.data();
  out.virial = virial;
  measure(name, in.nloc, [&] { model.evaluate(in, out, 1, serial_for); });
}

/// A message step of DPA-3 in single precision: `rows` neighbors of every owner, x [k] -> message [m] and
/// update [kept].
void message_step(const char* name, bool local, int64_t owners_per_atom, int64_t rows, int64_t k, int64_t m,
                  int64_t kept) {
  const int64_t owners = kAtoms * owners_per_atom, n = owners * rows, columns = m + kept;
  const auto single = [](size_t count) {
    const auto v = numbers(count);
    return std::vector<float>(v.begin(), v.end());
  };
  const auto x = single(n * k), weight = single(k * columns), u = single(owners * columns), w = single(n),
             skip = single(kept), rho = single(kept), g_out = single(owners * m), g_y = single(n * kept);
  std::vector<int> start(owners + 1), v(n), block_start(kAtoms + 1), t_start(owners + 1), t_rows(n);
  for (int64_t o = 0; o <= owners; ++o) t_start[o] = start[o] = static_cast<int>(o * rows);
  for (int64_t a = 0; a <= kAtoms; ++a) block_start[a] = static_cast<int>(a * owners_per_atom);
  for (int64_t r = 0; r < n; ++r) {
    // Angles: the edges of the same atom. Edges: other atoms, each as often as it has neighbors.
    v[r] = static_cast<int>(local ? r / rows / owners_per_atom * owners_per_atom + r % rows
                                  : (r / rows + 7 * (r % rows)) % owners);
  }
  std::vector<int> filled(owners, 0);
  for (int64_t r = 0; r < n && !local; ++r) t_rows[v[r] * rows + filled[v[r]]++] = static_cast<int>(r);
  Message<float> p;
  p.rows = n, p.owners = p.n_v = owners, p.k = k, p.m = m, p.kept = kept;
  p.x = x.data(), p.weight = weight.data(), p.u = p.v_rows = u.data(), p.w = w.data();
  p.skip = skip.data(), p.rho = rho.data(), p.start = start.data(), p.v = v.data();
  p.local = local, p.blocks = kAtoms, p.block_start = block_start.data();
  p.t_start = t_start.data(), p.t_rows = t_rows.data(), p.activation = 8, p.threshold = 10;
  std::vector<float> out(owners * m), y(n * kept), dx(n * k), dw(n), du(u.size()), dv(u.size()),
      dweight(weight.size()), dskip(kept), drho(kept), dgo(out.size()), dgy(y.size());
  MessageGrad<float> d{dx.data(), nullptr, du.data(), dv.data(), dw.data(), nullptr, nullptr}, all = d;
  all.weight = dweight.data(), all.skip = dskip.data(), all.rho = drho.data();
  const MessageTangent<float> t{x.data(), u.data(), u.data(), w.data()};
  const auto row = [&](const char* what, const std::function<void()>& call) {
    measure((std::string(name) + what).c_str(), kAtoms, call);
  };
  row("", [&] { message(p, out.data(), y.data(), serial_for); });
  row(", gradient to positions", [&] { message_grad(p, g_out.data(), g_y.data(), d, serial_for); });
  row(", gradient with weights", [&] { message_grad(p, g_out.data(), g_y.data(), all, serial_for); });
  row(", second gradient",
      [&] { message_grad_grad(p, g_out.data(), g_y.data(), t, all, dgo.data(), dgy.data(), serial_for); });
}

}  // namespace

int main() {
  std::printf("Instruction set: %s; one thread, float64 unless said.\n\n", cpu_isa_name(cpu_isa()));
  std::printf("| kernel (138 slots, width 100) | us per atom |\n|---|---|\n");
  contraction();
  training_fitting<double>("training: fitting net with its gradient", "training: derivatives of both");
  training_fitting<float>("training: fitting net, float32", "training: derivatives, float32");
  tables<double>("TabulateFusionSeA", "TabulateFusionSeAGrad");
  tables<float>("TabulateFusionSeA, float32", "TabulateFusionSeAGrad, float32");
  geometry();
  fitting<double>("fitting net 1480-240x3 with gradient");
  fitting<float>("fitting net with gradient, float32");
  whole_model<double>("inference: whole se_e2_a model");
  whole_model<float>("inference: whole se_e2_a model, float32");
  message_step("DPA-3 angles, 32 to 64 + 32, float32", true, 27, 27, 32, 64, 32);
  message_step("DPA-3 edges, 64 to 128 + 64, float32", false, 1, 90, 64, 128, 64);
}

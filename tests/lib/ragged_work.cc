// The work items of accelerators over ragged rows, run on the host, against the CPU kernels. Prints the
// largest relative difference of each.
#include "dptf/ragged_work.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "dptf/activate.h"

using namespace dptf;

namespace {

std::mt19937 engine(11);
using Numbers = std::vector<double>;
using Ints = std::vector<int>;
Numbers numbers(size_t n) {
  std::uniform_real_distribution<double> d(-1, 1);
  Numbers v(n);
  for (double& x : v) x = d(engine);
  return v;
}

const ParallelFor serial = [](int64_t n, int64_t, const std::function<void(int64_t, int64_t)>& f) {
  f(0, n);
};

template <typename F>
void work(const F& f, int64_t n) {
  for (int64_t i = 0; i < n; ++i) f(i, 0, 1);
}

void compare(const std::string& name, const Numbers& a, const Numbers& b) {
  double size = 1e-300, worst = a.size() == b.size() ? 0 : INFINITY;
  for (size_t k = 0; k < std::min(a.size(), b.size()); ++k) {
    size = std::max(size, std::fabs(b[k]));
    worst = std::max(worst, std::isfinite(a[k]) ? std::fabs(a[k] - b[k]) : INFINITY);
  }
  std::printf("%s %.3e\n", name.c_str(), worst / size);
}

/// Starts of groups of the given sizes.
Ints starts(const Ints& sizes) {
  Ints s{0};
  for (int n : sizes) s.push_back(s.back() + n);
  return s;
}

const Ints kSizes{3, 0, 1, 4, 0, 2, 0};

void linear_maps(bool indexed) {
  const Ints start = starts(kSizes), index{2, 0, 2, 4, 4, 2, 0, 1, 4, 4}, t_start{0, 2, 3, 6, 6, 10},
             t_rows{1, 6, 7, 0, 2, 5, 3, 4, 8, 9};
  RaggedRows p;
  p.owners = kSizes.size();
  p.rows = start.back();
  p.n_x = indexed ? 5 : p.rows;
  p.width = 6;
  p.start = start.data();
  if (indexed) p.index = index.data(), p.t_start = t_start.data(), p.t_rows = t_rows.data();
  const auto w = numbers(p.rows * 3), x = numbers(p.n_x * p.width), h = numbers(p.owners * 3 * p.width);
  Numbers a(h.size()), b(a), c(x.size(), NAN), d(c), e(w.size()), f(e);
  work(MomentsItem<double>{p, w.data(), x.data(), a.data()}, p.owners);
  moments(p, w.data(), x.data(), b.data(), serial);
  compare("moments", a, b);
  work(MomentsToXItem<double>{p, w.data(), h.data(), c.data()}, p.n_x);
  moments_to_x(p, w.data(), h.data(), d.data(), serial);
  compare("moments to x", c, d);
  work(MomentsToWItem<double>{p, h.data(), x.data(), e.data()}, p.rows);
  moments_to_w(p, h.data(), x.data(), f.data(), serial);
  compare("moments to w", e, f);
}

void rows_and_pairs() {
  const Ints start = starts(kSizes);
  const int64_t owners = kSizes.size(), rows = start.back(), width = 5;
  const auto x = numbers(owners * width), r = numbers(rows * width), u = numbers(rows * 3),
             v = numbers(rows * 3);
  Numbers a(rows * width), b(a), c(owners * width), d(c);
  work(SpreadItem<double>{owners, width, start.data(), x.data(), a.data()}, rows);
  spread(owners, width, start.data(), x.data(), b.data(), serial);
  compare("spread", a, b);
  work(SegmentSumItem<double>{width, start.data(), r.data(), c.data()}, owners);
  segment_sum(owners, width, start.data(), r.data(), d.data(), serial);
  compare("segment sum", c, d);
  std::vector<int64_t> first{0};
  for (int n : kSizes) first.push_back(first.back() + n * n);
  const PairGroups p{owners, start.data(), first.data()};
  Numbers g(first.back()), g2(g), s(rows * 3), s2(s);
  work(PairDotItem<double>{p, u.data(), v.data(), g.data()}, rows);
  pair_dot(owners, start.data(), u.data(), v.data(), g2.data(), serial);
  compare("pair products", g, g2);
  for (bool right : {false, true}) {
    work(PairApplyItem<double>{p, g.data(), v.data(), right, s.data()}, rows);
    pair_apply(owners, start.data(), g.data(), v.data(), right, s2.data(), serial);
    compare("pair sums", s, s2);
  }
  const Ints at{4, 1, 6};
  const auto y = numbers(3 * 2);
  Numbers put(x), add(x), taken(3 * 2), want_put(x), want_add(x), want_taken(3 * 2);
  for (int i = 0; i < 3; ++i)
    for (int k = 0; k < 2; ++k) {
      want_put[at[i] * width + k] = y[2 * i + k];
      want_add[at[i] * width + k] += y[2 * i + k];
      want_taken[2 * i + k] = x[at[i] * width + k];
    }
  work(MoveRowsItem<double, RowMove::put>{at.data(), 2, 2, width, y.data(), put.data()}, 3);
  work(MoveRowsItem<double, RowMove::add>{at.data(), 2, 2, width, y.data(), add.data()}, 3);
  work(MoveRowsItem<double, RowMove::take>{at.data(), 2, width, 2, x.data(), taken.data()}, 3);
  compare("rows put", put, want_put);
  compare("rows added", add, want_add);
  compare("rows taken", taken, want_taken);
}

void activations() {
  auto x = numbers(40);
  for (double& v : x) v *= 6;
  const auto a = numbers(40), b = numbers(40);
  for (int code = 0; code <= 8; ++code)
    for (int order = 0; order < 3; ++order) {
      const double *f = order > 0 ? a.data() : nullptr, *g = order > 1 ? b.data() : nullptr;
      Numbers one(40), two(40);
      work(ActivationItem<double>{code, order, 2.5, x.data(), f, g, one.data()}, 40);
      activate(code, 2.5, order, int64_t(40), x.data(), f, g, two.data(), serial);
      compare("activation " + std::to_string(code), one, two);
    }
}

struct Arrays {
  Numbers x, u, v, w, weight, skip, rho, g_out, g_y;
  explicit Arrays(const Message<double>& p)
      : x(p.rows * p.k, NAN),
        u(p.owners * p.columns(), NAN),
        v(p.n_v * p.columns(), NAN),
        w(p.rows, NAN),
        weight(p.k * p.columns(), NAN),
        skip(p.kept, NAN),
        rho(skip),
        g_out(p.owners * p.m, NAN),
        g_y(p.rows * p.kept, NAN) {}
  MessageGrad<double> grad() {
    return {x.data(), weight.data(), u.data(), v.data(), w.data(), skip.data(), rho.data()};
  }
};

template <int ORDER>
void gradients(const std::string& name, const MessageTerms<double>& terms) {
  const Message<double>& p = terms.p;
  Arrays a(p), b(p);
  const int64_t chunks = 3;
  Numbers partial(chunks * (p.k + 2) * p.columns(), 0.0);
  work(MessageOwnerGrad<double, ORDER>{terms, a.u.data(), a.g_out.data(), a.g_y.data()}, p.owners);
  work(MessageRowGrad<double, ORDER>{terms, a.x.data(), a.w.data()}, p.rows);
  work(MessageNeighborGrad<double, ORDER>{terms, a.v.data()}, p.n_v);
  work(MessageWeightGrad<double, ORDER>{terms, chunks, partial.data()}, chunks);
  work(MessageWeightSum<double>{p, chunks, partial.data(), a.weight.data(), a.skip.data(), a.rho.data()},
       (p.k + 2) * p.columns());
  if (ORDER == 1)
    message_grad(p, terms.g_out, terms.g_y, b.grad(), serial);
  else
    message_grad_grad(p, terms.g_out, terms.g_y, terms.t, b.grad(), b.g_out.data(), b.g_y.data(), serial);
  const std::string end = " of order " + std::to_string(ORDER) + ", " + name;
  compare("x" + end, a.x, b.x);
  compare("u" + end, a.u, b.u);
  compare("v" + end, a.v, b.v);
  compare("w" + end, a.w, b.w);
  compare("weight" + end, a.weight, b.weight);
  compare("skip" + end, a.skip, b.skip);
  compare("rho" + end, a.rho, b.rho);
  if (ORDER == 1) return;
  compare("g_out" + end, a.g_out, b.g_out);
  compare("g_y" + end, a.g_y, b.g_y);
}

void messages(const std::string& name, bool local, int64_t k, int64_t m, int64_t kept, int activation) {
  const Ints sizes = local ? Ints{3, 3, 3, 1, 2, 2} : kSizes, start = starts(sizes),
             block_start{0, 3, 3, 4, 6}, t_start{0, 2, 3, 6, 6, 10}, t_rows{1, 6, 7, 0, 2, 5, 3, 4, 8, 9};
  const Ints v = local ? Ints{0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 4, 5, 4, 5} : Ints{2, 0, 2, 4, 4, 2, 0, 1, 4, 4};
  Message<double> p;
  p.rows = start.back(), p.owners = sizes.size(), p.n_v = local ? p.owners : 5;
  p.k = k, p.m = m, p.kept = kept;
  const int64_t columns = p.columns();
  const auto x = numbers(p.rows * k), weight = numbers(k * columns), u = numbers(p.owners * columns),
             vr = numbers(p.n_v * columns), w = numbers(p.rows), skip = numbers(kept), rho = numbers(kept),
             g_out = numbers(p.owners * m), g_y = numbers(p.rows * kept), tx = numbers(x.size()),
             tu = numbers(u.size()), tv = numbers(vr.size()), tw = numbers(w.size());
  p.x = x.data(), p.weight = weight.data(), p.u = u.data(), p.v_rows = vr.data(), p.w = w.data();
  p.skip = skip.data(), p.rho = rho.data(), p.start = start.data(), p.v = v.data(), p.local = local;
  if (local)
    p.blocks = block_start.size() - 1, p.block_start = block_start.data();
  else
    p.t_start = t_start.data(), p.t_rows = t_rows.data();
  p.activation = activation, p.threshold = 0.8;
  check_message(p);
  const MessageTerms<double> terms{p, g_out.data(), g_y.data(), {tx.data(), tu.data(), tv.data(), tw.data()}};
  Numbers out(p.owners * m), y(p.rows * kept), out2(out), y2(y);
  work(MessageItem<double>{terms, out.data(), y.data()}, p.owners);
  message(p, out2.data(), y2.data(), serial);
  compare("message, " + name, out, out2);
  compare("rows, " + name, y, y2);
  gradients<1>(name, terms);
  gradients<2>(name, terms);
}

}  // namespace

int main() {
  linear_maps(false);
  linear_maps(true);
  rows_and_pairs();
  activations();
  messages("edges", false, 5, 7, 5, kSilut);
  messages("edges without update", false, 5, 12, 0, static_cast<int>(Activation::silu));
  messages("update alone", false, 4, 0, 4, static_cast<int>(Activation::tanh));
  messages("angles", true, 3, 6, 3, kSilut);
  messages("angles of one number", true, 1, 6, 4, kSilut);
}

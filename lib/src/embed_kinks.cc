#include <algorithm>
#include <cmath>
#include <limits>

#include "dptf/activation.h"
#include "dptf/embed_table.h"

namespace dptf {

namespace {

/// Levels of the input at which an activation is not smooth.
std::vector<double> levels(int activation, double threshold) {
  if (activation == static_cast<int>(Activation::relu)) return {0};
  if (activation == static_cast<int>(Activation::relu6)) return {0, 6};
  if (activation == kSilut) return {threshold};
  return {};
}

/// A place between a and b where input c of the activations of a layer crosses a level.
struct Crossing {
  int64_t c;
  double level, a, fa, b, fb, x;
};

/// What enters the activations of layer l at n arguments: z [n, n_out].
void layer_input(const EmbedNet& net, size_t l, const std::vector<double>& x, std::vector<double>* z) {
  const int64_t n = static_cast<int64_t>(x.size());
  const EmbedLayer& w = net.layers[l];
  EmbedNet below;
  below.layers.assign(net.layers.begin(), net.layers.begin() + static_cast<int64_t>(l));
  below.activation = net.activation;
  below.threshold = net.threshold;
  below.rest = net.rest;
  std::vector<double> jets(3 * n * w.n_in);
  below.layer_jets(x.data(), n, jets.data());
  z->assign(n * w.n_out, 0.0);
  for (int64_t i = 0; i < n; ++i) {
    double* row = z->data() + i * w.n_out;
    std::copy(w.bias.begin(), w.bias.end(), row);
    for (int64_t k = 0; k < w.n_in; ++k)
      for (int64_t c = 0; c < w.n_out; ++c) row[c] += jets[3 * i * w.n_in + k] * w.matrix[k * w.n_out + c];
  }
}

/// Closes in on all crossings at once, by straight lines whose stale end counts half.
void close_in(const EmbedNet& net, size_t l, double resolution, std::vector<Crossing>* all) {
  const int64_t width = net.layers[l].n_out;
  std::vector<double> x, z;
  for (int step = 0; step < 60; ++step) {
    x.clear();
    for (Crossing& k : *all) {
      k.x = k.a + k.fa / (k.fa - k.fb) * (k.b - k.a);
      x.push_back(k.x);
    }
    layer_input(net, l, x, &z);
    double largest = 0;
    for (size_t i = 0; i < all->size(); ++i) {
      Crossing& k = (*all)[i];
      const double f = z[static_cast<int64_t>(i) * width + k.c] - k.level;
      largest = std::max(largest, std::min(std::fabs(f / (k.fb - k.fa)) * (k.b - k.a), k.b - k.a));
      if ((f < 0) == (k.fb < 0)) {
        k.b = k.x, k.fb = f, k.fa *= 0.5;
      } else {
        k.a = k.x, k.fa = f, k.fb *= 0.5;
      }
      if (f == 0) k.a = k.b = k.x, k.fa = -1, k.fb = 1;
    }
    if (largest < resolution) return;
  }
}

}  // namespace

bool EmbedNet::is_straight() const {
  return !is_stored() && !(bend() > std::numeric_limits<double>::lowest()) &&
         (activation == static_cast<int>(Activation::linear) ||
          activation == static_cast<int>(Activation::relu) ||
          activation == static_cast<int>(Activation::relu6));
}

std::vector<double> EmbedNet::kinks(double low, double high) const {
  const std::vector<double> breaks = levels(activation, threshold);
  const double range = high - low, resolution = 1e-15 * range;
  if (is_stored() || !(range > 0)) return {};
  // Between the kinks of the layers below, straight nets cross a level at most once; others are sampled.
  constexpr int kSamples = 1024;
  std::vector<double> found, at, z;
  for (size_t l = 0; l < layers.size() && !breaks.empty(); ++l) {
    at = found;
    const int samples = is_straight() ? 1 : kSamples;
    for (int k = 0; k <= samples; ++k) at.push_back(low + range * k / samples);
    std::sort(at.begin(), at.end());
    layer_input(*this, l, at, &z);
    const int64_t width = layers[l].n_out;
    std::vector<Crossing> crossings;
    for (size_t i = 0; i + 1 < at.size(); ++i)
      for (int64_t c = 0; c < width; ++c)
        for (double level : breaks) {
          const double fa = z[static_cast<int64_t>(i) * width + c] - level,
                       fb = z[static_cast<int64_t>(i + 1) * width + c] - level;
          if ((fa < 0) != (fb < 0) && at[i + 1] > at[i])
            crossings.push_back({c, level, at[i], fa, at[i + 1], fb, at[i]});
        }
    if (!crossings.empty()) close_in(*this, l, resolution, &crossings);
    for (const Crossing& k : crossings) found.push_back(k.x);
    std::sort(found.begin(), found.end());
  }
  if (bend() > low && bend() < high)
    found.insert(std::upper_bound(found.begin(), found.end(), bend()), bend());
  std::vector<double> out;
  for (double x : found)
    if (x > (out.empty() ? low : out.back()) + 100 * resolution && x < high - 100 * resolution)
      out.push_back(x);
  return out;
}

}  // namespace dptf

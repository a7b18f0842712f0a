// What the programs that call every overload share. Before it: `api` names the namespace under test.
#pragma once

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

using Vec = std::vector<double>;
using Vecf = std::vector<float>;

static int failures = 0;

template <typename T>
inline void same(const char* what, const std::vector<T>& found, const Vec& expected, double tolerance) {
  double worst = found.size() == expected.size() ? 0 : 1e9;
  for (size_t i = 0; i < found.size() && i < expected.size(); ++i)
    worst = std::fmax(worst, std::fabs(found[i] - expected[i]) / std::fmax(1.0, std::fabs(expected[i])));
  if (worst <= tolerance) return;
  std::printf("FAILED %s: off by %g (%zu and %zu numbers)\n", what, worst, found.size(), expected.size());
  ++failures;
}
template <typename F>
inline void throws(const char* words, F f) {
  try {
    f();
    std::printf("FAILED: no error with '%s'\n", words);
  } catch (const api::deepmd_exception& e) {
    const std::string text = e.what();
    if (text.find(words) != std::string::npos && text.find("DeePMD-kit") == 0) return;
    std::printf("FAILED: '%s' is not in '%s'\n", words, e.what());
  }
  ++failures;
}
inline void require(bool ok, const char* what) {
  if (!ok) std::printf("FAILED: %s\n", what), ++failures;
}
template <typename T>
inline Vecf single(const std::vector<T>& v) {
  return Vecf(v.begin(), v.end());
}
inline Vec twice(const Vec& v) {
  Vec out = v;
  out.insert(out.end(), v.begin(), v.end());
  return out;
}
inline void print(const char* name, const Vec& v) {
  std::printf("%s", name);
  for (double x : v) std::printf(" %.15g", x);
  std::printf("\n");
}

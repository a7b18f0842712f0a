#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "handles.h"

// What the C functions of energy models with and without spins share. Handles have a member `pot`.
namespace deepmd_c {

struct Nothing {
  template <typename Model>
  void operator()(Model&) const {}
};

/// `prepare` is called with the model before it is loaded.
template <typename Handle, typename F = Nothing>
Handle* new_model(const char* file, int gpu_rank, const char* content, int size, const F& prepare = F()) {
  auto* out = new Handle;
  guarded(out, [&] {
    prepare(out->pot);
    out->pot.init(file, gpu_rank, content && size > 0 ? std::string(content, size) : std::string());
  });
  return out;
}

template <typename Handle>
Handle* new_models(const char** files, int n_models, int gpu_rank, const char** contents, int n_contents,
                   const int* sizes) {
  auto* out = new Handle;
  guarded(out, [&] {
    std::vector<std::string> names(files, files + n_models), bytes;
    for (int k = 0; k < n_contents; ++k) bytes.emplace_back(contents[k], sizes[k]);
    out->pot.init(names, gpu_rank, bytes);
  });
  return out;
}

/// Outputs of one model out of several, whose results lie one behind the other; null pointers stay null.
template <typename V>
struct Outputs {
  V *force, *force_mag, *virial, *atomic_energy, *atomic_virial;
  Outputs of_model(size_t k, size_t natom) const {
    const auto at = [k](V* p, size_t n) { return p ? p + k * n : nullptr; };
    return {at(force, natom * 3), at(force_mag, natom * 3), at(virial, 9), at(atomic_energy, natom),
            at(atomic_virial, natom * 9)};
  }
};

/// Calls run(model, fparam, aparam, energies, outputs) for the model of a handle.
template <typename Handle, typename V, typename F>
void evaluate_one(Handle* dp, int nframes, int natom, int nghost, const V* fparam, const V* aparam,
                  double* energy, const Outputs<V>& out, const F& run) {
  guarded(dp, [&] {
    std::vector<double> energies(nframes > 0 ? nframes : 0);
    run(dp->pot, given(fparam, static_cast<size_t>(nframes) * dp->pot.dim_fparam()),
        given(aparam, aparam_size(dp->pot, nframes, natom, nghost)), energies.data(), out);
    if (energy) std::copy(energies.begin(), energies.end(), energy);
  });
}

/// The same for each of several models, on one frame.
template <typename Handle, typename V, typename F>
void evaluate_each(Handle* dp, int nframes, int natom, int nghost, const V* fparam, const V* aparam,
                   double* energy, const Outputs<V>& out, const F& run) {
  guarded(dp, [&] {
    if (nframes > 1) throw deepmd::deepmd_exception("model deviation takes one frame at a time");
    const auto f = given(fparam, dp->pot.dim_fparam());
    const auto a = given(aparam, aparam_size(dp->pot, 1, natom, nghost));
    for (size_t k = 0; k < dp->pot.size(); ++k) {
      double e = 0;
      run(dp->pot.model(k), f, a, &e, out.of_model(k, natom));
      if (energy) energy[k] = e;
    }
  });
}

}  // namespace deepmd_c

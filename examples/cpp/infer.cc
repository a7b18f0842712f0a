// Energy, forces and virial of one configuration with the C++ library, or with the header-only interface.
//
//   g++ infer.cc $(python -m dptf.flags cc) -o infer                # links libdeepmd_cc
//   g++ -DHEADER_ONLY infer.cc $(python -m dptf.flags c) -o infer   # links libdeepmd_c only
//   ./infer frozen.pb frame.txt
//
// frame.txt: number of atoms; nine numbers of the cell (rows are the cell vectors, Å; all zero: open
// boundary); then type, x, y, z of every atom. Types count from 0 in the order of the model's type map.
#ifdef HEADER_ONLY
#include <deepmd/deepmd.hpp>
namespace api = deepmd::hpp;
#else
#include <deepmd/DeepPot.h>
namespace api = deepmd;
#endif

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
  if (argc != 3) throw std::runtime_error(std::string("usage: ") + argv[0] + " MODEL FRAME");
  api::DeepPot dp(argv[1]);

  std::ifstream file(argv[2]);
  size_t natoms = 0;
  file >> natoms;
  std::vector<double> cell(9), coord(3 * natoms);
  std::vector<int> type(natoms);
  for (double& x : cell) file >> x;
  for (size_t i = 0; i < natoms; ++i) file >> type[i] >> coord[3 * i] >> coord[3 * i + 1] >> coord[3 * i + 2];
  if (!file || natoms == 0)
    throw std::runtime_error(std::string(argv[2]) + ": not such a file, or too short");
  if (std::all_of(cell.begin(), cell.end(), [](double x) { return x == 0; })) cell.clear();

  double energy;
  std::vector<double> force, virial;
  dp.compute(energy, force, virial, coord, type, cell);

  std::printf("energy %.15g\n", energy);
  for (size_t i = 0; i < natoms; ++i)
    std::printf("force %.15g %.15g %.15g\n", force[3 * i], force[3 * i + 1], force[3 * i + 2]);
  std::printf("virial");
  for (double x : virial) std::printf(" %.15g", x);
  std::printf("\n");
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}

#pragma once

#include <vector>

#include "neighbor_list.h"

namespace deepmd {

/// Exchange of rows by the communication pattern of the engine's neighbor list: in swap s the rows
/// sendlist[s] go to process sendproc[s], and recvnum[s] rows from recvproc[s] are put from row firstrecv[s]
/// on; the way back runs the swaps in reverse order and adds. `world` points to the MPI communicator.
///
/// MPI is called through the library that the program itself has loaded (of the MPICH or the Open MPI kind),
/// so that this one needs none. A program without MPI has one process.
class SwapExchange {
 public:
  /// Throws when the pattern is incomplete, or names other processes and no MPI is there.
  void init(const InputNlist& list);
  static int forward(void* self, double* rows, int width);
  static int reverse(void* self, double* rows, int width);

 private:
  int swap(int s, bool back, double* rows, int width);
  InputNlist list_;
  bool alone_ = true;
  std::vector<double> out_, in_;
};

/// Processes of the communicator that `world` points to; 1 without MPI.
int number_of_processes(const void* world);

}  // namespace deepmd

#pragma once

#include "dptf/parallel.h"

namespace dptf {

/// A loop on the calling thread and up to threads - 1 helpers.
///
/// Helpers belong to the process and are shared by all callers. A loop takes those that are idle at its
/// start, so that loops inside loops or in several threads at once neither wait for each other nor start more
/// threads than were asked for. Every participant has a part of the range of its own and helps the others
/// when that is done; a helper that comes too late is not waited for. So exactly as many threads run as were
/// asked for, while a pool of that size beside the caller would have one more than there are cores.
///
/// An exception that leaves the body ends the loop and is thrown to the caller.
ParallelFor team_parallel(int threads);

}  // namespace dptf

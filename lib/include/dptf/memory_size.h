#pragma once

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <string>

// What decides how much memory a process may take.
namespace dptf {

/// Bytes of a text like 500M, 4G or 123456 (K, M, G, T; a B may follow); negative if it is none.
inline double parse_bytes(const std::string& text) {
  const char* begin = text.c_str();
  char* end = nullptr;
  double value = std::strtod(begin, &end);
  if (end == begin || !(value >= 0)) return -1;
  const std::string units = "KMGT";
  if (*end && *end != 'B' && *end != 'b') {
    const size_t unit = units.find(static_cast<char>(std::toupper(*end)));
    if (unit == std::string::npos) return -1;
    for (size_t k = 0; k <= unit; ++k) value *= 1024;
    ++end;
  }
  if (*end == 'B' || *end == 'b') ++end;
  return *end ? -1 : value;
}

/// Bytes that the system tells under a name, 0 where it does not: "MemAvailable:" of the machine, "VmHWM:" of
/// this process.
inline double memory_info(const std::string& name) {
  std::ifstream info(name.compare(0, 2, "Vm") == 0 ? "/proc/self/status" : "/proc/meminfo");
  for (std::string line; std::getline(info, line);)
    if (line.compare(0, name.size(), name) == 0) return std::atof(line.c_str() + name.size()) * 1024;
  return 0;
}

/// Memory of the machine, or the limit of the container or batch job that this process is in; 0 where the
/// system does not tell.
inline double memory_total() {
  double total = memory_info("MemTotal:");
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    // "0::/path", or "number:memory:/path" of the first version.
    const size_t at = line.find(":/");
    const bool second = line.compare(0, 3, "0::") == 0;
    if (at == std::string::npos || !(second || line.find(":memory:") != std::string::npos)) continue;
    const std::string root = second ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    const std::string name = second ? "/memory.max" : "/memory.limit_in_bytes";
    for (std::string path = line.substr(at + 1);; path.erase(path.rfind('/'))) {
      if (path == "/") path.clear();
      std::ifstream limit(root + path + name);
      if (double bytes; limit >> bytes && bytes > 0) total = total > 0 ? std::min(total, bytes) : bytes;
      if (path.find('/') == std::string::npos) break;
    }
  }
  return total;
}

/// Processes of this job on this machine, as the launcher tells.
inline int processes_here() {
  for (const char* name :
       {"MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "PMI_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE"})
    if (const char* value = std::getenv(name))
      if (const int n = std::atoi(value); n > 0) return n;
  return 1;
}

/// What DPTF_MEMORY allows an evaluation, in bytes; 0 without it, negative where it is no number of bytes.
inline double given_memory() {
  const char* given = std::getenv("DPTF_MEMORY");
  if (!given || !*given) return 0;
  const double value = parse_bytes(given);
  return value > 0 ? value : -1;
}

/// The share of one of the processes in what is free, and what this one had before (an allocator has it or
/// gave it back); 0 where the system does not tell.
inline double usable_memory(int processes, double before) {
  const double free = memory_info("MemAvailable:"), total = memory_total();
  return free > 0 ? std::min(free / processes + std::min(before, memory_info("VmRSS:")), total) : 0;
}

}  // namespace dptf

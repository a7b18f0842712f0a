#pragma once

#include <cstdint>
#include <cstring>

namespace dptf {

/// What message-passing models need to know about ghosts beyond the neighbor list. The engine's side fills it
/// in and keeps it alive while the model is evaluated; every index is in the order of the model's atoms.
struct ListExtras {
  /// Owner of every atom, ghosts included (one process); null when ghosts belong to other processes.
  const int* mapping = nullptr;
  int64_t nmapping = 0;
  /// Exchange between processes, both null with one process. `rows` has one row of `width` numbers for every
  /// local atom and ghost: `forward` overwrites the rows of ghosts with those of their owners, `reverse` adds
  /// the rows of ghosts to those of their owners (wherever they live). All processes call them equally often,
  /// in the same order.
  void* engine = nullptr;
  int (*forward)(void* engine, double* rows, int width) = nullptr;
  int (*reverse)(void* engine, double* rows, int width) = nullptr;
  /// A frame is evaluated in blocks of atoms: what an exchange would give is fed to the graph instead.
  bool fed = false;
  double reserved = 0;  // bytes that what is fed takes, for the whole frame

  bool has_exchange() const { return forward && reverse; }
  /// Whether ghosts have rows of node features of their own.
  bool ghost_rows() const { return fed || has_exchange(); }
};

/// A mesh of 16 integers has room beside its three pointers: these mark that a pointer to ListExtras follows.
constexpr int kExtrasMagic = 0x44505458, kExtrasMark = 2, kExtrasVersionAt = 3, kExtrasVersion = 2,
              kExtrasPointer = 6;
/// In a list by value the second header number says that the owners of all atoms are appended, or that
/// exchanges are fed; then the bytes that this takes (a double) stand where kReservedAt says.
constexpr int kMappingAppended = 1, kExchangesFed = 2, kReservedAt = 4;

inline void put_extras(const ListExtras* extras, int* mesh) {
  mesh[kExtrasMark] = kExtrasMagic;
  mesh[kExtrasVersionAt] = kExtrasVersion;
  std::memcpy(mesh + kExtrasPointer, &extras, sizeof extras);
}

inline const ListExtras* get_extras(const int* mesh) {
  if (mesh[kExtrasMark] != kExtrasMagic || mesh[kExtrasVersionAt] != kExtrasVersion) return nullptr;
  const ListExtras* extras = nullptr;
  std::memcpy(&extras, mesh + kExtrasPointer, sizeof extras);
  return extras;
}

}  // namespace dptf

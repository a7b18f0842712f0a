#include <algorithm>
#include <cstdio>

#include "deepmd/common.h"
#include "handles.h"

using deepmd_c::copy;

DP_EXPORT DP_Nlist* DP_NewNlist(int inum, int* ilist, int* numneigh, int** firstneigh) {
  auto* out = new DP_Nlist;
  out->nl = deepmd::InputNlist(inum, ilist, numneigh, firstneigh);
  return out;
}
DP_EXPORT DP_Nlist* DP_NewNlist_comm(int inum, int* ilist, int* numneigh, int** firstneigh, int nswap,
                                     int* sendnum, int* recvnum, int* firstrecv, int** sendlist,
                                     int* sendproc, int* recvproc, void* world, int nprocs) {
  auto* out = new DP_Nlist;
  out->nl = deepmd::InputNlist(inum, ilist, numneigh, firstneigh, nswap, sendnum, recvnum, firstrecv,
                               sendlist, sendproc, recvproc, world, nprocs);
  return out;
}
DP_EXPORT void DP_NlistSetMask(DP_Nlist* nl, int mask) {
  if (nl) nl->nl.set_mask(mask);
}
DP_EXPORT void DP_NlistSetMapping(DP_Nlist* nl, int* mapping) {
  if (nl) nl->nl.set_mapping(mapping);
}
DP_EXPORT void DP_NlistSetExchange(DP_Nlist* nl, void* engine, int (*forward)(void*, double*, int),
                                   int (*reverse)(void*, double*, int)) {
  if (nl) nl->nl.set_exchange(engine, forward, reverse);
}
DP_EXPORT void DP_DeleteNlist(DP_Nlist* nl) { delete nl; }
DP_EXPORT const char* DP_NlistCheckOK(DP_Nlist* nl) { return copy(nl ? nl->exception : "null handle"); }

DP_EXPORT void DP_ConvertPbtxtToPb(const char* pbtxt, const char* pb) {
  try {
    deepmd::convert_pbtxt_to_pb(pbtxt, pb);
  } catch (const std::exception& e) {
    // The signature has no way to report; a missing output file is the sign.
    std::fprintf(stderr, "%s\n", e.what());
  }
}
DP_EXPORT void DP_PrintSummary(const char* pre) { deepmd::print_summary(pre ? pre : ""); }
DP_EXPORT const char* DP_ReadFileToChar2(const char* model, int* size) {
  std::string content;
  bool failed = false;
  try {
    deepmd::read_file_to_string(model, content);
  } catch (const std::exception& e) {
    content = e.what();
    failed = true;
  }
  if (size) *size = failed ? -static_cast<int>(content.size()) : static_cast<int>(content.size());
  return copy(content);
}
DP_EXPORT const char* DP_ReadFileToChar(const char* model) { return DP_ReadFileToChar2(model, nullptr); }

DP_EXPORT void DP_SelectByType(const int natoms, const int* atype, const int nghost, const int nsel_type,
                               const int* sel_type, int* fwd_map, int* nreal, int* bkw_map,
                               int* nghost_real) {
  std::vector<int> fwd, bkw;
  int ghosts = 0;
  deepmd::select_by_type(fwd, bkw, ghosts, {}, std::vector<int>(atype, atype + natoms), nghost,
                         std::vector<int>(sel_type, sel_type + nsel_type));
  if (fwd_map) std::copy(fwd.begin(), fwd.end(), fwd_map);
  if (bkw_map) std::copy(bkw.begin(), bkw.end(), bkw_map);
  if (nreal) *nreal = static_cast<int>(bkw.size());
  if (nghost_real) *nghost_real = ghosts;
}
DP_EXPORT void DP_SelectMapInt(const int* in, const int* fwd_map, const int stride, const int nall1,
                               const int nall2, int* out) {
  std::vector<int> result;
  deepmd::select_map(result, std::vector<int>(in, in + static_cast<size_t>(stride) * nall1),
                     std::vector<int>(fwd_map, fwd_map + nall1), stride, 1, nall1, nall2);
  if (out) std::copy(result.begin(), result.end(), out);
}
DP_EXPORT void DP_DeleteChar(const char* text) { delete[] text; }

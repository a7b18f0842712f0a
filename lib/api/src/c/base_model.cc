#include "handles.h"

DP_DEFINE_GETTERS(DeepBaseModel)
DP_DEFINE_GETTERS(DeepBaseModelDevi)

DP_EXPORT const char* DP_DeepBaseModelGetTypeMap(DP_DeepBaseModel* dp) {
  std::string names;
  deepmd_c::guarded(dp, [&] { dp->model().get_type_map(names); });
  return deepmd_c::copy(names);
}
DP_EXPORT void DP_DeleteDeepBaseModel(DP_DeepBaseModel* dp) { delete dp; }
DP_EXPORT void DP_DeleteDeepBaseModelDevi(DP_DeepBaseModelDevi* dp) { delete dp; }

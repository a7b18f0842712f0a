#pragma once

#include <vector>

#include "dptf/activation.h"
#include "op_utils.h"

namespace dptf {

/// A threshold that attributes hold as numbers that add up to it; 3 without any.
inline double read_threshold(const std::vector<float>& parts) {
  double sum = parts.empty() ? 3.0 : 0.0;
  for (float part : parts) sum += part;
  return sum;
}

/// The attributes `activation` (a code of dptf/activation.h) and `threshold` of an op.
inline absl::Status read_activation(OpKernelConstruction* context, int* code, double* threshold) {
  std::vector<float> parts;
  TF_RETURN_IF_ERROR(context->GetAttr("activation", code));
  TF_RETURN_IF_ERROR(context->GetAttr("threshold", &parts));
  *threshold = read_threshold(parts);
  if (*code < 0 || *code > kSilut) return invalid_argument("activation ", *code, " is not known");
  return absl::OkStatus();
}

}  // namespace dptf

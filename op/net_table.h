#pragma once

#include <string>
#include <vector>

#include "dptf/embed_table.h"

namespace dptf {

/// Layers from one array: of each layer matrix [n_in, n_out], bias and idt [n_out]; widths are those of the
/// input and of all layers. Returns what is wrong, or nothing.
std::string read_layers(const std::vector<double>& weights, const std::vector<int>& widths, EmbedNet* net);

}  // namespace dptf

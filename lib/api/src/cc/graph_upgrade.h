#pragma once

#include "tensorflow/core/framework/graph.pb.h"

namespace deepmd {

/// Brings a graph of the releases 0.12 to 2.0 to the current names of ops and nodes, and adds the attribute
/// nodes they lack. dptf/graph/upgrade.py does the same for Python.
void upgrade_graph(tensorflow::GraphDef* graph);

}  // namespace deepmd

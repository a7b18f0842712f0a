// The table of an embedding net, made from the net when it is first asked for. Graphs of compressed models
// hold it where the tables themselves would not fit in a file.
#include "net_table.h"

#include <cstring>
#include <mutex>

#include "activation_attrs.h"
#include "op_utils.h"

namespace dptf {
namespace {

// runs: [n, 6], of each class number, begin, spacing, count, end, width (see TableRun); rest: [classes, n_in
// - 1], the inputs of the net beside the one number; weights: see read_layers. Stateful only so that the
// table is neither folded into a constant nor made twice.
REGISTER_OP("DptfNetTable")
    .Attr("T: {float, double}")
    .Attr("widths: list(int)")
    .Attr("activation: int")
    .Attr("threshold: list(float) = []")
    .Input("runs: double")
    .Input("rest: double")
    .Input("weights: T")
    .Output("table: T")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) {
      std::vector<int> widths;
      TF_RETURN_IF_ERROR(c->GetAttr("widths", &widths));
      c->set_output(0, c->Matrix(InferenceContext::kUnknownDim, widths.empty() ? 0 : 6 * widths.back()));
      return absl::OkStatus();
    });

template <typename T>
class NetTableOp : public OpKernel {
 public:
  explicit NetTableOp(OpKernelConstruction* c) : OpKernel(c) {
    std::vector<float> parts;
    OP_REQUIRES_OK(c, c->GetAttr("widths", &widths_));
    OP_REQUIRES_OK(c, c->GetAttr("activation", &net_.activation));
    OP_REQUIRES_OK(c, c->GetAttr("threshold", &parts));
    net_.threshold = read_threshold(parts);
  }

  void Compute(OpKernelContext* c) override {
    const Tensor &runs = c->input(0), &rest = c->input(1), &weights = c->input(2);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!known(runs, rest, weights)) {
      // Forgotten first: there is no room for two.
      table_ = Tensor();
      OP_REQUIRES_OK(c, make(c, runs, rest, weights));
      made_from_ = {runs, rest, weights};
    }
    c->set_output(0, table_);
  }

 private:
  static bool same(const Tensor& a, const Tensor& b) {
    return a.shape() == b.shape() &&
           (a.data() == b.data() || !std::memcmp(a.data(), b.data(), a.tensor_data().size()));
  }
  bool known(const Tensor& runs, const Tensor& rest, const Tensor& weights) const {
    return made_from_.size() == 3 && same(runs, made_from_[0]) && same(rest, made_from_[1]) &&
           same(weights, made_from_[2]);
  }

  absl::Status make(OpKernelContext* c, const Tensor& runs, const Tensor& rest, const Tensor& weights) {
    std::vector<double> numbers(weights.flat<T>().data(), weights.flat<T>().data() + weights.NumElements());
    const std::string wrong = read_layers(numbers, widths_, &net_);
    if (!wrong.empty()) return invalid_argument(name(), ": ", wrong);
    const int64_t n_rest = widths_[0] - 1, classes = rest.dims() == 2 ? rest.dim_size(0) : 0;
    if (runs.dims() != 2 || runs.dim_size(1) != 6 || classes < 1 || rest.dim_size(1) != n_rest)
      return invalid_argument(name(), ": runs ", runs.shape().DebugString(), " or rest ",
                              rest.shape().DebugString(), " do not fit a net of ", widths_[0], " inputs");
    const auto run = runs.matrix<double>();
    int64_t rows = 0;
    for (int64_t r = 0; r < runs.dim_size(0); ++r) {
      const bool good = run(r, 0) >= 0 && run(r, 0) < static_cast<double>(classes) && run(r, 3) >= 0 &&
                        run(r, 3) < 1e9 && run(r, 2) > 0 && run(r, 5) > 0;
      if (!good) return invalid_argument(name(), ": run ", r, " of the table makes no sense");
      rows += static_cast<int64_t>(run(r, 3));
    }
    const int64_t m = widths_.back();
    TF_RETURN_IF_ERROR(
        c->allocate_temp(tensorflow::DataTypeToEnum<T>::value, TensorShape({rows, 6 * m}), &table_));
    T* out = table_.flat<T>().data();
    int64_t cost = 0;
    for (size_t l = 1; l < widths_.size(); ++l) cost += int64_t{widths_[l]} * widths_[l - 1];
    const ParallelFor parallel = intra_op_parallel(c);
    for (int64_t r = 0; r < runs.dim_size(0); ++r) {
      const auto* more = rest.flat<double>().data() + static_cast<int64_t>(run(r, 0)) * n_rest;
      net_.rest.assign(more, more + n_rest);
      const std::vector<TableRun> one = {
          {run(r, 1), run(r, 2), static_cast<int64_t>(run(r, 3)), run(r, 4), run(r, 5)}};
      parallel(one[0].count, cost,
               [&](int64_t begin, int64_t end) { net_.make_rows(one, begin, end, out + begin * 6 * m); });
      out += one[0].count * 6 * m;
    }
    net_.layers.clear();
    return absl::OkStatus();
  }

  std::vector<int> widths_;
  EmbedNet net_;
  std::mutex mutex_;
  std::vector<Tensor> made_from_;
  Tensor table_;
};

DPTF_CPU_KERNEL("DptfNetTable", float, NetTableOp<float>);
DPTF_CPU_KERNEL("DptfNetTable", double, NetTableOp<double>);

}  // namespace

std::string read_layers(const std::vector<double>& weights, const std::vector<int>& widths, EmbedNet* net) {
  net->layers.clear();
  if (widths.size() < 2) return "a net needs a layer";
  const double* at = weights.data();
  int64_t left = static_cast<int64_t>(weights.size());
  for (size_t l = 1; l < widths.size(); ++l) {
    EmbedLayer layer;
    layer.n_in = widths[l - 1];
    layer.n_out = widths[l];
    const int64_t product = layer.n_in * layer.n_out;
    if (layer.n_in < 1 || layer.n_out < 1 || left < product + 2 * layer.n_out)
      return "the weights do not fit the widths of the layers";
    layer.matrix.assign(at, at + product);
    layer.bias.assign(at + product, at + product + layer.n_out);
    layer.idt.assign(at + product + layer.n_out, at + product + 2 * layer.n_out);
    at += product + 2 * layer.n_out;
    left -= product + 2 * layer.n_out;
    net->layers.push_back(std::move(layer));
  }
  return left ? "the weights do not fit the widths of the layers" : "";
}

}  // namespace dptf

// Tabulated pair energies.
#include "dptf/pair_table.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "op_utils.h"

namespace dptf {
namespace {

// TabInter is the name in 1.x releases.
#define DPTF_REGISTER(NAME)                   \
  REGISTER_OP(NAME)                           \
      .Attr("T: {float, double} = DT_DOUBLE") \
      .Input("table_info: double")            \
      .Input("table_data: double")            \
      .Input("type: int32")                   \
      .Input("rij: T")                        \
      .Input("nlist: int32")                  \
      .Input("natoms: int32")                 \
      .Input("scale: T")                      \
      .Attr("sel_a: list(int)")               \
      .Attr("sel_r: list(int)")               \
      .Output("atom_energy: T")               \
      .Output("force: T")                     \
      .Output("atom_virial: T")               \
      .SetShapeFn(matrices)
DPTF_REGISTER("PairTab");
DPTF_REGISTER("TabInter");

// Slopes on the neighbor slots instead of forces, so that a force of any weight follows from them.
REGISTER_OP("DptfPairTable")
    .Attr("T: {float, double} = DT_DOUBLE")
    .Input("table_info: double")
    .Input("table_data: double")
    .Input("type: int32")
    .Input("rij: T")
    .Input("nlist: int32")
    .Input("natoms: int32")
    .Output("atom_energy: T")
    .Output("slope: T")
    .SetShapeFn(matrices);

/// Types of consecutive places: counts[t] of type t; -1 after the last.
std::vector<int> in_blocks(const std::vector<int>& counts, int64_t places) {
  std::vector<int> types;
  for (size_t t = 0; t < counts.size(); ++t)
    types.insert(types.end(), std::max(counts[t], 0), static_cast<int>(t));
  types.resize(places, -1);
  return types;
}

/// SLOPES: DptfPairTable, otherwise PairTab. That one takes the types of atoms from natoms and those of
/// neighbors from the blocks of slots, as old graphs rely on: with one block for all types, every neighbor
/// counts as the first type.
template <typename T, bool SLOPES>
class PairTableOp : public OpKernel {
 public:
  explicit PairTableOp(OpKernelConstruction* context) : OpKernel(context) {
    if constexpr (!SLOPES) {
      OP_REQUIRES_OK(context, context->GetAttr("sel_a", &sel_a_));
      OP_REQUIRES_OK(context, context->GetAttr("sel_r", &sel_r_));
    }
  }
  void Compute(OpKernelContext* context) override {
    const Tensor &info = context->input(0), &data = context->input(1), &type = context->input(2),
                 &rij = context->input(3), &nlist = context->input(4), &natoms = context->input(5);
    OP_REQUIRES(context, info.NumElements() == 4, invalid_argument("table_info needs 4 numbers"));
    const double* head = info.flat<double>().data();
    const PairTable table{head[0], head[1], static_cast<int64_t>(head[2] + 0.1),
                          static_cast<int64_t>(head[3] + 0.1), data.flat<double>().data()};
    OP_REQUIRES(context,
                table.step > 0 && table.pieces > 0 &&
                    data.NumElements() == table.ntypes * table.ntypes * table.pieces * 4,
                invalid_argument("table_data has ", data.NumElements(), " numbers, table_info asks for ",
                                 table.ntypes, " types and ", table.pieces, " pieces"));
    OP_REQUIRES(context, natoms.NumElements() >= 3, invalid_argument("natoms needs at least 3 entries"));
    PairTableInput<T> p;
    p.nloc = natoms.flat<int>()(0);
    p.nall = natoms.flat<int>()(1);
    p.nf = type.dims() == 2 ? type.dim_size(0) : 0;
    const int64_t rows = p.nf * p.nloc;
    p.nnei = rows ? static_cast<int>(nlist.NumElements() / rows) : 0;
    bool fits = type.NumElements() == p.nf * p.nall && nlist.NumElements() == rows * p.nnei &&
                rij.NumElements() == rows * p.nnei * 3;
    if (!SLOPES) fits = fits && context->input(6).NumElements() == rows;
    OP_REQUIRES(context, fits,
                invalid_argument("shapes do not fit: type ", type.shape().DebugString(), ", rij ",
                                 rij.shape().DebugString(), ", nlist ", nlist.shape().DebugString(), " for ",
                                 p.nloc, " atoms"));
    p.type = type.flat<int>().data();
    p.nlist = nlist.flat<int>().data();
    for (int64_t k = 0; k < rows * p.nnei; ++k)
      OP_REQUIRES(context, p.nlist[k] < p.nall,
                  invalid_argument("nlist names atom ", p.nlist[k], " of ", p.nall));
    p.rij = rij.flat<T>().data();
    std::vector<int> center, slot;
    if constexpr (!SLOPES) {
      const int* counts = natoms.flat<int>().data();
      center = in_blocks({counts + 2, counts + natoms.NumElements()}, p.nloc);
      slot = in_blocks(sel_a_, std::accumulate(sel_a_.begin(), sel_a_.end(), 0));
      const auto radial = in_blocks(sel_r_, std::accumulate(sel_r_.begin(), sel_r_.end(), 0));
      slot.insert(slot.end(), radial.begin(), radial.end());
      slot.resize(p.nnei, -1);
      p.center_type = center.data();
      p.slot_type = slot.data();
    }
    const auto parallel = intra_op_parallel(context);
    Tensor *energy, *second, *virial;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.nf, p.nloc}), &energy));
    double below;
    if constexpr (SLOPES) {
      OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({p.nf, p.nloc * p.nnei * 3}), &second));
      below = pair_slopes(table, p, energy->flat<T>().data(), second->flat<T>().data(), parallel);
    } else {
      p.scale = context->input(6).flat<T>().data();
      OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({p.nf, 3 * p.nall}), &second));
      OP_REQUIRES_OK(context, context->allocate_output(2, TensorShape({p.nf, 9 * p.nall}), &virial));
      below = pair_table(table, p, energy->flat<T>().data(), second->flat<T>().data(),
                         virial->flat<T>().data(), parallel);
    }
    OP_REQUIRES(context, below < 0,
                invalid_argument("two atoms are ", below, " Å apart, the pair table begins at ", table.rmin,
                                 " Å; extend the table"));
  }

 private:
  std::vector<int> sel_a_, sel_r_;
};

#define DPTF_KERNELS(T)                                                                                      \
  REGISTER_KERNEL_BUILDER(Name("PairTab").Device(DEVICE_CPU).TypeConstraint<T>("T"), PairTableOp<T, false>); \
  REGISTER_KERNEL_BUILDER(Name("TabInter").Device(DEVICE_CPU).TypeConstraint<T>("T"),                        \
                          PairTableOp<T, false>);                                                            \
  REGISTER_KERNEL_BUILDER(Name("DptfPairTable").Device(DEVICE_CPU).TypeConstraint<T>("T"),                   \
                          PairTableOp<T, true>)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf

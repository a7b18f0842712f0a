// Ragged edges and angles, and the forces and virials of their derivatives.
#include "dptf/ragged_edges.h"

#include <atomic>

#include "absl/strings/str_format.h"
#include "dptf/edge_force.h"
#include "dptf/memory_size.h"
#include "mesh.h"
#include "op_utils.h"
#include "sel_overflow.h"

namespace dptf {
namespace {

constexpr auto kUnknown = InferenceContext::kUnknownDim;

// memory: bytes that an evaluation takes for a center, a ghost with features of its own, an edge, an edge
// that forms angles and an angle. With them, lists that need more than there is are refused.
REGISTER_OP("DptfRaggedEdges")
    .Attr("T: {float, double} = DT_DOUBLE")
    .Input("coord: T")
    .Input("type: int32")
    .Input("natoms: int32")
    .Input("box: T")
    .Input("mesh: int32")
    .Input("cutoffs: double")
    .Attr("e_sel: int")
    .Attr("a_sel: int")
    .Attr("ntypes: int")
    .Attr("exclude: list(int) = []")
    .Attr("memory: list(float) = []")
    .Output("vec: T")
    .Output("local: T")
    .Output("start: int32")
    .Output("center: int32")
    .Output("neighbor: int32")
    .Output("atom: int32")
    .Output("slot: int32")
    .Output("in_start: int32")
    .Output("in_edge: int32")
    .Output("a_start: int32")
    .Output("a_edge: int32")
    .Output("angle_start: int32")
    .Output("angle_k: int32")
    .SetShapeFn([](InferenceContext* c) {
      for (int i = 0; i < 2; ++i) c->set_output(i, c->Matrix(kUnknown, 3));
      for (int i = 2; i < c->num_outputs(); ++i) c->set_output(i, c->Vector(kUnknown));
      return absl::OkStatus();
    });

template <typename T>
class RaggedEdgesOp : public OpKernel {
 public:
  explicit RaggedEdgesOp(OpKernelConstruction* context) : OpKernel(context) {
    std::vector<int> exclude;
    OP_REQUIRES_OK(context, context->GetAttr("e_sel", &query_.e_sel));
    OP_REQUIRES_OK(context, context->GetAttr("a_sel", &query_.a_sel));
    OP_REQUIRES_OK(context, context->GetAttr("ntypes", &query_.ntypes));
    OP_REQUIRES_OK(context, context->GetAttr("exclude", &exclude));
    for (size_t k = 0; k + 1 < exclude.size(); k += 2) {
      for (int t : {exclude[k], exclude[k + 1]})
        OP_REQUIRES(context, t >= 0 && t < query_.ntypes, invalid_argument("exclude names the type ", t));
      query_.excluded.emplace_back(exclude[k], exclude[k + 1]);
    }
    OP_REQUIRES_OK(context, context->GetAttr("memory", &memory_));
    OP_REQUIRES(context, memory_.empty() || memory_.size() == 5,
                invalid_argument("memory has ", memory_.size(), " numbers, not 5"));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor &coord = context->input(0), &type = context->input(1), &natoms = context->input(2),
                 &box = context->input(3), &mesh = context->input(4), &cutoffs = context->input(5);
    OP_REQUIRES(context, natoms.NumElements() >= 3, invalid_argument("natoms needs at least 3 entries"));
    OP_REQUIRES(context, cutoffs.NumElements() == 2,
                invalid_argument("cutoffs are those of edges and angles"));
    EdgeQuery q = query_;
    q.nloc = natoms.flat<int>()(0);
    q.nall = natoms.flat<int>()(1);
    q.e_rcut = cutoffs.flat<double>()(0);
    q.a_rcut = cutoffs.flat<double>()(1);
    OP_REQUIRES(context, coord.dims() == 2 && type.dims() == 2 && box.dims() == 2,
                invalid_argument("coord, type and box must be matrices (frames first)"));
    q.nf = coord.dim_size(0);
    OP_REQUIRES(context, type.dim_size(0) == q.nf && box.dim_size(0) == q.nf && box.dim_size(1) == 9,
                invalid_argument("coord has ", q.nf, " frames, type ", type.dim_size(0), ", box ",
                                 box.shape().DebugString(), " (9 numbers a frame)"));
    OP_REQUIRES(
        context, coord.dim_size(1) == 3 * q.nall && type.dim_size(1) == q.nall && q.nloc <= q.nall,
        invalid_argument("natoms says ", q.nloc, " local of ", q.nall, " atoms; a frame of coord has ",
                         coord.dim_size(1), " numbers and of type ", type.dim_size(1)));
    Mesh parsed;
    OP_REQUIRES_OK(context, parsed.parse(mesh, q.nloc, true));
    OP_REQUIRES(context, parsed.has_list || q.nloc == q.nall,
                invalid_argument("without a neighbor list all ", q.nall, " atoms must be local, natoms says ",
                                 q.nloc));
    q.type = type.flat<int>().data();
    q.periodic = parsed.periodic;
    q.list = parsed.has_list ? &parsed.list : nullptr;
    std::vector<int> identity;
    if (parsed.has_list && !parsed.ghost_rows()) {
      q.mapping = parsed.mapping;
      if (!q.mapping && q.nloc == q.nall) {
        identity.resize(q.nall);
        for (int i = 0; i < q.nall; ++i) identity[i] = i;
        q.mapping = identity.data();
      } else {
        OP_REQUIRES(context, q.mapping && parsed.nmapping >= q.nall,
                    invalid_argument(
                        "a message-passing model needs to know which atom every ghost is an image of: give "
                        "the mapping with the neighbor list (InputNlist::set_mapping)"));
        for (int64_t i = 0; i < q.nall; ++i)
          OP_REQUIRES(context, q.mapping[i] >= 0 && q.mapping[i] < q.nloc,
                      invalid_argument("the mapping gives atom ", q.mapping[i], " as the owner of atom ", i,
                                       "; there are ", q.nloc, " local atoms (a ghost of another process?)"));
      }
    }
    RaggedEdges edges;
    try {
      edges = ragged_edges(q, coord.flat<T>().data(), box.flat<T>().data(), intra_op_parallel(context));
    } catch (const std::invalid_argument& e) {
      context->CtxFailure(invalid_argument(e.what()));
      return;
    }
    OP_REQUIRES_OK(context, fits_memory(q, edges, parsed));
    sel_overflow_count += edges.lost;
    for (int i = 0; i < 2; ++i) {
      const auto& from = i == 0 ? edges.vec : edges.local;
      Tensor* out;
      OP_REQUIRES_OK(context, context->allocate_output(
                                  i, TensorShape({static_cast<int64_t>(from.size()) / 3, 3}), &out));
      std::copy(from.begin(), from.end(), out->flat<T>().data());
    }
    const std::vector<int>* arrays[] = {&edges.start,  &edges.center,      &edges.neighbor, &edges.atom,
                                        &edges.slot,   &edges.in_start,    &edges.in_edge,  &edges.a_start,
                                        &edges.a_edge, &edges.angle_start, &edges.angle_k};
    for (int i = 0; i < 11; ++i) {
      Tensor* out;
      OP_REQUIRES_OK(context, context->allocate_output(
                                  2 + i, TensorShape({static_cast<int64_t>(arrays[i]->size())}), &out));
      std::copy(arrays[i]->begin(), arrays[i]->end(), out->flat<int>().data());
    }
  }

 private:
  /// Whether what follows fits in DPTF_MEMORY, or in the memory that is free (where processes exchange
  /// features, in a share of it).
  absl::Status fits_memory(const EdgeQuery& q, const RaggedEdges& edges, const Mesh& mesh) {
    if (memory_.empty()) return absl::OkStatus();
    const double atoms = static_cast<double>(q.nf) * q.nloc, angle_edges = edges.a_edge.size();
    const double need = atoms * memory_[0] + (mesh.ghost_rows() ? q.nf * (q.nall - q.nloc) * memory_[1] : 0) +
                        edges.center.size() * memory_[2] + angle_edges * memory_[3] +
                        edges.angle_k.size() * memory_[4] + mesh.reserved;
    // What was there before is there again.
    if (need <= largest_) return absl::OkStatus();
    double limit = given_memory();
    const bool given = limit != 0;
    if (limit < 0) return invalid_argument("DPTF_MEMORY is no number of bytes; for instance 4G or 500M");
    if (!given) limit = usable_memory(mesh.ghost_rows() ? processes_here() : 1, largest_);
    if (limit == 0 || need <= limit) {
      largest_ = need;
      return absl::OkStatus();
    }
    const auto size = [](double bytes) {
      return bytes < 1e9 ? absl::StrFormat("%.3g MB", bytes * 1e-6)
                         : absl::StrFormat("%.3g GB", bytes * 1e-9);
    };
    return absl::ResourceExhaustedError(absl::StrCat(
        static_cast<int64_t>(atoms), " atoms with ", edges.center.size(), " neighbors and ",
        edges.angle_k.size(), " angles need about ", size(need), " of memory",
        mesh.reserved > 0 ? ", of which " + size(mesh.reserved) + " are for all atoms of the frame" : "",
        given ? ", DPTF_MEMORY allows " : ", free are ", size(limit),
        "; use smaller frames, or LAMMPS with ranks on more machines",
        given ? "" : " (DPTF_MEMORY=8G sets another limit)"));
  }

  EdgeQuery query_;
  std::vector<float> memory_;
  std::atomic<double> largest_{0};
};

absl::Status matrices(InferenceContext* c) {
  for (int i = 0; i < c->num_outputs(); ++i) c->set_output(i, c->Matrix(kUnknown, kUnknown));
  return absl::OkStatus();
}

#define DPTF_EDGE_INPUTS      \
  .Input("vec: T")            \
      .Input("start: int32")  \
      .Input("atom: int32")   \
      .Input("natoms: int32") \
      .Attr("T: {float, double} = DT_DOUBLE")

REGISTER_OP("DptfEdgeForce")
    .Input("g: T") DPTF_EDGE_INPUTS.Output("force: T")
    .Output("virial: T")
    .SetShapeFn(matrices);
REGISTER_OP("DptfEdgeForceGrad")
    .Input("grad_force: T")
    .Input("grad_virial: T") DPTF_EDGE_INPUTS.Output("dg: T")
    .SetShapeFn(matrices);
REGISTER_OP("DptfEdgeAtomVirial")
    .Input("g: T")
    .Input("moment: T")
    .Input("local: T") DPTF_EDGE_INPUTS.Output("virial: T")
    .SetShapeFn(matrices);

/// Shape of the problem from the last four inputs; false (and the context failed) when they do not fit.
bool edge_shape(OpKernelContext* context, EdgeForceShape* p) {
  const int at = context->num_inputs() - 4;
  const Tensor &vec = context->input(at), &start = context->input(at + 1), &atom = context->input(at + 2),
               &natoms = context->input(at + 3);
  p->edges = atom.NumElements();
  const int64_t n = start.NumElements() - 1;
  bool good = natoms.NumElements() >= 2 && n >= 0 && vec.NumElements() == 3 * p->edges;
  if (good) {
    p->nloc = natoms.flat<int>()(0);
    p->nall = natoms.flat<int>()(1);
    p->start = start.flat<int>().data();
    p->atom = atom.flat<int>().data();
    good = p->nloc > 0 ? n % p->nloc == 0 : n == 0;
    p->nf = p->nloc > 0 ? n / p->nloc : 1;
    good = good && p->start[0] == 0 && p->start[n] == p->edges;
    for (int64_t i = 0; good && i < n; ++i) good = p->start[i] <= p->start[i + 1];
    for (int64_t e = 0; good && e < p->edges; ++e) good = p->atom[e] >= 0 && p->atom[e] < p->nf * p->nall;
  }
  if (!good) context->CtxFailure(invalid_argument("the edge arrays do not fit together"));
  return good;
}

#define DPTF_REQUIRE_SIZE(INPUT, SIZE, NAME)                  \
  OP_REQUIRES(                                                \
      context, context->input(INPUT).NumElements() == (SIZE), \
      invalid_argument(NAME, " has ", context->input(INPUT).NumElements(), " numbers, not ", (SIZE)))

template <typename T>
class EdgeForceOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    EdgeForceShape p;
    if (!edge_shape(context, &p)) return;
    DPTF_REQUIRE_SIZE(0, 3 * p.edges, "g");
    Tensor *force, *virial;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.nf, 3 * p.nall}), &force));
    OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({p.nf, 9}), &virial));
    edge_force(p, context->input(0).flat<T>().data(), context->input(1).flat<T>().data(),
               force->flat<T>().data(), virial->flat<T>().data());
  }
};

template <typename T>
class EdgeForceGradOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    EdgeForceShape p;
    if (!edge_shape(context, &p)) return;
    DPTF_REQUIRE_SIZE(0, 3 * p.nf * p.nall, "grad_force");
    DPTF_REQUIRE_SIZE(1, 9 * p.nf, "grad_virial");
    Tensor* dg;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.edges, 3}), &dg));
    edge_force_grad(p, context->input(0).flat<T>().data(), context->input(1).flat<T>().data(),
                    context->input(2).flat<T>().data(), dg->flat<T>().data());
  }
};

template <typename T>
class EdgeAtomVirialOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    EdgeForceShape p;
    if (!edge_shape(context, &p)) return;
    DPTF_REQUIRE_SIZE(0, 3 * p.edges, "g");
    DPTF_REQUIRE_SIZE(1, 9 * p.edges, "moment");
    DPTF_REQUIRE_SIZE(2, 3 * p.nf * p.nloc, "local");
    Tensor* virial;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.nf, 9 * p.nall}), &virial));
    edge_atom_virial(p, context->input(0).flat<T>().data(), context->input(1).flat<T>().data(),
                     context->input(3).flat<T>().data(), context->input(2).flat<T>().data(),
                     virial->flat<T>().data());
  }
};

#define DPTF_KERNEL(NAME, CLASS, T) \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE_CPU).TypeConstraint<T>("T"), CLASS<T>)
#define DPTF_KERNELS(T)                                 \
  DPTF_KERNEL("DptfRaggedEdges", RaggedEdgesOp, T);     \
  DPTF_KERNEL("DptfEdgeForce", EdgeForceOp, T);         \
  DPTF_KERNEL("DptfEdgeForceGrad", EdgeForceGradOp, T); \
  DPTF_KERNEL("DptfEdgeAtomVirial", EdgeAtomVirialOp, T)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf

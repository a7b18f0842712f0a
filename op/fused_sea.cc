// Models with se_e2_a, and se_atten without attention, as one op. Frozen graphs are rewritten to it when they
// are loaded; see rewrite_graph.cc.
#include "dptf/fused_sea.h"

#include <algorithm>
#include <map>

#include "activation_attrs.h"
#include "mesh.h"
#include "net_table.h"
#include "op_utils.h"
#include "sel_overflow.h"

namespace dptf {
namespace {

// embed: for each net and layer matrix, bias, idt (empty without), or with embed_layers = 0 for each net its
// table and table_info. embed_tables: for each net that stands for a table made from it the runs [n, 5] and
// table_info, else empty; fit: matrix, bias, idt for each type and layer. davg, dstd: [ntypes, ntypes, 4]
// (center, neighbor). affine: [3, ntypes], E_i = (net + bias) scale + shift. fparam, aparam: [2, dim],
// average and inverse deviation. factors: [ntypes, features, features] or empty, see SeaModel. Stateful only
// so that one kernel serves all fetches of a session. Of se_atten: mixed_sel, slots for neighbors of all
// types; net k is the entry base_of[k] of embed with type_factor[k] (or an empty tensor) and the switch of
// type_switch[k] (length, mean, deviation; or empty); empty_net_of: nets of the empty slots of the center
// types, the last ones; attention: ten arrays of each layer; attention_numbers: [eps, switch length, with
// directions, smooth, no diagonal].
// head: energy, dipole, polar_diagonal, polar or vector; types without the property have empty layers. Then
// the output energy is the sum of the property over atoms [nf, dim], property that of the atoms that have it
// [nf, n dim]; force, virial and atom_virial are those of its components [nf, dim, ...]; or with `given`
// those of the sum of property and cotangent [nf, n dim], times sign.
REGISTER_OP("DptfFusedSea")
    .Attr("T: {float, double}")
    .Attr("compute: {float, double}")
    .Attr("rcut: float")
    .Attr("rcut_smth: float")
    .Attr("sel: list(int)")
    .Attr("axis: int")
    .Attr("davg: tensor")
    .Attr("dstd: tensor")
    .Attr("net_of: list(int)")
    .Attr("embed_layers: int")
    .Attr("embed_activation: int")
    .Attr("embed: list(tensor)")
    .Attr("embed_threshold: list(float) = []")
    .Attr("embed_tables: list(tensor) = []")
    .Attr("mixed_sel: int = 0")
    .Attr("base_of: list(int) = []")
    .Attr("type_factor: list(tensor) = []")
    .Attr("type_switch: list(tensor) = []")
    .Attr("empty_net_of: list(int) = []")
    .Attr("attention: list(tensor) = []")
    .Attr("attention_numbers: list(tensor) = []")
    .Attr("fit_layers: int")
    .Attr("fit_activation: int")
    .Attr("fit: list(tensor)")
    .Attr("fit_threshold: list(float) = []")
    .Attr("affine: tensor")
    .Attr("fparam_stat: tensor")
    .Attr("aparam_stat: tensor")
    .Attr("factors: tensor")
    .Attr("reach: float")
    .Attr("exponent: float")
    .Attr("min_distance: float")
    .Attr("head: {'energy', 'dipole', 'polar_diagonal', 'polar', 'vector'} = 'energy'")
    .Attr("given: bool = false")
    .Attr("sign: float = 1")
    .Input("coord: T")
    .Input("type: int32")
    .Input("natoms: int32")
    .Input("box: T")
    .Input("mesh: int32")
    .Input("fparam: T")
    .Input("aparam: T")
    .Input("cotangent: T")
    .Output("energy: double")
    .Output("force: T")
    .Output("virial: T")
    .Output("atom_energy: T")
    .Output("atom_virial: T")
    .Output("features: double")
    .Output("variance: double")
    .Output("mean_variance: double")
    .Output("property: T")
    .SetIsStateful()
    .SetShapeFn(UnknownShape);

std::vector<double> numbers(const Tensor& t) {
  std::vector<double> out(t.NumElements());
  if (t.dtype() == tensorflow::DT_FLOAT)
    for (size_t k = 0; k < out.size(); ++k) out[k] = t.flat<float>()(k);
  else
    for (size_t k = 0; k < out.size(); ++k) out[k] = t.flat<double>()(k);
  return out;
}

/// Nets of pairs of types, which are made from those of the model.
absl::Status read_pair_nets(OpKernelConstruction* c, SeaModel* m) {
  std::vector<int> base_of, empty;
  std::vector<Tensor> factor, turn;
  TF_RETURN_IF_ERROR(c->GetAttr("mixed_sel", &m->mixed_sel));
  TF_RETURN_IF_ERROR(c->GetAttr("base_of", &base_of));
  TF_RETURN_IF_ERROR(c->GetAttr("type_factor", &factor));
  TF_RETURN_IF_ERROR(c->GetAttr("type_switch", &turn));
  TF_RETURN_IF_ERROR(c->GetAttr("empty_net_of", &empty));
  if (base_of.empty()) return absl::OkStatus();
  if (factor.size() != base_of.size() || turn.size() != base_of.size() || empty.size() > base_of.size())
    return invalid_argument("the nets of pairs of types do not fit each other");
  std::vector<EmbedNet> bases = std::move(m->nets);
  m->nets.clear();
  for (size_t k = 0; k < base_of.size(); ++k) {
    if (base_of[k] < 0 || base_of[k] >= static_cast<int>(bases.size()))
      return invalid_argument("base_of names a net that is not there");
    // Tables are large: the last user of a net takes it.
    const bool again = std::find(base_of.begin() + k + 1, base_of.end(), base_of[k]) != base_of.end();
    EmbedNet net = again ? bases[base_of[k]] : std::move(bases[base_of[k]]);
    net.factor = numbers(factor[k]);
    const std::vector<double> s = numbers(turn[k]);
    if (!net.factor.empty() && static_cast<int64_t>(net.factor.size()) != net.width())
      return invalid_argument("a factor of types does not fit its net");
    if (s.size() == 3) net.switch_length = s[0], net.switch_mean = s[1], net.switch_deviation = s[2];
    m->nets.push_back(std::move(net));
  }
  for (int n : empty) {
    if (n < 0 || n >= static_cast<int>(m->nets.size())) return invalid_argument("empty_net_of names no net");
    m->empty.push_back(m->nets[n]);
  }
  m->nets.resize(base_of.size() - empty.size());
  return absl::OkStatus();
}

absl::Status read_attention(OpKernelConstruction* c, SeaAttention* m) {
  std::vector<Tensor> arrays, about;
  TF_RETURN_IF_ERROR(c->GetAttr("attention", &arrays));
  TF_RETURN_IF_ERROR(c->GetAttr("attention_numbers", &about));
  if (arrays.empty()) return absl::OkStatus();
  const std::vector<double> n = about.size() == 1 ? numbers(about[0]) : std::vector<double>();
  if (arrays.size() % 10 || n.size() != 5) return invalid_argument("the attention layers are not complete");
  m->form.eps = n[0];
  m->switch_length = n[1];
  m->directions = n[2] != 0;
  m->form.smooth = n[3] != 0;
  m->form.no_diagonal = n[4] != 0;
  m->hidden = arrays[1].NumElements();
  for (size_t k = 0; k < arrays.size(); ++k) {
    if (k % 10 == 0) m->layers.emplace_back();
    const std::vector<double> next = numbers(arrays[k]);
    m->layers.back().insert(m->layers.back().end(), next.begin(), next.end());
  }
  return absl::OkStatus();
}

absl::Status read_model(OpKernelConstruction* c, SeaModel* m) {
  std::vector<int> net_of;
  Tensor davg, dstd, affine, fparam, aparam, factors;
  std::vector<Tensor> embed, embed_tables, fit;
  std::vector<float> embed_threshold, fit_threshold;
  int embed_layers = 0, fit_layers = 0, embed_activation = 0, fit_activation = 0;
  float min_distance = 0, reach = 0, exponent = 1;
  TF_RETURN_IF_ERROR(c->GetAttr("rcut", &m->rcut));
  TF_RETURN_IF_ERROR(c->GetAttr("rcut_smth", &m->rcut_smth));
  TF_RETURN_IF_ERROR(c->GetAttr("sel", &m->sel));
  TF_RETURN_IF_ERROR(c->GetAttr("axis", &m->axis));
  TF_RETURN_IF_ERROR(c->GetAttr("davg", &davg));
  TF_RETURN_IF_ERROR(c->GetAttr("dstd", &dstd));
  TF_RETURN_IF_ERROR(c->GetAttr("net_of", &m->net_of));
  TF_RETURN_IF_ERROR(c->GetAttr("embed_layers", &embed_layers));
  TF_RETURN_IF_ERROR(c->GetAttr("embed_activation", &embed_activation));
  TF_RETURN_IF_ERROR(c->GetAttr("embed", &embed));
  TF_RETURN_IF_ERROR(c->GetAttr("embed_threshold", &embed_threshold));
  TF_RETURN_IF_ERROR(c->GetAttr("embed_tables", &embed_tables));
  TF_RETURN_IF_ERROR(c->GetAttr("fit_layers", &fit_layers));
  TF_RETURN_IF_ERROR(c->GetAttr("fit_activation", &fit_activation));
  TF_RETURN_IF_ERROR(c->GetAttr("fit", &fit));
  TF_RETURN_IF_ERROR(c->GetAttr("fit_threshold", &fit_threshold));
  TF_RETURN_IF_ERROR(c->GetAttr("affine", &affine));
  TF_RETURN_IF_ERROR(c->GetAttr("fparam_stat", &fparam));
  TF_RETURN_IF_ERROR(c->GetAttr("aparam_stat", &aparam));
  TF_RETURN_IF_ERROR(c->GetAttr("factors", &factors));
  TF_RETURN_IF_ERROR(c->GetAttr("reach", &reach));
  TF_RETURN_IF_ERROR(c->GetAttr("exponent", &exponent));
  TF_RETURN_IF_ERROR(c->GetAttr("min_distance", &min_distance));
  const int nt = m->ntypes = static_cast<int>(m->sel.size());
  m->min_distance = min_distance;
  m->factors = numbers(factors);
  m->reach = reach;
  m->exponent = exponent;
  m->davg = numbers(davg);
  m->dstd = numbers(dstd);
  const auto a = numbers(affine), f = numbers(fparam), p = numbers(aparam);
  if (static_cast<int>(m->davg.size()) != nt * nt * 4 || m->dstd.size() != m->davg.size() ||
      static_cast<int>(m->net_of.size()) != nt * nt || static_cast<int>(a.size()) != 3 * nt ||
      embed_layers < 0 || fit_layers < 2 || embed.size() % (embed_layers ? 3 * embed_layers : 2) ||
      static_cast<int>(fit.size()) != nt * fit_layers * 3)
    return invalid_argument("the constants of DptfFusedSea do not fit each other");
  for (size_t n = 0; embed_layers == 0 && n < embed.size() / 2; ++n) {
    EmbedNet net;
    const std::vector<double> info = numbers(embed[2 * n + 1]);
    net.stored = numbers(embed[2 * n]);
    if (info.size() != 6 || embed[2 * n].dims() != 2 || net.stored.empty() || net.stored.size() % 6)
      return invalid_argument("table ", n, " is no table");
    net.grid = TableGrid<double>::from_info(info.data(), embed[2 * n].dim_size(0), false);
    m->nets.push_back(std::move(net));
  }
  for (size_t n = 0; embed_layers && n < embed.size() / (3 * embed_layers); ++n) {
    EmbedNet net;
    net.activation = embed_activation;
    net.threshold = read_threshold(embed_threshold);
    for (int l = 0; l < embed_layers; ++l) {
      const Tensor* w = &embed[(n * embed_layers + l) * 3];
      EmbedLayer layer;
      layer.matrix = numbers(w[0]);
      layer.bias = numbers(w[1]);
      layer.idt = numbers(w[2]);
      layer.n_out = static_cast<int64_t>(layer.bias.size());
      layer.n_in = l ? net.layers.back().n_out : 1;
      if (static_cast<int64_t>(layer.matrix.size()) != layer.n_in * layer.n_out)
        return invalid_argument("layer ", l, " of embedding net ", n, " does not fit the one before it");
      net.layers.push_back(std::move(layer));
    }
    if (!embed_tables.empty()) {
      if (embed_tables.size() * 3 * embed_layers != 2 * embed.size())
        return invalid_argument("embed_tables does not fit the nets");
      const std::vector<double> runs = numbers(embed_tables[2 * n]), info = numbers(embed_tables[2 * n + 1]);
      int64_t rows = 0;
      for (size_t r = 0; r + 5 <= runs.size(); r += 5) {
        net.runs.push_back(
            {runs[r], runs[r + 1], static_cast<int64_t>(runs[r + 2]), runs[r + 3], runs[r + 4]});
        rows += net.runs.back().count;
      }
      if (info.size() != 6 || rows < 1) return invalid_argument("table ", n, " is no table");
      net.grid = TableGrid<double>::from_info(info.data(), rows, false);
    }
    m->nets.push_back(std::move(net));
  }
  TF_RETURN_IF_ERROR(read_pair_nets(c, m));
  TF_RETURN_IF_ERROR(read_attention(c, &m->attention));
  for (int n : m->net_of)
    if (n >= static_cast<int>(m->nets.size()))
      return invalid_argument("net_of names a net that is not there");
  std::string head;
  TF_RETURN_IF_ERROR(c->GetAttr("head", &head));
  static const std::map<std::string, SeaHead> heads = {{"energy", SeaHead::energy},
                                                       {"dipole", SeaHead::dipole},
                                                       {"polar_diagonal", SeaHead::polar_diagonal},
                                                       {"polar", SeaHead::polar},
                                                       {"vector", SeaHead::vector}};
  m->head = heads.at(head);
  for (int t = 0; t < nt; ++t) {
    std::vector<DenseLayerWeights<double>> net;
    if (m->head != SeaHead::energy && !fit[t * fit_layers * 3].NumElements()) {
      m->fitting.emplace_back();
      continue;
    }
    for (int l = 0; l < fit_layers; ++l) {
      const Tensor* w = &fit[(t * fit_layers + l) * 3];
      DenseLayerWeights<double> layer;
      layer.matrix = numbers(w[0]);
      layer.bias = numbers(w[1]);
      layer.idt = numbers(w[2]);
      layer.n_out = static_cast<int64_t>(layer.bias.size());
      layer.n_in = static_cast<int64_t>(layer.matrix.size()) / std::max<int64_t>(layer.n_out, 1);
      layer.activation = l + 1 < fit_layers ? fit_activation : 0;
      layer.threshold = read_threshold(fit_threshold);
      layer.residual = l > 0 && l + 1 < fit_layers && layer.n_in == layer.n_out;
      net.push_back(std::move(layer));
    }
    m->fitting.push_back(std::move(net));
  }
  m->bias.assign(a.begin(), a.begin() + nt);
  m->scale.assign(a.begin() + nt, a.begin() + 2 * nt);
  m->shift.assign(a.begin() + 2 * nt, a.end());
  m->fparam_avg.assign(f.begin(), f.begin() + f.size() / 2);
  m->fparam_istd.assign(f.begin() + f.size() / 2, f.end());
  m->aparam_avg.assign(p.begin(), p.begin() + p.size() / 2);
  m->aparam_istd.assign(p.begin() + p.size() / 2, p.end());
  return absl::OkStatus();
}

template <typename T, typename C>
class FusedSeaOp : public OpKernel {
 public:
  explicit FusedSeaOp(OpKernelConstruction* context) : OpKernel(context) {
    SeaModel model;
    OP_REQUIRES_OK(context, read_model(context, &model));
    OP_REQUIRES_OK(context, context->GetAttr("given", &given_));
    OP_REQUIRES_OK(context, context->GetAttr("sign", &sign_));
    is_energy_ = model.head == SeaHead::energy;
    by_atom_ = model.head == SeaHead::vector;
    for (const auto& net : model.fitting) has_property_.push_back(!net.empty());
    dim_fparam_ = static_cast<int64_t>(model.fparam_avg.size());
    dim_aparam_ = static_cast<int64_t>(model.aparam_avg.size());
    try {
      model_ = std::make_unique<FusedSea<C>>(std::move(model));
    } catch (const std::exception& e) {
      context->CtxFailure(invalid_argument(e.what()));
    }
  }

  void Compute(OpKernelContext* context) override {
    const Tensor &coord = context->input(0), &type = context->input(1), &natoms = context->input(2),
                 &box = context->input(3), &mesh = context->input(4), &fparam = context->input(5),
                 &aparam = context->input(6);
    OP_REQUIRES(context, natoms.NumElements() >= 3, invalid_argument("natoms needs at least 3 entries"));
    SeaInput<T> in;
    in.nloc = natoms.flat<int>()(0);
    in.nall = natoms.flat<int>()(1);
    in.nf = box.NumElements() / 9;
    OP_REQUIRES(context,
                box.NumElements() == 9 * in.nf && coord.NumElements() == 3 * in.nf * in.nall &&
                    type.NumElements() == in.nf * in.nall && in.nloc <= in.nall && in.nloc >= 0,
                invalid_argument("natoms says ", in.nloc, " local of ", in.nall, " atoms; there are ", in.nf,
                                 " boxes, ", coord.NumElements(), " numbers in coord and ",
                                 type.NumElements(), " types"));
    OP_REQUIRES(
        context,
        fparam.NumElements() == in.nf * dim_fparam_ && aparam.NumElements() == in.nf * in.nloc * dim_aparam_,
        invalid_argument("the model has ", dim_fparam_, " frame and ", dim_aparam_,
                         " atom parameters; fparam holds ", fparam.NumElements(), " and aparam ",
                         aparam.NumElements(), " numbers for ", in.nf, " frames of ", in.nloc, " atoms"));
    Mesh parsed;
    OP_REQUIRES_OK(context, parsed.parse(mesh, in.nloc, false));
    OP_REQUIRES(context, parsed.has_list || in.nloc == in.nall,
                invalid_argument("without a neighbor list all ", in.nall,
                                 " atoms must be local, natoms says ", in.nloc));
    in.coord = coord.flat<T>().data();
    in.type = type.flat<int>().data();
    in.box = box.flat<T>().data();
    in.periodic = parsed.periodic;
    in.list = parsed.has_list ? &parsed.list : nullptr;
    in.fparam = fparam.flat<T>().data();
    in.aparam = aparam.flat<T>().data();

    if (!is_energy_) return properties(context, in, natoms);
    SeaOutput<T> out;
    const int64_t columns[5] = {1, 3 * in.nall, 9, in.nloc, 9 * in.nall};
    for (int k = 0; k < 5; ++k) {
      // Outputs that nobody reads stay empty; the atomic virial is by far the largest.
      const bool wanted = context->output_required(k);
      TensorShape shape =
          k == 0 ? TensorShape({wanted ? in.nf : 0}) : TensorShape({wanted ? in.nf : 0, columns[k]});
      Tensor* t = nullptr;
      OP_REQUIRES_OK(context, context->allocate_output(k, shape, &t));
      if (!wanted) continue;
      if (k == 0)
        out.energy = t->flat<double>().data();
      else
        (k == 1   ? out.force
         : k == 2 ? out.virial
         : k == 3 ? out.atom_energy
                  : out.atom_virial) = t->flat<T>().data();
    }
    const bool features = context->output_required(5);
    Tensor* t = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(
                                5, TensorShape({features ? in.nf : 0, in.nloc, model_->n_features()}), &t));
    if (features) out.features = t->flat<double>().data();
    OP_REQUIRES_OK(context, context->allocate_output(8, TensorShape({0}), &t));
    double** const spread[2] = {&out.variance, &out.mean_variance};
    for (int k = 0; k < 2; ++k) {
      const bool wanted = model_->has_variance() && context->output_required(6 + k);
      OP_REQUIRES_OK(context,
                     context->allocate_output(6 + k, TensorShape({wanted ? in.nf : 0, in.nloc}), &t));
      if (wanted) *spread[k] = t->flat<double>().data();
    }
    const int threads = context->device()->tensorflow_cpu_worker_threads()->num_threads;
    try {
      sel_overflow_count += model_->evaluate(in, out, threads, intra_op_parallel(context));
    } catch (const std::exception& e) {
      context->CtxFailure(invalid_argument(e.what()));
    }
  }

 private:
  /// The outputs of a model whose property is no energy.
  void properties(OpKernelContext* context, SeaInput<T> in, const Tensor& natoms) {
    const int64_t dim = model_->dim();
    std::vector<int64_t> owners;  // atoms with the property, in the order of the rows
    int64_t first = 0;
    OP_REQUIRES(context, natoms.NumElements() >= 2 + static_cast<int64_t>(has_property_.size()),
                invalid_argument("natoms has ", natoms.NumElements(), " entries for ", has_property_.size(),
                                 " types"));
    for (size_t t = 0; t < has_property_.size(); ++t) {
      const int64_t n = natoms.flat<int>()(2 + t);
      for (int64_t i = first; i < first + n && has_property_[t]; ++i) owners.push_back(i);
      first += n;
    }
    OP_REQUIRES(context, first <= in.nloc,
                invalid_argument("natoms counts ", first, " atoms by type, of ", in.nloc));
    const int64_t rows = static_cast<int64_t>(owners.size()), parts = given_ ? 1 : dim,
                  sizes[5] = {dim, 3 * in.nall, 9, 0, 9 * in.nall};
    T* derivative[5] = {};
    Tensor* t = nullptr;
    for (int k = 0; k < 9; ++k) {
      const bool wanted = k != 3 && (k < 5 || k == 8) && context->output_required(k);
      const int64_t columns = k == 8 ? rows * dim : k == 0 ? dim : k < 5 ? parts * sizes[k] : 0;
      TensorShape shape({wanted ? in.nf : 0, columns});
      if (k == 8 && by_atom_) shape = TensorShape({wanted ? in.nf : 0, rows, dim});
      OP_REQUIRES_OK(context, context->allocate_output(k, shape, &t));
      if (wanted && k > 0 && k < 5) derivative[k] = t->flat<T>().data();
      if (wanted && k == 0) std::fill_n(t->flat<double>().data(), t->NumElements(), 0.0);
    }
    const Tensor& factors = context->input(7);
    OP_REQUIRES(context, !given_ || factors.NumElements() == in.nf * rows * dim,
                invalid_argument("there are ", factors.NumElements(), " factors for the ", rows * dim,
                                 " components of ", in.nf, " frames"));
    const int threads = context->device()->tensorflow_cpu_worker_threads()->num_threads;
    const bool values = context->output_required(0) || context->output_required(8),
               slopes = derivative[1] || derivative[2] || derivative[4];
    std::vector<double> property(values ? in.nf * in.nloc * dim : 0), cotangent;
    try {
      SeaOutput<T> out;
      out.property = values ? property.data() : nullptr;
      if (!slopes) sel_overflow_count += model_->evaluate(in, out, threads, intra_op_parallel(context));
      for (int64_t c = 0; slopes && c < parts; ++c) {
        cotangent.assign(in.nf * in.nloc * dim, 0.0);
        for (int64_t f = 0; f < in.nf; ++f)
          for (int64_t k = 0; k < rows; ++k)
            for (int64_t d = 0; d < dim; ++d)
              cotangent[(f * in.nloc + owners[k]) * dim + d] =
                  sign_ * (given_ ? static_cast<double>(factors.flat<T>()((f * rows + k) * dim + d))
                                  : static_cast<double>(d == c));
        in.cotangent = cotangent.data();
        std::vector<T> found[5];
        T** const to[5] = {nullptr, &out.force, &out.virial, nullptr, &out.atom_virial};
        for (int k : {1, 2, 4}) {
          if (!derivative[k]) continue;
          found[k].resize(in.nf * sizes[k]);
          *to[k] = found[k].data();
        }
        const int64_t lost = model_->evaluate(in, out, threads, intra_op_parallel(context));
        if (c == 0) sel_overflow_count += lost;
        out.property = nullptr;
        for (int k : {1, 2, 4})
          for (int64_t f = 0; derivative[k] && f < in.nf; ++f)
            std::copy_n(found[k].data() + f * sizes[k], sizes[k], derivative[k] + (f * parts + c) * sizes[k]);
      }
    } catch (const std::exception& e) {
      context->CtxFailure(invalid_argument(e.what()));
      return;
    }
    for (int64_t f = 0; f < in.nf && values; ++f)
      for (int64_t k = 0; k < rows; ++k)
        for (int64_t d = 0; d < dim; ++d) {
          const double x = property[(f * in.nloc + owners[k]) * dim + d];
          if (context->output_required(8))
            context->mutable_output(8)->flat<T>()((f * rows + k) * dim + d) = static_cast<T>(x);
          if (context->output_required(0)) context->mutable_output(0)->flat<double>()(f * dim + d) += x;
        }
  }

  bool given_ = false, is_energy_ = true, by_atom_ = false;
  float sign_ = 1;
  std::vector<bool> has_property_;
  int64_t dim_fparam_ = 0, dim_aparam_ = 0;
  std::unique_ptr<FusedSea<C>> model_;
};

#define DPTF_KERNEL(T, C)                                                                          \
  REGISTER_KERNEL_BUILDER(                                                                         \
      Name("DptfFusedSea").Device(DEVICE_CPU).TypeConstraint<T>("T").TypeConstraint<C>("compute"), \
      FusedSeaOp<T, C>)
DPTF_KERNEL(double, double);
DPTF_KERNEL(double, float);
DPTF_KERNEL(float, double);
DPTF_KERNEL(float, float);

}  // namespace
}  // namespace dptf

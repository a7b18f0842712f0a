#include "pair_deepmd.h"

#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "atom.h"
#include "comm.h"
#include "compute.h"
#include "deviation.h"
#include "domain.h"
#include "dptf/power.h"
#include "element_mass.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "modify.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"

namespace LAMMPS_NS {

namespace {

// Places of (xx, yy, zz, xy, xz, yz, yx, zx, zy) in the row-major virial of a model.
constexpr int kVirialOrder[9] = {0, 4, 8, 3, 6, 7, 1, 2, 5};

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> out;
  size_t begin = 0;
  while ((begin = text.find_first_not_of(" \t\n", begin)) != std::string::npos) {
    const size_t end = std::min(text.find_first_of(" \t\n", begin), text.size());
    out.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return out;
}

bool is_keyword(const std::string& word) {
  static const char* const keywords[] = {"out_freq",
                                         "out_file",
                                         "fparam",
                                         "aparam",
                                         "fparam_from_compute",
                                         "fparam_from_fix",
                                         "aparam_from_compute",
                                         "ttm",
                                         "precision",
                                         "atomic",
                                         "relative",
                                         "relative_v",
                                         "virtual_len",
                                         "spin_norm",
                                         "charge_spin"};
  return std::find(std::begin(keywords), std::end(keywords), word) != std::end(keywords);
}

bool is_number(const char* word) {
  char* end = nullptr;
  std::strtod(word, &end);
  return end != word && *end == 0;
}

}  // namespace

PairDeepMD::PairDeepMD(LAMMPS* lmp, bool spin)
    : Pair(lmp),
      spin_(spin),
      style_(spin ? "pair_style deepspin" : "pair_style deepmd"),
      fparam_(lmp),
      aparam_(lmp) {
  if (std::strcmp(update->unit_style, "lj") == 0)
    error->all(FLERR, "pair_style deepmd needs physical units (units metal, real, ...), not lj");
  restartinfo = 1;
  respa_enable = 0;
  writedata = 0;
  one_coeff = 1;
  manybody_flag = 1;
  single_enable = 0;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_AVAIL;
  pppmflag = 1;
  unit_convert_flag = 0;
}

PairDeepMD::~PairDeepMD() {
  if (deviation_file_) std::fclose(deviation_file_);
  if (in_.nlist) DP_DeleteNlist(in_.nlist);
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
    memory->destroy(scale_);
  }
}

void PairDeepMD::allocate() {
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
  memory->create(scale_, n, n, "pair:scale");
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      setflag[i][j] = 0;
      scale_[i][j] = 1;
    }
  allocated = 1;
}

void PairDeepMD::read_restart(FILE*) {
  // Nothing is stored; the deviation of the run that is continued goes on in the same file.
  append_ = true;
  if (!allocated) allocate();
}

void PairDeepMD::set_units() {
  energy_unit_ = force->boltz / 8.617343e-5;
  length_unit_ = force->angstrom;
}

void PairDeepMD::set_threads() {
  // TensorFlow would start one thread per core in every rank; share the cores that this rank may use instead.
  for (const char* name : {"DP_INTRA_OP_PARALLELISM_THREADS", "TF_INTRA_OP_PARALLELISM_THREADS"})
    if (std::getenv(name)) return;
  MPI_Comm node;
  MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  int ranks = 1;
  MPI_Comm_size(node, &ranks);
  MPI_Comm_free(&node);
  cpu_set_t cores;
  int n = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
  if (const char* omp = std::getenv("OMP_NUM_THREADS"))
    n = std::max(std::atoi(omp), 1);
  else
    n = std::max(n / ranks, 1);
  setenv("DP_INTRA_OP_PARALLELISM_THREADS", std::to_string(n).c_str(), 0);
  setenv("DP_INTER_OP_PARALLELISM_THREADS", "1", 0);
}

void PairDeepMD::load_models(const std::vector<std::string>& files, const std::string& precision) {
  set_threads();
  MPI_Comm node;
  MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  int node_rank = 0;
  MPI_Comm_rank(node, &node_rank);
  MPI_Comm_free(&node);
  models_.clear();
  for (const auto& file : files) {
    // One rank reads; the others get the bytes, so a shared file system is asked once.
    std::string content;
    int size = 0;
    if (comm->me == 0) {
      const char* bytes = DP_ReadFileToChar2(file.c_str(), &size);
      if (size > 0) content.assign(bytes, size);
      DP_DeleteChar(bytes);
    }
    MPI_Bcast(&size, 1, MPI_INT, 0, world);
    if (size <= 0)
      error->all(FLERR,
                 "pair_style deepmd: cannot read the model {} (a misspelt keyword is taken for a file)",
                 file);
    content.resize(size);
    MPI_Bcast(&content[0], size, MPI_CHAR, 0, world);
    try {
      models_.push_back(std::make_unique<DeepmdModel>(file, node_rank, content, spin_, precision));
    } catch (const std::exception& e) {
      error->all(FLERR, "pair_style deepmd: {}", e.what());
    }
  }
  const DeepmdModel& first = *models_[0];
  for (const auto& m : models_) {
    if (m->type_map() != first.type_map() || m->ntypes() != first.ntypes())
      error->all(FLERR, "pair_style deepmd: the type maps of {} ({}) and {} ({}) differ", first.file(),
                 first.type_map(), m->file(), m->type_map());
    if (std::fabs(m->cutoff() - first.cutoff()) > 1e-10 || m->dim_fparam() != first.dim_fparam() ||
        m->dim_aparam() != first.dim_aparam())
      error->all(FLERR,
                 "pair_style deepmd: {} and {} differ in cutoff or in the number of frame or atom parameters",
                 first.file(), m->file());
  }
}

void PairDeepMD::settings(int narg, char** arg) {
  if (narg < 1) error->all(FLERR, "pair_style deepmd needs a model: pair_style deepmd frozen.pb ...");
  set_units();
  std::vector<std::string> files;
  int k = 0;
  while (k < narg && !is_keyword(arg[k])) files.push_back(arg[k++]);
  if (files.empty()) error->all(FLERR, "pair_style deepmd: no model before the keyword {}", arg[0]);

  fparam_.reset();
  aparam_.reset();
  in_.charge_spin.clear();
  out_freq_ = 100;
  out_file_ = "model_devi.out";
  out_atomic_ = relative_ = relative_v_ = false;
  std::string ttm, precision;
  auto value = [&](const std::string& keyword) -> const char* {
    if (++k >= narg || is_keyword(arg[k])) error->all(FLERR, "pair_style deepmd: {} needs a value", keyword);
    return arg[k];
  };
  auto numbers = [&](const std::string& keyword) {
    std::vector<double> out;
    while (k + 1 < narg && is_number(arg[k + 1])) out.push_back(std::atof(arg[++k]));
    if (out.empty()) error->all(FLERR, "pair_style deepmd: {} needs numbers", keyword);
    return out;
  };
  for (; k < narg; ++k) {
    const std::string keyword = arg[k];
    if (keyword == "out_freq") {
      const char* text = value(keyword);
      char* end = nullptr;
      const long freq = std::strtol(text, &end, 10);
      if (*end || freq < 0)
        error->all(FLERR, "pair_style deepmd: out_freq {} is not a number of steps (0: never)", text);
      out_freq_ = static_cast<int>(freq);
    } else if (keyword == "out_file") {
      out_file_ = value(keyword);
    } else if (keyword == "atomic") {
      out_atomic_ = true;
    } else if (keyword == "relative" || keyword == "relative_v") {
      const char* text = value(keyword);
      if (!is_number(text)) error->all(FLERR, "pair_style deepmd: {} {} is not a number", keyword, text);
      (keyword == "relative" ? relative_ : relative_v_) = true;
      // Levels are told in LAMMPS units (of a force, of an energy) and kept in those of the model.
      if (keyword == "relative")
        eps_ = std::atof(text) / (energy_unit_ / length_unit_);
      else
        eps_v_ = std::atof(text) / energy_unit_;
    } else if (keyword == "fparam") {
      fparam_.set_numbers(keyword, numbers(keyword));
    } else if (keyword == "aparam") {
      aparam_.set_numbers(keyword, numbers(keyword));
    } else if (keyword == "fparam_from_compute") {
      fparam_.set_compute(keyword, value(keyword));
    } else if (keyword == "aparam_from_compute") {
      aparam_.set_compute(keyword, value(keyword));
    } else if (keyword == "fparam_from_fix") {
      const std::string id = value(keyword);
      int index = 0;
      if (k + 1 < narg && is_number(arg[k + 1])) {
        index = std::atoi(arg[++k]);
        if (index < 1) error->all(FLERR, "pair_style deepmd: fparam_from_fix {}: entries count from 1", id);
      }
      fparam_.set_fix(keyword, id, index);
    } else if (keyword == "ttm") {
      ttm = value(keyword);
    } else if (keyword == "charge_spin" && !spin_) {
      in_.charge_spin = numbers(keyword);
    } else if ((keyword == "virtual_len" || keyword == "spin_norm") && spin_) {
      numbers(keyword);
      if (comm->me == 0)
        error->warning(FLERR, "pair_style deepspin: {} is a property of the model and is taken from it",
                       keyword);
    } else if (keyword == "precision" && !spin_) {
      precision = value(keyword);
      if (precision != "float32" && precision != "float64")
        error->all(FLERR, "pair_style deepmd: precision {} is none; use float32 or float64", precision);
    } else if (is_keyword(keyword)) {
      error->all(FLERR, "pair_style deepmd: the keyword {} is not supported by this package", keyword);
    } else {
      error->all(FLERR, "pair_style deepmd: unknown keyword or misplaced word {}", keyword);
    }
  }
  load_models(files, precision);

  const DeepmdModel& model = *models_[0];
  names_ = words(model.type_map());
  cutoff_ = model.cutoff() * length_unit_;
  if (deviation_file_) std::fclose(deviation_file_);
  deviation_file_ = nullptr;
  const int nmodels = static_cast<int>(models_.size());
  message_width_ = 0;
  for (const auto& m : models_) message_width_ = std::max(message_width_, m->message_width());
  comm_forward = std::max({message_width_, model.aparam_of_ghosts() ? model.dim_aparam() : 0, 1});
  comm_reverse = std::max(nmodels > 1 ? (spin_ ? 6 : 3) * nmodels : 0, message_width_);
  out_.resize(nmodels);

  if (!ttm.empty()) {
    if (model.dim_aparam() == 0 && model.dim_fparam() == 0)
      error->all(FLERR, "pair_style deepmd: ttm was given, but {} has neither atom nor frame parameters",
                 model.file());
    (model.dim_aparam() > 0 ? aparam_ : fparam_).set_ttm("ttm", ttm);
  }
  const int charge_spin = static_cast<int>(in_.charge_spin.size());
  if (charge_spin != model.dim_chg_spin() && (charge_spin || !model.has_default_chg_spin()))
    error->all(FLERR,
               "pair_style deepmd charge_spin: {} number(s) given, {} takes {} (charge, spin multiplicity)",
               charge_spin, model.file(), model.dim_chg_spin());
  if (model.dim_fparam() > 0 && !fparam_.given() && !model.default_fparam())
    error->all(FLERR,
               "pair_style deepmd: {} needs {} frame parameter(s); give fparam, fparam_from_compute, "
               "fparam_from_fix or ttm",
               model.file(), model.dim_fparam());
  if (model.dim_aparam() > 0 && !aparam_.given())
    error->all(
        FLERR,
        "pair_style deepmd: {} needs {} parameter(s) for each atom; give aparam, aparam_from_compute or ttm",
        model.file(), model.dim_aparam());
  if (model.dim_fparam() == 0 && fparam_.given())
    error->all(FLERR, "pair_style deepmd: {} was given, but {} has no frame parameters", fparam_.keyword(),
               model.file());
  if (model.dim_aparam() == 0 && aparam_.given())
    error->all(FLERR, "pair_style deepmd: {} was given, but {} has no atom parameters", aparam_.keyword(),
               model.file());

  if (comm->me == 0) {
    std::string text = "Summary of lammps deepmd module ...\n  >>> Info of model(s):\n";
    text += fmt::format("  using {:2d} model(s):", nmodels);
    for (const auto& m : models_) text += " " + m->file();
    text +=
        fmt::format("\n  rcut in model:      {}\n  ntypes in model:    {}\n", model.cutoff(), model.ntypes());
    text += fmt::format("  types in model:     {}\n", model.type_map());
    text += fmt::format("  evaluated by:       {}\n", model.runtime_report());
    if (fparam_.given()) text += fmt::format("  using fparam(s):    {}\n", fparam_.text());
    if (aparam_.given()) text += fmt::format("  using aparam(s):    {}\n", aparam_.text());
    utils::logmesg(lmp, text);
    for (const auto& m : models_) {
      const std::string report = m->runtime_report();
      if (!precision.empty() && report.find("(" + precision) == std::string::npos)
        error->warning(FLERR, "precision {} does not apply to {}: {}", precision, m->file(), report);
    }
  }
}

void PairDeepMD::coeff(int narg, char** arg) {
  if (models_.empty())
    error->all(FLERR, "pair_coeff: no model is loaded; restart files hold none, so give {} MODEL ... again",
               style_);
  if (!allocated) allocate();
  const int n = atom->ntypes;
  for (int k = 0; k < std::min(narg, 2); ++k) {
    int lo = 0, hi = 0;
    utils::bounds(FLERR, arg[k], 1, n, lo, hi, error);
    if (lo != 1 || hi != n)
      error->all(FLERR, "pair_style deepmd acts on all types: pair_coeff * * NAME1 NAME2 ...");
  }
  const DeepmdModel& model = *models_[0];
  type_of_.assign(n, -1);
  int named = std::min(narg - 2, n);
  if (narg > 2) {
    if (names_.empty())
      error->all(FLERR, "pair_coeff: {} has no type names; use pair_coeff * * without names", model.file());
    if (narg - 2 > n)
      error->all(FLERR, "pair_coeff: {} names for {} atom type(s); give one for each type (NULL: ignore it)",
                 narg - 2, n);
    for (int k = 0; k < narg - 2; ++k) {
      const std::string name = arg[k + 2];
      const auto found = std::find(names_.begin(), names_.end(), name);
      if (found != names_.end())
        type_of_[k] = static_cast<int>(found - names_.begin());
      else if (name != "NULL")
        error->all(FLERR, "pair_coeff: element {} not found in the model {}, which knows: {}", name,
                   model.file(), model.type_map());
    }
  } else {
    // The positional form of old scripts.
    named = std::min(n, model.ntypes());
    for (int k = 0; k < named; ++k) type_of_[k] = k;
    std::string taken;
    for (size_t k = 0; k < std::min<size_t>(named, names_.size()); ++k) taken += " " + names_[k];
    if (comm->me == 0 && !names_.empty())
      utils::logmesg(lmp, "pair_coeff without names: atom types 1 to {} are taken as{}\n", named, taken);
  }
  by_place_ = narg == 2 && n < model.ntypes();
  named_ = named;
  for (int i = 1; i <= n; ++i)
    for (int j = i; j <= n; ++j) setflag[i][j] = 1;
}

void PairDeepMD::check_names() {
  const int n = atom->ntypes;
  // Scripts with fix dplr leave the types of its displaced charges without a name.
  if (named_ < n && modify->get_fix_by_style("dplr").empty())
    error->all(
        FLERR,
        "pair_coeff: atom type {} has no name; give one for each of the {} types (pair_coeff * * NAME1 ..., "
        "NULL: ignore its atoms)",
        named_ + 1, n);
  if (named_ < n && comm->me == 0)
    error->warning(FLERR, "pair_coeff: atoms of type {} are invisible to the model",
                   named_ + 1 == n ? std::to_string(n) : fmt::format("{} to {}", named_ + 1, n));
}

void PairDeepMD::check_masses() {
  const std::string units = update->unit_style;
  const bool in_u = units == "metal" || units == "real" || units == "electron";
  for (size_t k = 0; k < type_of_.size(); ++k) {
    if (type_of_[k] < 0) continue;
    const bool named = type_of_[k] < static_cast<int>(names_.size());
    const std::string name = named ? names_[type_of_[k]] : "one without a name";
    const bool known = in_u && atom->mass && atom->mass_setflag[k + 1];
    const double mass = known ? atom->mass[k + 1] : 0, usual = known ? element_mass(name) : 0;
    if (usual == 0 && by_place_)
      error->all(FLERR,
                 "pair_coeff without names: {} atom types here, {} in {}, and no masses of elements tell "
                 "that type {} is {}; "
                 "give the name of each type (pair_coeff * * NAME1 ...)",
                 atom->ntypes, models_[0]->ntypes(), models_[0]->file(), k + 1, name);
    if (usual == 0 || std::fabs(mass - usual) < 0.1 * usual) continue;
    if (name == "H" && !by_place_ && mass < 4.1) continue;  // isotopes, and hydrogens made heavy
    const std::string text = fmt::format("type {} has the mass {:.6g}, but the model takes it as {} ({:.6g})",
                                         k + 1, mass, name, usual);
    if (by_place_)
      error->all(FLERR, "pair_coeff without names: {}; give the name of each type (pair_coeff * * NAME1 ...)",
                 text);
    if (comm->me == 0) error->warning(FLERR, "pair_coeff: {}", text);
  }
}

void PairDeepMD::init_style() {
  check_names();
  check_masses();
  if (!force->newton_pair)
    error->all(FLERR, "pair_style deepmd needs newton on: forces on ghost atoms are sent back");
  if (!spin_ && atom->sp_flag)
    error->all(
        FLERR,
        "pair_style deepmd does not read spins; use pair_style deepspin, or an atom_style without spins");
  if (spin_ && !atom->sp_flag) error->all(FLERR, "pair_style deepspin needs atom_style spin");
  if (fparam_.given()) fparam_.check(models_[0]->dim_fparam(), false);
  aparam_.check(models_[0]->dim_aparam(), true);
  neighbor->add_request(this, NeighConst::REQ_FULL);
  if (models_.size() > 1 && out_freq_ > 0) {
    if (out_atomic_ && (!atom->tag_enable || !atom->tag_consecutive()))
      error->all(
          FLERR,
          "pair_style deepmd atomic: the atom IDs have to be 1 to N without gaps (use reset_atoms id)");
    open_deviation_file();
  }
}

double PairDeepMD::init_one(int i, int j) {
  if (setflag[i][j] == 0) error->all(FLERR, "pair_style deepmd: pair_coeff * * NAME1 NAME2 ... is missing");
  scale_[j][i] = scale_[i][j];
  return cutoff_;
}

void* PairDeepMD::extract(const char* what, int& dim) {
  if (std::strcmp(what, "cut_coul") == 0) {
    dim = 0;
    return &cutoff_;
  }
  if (std::strcmp(what, "scale") == 0) {
    dim = 2;
    return scale_;
  }
  return nullptr;
}

void PairDeepMD::gather_atoms() {
  const int nlocal = atom->nlocal, nall = nlocal + atom->nghost;
  const double per_length = 1 / length_unit_;
  const double* h = domain->h;
  const double box[9] = {h[0], 0, 0, h[5], h[1], 0, h[4], h[3], h[2]};
  for (int k = 0; k < 9; ++k) in_.box[k] = box[k] * per_length;
  in_.nall = nall;
  in_.nghost = atom->nghost;
  in_.coord.resize(3 * static_cast<size_t>(nall));
  in_.type.resize(nall);
  double** x = atom->x;
  for (int i = 0; i < nall; ++i) {
    in_.type[i] = type_of_[atom->type[i] - 1];
    for (int d = 0; d < 3; ++d)
      in_.coord[3 * static_cast<size_t>(i) + d] = (x[i][d] - domain->boxlo[d]) * per_length;
  }
  if (spin_) {
    in_.spin.resize(3 * static_cast<size_t>(nall));
    for (int i = 0; i < nall; ++i)
      for (int d = 0; d < 3; ++d) in_.spin[3 * static_cast<size_t>(i) + d] = atom->sp[i][d] * atom->sp[i][3];
  }
  if (neighbor->ago == 0 || !in_.nlist) {
    if (in_.nlist) DP_DeleteNlist(in_.nlist);
    in_.nlist = DP_NewNlist(list->inum, list->ilist, list->numneigh, list->firstneigh);
    DP_NlistSetMask(in_.nlist, NEIGHMASK);
    ++in_.list_version;
    if (message_width_ > 0) prepare_messages();
  }
  if (models_[0]->dim_fparam() > 0 && fparam_.given()) fparam_.frame(models_[0]->dim_fparam(), in_.fparam);
  if (const int width = models_[0]->dim_aparam()) {
    aparam_.atoms(width, in_.aparam);
    if (models_[0]->aparam_of_ghosts()) {
      in_.aparam.resize(static_cast<size_t>(nall) * width);
      forward_rows(this, in_.aparam.data(), width);
      if (cutoff_ > 0) check_fragments();
    }
  }
}

void PairDeepMD::check_fragments() {
  // The lowest number is the QM region, also for a process that has none of it in reach.
  double lowest = HUGE_VAL, everywhere;
  for (double id : in_.aparam)
    if (std::lround(id) >= 0) lowest = std::min(lowest, id);
  MPI_Allreduce(&lowest, &everywhere, 1, MPI_DOUBLE, MPI_MIN, world);
  if (lowest != HUGE_VAL && std::lround(lowest) != std::lround(everywhere))
    error->one(FLERR,
               "pair_style deepmd: process {} has no atom of the QM region (fragment {}) in reach; use fewer "
               "processes",
               comm->me, everywhere);
}

void PairDeepMD::prepare_messages() {
  if (comm->nprocs > 1) {
    DP_NlistSetExchange(in_.nlist, this, forward_rows, reverse_rows);
    return;
  }
  // One process: every ghost is an image of a local atom; its index is sent along the way that positions go.
  std::vector<double> index(in_.nall);
  for (int i = 0; i < atom->nlocal; ++i) index[i] = i;
  forward_rows(this, index.data(), 1);
  owner_.assign(index.begin(), index.end());
  DP_NlistSetMapping(in_.nlist, owner_.data());
}

int PairDeepMD::forward_rows(void* self, double* rows, int width) {
  auto* pair = static_cast<PairDeepMD*>(self);
  pair->rows_ = rows;
  pair->width_ = width;
  pair->comm->forward_comm(pair, width);
  pair->rows_ = nullptr;
  return 0;
}

int PairDeepMD::reverse_rows(void* self, double* rows, int width) {
  auto* pair = static_cast<PairDeepMD*>(self);
  pair->rows_ = rows;
  pair->width_ = width;
  pair->comm->reverse_comm(pair, width);
  pair->rows_ = nullptr;
  return 0;
}

int PairDeepMD::pack_forward_comm(int n, int* place, double* buf, int, int*) {
  for (int i = 0; i < n; ++i)
    std::copy_n(rows_ + static_cast<size_t>(place[i]) * width_, width_,
                buf + static_cast<size_t>(i) * width_);
  return n * width_;
}

void PairDeepMD::unpack_forward_comm(int n, int first, double* buf) {
  std::copy_n(buf, static_cast<size_t>(n) * width_, rows_ + static_cast<size_t>(first) * width_);
}

bool PairDeepMD::takes_part() const {
  // A process without atoms still takes part in the exchange of features.
  return atom->nlocal > 0 || (message_width_ > 0 && comm->nprocs > 1);
}

double PairDeepMD::fparam_derivative(double fparam, double delta) {
  gather_atoms();
  if (!takes_part()) return 0;
  const std::vector<double> kept = in_.fparam;
  DeepmdOutput out;
  const auto energy = [&](double value) {
    in_.fparam = {value};
    try {
      models_[0]->compute(in_, false, false, out);
    } catch (const std::exception& e) {
      error->one(FLERR, "pair_style deepmd: {}", e.what());
    }
    return out.energy;
  };
  const double above = energy(fparam + delta), below = energy(fparam - delta);
  in_.fparam = kept;
  return scale_[1][1] * energy_unit_ * (above - below) / (2 * delta);
}

bool PairDeepMD::uncertainty_wanted() const {
  if (!has_uncertainty()) return false;
  for (Compute* c : modify->get_compute_by_style("^deepmd/uncertainty/atom$"))
    if (c->matchstep(update->ntimestep)) return true;
  return false;
}

void PairDeepMD::uncertainty(double* out) {
  gather_atoms();
  double rule[5];
  try {
    models_[0]->uncertainty_rule(rule);
    // The evaluation of the forces gave them where it knew that they would be asked for.
    if (!has_variance_) {
      variance_.assign(in_.nall, 0.0);
      if (takes_part()) models_[0]->variance(in_, variance_);
    }
    has_variance_ = false;
  } catch (const std::exception& e) {
    error->one(FLERR, "pair_style deepmd: {}", e.what());
  }
  forward_rows(this, variance_.data(), 1);
  // Forces of the last step; deviations of several models have summed those of ghosts already.
  std::vector<double> force = out_[0].force;
  force.resize(3 * static_cast<size_t>(in_.nall));
  if (!forces_summed_) reverse_rows(this, force.data(), 3);
  const double unit = scale_[1][1] * energy_unit_ / length_unit_, reach2 = rule[2] * rule[2];
  std::fill(out, out + atom->nlocal, 0.0);
  for (int k = 0; k < list->inum; ++k) {
    const int i = list->ilist[k];
    if (in_.type[i] < 0) continue;
    double sum = variance_[i], weights = 1;
    for (int n = 0; n < list->numneigh[i]; ++n) {
      const int j = list->firstneigh[i][n] & NEIGHMASK;
      if (in_.type[j] < 0) continue;
      double r2 = 0;
      for (int d = 0; d < 3; ++d) {
        const double x =
            in_.coord[3 * static_cast<size_t>(j) + d] - in_.coord[3 * static_cast<size_t>(i) + d];
        r2 += x * x;
      }
      if (r2 >= reach2) continue;
      const double w = dptf::power(1 - r2 / reach2, rule[3]);
      sum += w * variance_[j];
      weights += w;
    }
    double square = rule[0] * rule[0] * sum / weights + rule[1] * rule[1];
    for (int d = 0; d < 3; ++d) {
      const double part = rule[4] * force[3 * static_cast<size_t>(i) + d];
      square += part * part;
    }
    out[i] = unit * std::sqrt(square);
  }
}

void PairDeepMD::compute(int eflag, int vflag) {
  ev_init(eflag, vflag);
  if (vflag_atom)
    error->all(
        FLERR,
        "6-element atomic virial is not supported. Use compute centroid/stress/atom command for 9-element "
        "atomic virial.");
  gather_atoms();
  const bool deviation = models_.size() > 1 && out_freq_ > 0 && update->ntimestep % out_freq_ == 0;
  const size_t evaluated = deviation ? models_.size() : 1;
  has_variance_ = uncertainty_wanted();
  if (has_variance_) variance_.assign(in_.nall, 0.0);
  for (size_t m = 0; m < evaluated; ++m) {
    DeepmdOutput& out = out_[m];
    if (!takes_part()) {
      // Nothing is owned here, so nothing contributes; the graph is not run.
      out = DeepmdOutput();
      out.force.assign(3 * static_cast<size_t>(in_.nall), 0.0);
      out.force_mag.assign(spin_ ? out.force.size() : 0, 0.0);
      out.atom_energy.assign(in_.nall, 0.0);
      out.atom_virial.assign(9 * static_cast<size_t>(in_.nall), 0.0);
      continue;
    }
    try {
      models_[m]->compute(in_, m == 0 && eflag_atom, m == 0 && cvflag_atom, out,
                          m == 0 && has_variance_ ? &variance_ : nullptr);
    } catch (const std::exception& e) {
      error->one(FLERR, "pair_style deepmd: {}", e.what());
    }
  }
  tally(out_[0], eflag, vflag);
  if (deviation) write_deviation();
  forces_summed_ = deviation;
  fparam_.announce(update->ntimestep + 1);
  aparam_.announce(update->ntimestep + 1);
}

void PairDeepMD::tally(const DeepmdOutput& out, int, int) {
  const double scale = scale_[1][1] * energy_unit_;
  const double force_scale = scale / length_unit_;
  const int nall = in_.nall;
  double** f = atom->f;
  for (int i = 0; i < nall; ++i)
    for (int d = 0; d < 3; ++d) f[i][d] += force_scale * out.force[3 * static_cast<size_t>(i) + d];
  if (spin_) {
    // The spin dynamics of LAMMPS wants a frequency: the force on the unit vector over hbar (eV ps).
    constexpr double kHbar = 6.5821191e-04;
    for (int i = 0; i < nall; ++i)
      for (int d = 0; d < 3; ++d)
        atom->fm[i][d] +=
            force_scale * out.force_mag[3 * static_cast<size_t>(i) + d] * atom->sp[i][3] / kHbar;
  }
  if (eflag_global) eng_vdwl += scale * out.energy;
  if (eflag_atom)
    for (int i = 0; i < atom->nlocal; ++i) eatom[i] += scale * out.atom_energy[i];
  if (vflag_global)
    for (int k = 0; k < 6; ++k) virial[k] += scale * out.virial[kVirialOrder[k]];
  if (cvflag_atom)
    for (int i = 0; i < nall; ++i)
      for (int k = 0; k < 9; ++k)
        cvatom[i][k] += scale * out.atom_virial[9 * static_cast<size_t>(i) + kVirialOrder[k]];
}

void PairDeepMD::open_deviation_file() {
  if (comm->me != 0 || deviation_file_) return;
  deviation_file_ = std::fopen(out_file_.c_str(), append_ ? "a" : "w");
  if (!deviation_file_)
    error->one(FLERR, "pair_style deepmd: cannot write {}: {}", out_file_, utils::getsyserror());
  if (!append_) deviation_header(deviation_file_, out_atomic_ ? atom->natoms : 0, spin_);
  append_ = true;  // a second run command goes on in the file of the first
}

void PairDeepMD::write_deviation() {
  comm->reverse_comm(this);
  const int nmodels = static_cast<int>(models_.size());
  std::vector<double> local(9 * nmodels), total(9 * nmodels);
  for (int m = 0; m < nmodels; ++m) std::copy(out_[m].virial, out_[m].virial + 9, &local[9 * m]);
  MPI_Reduce(local.data(), total.data(), 9 * nmodels, MPI_DOUBLE, MPI_SUM, 0, world);

  std::vector<const double*> forces;
  for (const auto& out : out_) forces.push_back(out.force.data());
  const std::vector<double> devi_f = force_deviation(forces, atom->nlocal, relative_ ? &eps_ : nullptr);
  const Spread spread_f = reduce_spread(devi_f, world);
  Spread spread_m;
  if (spin_) {
    std::vector<const double*> magnetic;
    for (const auto& out : out_) magnetic.push_back(out.force_mag.data());
    spread_m = reduce_spread(force_deviation(magnetic, atom->nlocal, relative_ ? &eps_ : nullptr), world);
  }
  // Relative deviations are pure numbers; the others are told in the units of the run.
  const double unit_f = relative_ ? 1 : energy_unit_ / length_unit_, unit_v = relative_v_ ? 1 : energy_unit_;
  std::vector<double> by_tag;
  if (out_atomic_) by_tag = gather_by_tag(devi_f, atom->tag, atom->natoms, world);
  if (comm->me != 0) return;
  for (double& x : total) x /= static_cast<double>(atom->natoms);
  const Spread spread_v = virial_deviation(total, nmodels, relative_v_ ? &eps_v_ : nullptr);
  deviation_line(deviation_file_, update->ntimestep, spread_v, unit_v, spread_f, unit_f, by_tag,
                 spin_ ? &spread_m : nullptr);
  std::fflush(deviation_file_);
}

int PairDeepMD::pack_reverse_comm(int n, int first, double* buf) {
  if (rows_) {
    std::copy_n(rows_ + static_cast<size_t>(first) * width_, static_cast<size_t>(n) * width_, buf);
    return n * width_;
  }
  int m = 0;
  for (int i = first; i < first + n; ++i)
    for (const auto& out : out_)
      for (int d = 0; d < 3; ++d) {
        buf[m++] = out.force[3 * static_cast<size_t>(i) + d];
        if (spin_) buf[m++] = out.force_mag[3 * static_cast<size_t>(i) + d];
      }
  return m;
}

void PairDeepMD::unpack_reverse_comm(int n, int* place, double* buf) {
  if (rows_) {
    for (int i = 0; i < n; ++i) {
      double* row = rows_ + static_cast<size_t>(place[i]) * width_;
      for (int d = 0; d < width_; ++d) row[d] += buf[static_cast<size_t>(i) * width_ + d];
    }
    return;
  }
  int m = 0;
  for (int i = 0; i < n; ++i)
    for (auto& out : out_)
      for (int d = 0; d < 3; ++d) {
        out.force[3 * static_cast<size_t>(place[i]) + d] += buf[m++];
        if (spin_) out.force_mag[3 * static_cast<size_t>(place[i]) + d] += buf[m++];
      }
}

double PairDeepMD::memory_usage() {
  double bytes = Pair::memory_usage() + in_.coord.capacity() * 8.0 + in_.type.capacity() * 4.0;
  for (const auto& out : out_)
    bytes += 8.0 * (out.force.capacity() + out.atom_energy.capacity() + out.atom_virial.capacity());
  return bytes;
}

}  // namespace LAMMPS_NS

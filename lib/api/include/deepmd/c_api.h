#pragma once
/* C interface of libdeepmd_c. No function throws. Handles are opaque; constructors always return a handle,
 * and every error is kept in it: read it with DP_<Class>CheckOK ("" when fine; free the string with
 * DP_DeleteChar). An error stays until the handle is deleted. Units: Å, eV, eV/Å. Arrays are row-major; natom
 * counts ghosts; `cell` NULL means an open boundary; any output pointer may be NULL, and per-atom quantities
 * are computed only when asked for. fparam has nframes*dim_fparam numbers, aparam nframes*(natom -
 * nghost)*dim_aparam (natom when IsAParamNAll). Functions with `f` take and give float arrays (energies stay
 * double); `2` adds nframes, fparam and aparam, `3` adds charge_spin, charge and spin
 * multiplicity of every frame, for models that take them. */
#ifdef __cplusplus
extern "C" {
#else
#include <stdbool.h>
#endif

#define DP_C_API_VERSION 29

typedef struct DP_Nlist DP_Nlist;
typedef struct DP_DeepBaseModel DP_DeepBaseModel;
typedef struct DP_DeepBaseModelDevi DP_DeepBaseModelDevi;
typedef struct DP_DeepPot DP_DeepPot;
typedef struct DP_DeepPotModelDevi DP_DeepPotModelDevi;
typedef struct DP_DeepSpin DP_DeepSpin;
typedef struct DP_DeepSpinModelDevi DP_DeepSpinModelDevi;
typedef struct DP_DeepTensor DP_DeepTensor;
typedef struct DP_DipoleChargeModifier DP_DipoleChargeModifier;

/* Neighbor lists in the layout of LAMMPS; the arrays are borrowed. */
extern DP_Nlist* DP_NewNlist(int inum_, int* ilist_, int* numneigh_, int** firstneigh_);
/* With the swaps of the engine, for models that pass messages between processes (see deepmd/neighbor_list.h);
 * world points to the MPI communicator, from which the number of processes is taken. */
extern DP_Nlist* DP_NewNlist_comm(int inum_, int* ilist_, int* numneigh_, int** firstneigh_, int nswap,
                                  int* sendnum, int* recvnum, int* firstrecv, int** sendlist, int* sendproc,
                                  int* recvproc, void* world, int nprocs);
extern void DP_NlistSetMask(DP_Nlist* nl, int mask);
extern void DP_NlistSetMapping(DP_Nlist* nl, int* mapping);
/* Own addition: models that pass messages, on several processes. rows has width numbers for every local atom
 * and ghost; forward overwrites those of ghosts with those of their owners, reverse adds those of ghosts to
 * their owners; 0: done. */
extern void DP_NlistSetExchange(DP_Nlist* nl, void* engine,
                                int (*forward)(void* engine, double* rows, int width),
                                int (*reverse)(void* engine, double* rows, int width));
extern void DP_DeleteNlist(DP_Nlist* nl);
extern const char* DP_NlistCheckOK(DP_Nlist* nl);

/* One energy model. */
extern DP_DeepPot* DP_NewDeepPot(const char* c_model);
extern DP_DeepPot* DP_NewDeepPotWithParam(const char* c_model, const int gpu_rank,
                                          const char* c_file_content);
extern DP_DeepPot* DP_NewDeepPotWithParam2(const char* c_model, const int gpu_rank,
                                           const char* c_file_content, const int size_file_content);
/* Own addition: computes in "float32" or "float64" where the fused kernels run the model (NULL or "": as the
 * graph); DP_DeepPotGetRuntimeReport tells, and tells the errors. */
extern DP_DeepPot* DP_NewDeepPotWithPrecision(const char* c_model, const int gpu_rank,
                                              const char* c_file_content, const int size_file_content,
                                              const char* c_precision);
extern void DP_DeleteDeepPot(DP_DeepPot* dp);

#define DP_DECLARE_COMPUTE(CLASS, SUFFIX, REAL)                                                            \
  extern void DP_##CLASS##Compute##SUFFIX(DP_##CLASS* dp, const int natom, const REAL* coord,              \
                                          const int* atype, const REAL* cell, double* energy, REAL* force, \
                                          REAL* virial, REAL* atomic_energy, REAL* atomic_virial);         \
  extern void DP_##CLASS##ComputeNList##SUFFIX(                                                            \
      DP_##CLASS* dp, const int natom, const REAL* coord, const int* atype, const REAL* cell,              \
      const int nghost, const DP_Nlist* nlist, const int ago, double* energy, REAL* force, REAL* virial,   \
      REAL* atomic_energy, REAL* atomic_virial);                                                           \
  extern void DP_##CLASS##Compute##SUFFIX##2(                                                              \
      DP_##CLASS * dp, const int nframes, const int natom, const REAL* coord, const int* atype,            \
      const REAL* cell, const REAL* fparam, const REAL* aparam, double* energy, REAL* force, REAL* virial, \
      REAL* atomic_energy, REAL* atomic_virial);                                                           \
  extern void DP_##CLASS##ComputeNList##SUFFIX##2(                                                         \
      DP_##CLASS * dp, const int nframes, const int natom, const REAL* coord, const int* atype,            \
      const REAL* cell, const int nghost, const DP_Nlist* nlist, const int ago, const REAL* fparam,        \
      const REAL* aparam, double* energy, REAL* force, REAL* virial, REAL* atomic_energy,                  \
      REAL* atomic_virial);                                                                                \
  extern void DP_##CLASS##Compute##SUFFIX##3(                                                              \
      DP_##CLASS * dp, const int nframes, const int natom, const REAL* coord, const int* atype,            \
      const REAL* cell, const REAL* fparam, const REAL* aparam, const double* charge_spin, double* energy, \
      REAL* force, REAL* virial, REAL* atomic_energy, REAL* atomic_virial);                                \
  extern void DP_##CLASS##ComputeNList##SUFFIX##3(                                                         \
      DP_##CLASS * dp, const int nframes, const int natom, const REAL* coord, const int* atype,            \
      const REAL* cell, const int nghost, const DP_Nlist* nlist, const int ago, const REAL* fparam,        \
      const REAL* aparam, const double* charge_spin, double* energy, REAL* force, REAL* virial,            \
      REAL* atomic_energy, REAL* atomic_virial);
DP_DECLARE_COMPUTE(DeepPot, , double)
DP_DECLARE_COMPUTE(DeepPot, f, float)
extern void DP_DeepPotComputeMixedType(DP_DeepPot* dp, const int nframes, const int natoms,
                                       const double* coord, const int* atype, const double* cell,
                                       const double* fparam, const double* aparam, double* energy,
                                       double* force, double* virial, double* atomic_energy,
                                       double* atomic_virial);
extern void DP_DeepPotComputeMixedTypef(DP_DeepPot* dp, const int nframes, const int natoms,
                                        const float* coord, const int* atype, const float* cell,
                                        const float* fparam, const float* aparam, double* energy,
                                        float* force, float* virial, float* atomic_energy,
                                        float* atomic_virial);

#define DP_DECLARE_GETTERS(CLASS)                           \
  extern double DP_##CLASS##GetCutoff(DP_##CLASS* dp);      \
  extern int DP_##CLASS##GetNumbTypes(DP_##CLASS* dp);      \
  extern int DP_##CLASS##GetNumbTypesSpin(DP_##CLASS* dp);  \
  extern int DP_##CLASS##GetDimFParam(DP_##CLASS* dp);      \
  extern int DP_##CLASS##GetDimAParam(DP_##CLASS* dp);      \
  extern bool DP_##CLASS##IsAParamNAll(DP_##CLASS* dp);     \
  extern bool DP_##CLASS##HasDefaultFParam(DP_##CLASS* dp); \
  extern const char* DP_##CLASS##CheckOK(DP_##CLASS* dp);
DP_DECLARE_GETTERS(DeepPot)
extern int DP_DeepPotGetDimChgSpin(DP_DeepPot* dp);
/* Own addition. */
extern bool DP_DeepPotHasDefaultChgSpin(DP_DeepPot* dp);
extern const char* DP_DeepPotGetTypeMap(DP_DeepPot* dp);
/* What belongs to other backends: evaluation on a device without copies, charge and spin of a frame. The
 * questions are answered with false, the calls leave an error in the handle. */
extern bool DP_DeepPotSupportsDeviceEdgeInference(DP_DeepPot* dp);
extern bool DP_DeepPotUsesFP32EdgeVectors(DP_DeepPot* dp);
extern bool DP_DeepPotUsesCanonicalGraphInference(DP_DeepPot* dp);
extern void DP_DeepPotComputeEdgesGPU(DP_DeepPot* dp, ...);
extern void DP_DeepPotComputeEdgesGPUFloat32(DP_DeepPot* dp, ...);
extern void DP_DeepPotComputeCanonicalGraphGPU(DP_DeepPot* dp, ...);
extern void DP_DeepPotSetChargeSpin(DP_DeepPot* dp, ...);
/* Own addition: which path evaluates the model, in words (free with DP_DeleteChar). */
extern const char* DP_DeepPotGetRuntimeReport(DP_DeepPot* dp);
/* Own addition: numbers per atom that a message-passing model exchanges; 0 for other models. */
extern int DP_DeepPotGetMessageWidth(DP_DeepPot* dp);
/* Own addition: whether the model knows the uncertainty of its forces (dp uncertainty). */
extern bool DP_DeepPotHasUncertainty(DP_DeepPot* dp);
/* Own addition: expected error of the force components of every atom, one frame without ghosts [eV/A]. */
extern void DP_DeepPotComputeUncertainty(DP_DeepPot* dp, const int natom, const double* coord,
                                         const int* atype, const double* cell, const double* fparam,
                                         const double* aparam, double* deviation);
/* Own addition, for engines with ghosts: the variance of every local atom, natom numbers, from the evaluation
   that gives the results after it (those that are null are not evaluated). The expected error
   of a force is sqrt(rule[0]^2 m + rule[1]^2 + rule[4]^2 |force|^2) eV/A; m is the mean of the variances of
   the atom (weight 1) and of its neighbors closer than rule[2] A, ghosts with the variance of their owners
   (weight (1 - (r/rule[2])^2)^rule[3]). rule has room for 5 numbers. */
extern void DP_DeepPotComputeVarianceNList(DP_DeepPot* dp, const int natom, const double* coord,
                                           const int* atype, const double* cell, const int nghost,
                                           const DP_Nlist* nlist, const int ago, const double* fparam,
                                           const double* aparam, const double* charge_spin,
                                           double* variance, double* energy, double* force, double* virial,
                                           double* atomic_energy, double* atomic_virial);
extern void DP_DeepPotGetUncertaintyRule(DP_DeepPot* dp, double* rule);

/* Several models; outputs are concatenated over models; nframes must be 1. */
extern DP_DeepPotModelDevi* DP_NewDeepPotModelDevi(const char** c_models, int n_models);
extern DP_DeepPotModelDevi* DP_NewDeepPotModelDeviWithParam(const char** c_models, const int n_models,
                                                            const int gpu_rank, const char** c_file_contents,
                                                            const int n_file_contents,
                                                            const int* size_file_contents);
extern void DP_DeleteDeepPotModelDevi(DP_DeepPotModelDevi* dp);
DP_DECLARE_COMPUTE(DeepPotModelDevi, , double)
DP_DECLARE_COMPUTE(DeepPotModelDevi, f, float)
DP_DECLARE_GETTERS(DeepPotModelDevi)
extern int DP_DeepPotModelDeviGetDimChgSpin(DP_DeepPotModelDevi* dp);
extern void DP_DeepPotModelDeviSetChargeSpin(DP_DeepPotModelDevi* dp, ...);

/* Models with spins: spin[nframes*natom*3] after coord, force_mag after force; types are those of real atoms.
 */
extern DP_DeepSpin* DP_NewDeepSpin(const char* c_model);
extern DP_DeepSpin* DP_NewDeepSpinWithParam2(const char* c_model, const int gpu_rank,
                                             const char* c_file_content, const int size_file_content);
extern void DP_DeleteDeepSpin(DP_DeepSpin* dp);
#define DP_DECLARE_SPIN(CLASS, SUFFIX, REAL)                                                                 \
  extern void DP_##CLASS##Compute##SUFFIX##2(                                                                \
      DP_##CLASS * dp, const int nframes, const int natom, const REAL* coord, const REAL* spin,              \
      const int* atype, const REAL* cell, const REAL* fparam, const REAL* aparam, double* energy,            \
      REAL* force, REAL* force_mag, REAL* virial, REAL* atomic_energy, REAL* atomic_virial);                 \
  extern void DP_##CLASS##ComputeNList##SUFFIX##2(                                                           \
      DP_##CLASS * dp, const int nframes, const int natom, const REAL* coord, const REAL* spin,              \
      const int* atype, const REAL* cell, const int nghost, const DP_Nlist* nlist, const int ago,            \
      const REAL* fparam, const REAL* aparam, double* energy, REAL* force, REAL* force_mag, REAL* virial,    \
      REAL* atomic_energy, REAL* atomic_virial);                                                             \
  extern void DP_##CLASS##Compute##SUFFIX##3(                                                                \
      DP_##CLASS * dp, const int nframes, const int natom, const REAL* coord, const REAL* spin,              \
      const int* atype, const REAL* cell, const REAL* fparam, const REAL* aparam, const double* charge_spin, \
      double* energy, REAL* force, REAL* force_mag, REAL* virial, REAL* atomic_energy, REAL* atomic_virial); \
  extern void DP_##CLASS##ComputeNList##SUFFIX##3(                                                           \
      DP_##CLASS * dp, const int nframes, const int natom, const REAL* coord, const REAL* spin,              \
      const int* atype, const REAL* cell, const int nghost, const DP_Nlist* nlist, const int ago,            \
      const REAL* fparam, const REAL* aparam, const double* charge_spin, double* energy, REAL* force,        \
      REAL* force_mag, REAL* virial, REAL* atomic_energy, REAL* atomic_virial);
DP_DECLARE_SPIN(DeepSpin, , double)
DP_DECLARE_SPIN(DeepSpin, f, float)
DP_DECLARE_GETTERS(DeepSpin)
extern int DP_DeepSpinGetDimChgSpin(DP_DeepSpin* dp);
/* Of other backends, as above. */
extern bool DP_DeepSpinUsesCanonicalGraphInference(DP_DeepSpin* dp);
extern bool DP_DeepSpinUsesNativeSpinScheme(DP_DeepSpin* dp);
extern void DP_DeepSpinComputeCanonicalGraphGPU(DP_DeepSpin* dp, ...);
extern void DP_DeepSpinSetChargeSpin(DP_DeepSpin* dp, ...);
extern const char* DP_DeepSpinGetTypeMap(DP_DeepSpin* dp);
extern DP_DeepSpinModelDevi* DP_NewDeepSpinModelDevi(const char** c_models, int n_models);
extern DP_DeepSpinModelDevi* DP_NewDeepSpinModelDeviWithParam(const char** c_models, const int n_models,
                                                              const int gpu_rank,
                                                              const char** c_file_contents,
                                                              const int n_file_contents,
                                                              const int* size_file_contents);
extern void DP_DeleteDeepSpinModelDevi(DP_DeepSpinModelDevi* dp);
DP_DECLARE_SPIN(DeepSpinModelDevi, , double)
DP_DECLARE_SPIN(DeepSpinModelDevi, f, float)
DP_DECLARE_GETTERS(DeepSpinModelDevi)
extern int DP_DeepSpinModelDeviGetDimChgSpin(DP_DeepSpinModelDevi* dp);
extern void DP_DeepSpinModelDeviSetChargeSpin(DP_DeepSpinModelDevi* dp, ...);

/* Tensor models, one frame. *tensor and *atomic_tensor are allocated here, with *size numbers: free them with
 * DP_DeleteArray (own addition) or DP_DeleteArrayf. name_scope is where the model sits inside another graph.
 */
extern DP_DeepTensor* DP_NewDeepTensor(const char* c_model);
extern DP_DeepTensor* DP_NewDeepTensorWithParam(const char* c_model, const int gpu_rank,
                                                const char* c_name_scope);
extern void DP_DeleteDeepTensor(DP_DeepTensor* dt);
#define DP_DECLARE_TENSOR(SUFFIX, REAL)                                                                      \
  extern void DP_DeepTensorComputeTensor##SUFFIX(DP_DeepTensor* dt, const int natom, const REAL* coord,      \
                                                 const int* atype, const REAL* cell, REAL** tensor,          \
                                                 int* size);                                                 \
  extern void DP_DeepTensorComputeTensorNList##SUFFIX(DP_DeepTensor* dt, const int natom, const REAL* coord, \
                                                      const int* atype, const REAL* cell, const int nghost,  \
                                                      const DP_Nlist* nlist, REAL** tensor, int* size);      \
  extern void DP_DeepTensorCompute##SUFFIX(DP_DeepTensor* dt, const int natom, const REAL* coord,            \
                                           const int* atype, const REAL* cell, REAL* global_tensor,          \
                                           REAL* force, REAL* virial, REAL** atomic_tensor,                  \
                                           REAL* atomic_virial, int* size_at);                               \
  extern void DP_DeepTensorComputeNList##SUFFIX(                                                             \
      DP_DeepTensor* dt, const int natom, const REAL* coord, const int* atype, const REAL* cell,             \
      const int nghost, const DP_Nlist* nlist, REAL* global_tensor, REAL* force, REAL* virial,               \
      REAL** atomic_tensor, REAL* atomic_virial, int* size_at);                                              \
  extern void DP_DeleteArray##SUFFIX(REAL* array);
DP_DECLARE_TENSOR(, double)
DP_DECLARE_TENSOR(f, float)
extern double DP_DeepTensorGetCutoff(DP_DeepTensor* dt);
extern int DP_DeepTensorGetNumbTypes(DP_DeepTensor* dt);
extern int DP_DeepTensorGetOutputDim(DP_DeepTensor* dt);
extern int DP_DeepTensorGetNumbSelTypes(DP_DeepTensor* dt);
/* The memory belongs to the handle. */
extern int* DP_DeepTensorGetSelTypes(DP_DeepTensor* dt);
extern const char* DP_DeepTensorGetTypeMap(DP_DeepTensor* dt);
extern const char* DP_DeepTensorCheckOK(DP_DeepTensor* dt);

/* Long-range electrostatics of dipoles: pairs[2*npairs] are (real atom, displaced charge), delef[(natom -
 * nghost)*3] the electrostatic forces on them, dfcorr[natom*3], dvcorr[9]. */
extern DP_DipoleChargeModifier* DP_NewDipoleChargeModifier(const char* c_model);
extern DP_DipoleChargeModifier* DP_NewDipoleChargeModifierWithParam(const char* c_model, const int gpu_rank,
                                                                    const char* c_name_scope);
extern void DP_DeleteDipoleChargeModifier(DP_DipoleChargeModifier* dcm);
#define DP_DECLARE_MODIFIER(SUFFIX, REAL)                                                                   \
  extern void DP_DipoleChargeModifierComputeNList##SUFFIX(                                                  \
      DP_DipoleChargeModifier* dcm, const int natom, const REAL* coord, const int* atype, const REAL* cell, \
      const int* pairs, const int npairs, const REAL* delef, const int nghost, const DP_Nlist* nlist,       \
      REAL* dfcorr, REAL* dvcorr);
DP_DECLARE_MODIFIER(, double)
DP_DECLARE_MODIFIER(f, float)
extern double DP_DipoleChargeModifierGetCutoff(DP_DipoleChargeModifier* dcm);
extern int DP_DipoleChargeModifierGetNumbTypes(DP_DipoleChargeModifier* dcm);
extern int DP_DipoleChargeModifierGetNumbSelTypes(DP_DipoleChargeModifier* dcm);
extern int* DP_DipoleChargeModifierGetSelTypes(DP_DipoleChargeModifier* dcm);
extern const char* DP_DipoleChargeModifierCheckOK(DP_DipoleChargeModifier* dcm);

/* The same getters on the base of a handle. */
DP_DECLARE_GETTERS(DeepBaseModel)
extern const char* DP_DeepBaseModelGetTypeMap(DP_DeepBaseModel* dp);
extern void DP_DeleteDeepBaseModel(DP_DeepBaseModel* dp);
DP_DECLARE_GETTERS(DeepBaseModelDevi)
extern void DP_DeleteDeepBaseModelDevi(DP_DeepBaseModelDevi* dp);

/* Files, text, selections. */
extern void DP_ConvertPbtxtToPb(const char* c_pbtxt, const char* c_pb);
extern void DP_PrintSummary(const char* c_pre);
extern const char* DP_ReadFileToChar(const char* c_model);
/* On failure the error text, and its length negative in *size. */
extern const char* DP_ReadFileToChar2(const char* c_model, int* size);
extern void DP_SelectByType(const int natoms, const int* atype, const int nghost, const int nsel_type,
                            const int* sel_type, int* fwd_map, int* nreal, int* bkw_map, int* nghost_real);
extern void DP_SelectMapInt(const int* in, const int* fwd_map, const int stride, const int nall1,
                            const int nall2, int* out);
extern void DP_DeleteChar(const char* c_str);

#ifdef __cplusplus
}
#endif

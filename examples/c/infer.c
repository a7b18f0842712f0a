/* Energy, forces and virial of one configuration with the C library.
 *
 *   cc infer.c $(python -m dptf.flags c) -o infer
 *   ./infer frozen.pb frame.txt
 *
 * frame.txt: number of atoms; nine numbers of the cell (rows are the cell vectors, Å; all zero: open
 * boundary); then type, x, y, z of every atom. Types count from 0 in the order of the model's type map.
 */
#include <deepmd/c_api.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the program when the handle holds an error. The text belongs to the caller. */
static void stop_on_error(DP_DeepPot* dp) {
  const char* error = DP_DeepPotCheckOK(dp);
  const int failed = error[0] != 0;
  if (failed) fprintf(stderr, "%s\n", error);
  DP_DeleteChar(error);
  if (failed) exit(1);
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s MODEL FRAME\n", argv[0]);
    return 2;
  }
  DP_DeepPot* dp = DP_NewDeepPot(argv[1]);
  stop_on_error(dp);

  FILE* file = fopen(argv[2], "r");
  int natoms = 0;
  double cell[9];
  if (!file || fscanf(file, "%d", &natoms) != 1 || natoms < 1) {
    fprintf(stderr, "%s: cannot be read, or does not start with the number of atoms\n", argv[2]);
    return 1;
  }
  int periodic = 0;
  for (int k = 0; k < 9; ++k) {
    if (fscanf(file, "%lf", &cell[k]) != 1)
      return fprintf(stderr, "%s: nine numbers of the cell\n", argv[2]), 1;
    if (cell[k] != 0) periodic = 1;
  }
  double* coord = malloc(sizeof(double) * 3 * natoms);
  double* force = malloc(sizeof(double) * 3 * natoms);
  int* type = malloc(sizeof(int) * natoms);
  for (int i = 0; i < natoms; ++i)
    if (fscanf(file, "%d %lf %lf %lf", &type[i], &coord[3 * i], &coord[3 * i + 1], &coord[3 * i + 2]) != 4)
      return fprintf(stderr, "%s: atom %d is not 'type x y z'\n", argv[2], i), 1;
  fclose(file);

  double energy, virial[9];
  /* The two NULLs are the atomic energies and virials, which are not asked for. */
  DP_DeepPotCompute(dp, natoms, coord, type, periodic ? cell : NULL, &energy, force, virial, NULL, NULL);
  stop_on_error(dp);

  printf("energy %.15g\n", energy);
  for (int i = 0; i < natoms; ++i)
    printf("force %.15g %.15g %.15g\n", force[3 * i], force[3 * i + 1], force[3 * i + 2]);
  printf("virial");
  for (int k = 0; k < 9; ++k) printf(" %.15g", virial[k]);
  printf("\n");

  free(coord);
  free(force);
  free(type);
  DP_DeleteDeepPot(dp);
  return 0;
}

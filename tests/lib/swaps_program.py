"""Run by every rank of test_swaps.py: atoms are dealt out, features travel by the swaps of DP_NewNlist_comm.

usage: swaps_program.py MODEL CASE.npz OUT.npz; rank 0 writes energy, forces folded to their owners and virial.
"""

import ctypes
import sys

import numpy as np
from c_api import Handle, load, pointer
from mpi4py import MPI

world = MPI.COMM_WORLD
me, nprocs = world.rank, world.size
model, case, out = sys.argv[1:]
case = np.load(case)
coord, types, box = case["coord"], case["types"], case["box"]
lib = load()
dp = Handle(lib, "DeepPot", lib.DP_NewDeepPot(model.encode()))
assert dp.error == "", dp.error
cutoff = dp.call("GetCutoff")

rank_of = np.arange(len(coord)) * nprocs // len(coord)
mine = np.flatnonzero(rank_of == me)
shifts = np.array([s for s in np.ndindex(5, 5, 5)]) - 2
images = (coord[:, None] + (shifts @ box)[None]).reshape(-1, 3)
owner = np.repeat(np.arange(len(coord)), len(shifts))
itself = np.tile((shifts == 0).all(1), len(coord)) & (rank_of[owner] == me)
near = (np.linalg.norm(images[:, None] - coord[mine][None], axis=-1) < cutoff).any(1) & ~itself
# Ghosts lie in the order of the swaps: in swap s they come from the rank s places before this one.
ghosts = [np.flatnonzero(near & (rank_of[owner] == (me - s) % nprocs)) for s in range(nprocs)]
x = np.concatenate([coord[mine], *(images[g] for g in ghosts)])
atom = np.concatenate([mine, *(owner[g] for g in ghosts)])
place = {a: k for k, a in enumerate(mine)}

recvnum = np.array([len(g) for g in ghosts], np.int32)
firstrecv = (len(mine) + np.concatenate([[0], np.cumsum(recvnum)[:-1]])).astype(np.int32)
sendproc = np.array([(me + s) % nprocs for s in range(nprocs)], np.int32)
recvproc = np.array([(me - s) % nprocs for s in range(nprocs)], np.int32)
wanted = [world.sendrecv(owner[g], dest=(me - s) % nprocs, source=(me + s) % nprocs) for s, g in enumerate(ghosts)]
sendlist = [np.array([place[a] for a in w] or [0], np.int32) for w in wanted]
sendnum = np.array([len(w) for w in wanted], np.int32)

d = np.linalg.norm(x[None] - x[: len(mine), None], axis=-1)
rows = [np.flatnonzero((r < cutoff) & (np.arange(len(x)) != i)).astype(np.int32) for i, r in enumerate(d)]
ilist, numneigh = np.arange(len(mine), dtype=np.int32), np.array([len(r) for r in rows], np.int32)
first = (ctypes.c_void_p * len(rows))(*[r.ctypes.data for r in rows])
lists = (ctypes.c_void_p * nprocs)(*[s.ctypes.data for s in sendlist])
communicator = ctypes.c_void_p(MPI._addressof(world))
nlist = ctypes.c_void_p(lib.DP_NewNlist_comm(
    len(mine), pointer(ilist), pointer(numneigh), first, nprocs, pointer(sendnum), pointer(recvnum), pointer(firstrecv),
    lists, pointer(sendproc), pointer(recvproc), communicator, 12345,
))  # fmt: skip
found = dp.compute("NList", x, types[atom], None, list_args=[len(x) - len(mine), nlist, 0])
assert dp.error == "", dp.error
force = np.zeros((len(coord), 3))
np.add.at(force, atom, found[1].reshape(-1, 3))
total = [world.reduce(v) for v in (found[0], force, found[2])]
if me == 0:
    np.savez(out, energy=total[0], force=total[1], virial=total[2])

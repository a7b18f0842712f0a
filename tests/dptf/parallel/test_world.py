"""Worlds without a launcher, and launches that must not go on."""

import contextlib
import sys
import types

import numpy as np
import pytest

from dptf.env import threads
from dptf.errors import UserError
from dptf.parallel import install, world
from dptf.parallel.launcher import launched, local_size


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in (
        "HOROVOD_RANK",
        "HOROVOD_SIZE",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_RANK",
        "PMI_RANK",
        "PMI_SIZE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DPTF_COLLECTIVES", "horovod")


def test_one_process_is_a_world():
    w = world.start()
    assert (w.rank, w.size, w.chief) == (0, 1, True)
    assert w.gather(3) == [3] and w.broadcast("x") == "x" and w.average([1, 2]) == [1, 2]


@pytest.mark.parametrize("names", [("HOROVOD_RANK", "HOROVOD_SIZE"), ("PMI_RANK", "PMI_SIZE")])
def test_the_launcher_is_read(monkeypatch, names):
    for name, value in zip(names, "23"):
        monkeypatch.setenv(name, value)
    assert launched() == (2, 3)


def test_ranks_of_a_machine_share_its_cores(monkeypatch):
    for name in ("DP_INTRA_OP_PARALLELISM_THREADS", "TF_INTRA_OP_PARALLELISM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert threads()[0] == 0
    monkeypatch.setenv("PMI_SIZE", "1000")
    monkeypatch.setenv("MPI_LOCALNRANKS", "1000")
    assert local_size() == 1000 and threads()[0] == 1
    monkeypatch.setenv("DP_INTRA_OP_PARALLELISM_THREADS", "3")
    assert threads()[0] == 3


def fake_horovod(monkeypatch, size):
    module = types.SimpleNamespace(init=lambda: None, size=lambda: size)
    monkeypatch.setitem(sys.modules, "horovod", types.SimpleNamespace(tensorflow=module))
    monkeypatch.setitem(sys.modules, "horovod.tensorflow", module)


def test_no_backend_stops_with_one_line(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setitem(sys.modules, "horovod.tensorflow", None)
    with pytest.raises(UserError, match="started as 2 processes, but Horovod does not work here"):
        world.start()
    monkeypatch.setenv("PMI_RANK", "1")
    monkeypatch.setattr(world.time, "sleep", lambda s: None)
    with pytest.raises(SystemExit) as end:
        world.start()
    assert end.value.code == 1


def test_a_backend_that_sees_another_world_stops(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    fake_horovod(monkeypatch, size=1)
    with pytest.raises(UserError, match="started 2 processes, but Horovod sees 1"):
        world.start()


class Comm:
    """A communicator of two ranks, of which the other one comes to the barrier, or does not."""

    def __init__(self, rank, comes, text):
        self.rank, self.comes, self.text, self.aborted = rank, comes, text, False

    def Ibarrier(self):
        return types.SimpleNamespace(Test=lambda: self.comes)

    def bcast(self, text):
        return self.text

    def Abort(self, code):
        self.aborted = True


@pytest.mark.parametrize(
    "rank, comes, text, ends, aborted",
    [
        (0, True, "same", UserError, False),
        (1, True, "same", SystemExit, False),  # rank 0 tells it
        (1, True, "another", UserError, False),
        (1, False, "", UserError, True),  # the other rank waits for a message that will not come
    ],
)
def test_an_error_ends_all_ranks_and_is_told_once(rank, comes, text, ends, aborted, monkeypatch, capsys):
    several = object.__new__(world.MpiWorld)
    several.rank, several.chief = rank, rank == 0
    several._comm = several._errors = Comm(rank, comes, text)
    monkeypatch.setattr(world.MpiWorld, "_PATIENCE", 0.0)
    with pytest.raises(ends), several.together():
        raise UserError("same")
    assert several._comm.aborted == aborted
    assert capsys.readouterr().err == ("Error: same (rank 1)\n" if aborted else "")


@pytest.mark.parametrize(
    "texts, rank, ends",
    [
        (["same", "same"], 0, UserError),
        (["same", "same"], 1, SystemExit),
        ([None, "only here"], 1, UserError),
        ([None, "only there"], 0, SystemExit),
        ([None, None], 1, None),
    ],
)
def test_an_error_in_reading_the_input_is_told_by_one_rank(texts, rank, ends, monkeypatch):
    comm = types.SimpleNamespace(Get_rank=lambda: rank, allgather=lambda mine: texts)
    monkeypatch.setattr(world, "_all_ranks", lambda: comm)
    with pytest.raises(ends) if ends else contextlib.nullcontext(), world.told_once():
        if texts[rank]:
            raise UserError(texts[rank])


def test_checksum_sees_every_bit():
    a = np.arange(6.0)
    b = a.copy()
    b[3] = np.nextafter(b[3], 10)
    assert world.checksum([a]) == world.checksum([a.copy()]) != world.checksum([b])


def test_the_installer_refuses_a_source_it_does_not_know(tmp_path):
    for name, old, _ in install.EDITS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"before\n        {old}\nafter\n")
    install.edit(tmp_path)
    assert "HYDRA" in (tmp_path / install.EDITS[1][0]).read_text()
    assert "xla_mpi_ops" not in (tmp_path / install.EDITS[0][0]).read_text()
    with pytest.raises(UserError, match="does not hold the line"):
        install.edit(tmp_path)


def test_a_rank_keeps_to_its_share_of_the_cores(monkeypatch):
    from dptf.parallel import affinity

    set_to, masks = [], {0: {0, 1, 2, 3}, "parent": {0, 1, 2, 3}}
    monkeypatch.setattr(affinity, "_place", lambda cpu: (cpu % 2, cpu))  # cores 0 and 2, 1 and 3 are one physical core
    monkeypatch.setattr(affinity.os, "sched_getaffinity", lambda p: masks[p] if p in masks else masks["parent"])
    monkeypatch.setattr(affinity.os, "sched_setaffinity", lambda p, mask: set_to.append(mask))
    assert affinity.bind() == [] and not set_to  # one process
    for name, value in (("PMI_SIZE", "8"), ("PMI_RANK", "5"), ("MPI_LOCALNRANKS", "2"), ("MPI_LOCALRANKID", "1")):
        monkeypatch.setenv(name, value)
    assert affinity.cores_per_rank() == 2
    assert affinity.bind() == [1, 3] == set_to[0]
    monkeypatch.setenv("DPTF_BIND", "0")
    assert affinity.bind() == []
    monkeypatch.delenv("DPTF_BIND")
    masks[0] = {2}  # bound by the launcher
    assert affinity.bind() == [] and affinity.cores_per_rank() == 1
    masks[0] = {0, 2}
    assert affinity.cores_per_rank() == 2


def test_the_first_session_does_not_decide_for_others():
    """A statistics session without options once gave every later session all cores."""
    import ast
    from pathlib import Path

    import dptf

    for path in Path(dptf.__file__).parent.rglob("*.py"):
        if path.name != "session.py":
            calls = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute))
            plain = [n for n in calls if n.attr == "Session" and path.name != "world.py"]
            assert not plain, f"{path}: use dptf.session.new_session"

"""DPA-1 and DPA-2 in LAMMPS: several ranks give what Python gives."""

import sys
from pathlib import Path

import numpy as np
import pytest

from dptf.infer import DeepPot
from tests.lmp.lammps_run import LIB, run, write_data
from tests.lmp.test_dpa3 import agree, reference, script
from tests.lmp.test_pair_deepmd import numbers

sys.path.insert(0, str(Path(__file__).parents[1] / "dptf"))
from dpa3_cases import FITTING, random_values
from test_dpa1 import ATTEN, EXCHANGE, SMOOTH, STRIP
from test_dpa2 import section

pytestmark = pytest.mark.skipif(not (LIB / "libdeepmd_lmpplugin.so").exists(), reason="the LAMMPS plugin was not built")

DESCRIPTORS = {
    "dpa1": ATTEN | STRIP | SMOOTH | {"sel": 40},
    "dpa1_exchange_form": ATTEN | EXCHANGE | SMOOTH | {"sel": 40},
    "dpa2": section(init={"nsel": 40, "rcut": 4.0}, former={"nsel": 30, "rcut": 3.3, "update_h2": True}),
}


@pytest.fixture(scope="module")
def atoms():
    """48 atoms in a triclinic cell."""
    rng = np.random.default_rng(5)
    box = np.array([[9.0, 0, 0], [1.7, 8.4, 0], [-1.2, 0.9, 8.8]])
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)[:48] / 4.0
    return grid @ box + rng.normal(scale=0.25, size=(48, 3)), rng.integers(0, 2, 48), box


@pytest.fixture(scope="module", params=DESCRIPTORS)
def model(request, tmp_path_factory):
    from dptf.graph.freeze import frozen_graph
    from dptf.graph.load import write_graph_def

    path = tmp_path_factory.mktemp(request.param) / "model.pb"
    options = {"type_map": ["O", "H"], "descriptor": DESCRIPTORS[request.param], "fitting_net": FITTING}
    write_graph_def(frozen_graph({"model": options}, random_values(options)), path)
    return path


def test_ranks_agree_with_python(tmp_path, model, atoms):
    (tmp_path / "model.pb").symlink_to(model)
    write_data(tmp_path / "data.lmp", *atoms, 2)
    want = reference(model, *atoms)
    for ranks in (1, 2) if "dpa2" not in str(model) else (1, 2, 4):
        agree(numbers(tmp_path, run(tmp_path, script(), ranks)), want)
    if "dpa2" in str(model):
        failed = run(tmp_path, script(), 1, {"DPTF_MEMORY": "20K"})
        assert failed.returncode and "features of 48 atoms and the smallest block need" in failed.stdout + failed.stderr
    # A budget of eleven atoms: the graph evaluates the frame in blocks, in Python too.
    plain = {"DPTF_PLAIN": "1"}
    with DeepPot(model) as dp:
        budget = plain | {"DPTF_MEMORY": str(11.5 * float(dp.deep_eval.constant("memory_attr/bytes_per_atom")))}
    process = run(tmp_path, script(), 2, budget)
    agree(numbers(tmp_path, process), want)
    assert process.stderr.count("in blocks of at most") == (2 if "dpa2" in str(model) else 0)
    failed = run(tmp_path, script(), 1, plain | {"DPTF_MEMORY": "plenty"})
    assert failed.returncode and "4G or 500M" in failed.stdout + failed.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dpa1_concat", "dpa2", "dpa3"])
def test_compressed_models(tmp_path, name, atoms):
    """Compressed models on two ranks give what Python gives, and that is what the full models give."""
    import dpa3_cases

    from dptf.graph.compress import compress
    from dptf.graph.freeze import frozen_graph
    from dptf.graph.load import write_graph_def

    options = dpa3_cases.section({"nlayers": 2})
    if name != "dpa3":
        descriptor = (
            DESCRIPTORS["dpa1"] | {"tebd_input_mode": "concat", "attn_layer": 0}
            if name != "dpa2"
            else DESCRIPTORS["dpa2"]
        )
        options = {"type_map": ["O", "H"], "descriptor": descriptor, "fitting_net": FITTING}
    graph = frozen_graph({"model": options, "imported": True}, random_values(options), min_nbor_dist=0.8)
    write_graph_def(graph, tmp_path / "full.pb")
    compress(str(tmp_path / "full.pb"), str(tmp_path / "model.pb"), step=0.002, frames=0)
    write_data(tmp_path / "data.lmp", *atoms, 2)
    want = reference(tmp_path / "model.pb", *atoms)
    for a, b in zip(want, reference(tmp_path / "full.pb", *atoms)):
        np.testing.assert_allclose(a, b, atol=1e-7)
    agree(numbers(tmp_path, run(tmp_path, script(), 2)), want)

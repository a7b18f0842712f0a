"""A graph of an se_a_ef model, as 2.x releases froze it: descriptor in an electric field, evaluated with ``efield``."""

import numpy as np
import pytest

from dptf.errors import UserError
from dptf.graph.load import write_graph_def
from dptf.infer import DeepPot
from dptf.ops import op_module, tf

SEL, RCUT = [10, 12], 3.5
BOX = np.diag([7.0, 6.5, 7.5])
TYPES = np.array([0, 1, 0, 1, 1])
NNEI = sum(SEL)


def build():
    """Both halves of the descriptor share one embedding; the energy is a smooth function of their products."""
    rng = np.random.default_rng(0)
    with tf.Graph().as_default() as graph:
        fp = tf.float64
        coord, box, field = (tf.placeholder(fp, [None], name=f"t_{k}") for k in ("coord", "box", "efield"))
        atype, mesh = (tf.placeholder(tf.int32, [None], name=f"t_{k}") for k in ("type", "mesh"))
        natoms = tf.placeholder(tf.int32, [4], name="t_natoms")
        tf.constant(RCUT, fp, name="descrpt_attr/rcut")
        tf.constant(2, tf.int32, name="descrpt_attr/ntypes")
        for name, text in (("tmap", "A B"), ("model_type", "ener"), ("model_version", "1.1")):
            tf.constant(text, name=f"model_attr/{name}")
        for name in ("dfparam", "daparam"):
            tf.constant(0, tf.int32, name=f"fitting_attr/{name}")
        coord_ = tf.reshape(coord, [-1, natoms[1] * 3])
        unit = tf.reshape(field, [-1, 3])
        unit = tf.reshape(unit / tf.norm(unit, axis=1, keepdims=True), [-1, natoms[0] * 3])
        avg, std = tf.zeros((2, 4 * NNEI), fp), tf.ones((2, 4 * NNEI), fp)
        w = tf.constant(3 * rng.normal(size=(1, 6)))
        energy, halves = 0.0, []
        for kind in ("vert", "para"):
            op = getattr(op_module, f"descrpt_se_a_ef_{kind}")(
                coord_, tf.reshape(atype, [-1, natoms[1]]), natoms, tf.reshape(box, [-1, 9]), mesh, unit, avg, std,
                rcut_a=-1, rcut_r=RCUT, rcut_r_smth=0.5, sel_a=SEL, sel_r=[0, 0],
            )  # fmt: skip
            rows = tf.reshape(op[0], [-1, NNEI, 4])
            g = tf.tanh(tf.tensordot(rows[:, :, :1], w, 1))
            a = tf.matmul(rows, g, transpose_a=True)
            d = tf.matmul(a, a, transpose_a=True)
            energy += tf.reduce_sum(tf.sin(3.0 * d), axis=[1, 2])
            halves.append((op, rows))
        atom_energy = tf.reshape(energy, [-1, natoms[0]], name="o_atom_energy")
        force, virial = [], []
        for op, _ in halves:
            g = tf.reshape(tf.gradients(atom_energy, op[0])[0], [-1, natoms[0] * NNEI * 4])
            tail = {"n_a_sel": NNEI, "n_r_sel": 0}
            force.append(op_module.prod_force_se_a(g, op[1], op[3], natoms, **tail))
            virial.append(op_module.prod_virial_se_a(g, op[1], op[2], op[3], natoms, **tail))
        tf.reduce_sum(atom_energy, axis=1, name="o_energy")
        tf.add_n(force, name="o_force")
        tf.add_n([v[0] for v in virial], name="o_virial")
        tf.add_n([v[1] for v in virial], name="o_atom_virial")
        return graph.as_graph_def()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("ef") / "ef.pb"
    write_graph_def(build(), path)
    with DeepPot(path) as dp:
        yield dp


def frames(nf=2):
    rng = np.random.default_rng(1)
    return rng.uniform(0, 6.5, (nf, 5, 3)), rng.normal(size=(nf, 5, 3))


def test_forces_and_order_of_atoms(model):
    assert model.has_efield
    coord, field = frames()
    boxes = np.tile(BOX, (2, 1, 1))
    energy, force, _ = model.eval(coord, boxes, TYPES, efield=field)
    h = 1e-5
    for atom, x in ((0, 0), (3, 2)):
        moved = [coord.copy(), coord.copy()]
        moved[0][1, atom, x] += h
        moved[1][1, atom, x] -= h
        up, down = (model.eval(m, boxes, TYPES, efield=field)[0][1, 0] for m in moved)
        assert force[1, atom, x] == pytest.approx(-(up - down) / (2 * h), abs=1e-7)
    # Fields follow their atoms through the sorting by type.
    order = np.array([4, 2, 0, 3, 1])
    again = model.eval(coord[:, order], boxes, TYPES[order], efield=field[:, order])
    np.testing.assert_allclose(again[0], energy, atol=1e-12)
    np.testing.assert_allclose(again[1], force[:, order], atol=1e-12)
    # Everything turned together is the same; the field alone turned is not.
    q = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    turned = model.eval(coord @ q, boxes @ q, TYPES, efield=field @ q)
    np.testing.assert_allclose(turned[0], energy, atol=1e-6)
    assert np.abs(model.eval(coord, boxes, TYPES, efield=field[..., ::-1])[0] - energy).max() > 1e-4


def test_field_of_wrong_size(model):
    coord, field = frames()
    with pytest.raises(UserError, match="efield"):
        model.eval(coord, np.tile(BOX, (2, 1, 1)), TYPES)
    with pytest.raises(UserError, match="efield"):
        model.eval(coord, np.tile(BOX, (2, 1, 1)), TYPES, efield=field[:, :-1])

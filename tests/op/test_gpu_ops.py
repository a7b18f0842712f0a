"""Every op with a GPU kernel gives the numbers of the CPU. Without a GPU the CPU is compared with itself: the cases run, and repeat bit for bit."""

import numpy as np
import pytest

from dptf.ops import op_module, tf

RCUT = {"rcut_a": -1.0, "rcut_r": 4.0, "rcut_r_smth": 1.0}
SEL = [5, 8]  # too few for some atoms
NNEI, NF, N = sum(SEL), 2, 12


def gpus():
    return [d.name for d in tf.config.list_physical_devices("GPU")]


def by_device(op, inputs, attrs, device):
    """Outputs of an op that may run nowhere else."""
    with tf.Graph().as_default():
        flat = [x for part in inputs for x in (part if isinstance(part, list) else [part])]
        ports = iter([tf.placeholder(x.dtype, x.shape) for x in flat])
        fed = [[next(ports) for _ in part] if isinstance(part, list) else next(ports) for part in inputs]
        ports = [x for part in fed for x in (part if isinstance(part, list) else [part])]
        with tf.device(f"/{device}:0"):
            outputs = getattr(op_module, op)(*fed, **attrs)
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        config = tf.ConfigProto(allow_soft_placement=False)
        config.gpu_options.allow_growth = True
        with tf.Session(config=config) as session:
            return session.run(outputs, dict(zip(ports, flat)))


def atoms(kind, dtype, width):
    """coord, type, natoms, box, mesh, davg, dstd: periodic, open, or with ghosts and the caller's list."""
    rng = np.random.default_rng(3)
    nall = N + 5 if kind == "list" else N
    box = np.array([[5.0, 0, 0], [0.9, 5.2, 0], [-0.7, 0.6, 4.8]])
    coord = rng.uniform(0, 1, (NF, nall, 3)) @ box
    types = np.sort(rng.integers(0, 2, (nall,)))
    types[[2, N - 1]] = -1, 1  # a virtual atom
    mesh = {"periodic": np.zeros(6, np.int32), "open": np.zeros(0, np.int32)}.get(kind)
    if kind == "list":
        rows = [[j for j in range(nall) if j != i] for i in rng.permutation(N)]
        first = [next(i for i in range(nall) if i not in row) for row in rows]
        mesh = np.concatenate([[N], np.zeros(15), first, [len(r) for r in rows], *rows]).astype(np.int32)
    davg, dstd = rng.uniform(0, 0.2, (2, width)), rng.uniform(0.3, 0.6, (2, width))
    natoms = np.array([N, nall, N // 2, N - N // 2], np.int32)
    return [
        coord.reshape(NF, -1).astype(dtype), np.tile(types, (NF, 1)).astype(np.int32), natoms,
        np.tile(box.reshape(1, 9), (NF, 1)).astype(dtype), mesh, davg.astype(dtype), dstd.astype(dtype),
    ]  # fmt: skip


def env_cases(dtype):
    zeros = [0] * len(SEL)
    for kind in ("periodic", "open", "list"):
        for op in ("prod_env_mat_a", "descrpt_se_a", "descrpt_norot"):
            yield op, atoms(kind, dtype, NNEI * 4), {**RCUT, "sel_a": SEL, "sel_r": zeros}
        for op in ("prod_env_mat_r", "descrpt_se_r"):
            yield op, atoms(kind, dtype, NNEI), {"rcut": 4.0, "rcut_smth": 1.0, "sel": SEL}
        yield "prod_env_mat_a_mix", atoms(kind, dtype, NNEI * 4), {**RCUT, "sel_a": [NNEI], "sel_r": [0]}


def force_cases(dtype):
    rng = np.random.default_rng(4)
    for kind in ("periodic", "list"):
        for ncomp, family in ((4, "a"), (1, "r")):
            given = atoms(kind, dtype, NNEI * ncomp)
            attrs = (
                {**RCUT, "sel_a": SEL, "sel_r": [0, 0]} if ncomp == 4 else {"rcut": 4.0, "rcut_smth": 1.0, "sel": SEL}
            )
            _em, deriv, rij, nlist = by_device(f"prod_env_mat_{family}", given, attrs, "CPU")
            natoms = given[2]
            number = lambda *shape: rng.normal(size=shape).astype(dtype)  # noqa: E731
            net = number(NF, N * NNEI * ncomp)
            force, virial, atom = number(NF, natoms[1] * 3), number(NF, 9), number(NF, natoms[1] * 9)
            sel = {"n_a_sel": NNEI, "n_r_sel": 0} if ncomp == 4 else {}
            names = ["se_a", "norot"] if ncomp == 4 else ["se_r"]
            for name in names:
                yield f"prod_force_{name}", [net, deriv, nlist, natoms], sel
                yield f"prod_virial_{name}", [net, deriv, rij, nlist, natoms], sel
            yield f"prod_force_se_{family}_grad", [force, net, deriv, nlist, natoms], sel
            yield f"prod_virial_se_{family}_grad", [virial, net, deriv, rij, nlist, natoms], sel
            yield "dptf_virial_grad", [virial, atom, net, deriv, rij, nlist, natoms], {"ncomp": ncomp}
            edge = number(NF, N * NNEI * 3)
            yield "dptf_vector_force", [edge, nlist, natoms], {}
            yield "dptf_vector_force_grad", [force, edge, nlist, natoms], {}
            yield "dptf_vector_virial", [edge, rij, nlist, natoms], {}
            yield "dptf_vector_virial_grad", [virial, atom, edge, rij, nlist, natoms], {}


def table_cases(dtype):
    rng = np.random.default_rng(5)
    n, width = 9, 7
    number = lambda *shape: rng.normal(size=shape).astype(dtype)  # noqa: E731
    for op, shape, factor in (("", 4, False), ("_se_a", 4, False), ("_se_atten", 4, True), ("_se_t", NNEI, False)):
        info = np.array([-1, 2, 6, 0.1, 0.5, -1], dtype)
        rows = 60 if op == "_se_t" else 38
        em = number(n, NNEI, shape)
        x = em.reshape(-1, 1) if op == "_se_t" else number(n * NNEI, 1)
        tensors = [x, em] + ([number(n * NNEI, width)] if factor else [])
        table = [number(rows, 6 * width), info]
        out = number(n, width) if op == "_se_t" else number(n, 4, width)
        name = f"tabulate_fusion{op}"
        yield name, [*table, *tensors], {"last_layer_size": width}
        yield f"{name}_grad", [*table, *tensors, out, out], {}
        yield f"{name}_grad_grad", [*table, *tensors, *[number(*t.shape) for t in tensors], out], {}
    table, em, out = [number(38, 6 * width), info], number(n, NNEI), number(n, NNEI, width)
    yield "tabulate_fusion_se_r", [*table, em], {"last_layer_size": width}
    yield "tabulate_fusion_se_r_grad", [*table, em, out, out], {}
    yield "tabulate_fusion_se_r_grad_grad", [*table, em, number(n, NNEI), out], {}


def net_cases(dtype):
    rng = np.random.default_rng(6)
    n, width, pieces, h = 9, 6, 3, 2.0
    number = lambda *shape: rng.normal(size=shape).astype(dtype)  # noqa: E731
    env = number(n, NNEI, 4)
    env[..., 0] = rng.uniform(-1, 4, (n, NNEI))
    for sel in (SEL, [NNEI]):  # blocks by type, or types in nlist
        nlist = rng.integers(-1, 2, (n, NNEI)).astype(np.int32)
        atype = rng.integers(-1, 2, n).astype(np.int32)
        attrs = {"sel": sel, "net_of": [0, 1, -1, 2]}
        weight = number(n, NNEI) if sel == [NNEI] else number(0)
        given = [env, nlist, atype, number(3, pieces, 16, width), np.array(-2.0, dtype), np.array(h, dtype), weight]
        a, z = number(n, 4, width), [number(n, NNEI, 4), number(*weight.shape)]
        yield "dptf_embed_contract", given, attrs
        yield "dptf_embed_contract_grad_env", [a, *given], attrs
        yield "dptf_embed_contract_grad_nodes", [a, *given], attrs
        yield "dptf_embed_contract_grad_grad", [*z, a, *given], attrs
    x = number(40)
    for end in ("", "_custom"):
        yield f"gelu{end}", [x], {}
        yield f"gelu_grad{end}", [number(40), x], {}
        yield f"gelu_grad_grad{end}", [number(40), number(40), x], {}


def ragged_cases(dtype):
    """Ops of DPA-3 on the edges and angles of a few atoms."""
    rng = np.random.default_rng(7)
    number = lambda *shape: rng.normal(size=shape).astype(dtype)  # noqa: E731
    given = [*atoms("open", dtype, 1)[:5], np.array([3.0, 2.0])]
    lists = by_device("dptf_ragged_edges", given, {"e_sel": 9, "a_sel": 6, "ntypes": 2}, "CPU")
    _vec, _local, start, _center, neighbor, _atom, _slot, in_start, in_edge, a_start, a_edge, angle_start, angle_k = (
        lists
    )
    n, edges, short, angles = len(start) - 1, len(neighbor), len(a_edge), len(angle_k)
    assert angles > short > 0
    none = np.zeros(0, np.int32)
    for rows, n_x in (([start, neighbor, in_start, in_edge], n), ([start, none, none, none], edges)):
        w, x, h = number(edges, 3), number(n_x, 5), number(n, 3, 5)
        yield "dptf_moments", [w, x, *rows], {}
        yield "dptf_moments_to_x", [w, h, *rows], {}
        yield "dptf_moments_to_w", [h, x, *rows], {}
    yield "dptf_spread", [number(n, 5), start], {}
    yield "dptf_segment_sum", [number(edges, 5), start], {}
    yield "dptf_take_rows", [number(edges, 5), a_edge], {}
    yield "dptf_put_rows", [number(short, 5), a_edge, np.array(edges, np.int32)], {}
    yield "dptf_share_rows", [number(edges, 5), a_edge], {"columns": 3}
    yield "dptf_add_rows", [number(edges, 5), number(short, 3), a_edge], {}
    yield "dptf_pair_dot", [number(short, 3), number(short, 3), a_start], {}
    for right in (False, True):
        yield "dptf_pair_apply", [number(angles), number(short, 3), a_start], {"right": right}
    for order in range(3):
        yield "dptf_activation", [number(40), [number(40) for _ in range(order)]], {"activation": 8, "threshold": [0.5]}
    for local, k, m, kept in ((False, 5, 40, 5), (False, 5, 7, 0), (True, 4, 6, 4), (True, 1, 6, 4)):
        rows, owners, n_v = (angles, short, short) if local else (edges, n, n)
        index = [angle_start, angle_k, a_start, none] if local else [start, neighbor, in_start, in_edge]
        c = m + kept
        x, u, v, w = number(rows, k), number(owners, c), number(n_v, c), number(rows)
        step = [x, number(k, c), u, v, w, number(kept), number(kept), *index]
        g = [number(owners, m), number(rows, kept)]
        attrs = {"local": local, "activation": 8, "threshold": [0.5]}
        yield "dptf_message", step, attrs
        yield "dptf_message_keep", step, attrs
        yield "dptf_message_grad", [*g, *step], {**attrs, "weights": True}
        yield "dptf_message_keep_grad", [*g, *step, number(0)], attrs
        tangent = [number(*a.shape) for a in (x, u, v, w)]
        yield "dptf_message_grad_grad", [*tangent, *g, *step], attrs


FAMILIES = {
    "ragged": ragged_cases,
    "environment": env_cases,
    "force": force_cases,
    "tables": table_cases,
    "nets": net_cases,
}


@pytest.mark.parametrize("device", ["CPU", "GPU"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("family", FAMILIES)
def test_same_numbers(family, dtype, device):
    if device == "GPU" and not gpus():
        pytest.skip("no GPU here")
    tolerance = 0 if device == "CPU" else 1e-11 if dtype == np.float64 else 2e-5
    for op, inputs, attrs in FAMILIES[family](dtype):
        expected, found = (by_device(op, inputs, attrs, where) for where in ("CPU", device))
        for k, (a, b) in enumerate(zip(found, expected)):
            if a.dtype == dtype:
                np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max(initial=1), err_msg=f"{op} {k}")
            else:
                np.testing.assert_array_equal(a, b, err_msg=f"{op} output {k}")


def test_every_kernel_has_a_case():
    from tests.lib.test_cuda import expected_kernels

    covered = {op for family in FAMILIES.values() for op, _inputs, _attrs in family(np.float64)}
    snake = {"".join("_" + c.lower() if c.isupper() else c for c in op)[1:] for op in expected_kernels()}
    assert covered == snake

import pytest

from dptf.graph import load


def as_old_release(graph_def, release):
    """Undo, from the newest on, what each release changed."""
    order = ["2.1", "2.0", "1.3", "1.2", "1.0", "0.12"]
    depth = order.index(release)
    remove = set()
    ops, names = {}, {}
    if depth >= 1:
        remove.add("model_attr/model_version")
        for op in ("TabulateFusionSeA", "TabulateFusionSeAGrad"):
            ops[op] = op.replace("SeA", "")
            for node in graph_def.node:
                if node.op == op and node.name.split("/")[-1].startswith(op):
                    names[node.name] = node.name.replace(op, ops[op])
    if depth >= 2:
        ops |= {"ProdEnvMatA": "DescrptSeA", "ProdEnvMatR": "DescrptSeR", "PairTab": "TabInter"}
        for node in graph_def.node:
            if node.op in ops and node.name == node.op:
                names[node.name] = ops[node.op]
        remove.add("model_type")
    if depth >= 4:
        remove.add("fitting_attr/daparam")
    if depth >= 5:
        remove |= {"fitting_attr/dfparam", "model_attr/model_type", "model_attr/tmap"}
        ops |= {"ProdEnvMatA": "DescrptNorot", "ProdForceSeA": "ProdForceNorot", "ProdVirialSeA": "ProdVirialNorot"}
        names |= {"ProdEnvMatA": "DescrptNorot", "descrpt_attr/rcut": "t_rcut", "descrpt_attr/ntypes": "t_ntypes"}
        names |= {f"o_{k}": f"{k}_test" for k in ("energy", "force", "virial", "atom_energy", "atom_virial")}
    kept = [node for node in graph_def.node if node.name not in remove]
    for node in kept:
        node.op = ops.get(node.op, node.op)
        node.name = names.get(node.name, node.name)
        if depth >= 3 and node.op.startswith(("Descrpt", "ProdForce", "ProdVirial")):
            del node.attr["T"]
        for k, ref in enumerate(node.input):
            base, colon, port = ref.partition(":")
            node.input[k] = names.get(base, base) + colon + port
    nodes = [type(node).FromString(node.SerializeToString()) for node in kept]
    del graph_def.node[:]
    graph_def.node.extend(nodes)
    if release == "2.0":
        load.add_constant(graph_def, "model_attr/model_version", "1.0")
    return graph_def


@pytest.fixture(name="as_old_release")
def as_old_release_fixture():
    """Turn a current graph into one that an old release would have written."""
    return as_old_release

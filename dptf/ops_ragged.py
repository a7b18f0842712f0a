"""Gradients of the ops over ragged edges and angles; imported by `dptf.ops`, which loads them."""

import contextlib

_weights = [True]


@contextlib.contextmanager
def geometry_only():
    """While gradients with respect to positions alone are taken: those of weights are not computed."""
    _weights.append(False)
    try:
        yield
    finally:
        _weights.pop()


def weights_wanted():
    """Whether derivatives in weights are to be computed: outside of :func:`geometry_only`."""
    return _weights[-1]


def moments_when_needed(graph):
    """Let terms of sums that make rows of edges of a few moments wait for the newest other term of the sum.

    What is ready is computed at once otherwise: derivatives of moments in the edges of all layers would be in memory together, long
    before the pass that adds them up layer by layer comes to them. Only the sum reads such a term, so no circle can arise.
    """
    place = {op: k for k, op in enumerate(graph.get_operations())}
    for op in place:
        readers = op.outputs[0].consumers() if op.type == "DptfMomentsToX" else []
        if len(readers) != 1 or readers[0].type != "AddN" or op.control_inputs:
            continue
        others = [x.op for x in readers[0].inputs if x.op.type != op.type]
        if others:
            op._add_control_input(max(others, key=place.get))


def register(tf, op_module):
    """Register the gradients of the ragged ops."""
    m = op_module

    @tf.RegisterGradient("DptfEdgeForce")
    def _edge_force(op, grad_force, grad_virial):
        return [m.dptf_edge_force_grad(grad_force, grad_virial, *op.inputs[1:]), None, None, None, None]

    # -- bilinear maps: their derivatives are maps of the same kind ---------------------------------------------------

    @tf.RegisterGradient("DptfMoments")
    def _moments(op, gh):
        w, x, *rows = op.inputs
        return [m.dptf_moments_to_w(gh, x, *rows), m.dptf_moments_to_x(w, gh, *rows), None, None, None, None]

    @tf.RegisterGradient("DptfMomentsToX")
    def _moments_to_x(op, gx):
        w, h, *rows = op.inputs
        return [m.dptf_moments_to_w(h, gx, *rows), m.dptf_moments(w, gx, *rows), None, None, None, None]

    @tf.RegisterGradient("DptfMomentsToW")
    def _moments_to_w(op, gw):
        h, x, *rows = op.inputs
        return [m.dptf_moments(gw, x, *rows), m.dptf_moments_to_x(gw, h, *rows), None, None, None, None]

    @tf.RegisterGradient("DptfHeadSums")
    def _head_sums(op, gu):
        w, x, *rows = op.inputs
        heads = op.get_attr("heads")
        dw, dx = m.dptf_head_sums_to_w(gu, x, *rows, heads=heads), m.dptf_head_sums_to_x(w, gu, *rows, heads=heads)
        return [dw, dx, None, None, None, None]

    @tf.RegisterGradient("DptfHeadSumsToX")
    def _head_sums_to_x(op, gx):
        w, u, *rows = op.inputs
        heads = op.get_attr("heads")
        dw, du = m.dptf_head_sums_to_w(u, gx, *rows, heads=heads), m.dptf_head_sums(w, gx, *rows, heads=heads)
        return [dw, du, None, None, None, None]

    @tf.RegisterGradient("DptfHeadSumsToW")
    def _head_sums_to_w(op, gw):
        u, x, *rows = op.inputs
        heads = op.get_attr("heads")
        du, dx = m.dptf_head_sums(gw, x, *rows, heads=heads), m.dptf_head_sums_to_x(gw, u, *rows, heads=heads)
        return [du, dx, None, None, None, None]

    @tf.RegisterGradient("DptfSpread")
    def _spread(op, gy):
        return [m.dptf_segment_sum(gy, op.inputs[1]), None]

    @tf.RegisterGradient("DptfSegmentSum")
    def _segment_sum(op, gy):
        return [m.dptf_spread(gy, op.inputs[1]), None]

    @tf.RegisterGradient("DptfTakeRows")
    def _take_rows(op, gy):
        return [m.dptf_put_rows(gy, op.inputs[1], tf.shape(op.inputs[0])[0]), None]

    @tf.RegisterGradient("DptfPutRows")
    def _put_rows(op, gx):
        return [m.dptf_take_rows(gx, op.inputs[1]), None, None]

    @tf.RegisterGradient("DptfShareRows")
    def _share_rows(op, g_same, g_rows):
        return [m.dptf_add_rows(g_same, g_rows, op.inputs[1]), None]

    @tf.RegisterGradient("DptfAddRows")
    def _add_rows(op, g):
        return [*m.dptf_share_rows(g, op.inputs[2], columns=int(op.inputs[1].shape[1])), None]

    @tf.RegisterGradient("DptfPairDot")
    def _pair_dot(op, gg):
        u, v, start = op.inputs
        return [m.dptf_pair_apply(gg, v, start, right=False), m.dptf_pair_apply(gg, u, start, right=True), None]

    @tf.RegisterGradient("DptfPairApply")
    def _pair_apply(op, gu):
        g, v, start = op.inputs
        right = op.get_attr("right")
        pair = (v, gu) if right else (gu, v)
        return [m.dptf_pair_dot(*pair, start), m.dptf_pair_apply(g, gu, start, right=not right), None]

    # -- the message step ---------------------------------------------------------------------------------------------

    def attrs(op):
        return {k: op.get_attr(k) for k in ("local", "activation", "threshold")}

    def again(x, after):
        """x, computed anew when `after` is there if it comes from a step over single numbers.

        Such a step is cheap, its result is as large as any, and derivatives go back to the numbers at once instead of waiting for
        those of the result in the order of the layers.
        """
        step = x.op
        if (
            step.type != "DptfMessage"
            or x.value_index != 1
            or step.inputs[0].shape[1] != 1
            or not step.get_attr("local")
        ):
            return x
        numbers, *arrays, w, skip, rho, start, index, aux1, aux2 = step.inputs
        rows = [a[:, -int(skip.shape[0]) :] for a in arrays]
        with tf.control_dependencies([after]):
            return m.dptf_message(numbers, *rows, w, skip, rho, start, index, aux1, aux2, **attrs(step))[1]

    @tf.RegisterGradient("DptfMessage")
    def _message(op, g_out, g_y):
        weights = weights_wanted()
        x, *others = op.inputs
        x = again(x, g_out)
        dx, du, dv, dw, dweight, dskip, drho = m.dptf_message_grad(g_out, g_y, x, *others, weights=weights, **attrs(op))
        if not weights:
            dweight = dskip = drho = None
        return [dx, dweight, du, dv, dw, dskip, drho, None, None, None, None]

    @tf.RegisterGradient("DptfMessageGrad")
    def _message_grad(op, tx, tu, tv, tw, *rest):
        if op.get_attr("weights"):
            raise LookupError("second derivatives in weights of the message step do not exist")
        g_out, g_y, x, *others = op.inputs
        x = again(x, tu)
        dx, du, dv, dw, dweight, dskip, drho, dg_out, dg_y = m.dptf_message_grad_grad(
            tx, tu, tv, tw, g_out, g_y, x, *others, **attrs(op)
        )
        return [dg_out, dg_y, dx, dweight, du, dv, dw, dskip, drho, None, None, None, None]

    @tf.RegisterGradient("DptfMessageKeep")
    def _message_keep(op, g_out, g_y, _):
        grads = m.dptf_message_keep_grad(g_out, g_y, *op.inputs, op.outputs[2], **attrs(op))
        dx, du, dv, dw = grads
        return [dx, None, du, dv, dw, *[None] * 6]

    # -- exchange between processes -----------------------------------------------------------------------------------

    @tf.RegisterGradient("DptfHalo")
    def _halo(op, gy):
        return [halo(gy, *op.inputs[1:], adjoint=True), None, None]

    @tf.RegisterGradient("DptfHaloGrad")
    def _halo_grad(op, gx):
        return [halo(gx, *op.inputs[1:]), None, None]

    def halo(x, natoms, mesh, adjoint=False):
        # Every process must exchange in the same order: each exchange waits for the one made before it (of the same atoms: a
        # graph may hold the models of several tasks).
        graph = tf.get_default_graph()
        before = graph.get_collection_ref(f"dptf_halo:{natoms.name}")
        with tf.control_dependencies(before[-1:]):
            y = (m.dptf_halo_grad if adjoint else m.dptf_halo)(x, natoms, mesh)
        before.append(y.op)
        return y

    last = "DptfRaggedEdges", "DptfEdgeForceGrad", "DptfEdgeAtomVirial", "DptfMessageGradGrad", "DptfMessageKeepGrad"
    for name in last:
        tf.NotDifferentiable(name)
    return halo

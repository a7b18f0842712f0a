"""Gradients of the fused attention layer; imported by `dptf.ops`, which loads the op."""

from weakref import WeakKeyDictionary

from dptf.ops_ragged import weights_wanted

#: Number of inputs of the value: rows, mask, starts, numbers, weights; and of those before the weights.
_INPUTS, _FIRST_WEIGHT = 17, 7


def register(tf, op_module):
    """Register the gradients.

    A loss with forces differentiates the derivative of the layer, then the layer. What the first needs on the way back is remembered
    under the name of the empty tensor that it hands to the layer (as adjoint of what the layer keeps for its derivatives), and evaluated there together with the second.
    """
    m = op_module
    waiting = WeakKeyDictionary()  # graph -> name of the empty tensor -> names of the adjoint of y and of the direction

    def attrs(op):
        return {k: op.get_attr(k) for k in ("normalize", "smooth", "no_diagonal", "gated", "residual", "heads")}

    def shared(op):
        rows, weights = list(op.inputs[:_FIRST_WEIGHT]), list(op.inputs[_FIRST_WEIGHT:_INPUTS])
        return [*rows, weights]

    def handed_on(op, tap):
        parts = tap.op.inputs if tap.op.type == "AddN" else [tap]
        known = waiting.get(op.graph, {})
        return [[op.graph.get_tensor_by_name(n) for n in known.pop(x.name)] for x in parts if x.name in known]

    @tf.RegisterGradient("DptfAttention")
    def _attention(op, dy, tap):
        others = handed_on(op, tap)
        if not others and not weights_wanted():
            return [*m.dptf_attention_grad(*shared(op), dy, op.outputs[1], **attrs(op)), *[None] * (_INPUTS - 3)]
        nothing = tf.zeros([0], dy.dtype)
        total = None
        for e, *direction in others or [[nothing] * 4]:
            out = m.dptf_attention_dual(*shared(op), dy, *direction, e, op.outputs[1], **attrs(op))
            out = [*out[:3], *out[3]]
            total = out if total is None else [a + b for a, b in zip(total, out)]
            dy = nothing
        return [*total[:3], *[None] * (_FIRST_WEIGHT - 3), *total[3:]]

    @tf.RegisterGradient("DptfAttentionGrad")
    def _attention_grad(op, *direction):
        tap = tf.zeros([0], op.inputs[0].dtype)
        waiting.setdefault(op.graph, {})[tap.name] = [x.name for x in (op.inputs[_INPUTS], *direction)]
        change = m.dptf_attention_tangent(*shared(op), *direction, op.inputs[_INPUTS + 1], **attrs(op))
        return [*[None] * _INPUTS, change, tap]

    for name in ("DptfAttentionTangent", "DptfAttentionDual"):

        @tf.RegisterGradient(name)
        def _no_more(op, *_):
            raise LookupError(
                f"{op.name}: derivatives of this order of fused attention are not available; set DPTF_PLAIN=1"
            )

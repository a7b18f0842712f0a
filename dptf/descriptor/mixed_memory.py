"""Forecast of the memory that energies and forces of DPA-1 and DPA-2 need: what their ops hold at the same time, per slot."""

#: Rows of the environment with their derivatives, vectors and indices, and the gradient in the rows, in double precision.
_GEOMETRY = 30 * 8


def pair_bytes(nsel, neuron, itemsize, *, strip, stored):
    """Of the pair embeddings of an atom with `nsel` slots: layers with their derivatives, or the factors of a table."""
    last = neuron[-1]
    numbers = (2 * last if strip else 12) if stored else 2 * sum(neuron) + (3 if strip else 1) * last
    return nsel * (_GEOMETRY + itemsize * numbers)


def attention_bytes(nsel, width, hidden, layers, itemsize):
    """Of attention over the slots: logits and weights, and queries, keys and values, for the backward pass."""
    return layers * nsel * itemsize * (4 * nsel + 5 * hidden + 3.5 * width)


def repformer_bytes(o, itemsize):
    """Of the message-passing layers of DPA-2 with the options of their section."""
    n, g1, g2 = o["nsel"], o["g1_dim"], o["g2_dim"]
    slot = 6 * g2 + 4 * g1
    if o["update_g2_has_attn"] or o["update_h2"]:
        heads = o["attn2_nhead"]
        slot += heads * (6 * n + 2 * o["attn2_hidden"] + 2 * g2)
    if o["update_g1_has_attn"]:
        slot += o["attn1_nhead"] * (o["attn1_hidden"] + g1 + 4)
    if o["update_g1_has_drrd"]:
        slot += 2 * g1
    atom = 12 * g1 + 2 * o["axis_neuron"] * (g1 + g2) + 6 * (g1 + g2)
    return o["nlayers"] * itemsize * (n * slot + atom)

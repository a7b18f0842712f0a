"""Forecast of the memory that energies and forces of a DPA-3 model need.

The backward pass reads what the forward pass leaves: edges and angles of every layer and what is multiplied once per node or edge. Fused ops
keep no activations, so the widths of the state decide.
"""

#: What the allocator rounds up, and what is too small to be listed.
_MARGIN = 1.1


def coefficients(o, itemsize):
    """Bytes of an evaluation for an atom, a ghost with features of its own, an edge, an edge that forms angles and an angle.

    Parameters
    ----------
    o : RepFlowOptions
    itemsize : int
        Bytes of a number in the precision of the descriptor.
    """
    n, e, a, messages = o.n_dim, o.e_dim, o.a_dim, o.n_multi_edge_message * o.n_dim
    updated = max(o.nlayers - (1 if o.sequential_update else 2), 0)  # layers whose angles are read
    # Products of nodes for edges, messages, two moments of three components, what is made of them, and the sums of the update.
    node = 2 * (messages + e) + messages + 6 * (n + e) + o.axis_neuron * (n + e) + 4 * n
    node = (o.nlayers + 1) * n + o.nlayers * node
    ghost = o.nlayers * (2 * n + messages + e)
    # The state of every layer, and gradients on their way.
    edge = (o.nlayers + 3) * e
    # Products of angle edges, narrow edges, and the message on its way to the edge.
    short = (o.nlayers - 1) * (2 * (e + a) + o.e_compressed + 4 * e)
    # The gradient of the angles lies in the memory of the one before.
    angle = 1 + updated * a + a + 1
    # Lists and geometry, in double precision: some thirty numbers and eight indices per edge, four and two (narrow) per angle.
    geometry = 0, 0, 30 * 8 + 8 * 4, 0, 4 * 8 + 2 * itemsize
    return [_MARGIN * (x * itemsize + y) for x, y in zip((node, ghost, edge, short, angle), geometry)]


def bytes_per_atom(o, itemsize, edges=None, angle_edges=None):
    """Peak memory of an evaluation, divided by the number of atoms.

    Parameters
    ----------
    o, itemsize
        See :func:`coefficients`.
    edges, angle_edges : float, optional
        Neighbors within ``e_rcut`` and ``a_rcut``; the numbers that sums are divided by if left out, which is full lists unless
        ``use_dynamic_sel`` is on.

    Returns
    -------
    float
    """
    edges = o.edge_norm if edges is None else edges
    angle_edges = (o.angle_norm if angle_edges is None else angle_edges) if o.update_angle else 0
    counts = 1, 0, edges, angle_edges, angle_edges**2
    return sum(c * x for c, x in zip(counts, coefficients(o, itemsize)))

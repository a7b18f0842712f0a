"""What several descriptors answer together: those of a hybrid, and those of the members of a composed model."""

from dptf.errors import UserError
from dptf.ops import tf


class Several:
    """Answers from ``parts``, a list of descriptors that may be empty."""

    where = "model"

    @property
    def activation(self):
        """Activation of the first part whose nets cannot be tabulated, for messages."""
        return next((p.activation for p in self.parts if not p.can_tabulate()), "none")

    @property
    def precision(self):
        """The lowest precision of the parts."""
        return min((p.precision for p in self.parts), key=lambda dtype: dtype.size, default=tf.float64)

    @property
    def table_error(self):
        """The largest interpolation error."""
        errors = [tf.cast(p.table_error, tf.float64) for p in self.parts if p.table_error is not None]
        return tf.reduce_max(tf.stack(errors)) if errors else None

    @property
    def any_order(self):
        """Whether atoms may come in any order."""
        return all(p.any_order for p in self.parts)

    @property
    def rewriting_gains(self):
        """Whether TensorFlow should rewrite the graph; not where the work of all parts is in large ops."""
        return not self.parts or any(p.rewriting_gains for p in self.parts)

    @property
    def counts_memory(self):
        """Whether all members compare the memory that an evaluation needs with what there is."""
        return bool(self.parts) and all(p.counts_memory for p in self.parts)

    @property
    def frame_inputs(self):
        """What the parts read of frames beside the positions."""
        found = {}
        for p in self.parts:
            if any(found.get(key, given) != given for key, given in p.frame_inputs.items()):
                raise UserError("the parts want different defaults", self.where, "give them the same")
            found |= p.frame_inputs
        return found

    def memory(self, compressed=False):
        """That of the parts whose need is known, which are the large ones."""
        known = [need for p in self.parts if (need := p.memory(compressed)) is not None]
        return (sum(n for n, _ in known), ", ".join(text for _, text in known)) if known else None

    @property
    def relayed(self):
        """The sum over the parts."""
        return sum(p.relayed for p in self.parts)

    def can_tabulate(self):
        """Whether the nets of every part may be tabulated; false without parts."""
        return bool(self.parts) and all(p.can_tabulate() for p in self.parts)

    def tabulation_pays(self, atoms_per_batch):
        """Whether grids cost less than slots, for all parts."""
        return bool(self.parts) and all(p.tabulation_pays(atoms_per_batch) for p in self.parts)

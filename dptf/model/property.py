"""Model of a property of frames: the sum, or for intensive ones the mean, of atomic values."""

from dptf.env import GLOBAL_NP_FLOAT
from dptf.model.standard import StandardModel
from dptf.nn.parameters import global_dtype
from dptf.ops import tf


class PropertyModel(StandardModel):
    """Property model of a ``model`` section."""

    def outputs(self, atomic, natoms, atype, params, suffix):
        """Values of atoms and frames.

        Returns
        -------
        dict of tensors
            property (nf, task_dim) float64, atom_property (nf, nloc, task_dim); counted (nf, 1), the atoms that have
            one; and out_stat, the bias and deviation of the outputs.
        """
        types = atype[:, : natoms[0]]
        values = self._affine(atomic, types, params, suffix)
        values = tf.identity(values, name=f"o_atom_property{suffix}")
        total = tf.reduce_sum(tf.cast(values, tf.float64), axis=1)
        counted = tf.cast(types >= 0, tf.float64)
        kept = self._kept(tf.maximum(types, 0), tf.float64)
        counted = counted if kept is None else counted * kept
        counted = tf.maximum(tf.reduce_sum(counted, axis=1, keepdims=True), 1.0)
        if self.fitting.intensive:
            total /= counted
        return {
            "property": tf.identity(total, name=f"o_property{suffix}"),
            "atom_property": values,
            "counted": counted,
            "out_stat": self._out_stat(params, suffix),
        }

    def _out_stat(self, params, suffix, width=1):
        """Bias and deviation found from the labels; without distinguish_types those of type 0 hold for all."""
        f, scope = self.fitting, f"model_attr{suffix}/model_attr{suffix}"
        shape = [1, self.ntypes, f.task_dim]
        arrays = [
            params.get(
                f"{scope}/t_out_{key}", shape, value.reshape(shape).astype(GLOBAL_NP_FLOAT), global_dtype(), False
            )
            for key, value in (("bias", f.out_bias), ("std", f.out_std))
        ]
        if not f.distinguish_types:
            arrays = [tf.tile(a[:, :1], [1, self.ntypes, 1]) for a in arrays]
        return arrays

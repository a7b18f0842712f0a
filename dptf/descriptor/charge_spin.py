"""Charge and spin multiplicity of a frame as one vector, which DPA-3 adds to the types of all its atoms."""

from dptf.data.guard import CHARGE_SPIN_LIMITS
from dptf.errors import UserError
from dptf.nn.activation import get_activation
from dptf.nn.layers import apply_linear, linear
from dptf.nn.type_embedding import TypeEmbedding
from dptf.ops import tf

#: The nets: scope of the arrays, and the smallest and largest whole number they know.
NETS = dict(zip(("chg_embedding", "spin_embedding"), CHARGE_SPIN_LIMITS))


def default_of(section, where):
    """The checked ``default_chg_spin`` of a descriptor section, None where there is none."""
    given = section.get("default_chg_spin")
    if given is None:
        return None
    if len(given) != 2 or any(not low <= int(x) <= high for x, (low, high) in zip(given, CHARGE_SPIN_LIMITS)):
        raise UserError(
            f"is {given}", f"{where}/default_chg_spin", "give a charge of -100 to 99 and a multiplicity of 0 to 99"
        )
    return tuple(float(x) for x in given)


class ChargeSpinEmbedding:
    """``act([C[charge], S[spin]] W + b)`` with linear embeddings C and S of whole numbers.

    Parameters
    ----------
    section : dict
        Options of the linear embeddings, as a ``type_embedding`` section.
    activation : str
    dtype : tf.DType
    """

    def __init__(self, section, activation, dtype):
        self.section, self.activation, self.dtype = section, activation, dtype

    def build(self, charge_spin, params, suffix, seeder):
        """Vectors (nf, width) of frames (nf, 2); numbers are cut to whole ones, and those out of range are errors."""
        whole = tf.cast(charge_spin, tf.int32)
        parts = []
        for k, (name, (low, high)) in enumerate(NETS.items()):
            net = TypeEmbedding(self.section | {"seed": seeder.seed, "use_econf_tebd": False}, high - low + 1)
            table = net.build(params, suffix, scope=name)
            seeder.advance(3)
            parts.append(tf.gather(table, whole[:, k] - low))
        width = int(parts[0].shape[1])
        mix = linear(
            params,
            f"mix_cs_mlp{suffix}",
            2 * width,
            width,
            self.dtype,
            seeder,
            trainable=self.section["trainable"],
        )
        return get_activation(self.activation)(apply_linear(tf.cast(tf.concat(parts, axis=1), self.dtype), mix))

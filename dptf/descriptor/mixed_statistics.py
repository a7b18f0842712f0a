"""Mean and deviation of the environment matrix of mixed lists over the training data."""

import numpy as np

from dptf.data.stat_batches import total
from dptf.descriptor.mixed_env import EdgeEnv
from dptf.descriptor.statistics import EnvStatistics
from dptf.ops import tf
from dptf.session import new_session


class MixedStatistics(EnvStatistics):
    """Sums over the slots of a list that is not split by type; frames may differ in their types.

    Parameters
    ----------
    nsel : int
        Slots. The others as the base has them.
    """

    mixed_types = True

    def __init__(self, ntypes, rcut, rcut_smth, nsel, excluded=(), *, protection=0.0):
        super().__init__(ntypes, rcut, rcut_smth, [nsel], excluded, protection=protection)

    def _sums(self, batches):
        with tf.Graph().as_default(), new_session() as sess:
            feeds = {k: tf.placeholder(t) for k, t in (
                ("coord", tf.float64), ("type", tf.int32), ("natoms_vec", tf.int32), ("box", tf.float64), ("mesh", tf.int32),
            )}  # fmt: skip
            env = EdgeEnv(*feeds.values(), rcut=self.rcut, rcut_smth=self.rcut_smth, nsel=self.nnei, ntypes=self.ntypes)
            block = env.prefix(self.rcut, self.nnei)
            block.exclude(self.excluded)
            rows = block.rows(block.switch(self.rcut_smth), self.protection)

            def of_batch(batch):
                sums = np.zeros((self.ntypes, 5))
                r = sess.run(rows, {p: batch[k] for k, p in feeds.items()})
                types = batch["type"].reshape(-1)
                radial, angular = r[..., 0], r[..., 1:]
                per_atom = np.stack([
                    np.full(len(r), self.nnei), radial.sum(1), (radial**2).sum(1), angular.sum((1, 2)) / 3.0,
                    (angular**2).sum((1, 2)) / 3.0,
                ], axis=1)  # fmt: skip
                np.add.at(sums, types[types >= 0], per_atom[types >= 0])
                return sums

            return np.zeros((self.ntypes, 5)) + total(batches, of_batch)

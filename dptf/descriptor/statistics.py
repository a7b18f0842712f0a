"""Mean and deviation of the environment matrix over the training data."""

import hashlib
import json

import numpy as np

from dptf.data.stat_batches import total
from dptf.descriptor.env_adjust import adjusted_env_mat
from dptf.ops import tf
from dptf.session import new_session


class EnvStatistics:
    """Sums over all slots (empty ones count as zero rows) of the raw environment matrix, per center type.

    Parameters
    ----------
    ntypes : int
    rcut, rcut_smth : float
        Å.
    sel : list of int
    excluded : set of (int, int)
        Pairs whose rows are zeroed.
    kind : {"se_a", "se_r", "se_a_ef"}
        With angular sums, or (se_r) radial ones alone.
    protection : float
        See :func:`dptf.descriptor.env_adjust.adjusted_env_mat`, Å.
    """

    mixed_types = False
    #: Inputs beside the geometry.
    more_feeds = ()

    def __init__(self, ntypes, rcut, rcut_smth, sel, excluded=(), *, kind="se_a", protection=0.0):
        self.ntypes, self.rcut, self.rcut_smth, self.sel = ntypes, rcut, rcut_smth, sel
        self.excluded, self.nnei = set(excluded), sum(sel)
        self.kind, self.protection = kind, protection

    def _key(self):
        """Name of the cached sums; exclusions change them, so they are part of it when there are any."""
        items = {
            "type": self.kind, "ntypes": self.ntypes, "rcut": round(self.rcut, 2), "rcut_smth": round(self.rcut_smth, 2),
            "nsel": self.nnei, "sel": self.sel, "mixed_types": self.mixed_types,
        }  # fmt: skip
        if self.excluded:
            items["exclude_types"] = sorted(self.excluded)
        if self.protection:
            items["env_protection"] = self.protection
        return hashlib.sha1(json.dumps(items).encode()).hexdigest()

    def _sums(self, batches):
        """(n, sum R0, sum R0^2, sum Ra, sum Ra^2) per type; Ra averages the three angular components."""
        width = 4 * self.nnei
        with tf.Graph().as_default(), new_session() as sess:
            feeds = {k: tf.placeholder(t) for k, t in (
                ("coord", tf.float64), ("type", tf.int32), ("natoms_vec", tf.int32), ("box", tf.float64), ("mesh", tf.int32),
            )} | {k: tf.placeholder(tf.float64) for k in self.more_feeds}  # fmt: skip
            em = self._rows(
                feeds, tf.zeros((self.ntypes, width), tf.float64), tf.ones((self.ntypes, width), tf.float64)
            )

            def of_batch(batch):
                sums = np.zeros((self.ntypes, 5))
                rows = sess.run(em, {p: batch[k] for k, p in feeds.items()}).reshape(-1, self.nnei, 4)
                types = batch["type"].reshape(-1)
                types = np.tile(types, len(rows) // max(len(types), 1))  # all atoms once, or once per half
                start = 0
                for tj, n in enumerate(self.sel):
                    for ti in range(self.ntypes):
                        if (ti, tj) in self.excluded:
                            rows[types == ti, start : start + n] = 0.0
                    start += n
                for t in range(self.ntypes):
                    r = rows[types == t]
                    sums[t] += [
                        r.shape[0] * self.nnei, r[..., 0].sum(), (r[..., 0] ** 2).sum(),
                        r[..., 1:].sum() / 3.0, (r[..., 1:] ** 2).sum() / 3.0,
                    ]  # fmt: skip
                return sums

            return np.zeros((self.ntypes, 5)) + total(batches, of_batch)

    def _rows(self, feeds, zeros, ones):
        """Raw rows of all local atoms, from placeholders, and the statistics that change nothing."""
        return adjusted_env_mat(
            4, *feeds.values(), zeros, ones, rcut=self.rcut, rcut_smth=self.rcut_smth, sel=self.sel,
            protection=self.protection,
        )[0]  # fmt: skip

    def compute(self, batches, stat_file=None):
        """Mean and deviation per type.

        Returns
        -------
        array, shape (ntypes, 4)
            Mean; zero for the angular components.
        array, shape (ntypes, 4)
            Standard deviation, at least 0.01; 1/rcut for types without data.
        """
        sums = self._load(stat_file)
        if sums is None:
            sums = self._sums(batches)
            self._save(stat_file, sums)
        avg, std = np.zeros((self.ntypes, 4)), np.zeros((self.ntypes, 4))
        for t, (n, r, r2, a, a2) in enumerate(sums):
            avg[t, 0] = r / (n + 1e-15)
            std[t] = [self._sigma(n, r, r2)] + [self._sigma(n, a, a2)] * 3
        return avg, std

    def _sigma(self, n, s, s2):
        if n == 0:
            return 1.0 / self.rcut
        return max(np.sqrt(max(s2 / n - (s / n) ** 2, 0.0)), 1e-2)

    def _load(self, stat_file):
        if stat_file is None:
            return None
        sums = np.zeros((self.ntypes, 5))
        for t in range(self.ntypes):
            r = stat_file.read(f"{self._key()}/r_{t}")
            a = stat_file.read(f"{self._key()}/a_{t}") if self.kind != "se_r" else np.zeros(3)
            if r is None or a is None:
                return None
            sums[t] = [r[0], r[1], r[2], a[1] / 3.0, a[2] / 3.0]
        return sums

    def _save(self, stat_file, sums):
        if stat_file is None:
            return
        for t, (n, r, r2, a, a2) in enumerate(sums):
            stat_file.write(f"{self._key()}/r_{t}", np.array([n, r, r2]))
            if self.kind != "se_r":
                stat_file.write(f"{self._key()}/a_{t}", np.array([3 * n, 3 * a, 3 * a2]))

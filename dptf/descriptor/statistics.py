"""Mean and deviation of the environment matrix over the training data."""

import hashlib
import json

import numpy as np

from dptf.ops import op_module, tf


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
    """

    def __init__(self, ntypes, rcut, rcut_smth, sel, excluded=()):
        self.ntypes, self.rcut, self.rcut_smth, self.sel = ntypes, rcut, rcut_smth, sel
        self.excluded, self.nnei = set(excluded), sum(sel)

    def _key(self):
        """Name of the cached sums; exclusions change them, so they are part of it when there are any."""
        items = {
            "type": "se_a", "ntypes": self.ntypes, "rcut": round(self.rcut, 2), "rcut_smth": round(self.rcut_smth, 2),
            "nsel": self.nnei, "sel": self.sel, "mixed_types": False,
        }  # fmt: skip
        if self.excluded:
            items["exclude_types"] = sorted(self.excluded)
        return hashlib.sha1(json.dumps(items).encode()).hexdigest()

    def _sums(self, batches):
        """(n, sum R0, sum R0^2, sum Ra, sum Ra^2) per type; Ra averages the three angular components."""
        sums = np.zeros((self.ntypes, 5))
        width = 4 * self.nnei
        with tf.Graph().as_default(), tf.Session() as sess:
            feeds = {k: tf.placeholder(t) for k, t in (
                ("coord", tf.float64), ("type", tf.int32), ("natoms_vec", tf.int32), ("box", tf.float64), ("mesh", tf.int32),
            )}  # fmt: skip
            em = op_module.prod_env_mat_a(
                *feeds.values(), np.zeros((self.ntypes, width)), np.ones((self.ntypes, width)), rcut_a=-1.0,
                rcut_r=self.rcut, rcut_r_smth=self.rcut_smth, sel_a=self.sel, sel_r=[0] * self.ntypes,
            )[0]  # fmt: skip
            for batch in (b for system in batches for b in system):
                rows = sess.run(em, {p: batch[k] for k, p in feeds.items()}).reshape(-1, self.nnei, 4)
                types = batch["type"].reshape(-1)
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
            r, a = (stat_file.read(f"{self._key()}/{c}_{t}") for c in "ra")
            if r is None or a is None:
                return None
            sums[t] = [r[0], r[1], r[2], a[1] / 3.0, a[2] / 3.0]
        return sums

    def _save(self, stat_file, sums):
        if stat_file is None:
            return
        for t, (n, r, r2, a, a2) in enumerate(sums):
            stat_file.write(f"{self._key()}/r_{t}", np.array([n, r, r2]))
            stat_file.write(f"{self._key()}/a_{t}", np.array([3 * n, 3 * a, 3 * a2]))

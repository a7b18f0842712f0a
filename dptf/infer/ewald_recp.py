"""Reciprocal-space electrostatics of point charges."""

import numpy as np


class EwaldRecp:
    """Reciprocal part of the Ewald sum.

    Parameters
    ----------
    hh : float
        Grid spacing that decides how many reciprocal vectors count [Å].
    beta : float
        Splitting parameter [1/Å].
    """

    def __init__(self, hh, beta):
        from dptf.ops import op_module, tf
        from dptf.session import new_session

        self.hh, self.beta = float(hh), float(beta)
        with tf.Graph().as_default() as graph:
            inputs = [tf.placeholder(t, [None]) for t in (tf.float64, tf.float64, tf.int32, tf.float64)]
            outputs = list(op_module.ewald_recp(*inputs, ewald_h=self.hh, ewald_beta=self.beta))
            self._session = new_session(graph)
        self._run = self._session.make_callable(outputs, feed_list=inputs)

    def eval(self, coord, charge, box):
        """Evaluate frames.

        Parameters
        ----------
        coord : array_like
            nf*n*3 [Å].
        charge : array_like
            nf*n [e].
        box : array_like
            nf*9 [Å].

        Returns
        -------
        energy : (nf, 1) array
            [eV]
        force : (nf, n*3) array
            [eV/Å]
        virial : (nf, 9) array
            [eV]
        """
        box = np.asarray(box, float).reshape(-1, 9)
        charge = np.asarray(charge, float).reshape(len(box), -1)
        n = np.array([charge.shape[1]], np.int32)
        energy, force, virial = self._run(np.asarray(coord, float).ravel(), charge.ravel(), n, box.ravel())
        return energy.reshape(-1, 1), force, virial

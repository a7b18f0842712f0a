"""Tables of pair energies of copper: the universal screened nuclear repulsion (ZBL), and a dispersion tail."""

import numpy as np

Z, E2 = 29, 14.399645  # e²/(4 pi eps0) in eV Å
R = np.arange(1, 601) * 0.01  # Å


def zbl(r):
    """Ziegler, Biersack and Littmark, The Stopping and Range of Ions in Matter (1985)."""
    x = r / (0.88534 * 0.529177 / (2 * Z**0.23))
    terms = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))
    return Z * Z * E2 / r * sum(c * np.exp(-a * x) for c, a in terms)


def dispersion(r):
    """-C6 / (r^6 + d^6), brought to zero at the end."""
    value = lambda x: -20.0 / (x**6 + 2.5**6)  # noqa: E731
    return (value(r) - value(R[-1])) * (1 - (r / R[-1]) ** 8)


if __name__ == "__main__":
    screened = zbl(R) * (1 - R / R[-1]) ** 2
    np.savetxt("zbl.txt", np.column_stack([R, screened]), fmt="%.6f %.10e")
    np.savetxt("dispersion.txt", np.column_stack([R, dispersion(R)]), fmt="%.6f %.10e")

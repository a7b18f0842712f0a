"""Ground-state electronic configurations of the elements, as numbers for the type embedding."""

import numpy as np

from dptf.errors import UserError

ELEMENTS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru "
    "Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At "
    "Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
).split()

#: Order of the subshells in a row.
_SUBSHELLS = "1s 2s 2p 3s 3p 3d 4s 4p 4d 4f 5s 5p 5d 5f 6s 6p 6d 7s 7p".split()
_ORBITALS = {"s": 1, "p": 3, "d": 5, "f": 7}
#: Order in which they are filled (by n + l, then n).
_FILLING = "1s 2s 2p 3s 3p 4s 3d 4p 5s 4d 5p 6s 4f 5d 6p 7s 5f 6d 7p".split()
#: Elements that depart from that order: occupations that differ.
_EXCEPTIONS = {
    "Cr": "3d5 4s1", "Cu": "3d10 4s1", "Nb": "4d4 5s1", "Mo": "4d5 5s1", "Ru": "4d7 5s1", "Rh": "4d8 5s1", "Pd": "4d10 5s0",
    "Ag": "4d10 5s1", "La": "4f0 5d1", "Ce": "4f1 5d1", "Gd": "4f7 5d1", "Pt": "5d9 6s1", "Au": "5d10 6s1", "Ac": "5f0 6d1",
    "Th": "5f0 6d2", "Pa": "5f2 6d1", "U": "5f3 6d1", "Np": "5f4 6d1", "Cm": "5f7 6d1", "Ds": "6d9 7s1", "Rg": "6d10 7s1",
}  # fmt: skip
#: Length of a row: two spins in each of the 59 orbitals.
WIDTH = 2 * sum(_ORBITALS[shell[1]] for shell in _SUBSHELLS)


def occupations(element):
    """Electrons per subshell: dict of name -> number."""
    left, out = ELEMENTS.index(element) + 1, {}
    for shell in _FILLING:
        out[shell] = min(left, 2 * _ORBITALS[shell[1]])
        left -= out[shell]
    for word in _EXCEPTIONS.get(element, "").split():
        out[word[:2]] = int(word[2:])
    return out


def configuration_table(names, where="model/type_map"):
    """Rows of the elements: for every spin orbital +1 if occupied, else -1, over sqrt(118); pairs come first, then singles.

    Returns
    -------
    array, shape (len(names), 118)
    """
    unknown = [name for name in names if name not in ELEMENTS]
    if unknown:
        raise UserError(
            f"'{unknown[0]}' is not an element, so it has no electronic configuration", where,
            "name elements, or set use_econf_tebd to false",
        )  # fmt: skip
    rows = []
    for name in names:
        row, electrons = [], occupations(name)
        for shell in _SUBSHELLS:
            n, orbitals = electrons[shell], _ORBITALS[shell[1]]
            pairs = max(0, n - orbitals)
            singles = n - 2 * pairs
            row += [1, 1] * pairs + [-1, 1] * singles + [-1, -1] * (orbitals - pairs - singles)
        rows.append(row)
    return np.array(rows, float) / np.sqrt(WIDTH)

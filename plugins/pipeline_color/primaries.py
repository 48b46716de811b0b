"""RGB primaries, and the matrices between them, derived in double precision from published chromaticities."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

Matrix = np.ndarray[Any, np.dtype[np.floating[Any]]]

D65 = (0.3127, 0.3290)
_ACES_WHITE = (0.32168, 0.33767)

# x and y of red, green and blue, then of white.
_CHROMATICITIES = {
    "rec709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65),  # ITU-R BT.709-6, item 1.4
    "rec2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),  # ITU-R BT.2020-2, table 3
    "p3d65": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),  # SMPTE EG 432-1:2010
    "adobergb": ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060), D65),  # Adobe RGB (1998) Color Image Encoding, 4.3.1
    "ap0": ((0.7347, 0.2653), (0.0, 1.0), (0.0001, -0.0770), _ACES_WHITE),  # SMPTE ST 2065-1:2021
    "ap1": ((0.713, 0.293), (0.165, 0.830), (0.128, 0.044), _ACES_WHITE),  # Academy S-2014-004 (ACEScg)
}
XYZ = "ciexyzd65"
"""CIE 1931 XYZ of a D65 white of Y = 1, its X, Y and Z held in R, G and B."""

# XYZ to the sharpened cone responses of the Bradford transform (Lam 1985; ICC.1:2022, annex E.3).
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@lru_cache
def between(source: str, target: str) -> Matrix:
    """The 3x3 matrix from linear values of one set of primaries to another; white goes to white (Bradford)."""
    return np.linalg.solve(to_xyz_d65(target), to_xyz_d65(source))


def adaptation(source: Matrix, target: Matrix) -> Matrix:
    """The Bradford adaptation between two whites in XYZ: von Kries' scaling, of sharpened cone responses."""
    scale = np.diag((_BRADFORD @ target) / (_BRADFORD @ source))
    return np.linalg.solve(_BRADFORD, scale @ _BRADFORD)


def white_xyz(x: float, y: float) -> Matrix:
    """A chromaticity as XYZ of Y = 1."""
    return np.array([x / y, 1.0, (1 - x - y) / y])


def to_xyz_d65(primaries: str) -> Matrix:
    """Linear RGB to XYZ (SMPTE RP 177-1993), adapted to D65 where the white is another."""
    if primaries == XYZ:
        return np.eye(3)
    *corners, white = _CHROMATICITIES[primaries]
    unscaled = np.array([[x, y, 1 - x - y] for x, y in corners]).T
    native = unscaled * np.linalg.solve(unscaled, white_xyz(*white))
    return native if white == D65 else adaptation(white_xyz(*white), white_xyz(*D65)) @ native

"""ICC profiles: which named colour space a profile is, and a profile for a named space.

Only matrix and grey profiles have names here; a profile of tables (a printer's) has none. Sources: ICC.1:2022
(profile format); primaries and curves from IEC 61966-2-1 (sRGB), ITU-R BT.709 and BT.2020, SMPTE EG 432-1 (P3),
Adobe RGB (1998), SMPTE ST 2065-1 (AP0), ACEScg S-2014-004 (AP1); the Bradford adaptation from ICC.1, annex E.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

_D65 = (0.3127, 0.3290)
_ACES = (0.32168, 0.33767)
# x and y of red, green, blue and white
GAMUTS = {
    "rec709": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65),
    "p3d65": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    "rec2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    "adobergb": ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65),
    "ap1": ((0.713, 0.293), (0.165, 0.830), (0.128, 0.044), _ACES),
    "ap0": ((0.7347, 0.2653), (0.0, 1.0), (0.0001, -0.0770), _ACES),
}
_GAMMAS = {"lin": 1.0, "g18": 1.8, "g22": 2.2, "g24": 2.4, "g26": 2.6}
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_SRGB = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_SAMPLES = np.linspace(0, 1, 33)


def identify(profile: bytes) -> str | None:
    """The Colour Interop Forum id of a profile's space; None where it has none or can't be read."""
    ours = describe(profile)
    if named(ours):  # a profile of `build`'s; grey ones and display spaces can't be told by numbers
        return ours
    try:
        tags = _tags(profile)
        curve = _curve(tags[b"rTRC" if b"rTRC" in tags else b"kTRC"])
        if b"kTRC" in tags:
            gamut: str | None = "rec709"
        else:
            gamut = _gamut(np.array([_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]).T)
    except (KeyError, ValueError, IndexError, struct.error):
        return None
    transfer = _transfer(curve)
    return f"{transfer}_{gamut}_scene" if transfer and gamut else None


def describe(profile: bytes) -> str:
    """The profile's own name."""
    try:
        desc = _tags(profile)[b"desc"]
        if desc[:4] == b"mluc":
            length, offset = struct.unpack_from(">II", desc, 20)
            return desc[offset : offset + length].decode("utf-16-be", "replace").strip("\0 ")
        return desc[12 : 12 + struct.unpack_from(">I", desc, 8)[0]].decode("latin-1").strip("\0 ")
    except (KeyError, ValueError, struct.error):
        return ""


def named(color: str) -> bool:
    """Whether `build` has a profile for this colour space."""
    transfer, _, rest = color.partition("_")
    return (transfer in _GAMMAS or transfer == "srgb") and rest.rpartition("_")[0] in GAMUTS


@cache
def build(color: str, grey: bool = False) -> bytes:
    """A version 4 profile of the named space: a matrix and a curve, or for grey pictures the curve alone."""
    transfer, _, rest = color.partition("_")
    matrix = _to_d50(rest.rpartition("_")[0])
    curve = _curve_tag(transfer)
    tags = {b"desc": _text(color), b"cprt": _text("CC0"), b"wtpt": _xyz_tag(_D50)}
    if grey:
        tags[b"kTRC"] = curve
    else:
        for i, letter in enumerate((b"r", b"g", b"b")):
            tags[letter + b"XYZ"] = _xyz_tag(matrix[:, i])
            tags[letter + b"TRC"] = curve
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(tag))
        body += tag + bytes(-len(tag) % 4)
    # The date of creation is left at a fixed one: the same image gives the same bytes.
    header = struct.pack(
        ">I4xI4s4s4s6H4s40x3I48x", start + len(body), 0x04300000, b"mntr", b"GRAY" if grey else b"RGB ", b"XYZ ",
        2000, 1, 1, 0, 0, 0, b"acsp", *(round(n * 65536) for n in _D50),
    )  # fmt: skip
    return header[:68] + header[68:128] + table + body


def _tags(profile: bytes) -> dict[bytes, bytes]:
    if profile[36:40] != b"acsp" or profile[16:20] not in (b"RGB ", b"GRAY"):
        raise ValueError("not a profile of RGB or grey")
    count = min(struct.unpack_from(">I", profile, 128)[0], 100)
    entries = (struct.unpack_from(">4sII", profile, 132 + 12 * i) for i in range(count))
    return {name: profile[offset : offset + size] for name, offset, size in entries}


def _xyz(tag: bytes) -> Array:
    return np.array(struct.unpack_from(">3i", tag, 8)) / 65536


def _curve(tag: bytes) -> Array:
    """The curve at `_SAMPLES`."""
    if tag[:4] == b"curv":
        count = struct.unpack_from(">I", tag, 8)[0]
        if count == 0:
            return _SAMPLES
        values = np.frombuffer(tag, ">u2", count, 12)
        if count == 1:
            return np.asarray(_SAMPLES ** (values[0] / 256))
        return np.asarray(np.interp(_SAMPLES, np.linspace(0, 1, count), values / 65535))
    if tag[:4] != b"para":
        raise ValueError("no curve")
    kind = struct.unpack_from(">H", tag, 8)[0]
    numbers = [n / 65536 for n in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", tag, 12)]
    if kind == 0:
        return np.asarray(_SAMPLES ** numbers[0])
    if kind != 3:
        raise ValueError("a curve of another form than those of the named spaces")
    g, a, b, c, d = numbers
    return _parametric(g, a, b, c, d)


def _parametric(g: float, a: float, b: float, c: float, d: float) -> Array:
    """ICC's curve of type 3 at `_SAMPLES`."""
    linear = d > _SAMPLES
    return np.asarray(np.where(linear, c * _SAMPLES, np.maximum(a * _SAMPLES + b, 0) ** g))


def _transfer(curve: Array) -> str | None:
    """The named curve nearest to this one, if within 1/200: sRGB and gamma 2.2 are 0.033 apart near black's end."""
    candidates = {name: _SAMPLES**gamma for name, gamma in _GAMMAS.items()}
    candidates["srgb"] = _parametric(*_SRGB)
    # Adobe RGB's 563/256 is called g22 like 2.2.
    errors = {name: float(np.abs(curve - values).max()) for name, values in candidates.items()}
    best = min(errors, key=errors.__getitem__)
    return best if errors[best] < 0.005 else None


def _gamut(matrix: Array) -> str | None:
    errors = {name: float(np.abs(matrix - _to_d50(name)).max()) for name in GAMUTS}
    best = min(errors, key=errors.__getitem__)
    return best if errors[best] < 0.003 else None


@cache
def _to_d50(gamut: str) -> Array:
    """RGB to XYZ, adapted to D50."""
    *primaries, white = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in GAMUTS[gamut])
    columns = np.array(primaries).T
    to_xyz = columns * np.linalg.solve(columns, white)
    scale = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(scale) @ _BRADFORD @ to_xyz)


def _xyz_tag(xyz: Array) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(float(n) * 65536) for n in xyz))


def _curve_tag(transfer: str) -> bytes:
    kind, numbers = (3, _SRGB) if transfer == "srgb" else (0, (_GAMMAS[transfer],))
    return struct.pack(f">4s4xHxx{len(numbers)}i", b"para", kind, *(round(n * 65536) for n in numbers))


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return struct.pack(">4s4xII2s2sII", b"mluc", 1, 12, b"en", b"US", len(encoded), 28) + encoded


def note(profile: bytes) -> dict[str, str]:
    """For `meta`: the name of a profile that `identify` doesn't know, so that it is not lost without a word."""
    return {"icc_profile": describe(profile) or "unnamed"}

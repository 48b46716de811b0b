"""Portable any-maps: PBM, PGM, PPM and PAM, plain and raw, and the float map PFM.

Source: the Netpbm manual pages pbm(5), pgm(5), ppm(5), pam(5), pfm(5).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline_core import OperationError
from pipeline_io.facts import CHANNELS, Facts

Array = np.ndarray[Any, Any]

_TOKEN = re.compile(rb"(?:\s|#[^\n]*\n)*([^\s#]+)")
_COMMENT = re.compile(rb"#[^\n]*")
_PLAIN, _BITS = (b"P1", b"P2", b"P3"), (b"P1", b"P4")
_FLOATS = {b"Pf": 1, b"PF": 3}
_SAMPLES = {b"P1": 1, b"P2": 1, b"P3": 3, b"P4": 1, b"P5": 1, b"P6": 3}
_PAM = (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")


@dataclass(frozen=True)
class _Header:
    magic: bytes
    width: int
    height: int
    samples: int
    most: int
    big_endian: bool
    start: int

    @property
    def count(self) -> int:
        return self.width * self.height * self.samples

    @property
    def nbytes(self) -> int:
        """The least bytes that the pixels take in the file."""
        if self.magic in _FLOATS:
            return 4 * self.count
        if self.magic == b"P4":
            return (self.width + 7) // 8 * self.height
        if self.magic in _PLAIN:
            return self.count if self.magic == b"P1" else 2 * self.count - 1
        return self.count * (2 if self.most > 255 else 1)


def probe(content: bytes) -> Facts:
    """What the header says."""
    header = _header(content)
    if header.start + header.nbytes > len(content):
        raise OperationError("the pnm file is cut off")
    floats = header.magic in _FLOATS
    channels = CHANNELS[header.samples]
    return Facts(
        "pnm",
        header.width,
        header.height,
        channels,
        dtype="float32" if floats else "uint16" if header.most > 255 else "uint8",
        alpha="straight" if "A" in channels else "none",
        color="lin_rec709_scene" if floats else "srgb_rec709_scene",
    )


def decode(content: bytes, facts: Facts) -> Array:
    """`(H, W, C)` pixels; integers stretched to the whole range of their type where the file's maximum is another."""
    header = _header(content)
    shape = (header.height, header.width, header.samples)
    if header.magic in _FLOATS:
        floats = np.frombuffer(content, ">f4" if header.big_endian else "<f4", header.count, header.start)
        return floats.reshape(shape)[::-1].astype(np.float32)  # the last row comes first
    if header.magic == b"P4":
        rows = np.frombuffer(content, np.uint8, header.nbytes, header.start).reshape(header.height, -1)
        values = np.unpackbits(rows, axis=1, count=header.width)
    elif header.magic in _PLAIN:
        values = _plain(content, header)
    else:
        values = np.frombuffer(content, ">u2" if header.most > 255 else np.uint8, header.count, header.start)
    values = values.reshape(shape)
    if header.magic in _BITS:
        return (1 - values).astype(np.uint8) * np.uint8(255)  # 1 is black
    if int(values.max()) > header.most:
        raise OperationError(f"damaged pnm file: a sample of {values.max()}, above its maximum of {header.most}")
    full = np.iinfo(facts.dtype).max
    if header.most == full:
        return values.astype(facts.dtype)
    return ((values.astype(np.uint32) * full + header.most // 2) // header.most).astype(facts.dtype)


def encode(pixels: Array, kind: str) -> bytes:
    """A raw PGM, PPM or PAM of `(H, W, C)` uint8 or uint16 pixels, or a PFM (little-endian, scale 1) of float32."""
    height, width, samples = pixels.shape
    if kind == "pfm":
        magic = "PF" if samples == 3 else "Pf"
        return f"{magic}\n{width} {height}\n-1.0\n".encode() + pixels[::-1].astype("<f4").tobytes()
    most = np.iinfo(pixels.dtype).max
    if kind == "pam":
        name = {1: "GRAYSCALE", 2: "GRAYSCALE_ALPHA", 3: "RGB", 4: "RGB_ALPHA"}[samples]
        head = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {samples}\nMAXVAL {most}\nTUPLTYPE {name}\nENDHDR\n"
    else:
        head = f"{'P6' if samples == 3 else 'P5'}\n{width} {height}\n{most}\n"
    return head.encode() + pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()


def _header(content: bytes) -> _Header:
    magic = content[:2]
    try:
        if magic == b"P7":
            return _pam(content)
        words, at = [], 2
        for _ in range(2 if magic in _BITS else 3):
            found = _TOKEN.match(content, at, at + 4096)
            if found is None:
                raise OperationError("the pnm file is cut off")
            words.append(found[1])
            at = found.end()
        width, height = int(words[0]), int(words[1])
        if magic in _FLOATS:
            return _Header(magic, width, height, _FLOATS[magic], 1, float(words[2]) > 0, at + 1)
        most = int(words[2]) if len(words) > 2 else 1
    except (ValueError, struct.error):
        raise OperationError("damaged pnm file: its header is not of numbers") from None
    return _checked(_Header(magic, width, height, _SAMPLES[magic], most, True, at + 1))


def _pam(content: bytes) -> _Header:
    lines = content[:65536].partition(b"ENDHDR\n")
    if not lines[1]:
        raise OperationError("the pnm file is cut off")
    words = [line.split() for line in lines[0].splitlines()[1:]]
    fields = {line[0]: line[1] for line in words if len(line) == 2}
    width, height, samples, most = (int(fields.get(name, b"0")) for name in _PAM)
    if samples not in CHANNELS:
        raise OperationError(f"a pam file of {samples} samples; what is read is one to four")
    return _checked(_Header(b"P7", width, height, samples, most, True, len(lines[0]) + 7))


def _checked(header: _Header) -> _Header:
    if header.width < 1 or header.height < 1 or not 0 < header.most < 65536:
        raise OperationError(
            f"damaged pnm file: its header says {header.width}x{header.height} pixels of up to {header.most}"
        )
    return header


def _plain(content: bytes, header: _Header) -> Array:
    text = _COMMENT.sub(b"", content[header.start - 1 :])
    if header.magic == b"P1":
        digits = np.frombuffer(text, np.uint8)
        values = digits[(digits == ord("0")) | (digits == ord("1"))][: header.count] - ord("0")
    else:
        words = text.split(None, header.count)[: header.count]
        try:
            values = np.array([int(word) for word in words], np.int64)
        except ValueError:
            raise OperationError("damaged pnm file: a sample that is no number") from None
        if values.size and values.min() < 0:
            raise OperationError("damaged pnm file: a negative sample")
    if values.size < header.count:
        raise OperationError("the pnm file is cut off")
    return np.asarray(values)

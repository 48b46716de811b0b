"""DirectDraw Surface: textures, plain or of blocks (BC1 to BC7); the first level of the first picture.

Source: Microsoft's "Programming Guide for DDS" and "DXGI_FORMAT enumeration". Blocks are decoded by OpenImageIO, which
is given a header of ours: its own reading of headers knows fewer of the names that one coding goes by.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline_core import Alpha, OperationError
from pipeline_io import apart, bc, bc7, bmp
from pipeline_io.blocks import map_blocks
from pipeline_io.facts import CHANNELS, Facts
from pipeline_io.target import DdsBlocks

Array = np.ndarray[Any, Any]

_HEADER = struct.Struct("<4s7I44x2I4s5I20x")
_ALPHA, _FOURCC, _RGB, _LUMINANCE = 1, 4, 0x40, 0x20000
_BY_FOURCC = {b"DXT1": "bc1", b"DXT2": "bc2", b"DXT3": "bc2", b"DXT4": "bc3", b"DXT5": "bc3", b"ATI1": "bc4",
              b"BC4U": "bc4", b"ATI2": "bc5", b"BC5U": "bc5"}  # fmt: skip
_BY_NUMBER = {**dict.fromkeys((70, 71, 72), "bc1"), **dict.fromkeys((73, 74, 75), "bc2"),
              **dict.fromkeys((76, 77, 78), "bc3"), **dict.fromkeys((79, 80), "bc4"), **dict.fromkeys((82, 83), "bc5"),
              95: "bc6u", 96: "bc6s", **dict.fromkeys((97, 98, 99), "bc7")}  # fmt: skip
_SRGB = (29, 72, 75, 78, 91, 93, 99)
# Plain formats by number: type, channels as they lie
_PLAIN = {2: ("float32", "RGBA"), 6: ("float32", "RGB"), 10: ("float16", "RGBA"), 11: ("uint16", "RGBA"),
          28: ("uint8", "RGBA"), 29: ("uint8", "RGBA"), 41: ("float32", "Y"), 49: ("uint8", "RG"), 54: ("float16", "Y"),
          56: ("uint16", "Y"), 61: ("uint8", "Y"), 87: ("uint8", "BGRA"), 91: ("uint8", "BGRA"), 88: ("uint8", "BGRX"),
          93: ("uint8", "BGRX")}  # fmt: skip
# By what name OpenImageIO knows a coding: a FourCC, or a DXGI number
_KNOWN = {"bc1": b"DXT1", "bc2": b"DXT3", "bc3": b"DXT5", "bc4": 80, "bc5": 83, "bc6u": 95, "bc6s": 96, "bc7": 98}
_CHANNELS = {
    "bc1": "RGBA",
    "bc2": "RGBA",
    "bc3": "RGBA",
    "bc4": "Y",
    "bc5": "RG",
    "bc6u": "RGB",
    "bc6s": "RGB",
    "bc7": "RGBA",
}
_BYTES = {"uint8": 1, "uint16": 2, "float16": 2, "float32": 4}
_HOLDS = {"bc1": "colour without alpha", "bc4": "one channel", "bc5": "red and green"}
_BLOCKS = {"bc1": (b"DXT1", bc.bc1), "bc3": (b"DXT5", lambda pixels: bc.bc3(_opaque(pixels))), "bc4": (b"ATI1", lambda pixels: bc.bc4(pixels[:, :, 0])),
           "bc5": (b"ATI2", bc.bc5), "bc7": (b"DX10", lambda pixels: bc7.bc7(_opaque(pixels)))}  # fmt: skip


@dataclass(frozen=True)
class _Header:
    """`blocks` names a coding by blocks; else pixels are `layout`, or whole numbers with a field for each of `masks`."""

    width: int
    height: int
    start: int
    blocks: str = ""
    dtype: str = "uint8"
    layout: str = ""
    bits: int = 0
    masks: tuple[int, ...] = ()
    alpha: Alpha = "straight"
    srgb: bool = True

    @property
    def nbytes(self) -> int:
        if self.blocks:
            return -(-self.width // 4) * -(-self.height // 4) * (8 if self.blocks in ("bc1", "bc4") else 16)
        pixel = _BYTES[self.dtype] * len(self.layout) if self.layout else self.bits // 8
        return self.width * self.height * pixel


def probe(content: bytes) -> Facts:
    """What the header says; of BC1, whether a pixel is transparent."""
    header = _header(content)
    if header.start + header.nbytes > len(content):
        raise OperationError("the dds file is cut off")
    channels = _channels(content, header)
    colored = "B" in channels
    floats = header.dtype.startswith("float")
    return Facts(
        "dds",
        header.width,
        header.height,
        channels,
        dtype=header.dtype,
        alpha=header.alpha if "A" in channels else "none",
        color="data" if not (colored or header.masks) else "lin_rec709_scene" if floats else "srgb_rec709_scene",
    )


def decode(content: bytes, facts: Facts) -> Array:
    """`(H, W, C)` pixels of the facts' type."""
    header = _header(content)
    shape = (header.height, header.width)
    if header.blocks:
        names = tuple(_CHANNELS[header.blocks])
        plain = Facts("dds", header.width, header.height, names, dtype=header.dtype)
        return apart.decode(_for_library(content, header), plain)[:, :, : len(facts.channels)]
    if header.layout:
        count = header.width * header.height * len(header.layout)
        values = np.frombuffer(content, header.dtype, count, header.start).reshape(*shape, -1)
        return np.ascontiguousarray(values[:, :, [header.layout.index(name) for name in facts.channels]])
    step = header.bits // 8
    raw = np.frombuffer(content, np.uint8, header.nbytes, header.start).reshape(*shape, step)
    words = np.zeros(shape, np.uint32)
    for i in range(step):
        words |= raw[:, :, i].astype(np.uint32) << np.uint32(8 * i)
    return np.stack([bmp.field(words, mask, facts.dtype) for mask in header.masks[: len(facts.channels)]], axis=2)


def encode(pixels: Array, *, blocks: DdsBlocks, srgb: bool = True) -> bytes:
    """A DDS of `(H, W, C)` uint8 pixels with straight alpha, one level, plain or of 4x4 blocks.

    Two channels are red and green.
    """
    height, width, samples = pixels.shape
    if (blocks == "bc4" and samples > 1) or (blocks in ("bc1", "bc5") and samples == 4):
        raise OperationError(
            f"{blocks} holds {_HOLDS[blocks]}, but the image has {samples} channels: use bc7 or bc3, or pick some with select_channels"
        )
    if blocks != "none":
        body = np.concatenate(
            list(map_blocks(lambda start, stop: _BLOCKS[blocks][1](_colored(pixels[start:stop])), height, 64))
        )
        head = _head(width, height, 0x81007, body.nbytes, _FOURCC, _BLOCKS[blocks][0])
        if blocks == "bc7":
            head += struct.pack("<5I", 99 if srgb else 98, 3, 0, 1, 1 if samples == 4 else 3)
        return head + body.tobytes()
    if samples == 2:
        pixels, samples = _colored(pixels), 3
    flags = (_LUMINANCE if samples == 1 else _RGB) | (_ALPHA if samples == 4 else 0)
    masks = (0xFF, 0, 0, 0) if samples == 1 else (0xFF0000, 0xFF00, 0xFF, 0xFF000000 if samples == 4 else 0)
    head = _head(width, height, 0x100F, width * samples, flags, bytes(4), samples * 8, masks)
    return head + (pixels if samples == 1 else pixels[..., [2, 1, 0, 3][:samples]]).tobytes()


def _colored(pixels: Array) -> Array:
    """Grey as three equal channels; red and green with no blue."""
    if pixels.shape[2] == 2:
        return np.pad(pixels, ((0, 0), (0, 0), (0, 1)))
    return np.asarray(pixels[:, :, [0, 0, 0]]) if pixels.shape[2] == 1 else pixels


def _opaque(pixels: Array) -> Array:
    if pixels.shape[2] == 4:
        return pixels
    return np.pad(_colored(pixels), ((0, 0), (0, 0), (0, 1)), constant_values=255)


def _head(
    width: int,
    height: int,
    has: int,
    size: int,
    flags: int,
    code: bytes,
    bits: int = 0,
    masks: Sequence[int] = (0, 0, 0, 0),
) -> bytes:
    start = struct.pack("<4s7I44x", b"DDS ", 124, has, height, width, size, 0, 0)
    return start + struct.pack("<II4s5I5I", 32, flags, code, bits, *masks, 0x1000, 0, 0, 0, 0)


def _header(content: bytes) -> _Header:
    if len(content) < 128:
        raise OperationError("the dds file is cut off")
    _, size, _, height, width, _, _, _, _, flags, code, bits, *masks = _HEADER.unpack_from(content)
    if size != 124:
        raise OperationError(f"damaged dds file: a header of {size} bytes")
    if flags & _FOURCC and code == b"DX10":
        return _numbered(content, width, height)
    if flags & _FOURCC:
        if code not in _BY_FOURCC:
            raise OperationError(f"a dds file of coding {code!r}; what is read is BC1 to BC7 and plain pixels")
        return _Header(
            width, height, 128, _BY_FOURCC[code], alpha="associated" if code in (b"DXT2", b"DXT4") else "straight"
        )
    red, green, blue, alpha = masks
    fields = (red, green, blue) if flags & _RGB else (red,)
    if not flags & (_RGB | _LUMINANCE) or bits not in (8, 16, 24, 32) or not all(fields):
        raise OperationError(f"a dds file of {bits}-bit pixels of flags {flags:#x}; what is read is RGB and grey")
    fields += (alpha,) if flags & _ALPHA and alpha else ()
    if bits == 8 and len(fields) == 1:  # some writers give masks of 32 bits
        fields = (0xFF,)
    if any(mask >> bits for mask in fields):
        raise OperationError(f"damaged dds file: bit fields of {', '.join(map(hex, fields))} in {bits} bits")
    deep = any(mask.bit_count() > 8 for mask in fields)
    return _Header(width, height, 128, dtype="uint16" if deep else "uint8", bits=bits, masks=fields)


def _numbered(content: bytes, width: int, height: int) -> _Header:
    if len(content) < 148:
        raise OperationError("the dds file is cut off")
    number, dimension, _, _, modes = struct.unpack_from("<5I", content, 128)
    alpha: Alpha = {2: "associated", 3: "none"}.get(modes & 7, "straight")  # type: ignore[assignment]  # Literals
    if dimension not in (2, 3) or number not in {*_BY_NUMBER, *_PLAIN}:
        raise OperationError(
            f"a dds file of DXGI format {number}; what is read is BC1 to BC7 (unsigned) and plain pixels"
        )
    if number in _BY_NUMBER:
        blocks = _BY_NUMBER[number]
        return _Header(width, height, 148, blocks, "float16" if blocks.startswith("bc6") else "uint8", alpha=alpha)
    dtype, layout = _PLAIN[number]
    return _Header(width, height, 148, dtype=dtype, layout=layout, alpha=alpha)


def _channels(content: bytes, header: _Header) -> tuple[str, ...]:
    if header.masks:
        return CHANNELS[len(header.masks)]
    names = header.layout or _CHANNELS[header.blocks]
    opaque = header.alpha == "none" or (header.blocks == "bc1" and not _has_holes(content, header))
    return tuple(name for name in ("Y", "R", "G", "B", "A") if name in names and not (name == "A" and opaque))


def _has_holes(content: bytes, header: _Header) -> bool:
    """Whether a block of BC1 has a transparent pixel: its first colour is not the greater, and an index is 3."""
    blocks = np.frombuffer(content, np.uint8, header.nbytes, header.start).reshape(-1, 8)
    colors = blocks[:, :4].copy().view("<u2")
    indices = blocks[colors[:, 0] <= colors[:, 1], 4:]
    return bool((indices & (indices >> 1) & 0x55).any())


def _for_library(content: bytes, header: _Header) -> bytes:
    """One level of one picture, under a name that OpenImageIO knows."""
    known = _KNOWN[header.blocks]
    code = known if isinstance(known, bytes) else b"DX10"
    head = _head(header.width, header.height, 0x81007, header.nbytes, _FOURCC, code)
    more = b"" if isinstance(known, bytes) else struct.pack("<5I", known, 3, 0, 1, 0)
    return head + more + content[header.start : header.start + header.nbytes]

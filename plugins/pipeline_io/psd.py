"""Photoshop PSD and PSB: what a file says of its flattened picture and of its layers.

Source: "Adobe Photoshop File Formats Specification" (November 2019).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from pipeline_core import OperationError
from pipeline_io import exif, icc, xmp
from pipeline_io.facts import CHANNELS, Facts, Stored

BITMAP, GREY, INDEXED, RGB, CMYK, DUOTONE = 0, 1, 2, 3, 4, 8
COLORS = {BITMAP: 1, GREY: 1, INDEXED: 1, RGB: 3, CMYK: 4, DUOTONE: 1}
ALPHA, MASK = -1, -2
_GROUP_KEY, _NAME_KEY, _FILL_KEY = b"lsct", b"luni", b"iOpa"
# Descriptors of a layer's effects, and how they say that all of them, and one of them, are on.
_EFFECT_KEYS, _ALL_ON, _ONE_ON = (b"lfx2", b"lmfx"), b"masterFXSwitchbool\1", b"enabbool\1"
_OPEN, _CLOSED, _END_OF_GROUP = 1, 2, 3
# Layers that change what is below them, or are made anew by each program: they have no pixels of their own.
_MADE_ELSEWHERE = frozenset({
    b"brit", b"levl", b"curv", b"expA", b"vibA", b"hue ", b"hue2", b"blnc", b"blwh", b"phfl", b"mixr", b"clrL", b"nvrt",
    b"post", b"thrs", b"grdm", b"selc", b"CgEd", b"SoCo", b"GdFl", b"PtFl",
})  # fmt: skip
_LAYERS_ELSEWHERE = (b"Lr16", b"Lr32")
# Keys whose blocks have lengths of 8 bytes in a PSB.
_LONG_KEYS = frozenset({b"LMsk", b"Lr16", b"Lr32", b"Layr", b"Mt16", b"Mt32", b"Mtrn", b"Alph", b"FMsk", b"lnk2",
                        b"FEid", b"FXid", b"PxSD"})  # fmt: skip
_MOST_LAYERS = 10_000
BLENDS = {
    b"pass": "pass-through", b"norm": "over", b"diss": "dissolve", b"dark": "darken", b"mul ": "multiply",
    b"idiv": "color-burn", b"lbrn": "linear-burn", b"dkCl": "darker-color", b"lite": "lighten", b"scrn": "screen",
    b"div ": "color-dodge", b"lddg": "linear-dodge", b"lgCl": "lighter-color", b"over": "overlay",
    b"sLit": "soft-light", b"hLit": "hard-light", b"vLit": "vivid-light", b"lLit": "linear-light",
    b"pLit": "pin-light", b"hMix": "hard-mix", b"diff": "difference", b"smud": "exclusion", b"fsub": "subtract",
    b"fdiv": "divide", b"hue ": "hue", b"sat ": "saturation", b"colr": "color", b"lum ": "luminosity",
}  # fmt: skip


@dataclass(frozen=True)
class Box:
    top: int
    left: int
    bottom: int
    right: int

    @property
    def width(self) -> int:
        return max(self.right - self.left, 0)

    @property
    def height(self) -> int:
        return max(self.bottom - self.top, 0)


@dataclass(frozen=True)
class Layer:
    """One layer, or the beginning of a group. `planes` are (channel id, where its data begins, its length)."""

    index: int
    name: str
    box: Box
    planes: tuple[tuple[int, int, int], ...]
    blend: str
    opacity: int
    clipped: bool
    visible: bool
    mask: Box | None
    mask_outside: int
    mask_off: bool
    section: int
    fill: int = 255
    made_elsewhere: bool = False
    effects: bool = False

    @property
    def is_picture(self) -> bool:
        return self.section == 0

    @property
    def is_group(self) -> bool:
        return self.section in (_OPEN, _CLOSED)

    @property
    def is_adjustment(self) -> bool:
        """What it does is not in pixels."""
        return self.is_picture and self.made_elsewhere and not (self.box.width and self.box.height)

    @property
    def coverage(self) -> float:
        """Opacity and fill, which differ where a layer has effects."""
        return self.opacity * self.fill / 255**2


@dataclass(frozen=True)
class Document:
    """A file's sections. `merged` is where the flattened picture's data begins."""

    content: bytes = field(repr=False)
    big: bool
    samples: int
    width: int
    height: int
    depth: int
    mode: int
    palette: bytes
    resources: Mapping[int, bytes]
    merged: int
    layer_section: tuple[int, int]
    transparent: bool

    @cached_property
    def layers(self) -> list[Layer]:
        """Bottom first, as stored; groups and their ends among them."""
        try:
            return list(_layers(self)) if self.layer_section[1] else []
        except (struct.error, IndexError):
            raise OperationError("the psd file is cut off") from None

    @property
    def dtype(self) -> str:
        return {16: "uint16", 32: "float32"}.get(self.depth, "uint8")


def read(content: bytes) -> Document:
    """The sections of a file; OperationError for a damaged one and for modes that are not read."""
    try:
        return _read(content)
    except (struct.error, IndexError, OverflowError):
        raise OperationError("the psd file is cut off") from None


def probe(content: bytes, *, layer: str = "", part: str = "") -> Facts:
    """What the file says of its flattened picture, or of one layer on the canvas."""
    document = read(content)
    profile = document.resources.get(1039, b"")
    color = icc.identify(profile)
    stored = None
    if layer or part:
        chosen = find(document, layer, part)
        stored = Stored(chosen.index, (), chosen.box.left, chosen.box.top, chosen.box.width, chosen.box.height)
        alpha, room = True, None
    else:
        if document.resources.get(1057, b"\0\0\0\0\1")[4:5] == b"\0":
            raise OperationError(
                "the psd file was saved without a flattened picture: set layer to load one of its layers"
            )
        alpha = document.samples > COLORS[document.mode]
        growth = {0: 1, 1: 64}.get(int.from_bytes(content[document.merged : document.merged + 2]), 1032)
        room = (len(content) - document.merged) * growth * (24 if document.depth == 1 else 4)
    directory = exif.exif_directory(document.resources.get(1058, b""))
    return Facts(
        "psd",
        document.width,
        document.height,
        channels(document, alpha=alpha),
        dtype=document.dtype,
        alpha="straight" if alpha else "none",
        color=color or ("lin_rec709_scene" if document.depth == 32 else "srgb_rec709_scene"),
        meta=({} if color or not profile else icc.note(profile))
        | directory.texts
        | xmp.read_packet(document.resources.get(1060, b"")),
        room=room,
        stored=stored,
    )


def find(document: Document, layer: str, part: str) -> Layer:
    """A layer by its name, by its number, or by both."""
    pictures = [found for found in document.layers if found.is_picture]
    named = [found for found in pictures if (not layer or found.name == layer) and part in ("", str(found.index))]
    if len(named) == 1:
        return named[0]
    if named:
        numbers = ", ".join(str(found.index) for found in named)
        raise OperationError(f"{len(named)} layers are called '{layer}': set part to one of {numbers}")
    names = ", ".join(f"{found.name} ({found.index})" for found in pictures[:30]) or "none"
    raise OperationError(f"no layer '{layer or part}'; the file's layers: {names}")


def parents(document: Document) -> dict[int, int | None]:
    """The group that each picture and group lies in, by index. Groups come after what they hold, as stored."""
    found: dict[int, int | None] = {}
    around: list[int] = []
    for layer in reversed(document.layers):
        if layer.section == _END_OF_GROUP:
            del around[-1:]
            continue
        found[layer.index] = around[-1] if around else None
        if layer.is_group:
            around.append(layer.index)
    return found


def channels(document: Document, *, alpha: bool) -> tuple[str, ...]:
    """The names of what is decoded."""
    return CHANNELS[(3 if document.mode in (RGB, CMYK, INDEXED) else 1) + alpha]


def _read(content: bytes) -> Document:
    version, samples, height, width, depth, mode = struct.unpack_from(">H6xHIIHH", content, 4)
    if version not in (1, 2):
        raise OperationError(f"a psd file of version {version}; what is read is 1 and 2")
    if mode not in COLORS or depth not in (1, 8, 16, 32) or (mode == BITMAP) != (depth == 1):
        raise OperationError(
            f"a psd file of colour mode {mode} and {depth} bits; what is read is bitmap, grey, indexed, RGB and CMYK"
        )
    if not COLORS[mode] <= samples <= 56:
        raise OperationError(f"damaged psd file: {samples} channels in colour mode {mode}")
    big = version == 2
    at = 26
    palette, at = _section(content, at, 4)
    resources, at = _section(content, at, 4)
    start, length, after = _span(content, at, 8 if big else 4)
    layers = _layer_info(content, start, length, big) if length else (0, 0)
    count = struct.unpack_from(">h", content, layers[0])[0] if layers[1] >= 2 else 0
    return Document(
        content,
        big,
        samples,
        width,
        height,
        depth,
        mode,
        palette,
        dict(_resources(resources)),
        after,
        layers,
        count < 0,
    )


def _section(content: bytes, at: int, size: int) -> tuple[bytes, int]:
    start, length, after = _span(content, at, size)
    return content[start : start + length], after


def _span(content: bytes, at: int, size: int) -> tuple[int, int, int]:
    """Where a section begins, its length, and where the next one begins."""
    length = struct.unpack_from(">Q" if size == 8 else ">I", content, at)[0]
    if at + size + length > len(content):
        raise OperationError("the psd file is cut off")
    return at + size, length, at + size + length


def _resources(block: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 12 <= len(block) and block[at : at + 4] in (b"8BIM", b"MeSa", b"PHUT", b"AgHg", b"DCSR"):
        number, length = struct.unpack_from(">HB", block, at + 4)
        at += 6 + (length + 2) // 2 * 2
        if at + 4 > len(block):
            return
        size = struct.unpack_from(">I", block, at)[0]
        yield number, block[at + 4 : at + 4 + size]
        at += 4 + size + size % 2


def _layer_info(content: bytes, start: int, length: int, big: bool) -> tuple[int, int]:
    """Where the layer records are, and how many bytes. Those of 16 and 32 bits are in a block of their own."""
    end = start + length
    found = _span(content, start, 8 if big else 4)
    if found[1]:
        return found[0], min(found[1], end - found[0])
    at = found[2]
    if at + 4 <= end:
        at = _span(content, at, 4)[2]
    for key, first, size in _blocks(content, at, end, big, 4):
        if key in _LAYERS_ELSEWHERE:
            return first, size
    return 0, 0


def _blocks(content: bytes, at: int, end: int, big: bool, padding: int) -> Iterator[tuple[bytes, int, int]]:
    """Key, beginning and length of tagged blocks."""
    while at + 12 <= end and content[at : at + 4] in (b"8BIM", b"8B64"):
        key = content[at + 4 : at + 8]
        first, size, after = _span(content, at + 8, 8 if big and key in _LONG_KEYS else 4)
        yield key, first, size
        at = after + -size % padding


def _layers(document: Document) -> Iterator[Layer]:
    content, (at, length) = document.content, document.layer_section
    end = at + length
    count = abs(struct.unpack_from(">h", content, at)[0])
    if count > _MOST_LAYERS:
        raise OperationError(f"damaged psd file: {count} layers")
    at += 2
    records = []
    for index in range(count):
        record, sizes, at = _record(document, index, at)
        records.append((record, sizes))
    for record, sizes in records:
        planes = []
        for identifier, size in sizes:
            planes.append((identifier, at, size))
            at += size
        if at > end:
            raise OperationError("the psd file is cut off")
        yield replace(record, planes=tuple(planes))


def _record(document: Document, index: int, at: int) -> tuple[Layer, list[tuple[int, int]], int]:
    """One record, the ids and lengths of its planes, and where the next record begins."""
    content = document.content
    box = Box(*struct.unpack_from(">4i", content, at))
    count = struct.unpack_from(">H", content, at + 16)[0]
    entry = struct.Struct(">hQ" if document.big else ">hI")
    sizes = [entry.unpack_from(content, at + 18 + entry.size * i) for i in range(count)]
    at += 18 + entry.size * count
    signature, blend, opacity, clipping, flags = struct.unpack_from(">4s4sBBBx", content, at)
    if signature != b"8BIM":
        raise OperationError("damaged psd file: a layer without a blend mode")
    first, length, after = _span(content, at + 12, 4)
    mask_at, mask_length, ranges_at = _span(content, first, 4)
    mask = Box(*struct.unpack_from(">4i", content, mask_at)) if mask_length >= 18 else None
    outside, mask_flags = content[mask_at + 16 : mask_at + 18] if mask else (0, 0)
    name_at = _span(content, ranges_at, 4)[2]
    name = content[name_at + 1 : name_at + 1 + content[name_at]].decode("mac-roman")
    section, fill, made_elsewhere, effects = 0, 255, False, False
    blocks_at = name_at + (content[name_at] + 4) // 4 * 4
    for key, where, size in _blocks(content, blocks_at, first + length, document.big, 2):
        if key == _NAME_KEY and size >= 4:
            letters = struct.unpack_from(">I", content, where)[0]
            name = content[where + 4 : where + min(4 + 2 * letters, size)].decode("utf-16-be", "replace").rstrip("\0")
        elif key == _GROUP_KEY and size >= 4:
            section = struct.unpack_from(">I", content, where)[0]
            blend = content[where + 8 : where + 12] if size >= 12 else blend
        elif key == _FILL_KEY and size >= 1:
            fill = content[where]
        elif key in _EFFECT_KEYS:
            effects |= _ALL_ON in content[where : where + size] and _ONE_ON in content[where : where + size]
        made_elsewhere |= key in _MADE_ELSEWHERE
    known = BLENDS.get(blend, blend.decode("latin-1").strip())
    return Layer(
        index, name, box, (), known, opacity, clipping == 1, not flags & 2, mask, outside, bool(mask_flags & 2), section,
        fill, made_elsewhere, effects,
    ), sizes, after  # fmt: skip

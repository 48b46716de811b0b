"""The pixels of PNGs out of their filtered rows: by the kernel, and by libpng where there is none."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipeline_io import load_image, png
from pipeline_io.rows import open_rows

from pipeline_core import OperationError

Array = np.ndarray[Any, Any]
PICTURE = np.random.default_rng(3).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def filtered(
    pixels: Array, filters: Sequence[int], *, more: bytes = b"", end: int | None = None, height: int | None = None
) -> bytes:
    """A PNG whose rows have these filters by turns; `more` follows them, and their zlib stream stops at `end`."""
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(len(pixels), -1).astype(np.int16)
    step = pixels.shape[2] * pixels.itemsize
    left, above, corner = (np.zeros_like(rows) for _ in range(3))
    left[:, step:], above[1:], corner[1:, step:] = rows[:, :-step], rows[:-1], rows[:-1, :-step]
    distances = [abs(left + above - corner - neighbour) for neighbour in (left, above, corner)]
    paeth = np.choose(np.argmin(distances, axis=0), [left, above, corner])
    foretold = [np.zeros_like(rows), left, above, (left + above) // 2, paeth]
    lines = b"".join(
        bytes([kind]) + (row - foretold[min(kind, 4)][y]).astype(np.uint8).tobytes()
        for y, (row, kind) in enumerate(zip(rows, itertools.cycle(filters), strict=False))
    )
    size = pixels.shape[1], height or len(pixels), pixels.itemsize * 8
    header = struct.pack(">IIBBBBB", *size, {1: 0, 2: 4, 3: 2, 4: 6}[pixels.shape[2]], 0, 0, 0)
    stream = zlib.compress(lines + more)[:end]
    bodies = stream[: len(stream) // 3], stream[len(stream) // 3 :]
    chunks = chunk(b"IHDR", header), *(chunk(b"IDAT", body) for body in bodies), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.fixture(params=["kernel", "libpng"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either one; the kernel's rows come in many pieces."""
    if request.param == "libpng":
        monkeypatch.setattr("pipeline_io.png_pixels.can_unfilter", lambda: False)
        return
    request.getfixturevalue("compiled")
    monkeypatch.setattr("pipeline_io.png_pixels._READ", 300)
    monkeypatch.setattr("pipeline_io.png_pixels._CACHED", 700)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_every_filter_is_undone(reader: None, samples: int, dtype: str) -> None:
    random = np.random.default_rng(samples)
    smooth = np.add.outer(np.arange(41), np.arange(23 * samples)).reshape(41, 23, samples)
    pixels = ((smooth * 3 + random.integers(0, 9, smooth.shape)) * (1 if dtype == "uint8" else 199)).astype(dtype)
    for filters in ([0], [1], [2], [3], [4], [0, 1, 2, 3, 4], [4, 4, 1, 3], [2, 4, 4, 4]):
        for shown in (pixels, pixels[:, :1], pixels[:1]):
            content = filtered(shown, filters)
            assert np.array_equal(png.decode(content, png.probe(content)), shown)


@pytest.mark.parametrize(
    "content",
    [
        filtered(PICTURE, [5]),
        filtered(PICTURE, [1, 1, 255]),
        filtered(PICTURE, [4], height=6),
        *(filtered(PICTURE, [1], end=end) for end in (0, 1, 2, 20, -5, -4, -1)),
        filtered(PICTURE, [1], end=-4).replace(b"IEND", b"IDAT"),
    ],
)
def test_of_what_is_damaged_nothing_is_shown(reader: None, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(OperationError, match=r"picture\.png: (damaged png file: |the png file is cut off)"):
        load_image(path=path)


def test_a_wrong_checksum_of_all_rows_is_found(reader: None) -> None:
    whole = filtered(PICTURE, [1])
    stream = zlib.compress(bytes(100))
    wrong = stream[:-1] + bytes([stream[-1] ^ 1])
    content = whole[:33] + chunk(b"IDAT", wrong) + chunk(b"IEND", b"")
    small = content.replace(whole[8:33], chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 10, 8, 0, 0, 0, 0)))
    with pytest.raises(OperationError, match="damaged png file: "):
        png.decode(small, png.probe(small))


def test_what_follows_the_last_row_is_let_be_as_everywhere(reader: None) -> None:
    content = filtered(PICTURE, [1], more=b"more")
    assert np.array_equal(png.decode(content, png.probe(content)), PICTURE)


def test_rows_come_in_any_order(reader: None, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 65536, (200, 9, 4)).astype(np.uint16)
    path = tmp_path / "picture.png"
    path.write_bytes(filtered(pixels, [4, 4, 3, 2, 4, 1]))
    with open_rows(path) or pytest.fail("it can be read by rows") as rows:
        for top, bottom in ((150, 160), (160, 200), (3, 5), (0, 200), (199, 200)):
            assert np.array_equal(rows.read(top, bottom).buffer[0], pixels[top:bottom])

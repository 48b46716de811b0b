"""Frame sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipeline_io import encode_image, load_sequence

from pipeline_core import Image, OperationError

INFER = load_sequence.__operation__.infer  # type: ignore[attr-defined]  # left there by @operation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in (1, 2, 3, 5, 12):
        image = Image(np.full((1, 3, 4, 3), number, np.uint8))
        (tmp_path / f"shot.{number:04d}.png").write_bytes(encode_image(image, format="png").content)
    return tmp_path


def values(folder: Path, **params: Any) -> list[int]:
    image, inferred = load_sequence(path=folder, **params), INFER(path=folder, **params)
    assert (image.buffer.shape, image.channels, image.dtype) == (
        inferred.buffer.shape,
        inferred.channels,
        inferred.dtype,
    )
    return [int(frame.max()) for frame in image.buffer]


def test_frames_in_order(folder: Path) -> None:
    assert values(folder, name="shot.####.png", first=1, last=3) == [1, 2, 3]
    assert values(folder, name="shot.%04d.png", first=1, last=5, step=2) == [1, 3, 5]
    assert values(folder, name="shot.00##.png", first=12, last=12) == [12]
    assert values(folder, name="shot.####.png", first=3, last=6, missing="hold") == [3, 3, 5, 5]
    assert values(folder / "shot.0005.png", first=1, last=3) == [5, 5, 5]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"name": "shot.####.png", "first": 3, "last": 5}, r"no frame 4: .*shot\.0004\.png"),
        ({"name": "shot.####.png", "first": 3, "last": 2}, "last must be first or later"),
        ({"name": "shot.0001.png", "first": 1, "last": 2}, "no place for the frame's number"),
        ({"name": "shot.####.png", "first": 4, "last": 5, "missing": "hold"}, "no frame 4"),
    ],
)
def test_refusals(folder: Path, params: dict[str, Any], message: str) -> None:
    for function in (load_sequence, INFER):
        with pytest.raises(OperationError, match=message):
            function(path=folder, **params)


def test_frames_have_to_be_alike(folder: Path) -> None:
    other = encode_image(Image(np.zeros((1, 3, 5, 3), np.uint8)), format="png").content
    (folder / "shot.0002.png").write_bytes(other)
    with pytest.raises(OperationError, match=r"shot\.0002\.png: a frame of 5x3 .* but the first is 4x3"):
        load_sequence(path=folder, name="shot.####.png", first=1, last=2)

"""Porter-Duff against the W3C's canvas tests and OpenImageIO's `over`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest
from pipeline_compose import merge, premultiply

from pipeline_core import Image

CORPORA = Path(__file__).parents[2].parent / "shared" / "corpora"
W3C = CORPORA / "w3c-canvas-composite" / "expectations.json"
OIIO = CORPORA / "oiio-ops"
OURS = {
    "source-over": "over", "destination-over": "under", "source-in": "in", "destination-in": "mask",
    "source-out": "out", "destination-out": "stencil", "source-atop": "atop", "lighter": "plus",
}  # fmt: skip


@pytest.mark.skipif(not W3C.exists(), reason="the w3c-canvas-composite corpus is not here")
@pytest.mark.parametrize("state", ["straight", "associated"])
def test_porter_duff_is_the_w3cs(state: str) -> None:
    cases = json.loads(W3C.read_text())["cases"]
    assert len(cases) >= 23
    for case in cases:
        base, top = _pixel(case["backdrop"]), _pixel(case["source"])
        if state == "associated":
            base, top = premultiply(base), premultiply(top)
        result = merge(base, top, operation=OURS.get(case["op"], case["op"]))
        assert result.alpha == state
        # A canvas holds 0..1; the operation does not clip.
        seen = result.unassociate().array.ravel().clip(0, 1) * 255
        assert np.abs(seen - case["expect"]).max() <= 1, (case, seen)


def _pixel(value: list[float]) -> Image:
    red, green, blue, alpha = value
    pixel = np.array([red / 255, green / 255, blue / 255, alpha], np.float32)
    return Image(pixel.reshape(1, 1, 1, 4), channels=("R", "G", "B", "A"), alpha="straight")


@pytest.mark.skipif(not OIIO.exists(), reason="the oiio-ops corpus is not here")
def test_over_is_openimageios_to_the_bit() -> None:
    (a, ax, ay), (b, bx, by), (expected, x, y) = (_read(name) for name in ("a", "b", "a_over_b"))
    height, width = expected.shape[1:3]
    canvas = _associated(np.zeros((1, height, width, 4), np.float32))
    placed = merge(canvas, _associated(b), x=bx - x, y=by - y)
    result = merge(placed, _associated(a), x=ax - x, y=ay - y)
    assert np.array_equal(result.array, expected)


def _read(name: str) -> tuple[np.ndarray[Any, Any], int, int]:
    """The pixels of the data window, and where its upper left corner is."""
    image = OpenImageIO.ImageBuf(str(OIIO / "over" / f"{name}.exr"))
    spec = image.spec()
    return np.asarray(image.get_pixels(OpenImageIO.FLOAT))[None], spec.x, spec.y


def _associated(pixels: np.ndarray[Any, Any]) -> Image:
    return Image(pixels, channels=("R", "G", "B", "A"), color="lin_rec709_scene", alpha="associated")

"""Against OpenImageIO's own reference pictures, to the bit: morphology and the repair of non-finite values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO
import pytest
from pipeline_filter import close, dilate, erode, fix_nan, open  # noqa: A004  the operation's name

from pipeline_core import Image, OperationError

OIIO_OPS = Path(__file__).parents[3] / "shared" / "corpora" / "oiio-ops"
pytestmark = pytest.mark.skipif(not OIIO_OPS.is_dir(), reason="the reference pictures are not here")


def pixels(name: str, form: Any) -> np.ndarray[Any, Any]:
    return np.asarray(OpenImageIO.ImageBuf(str(OIIO_OPS / name)).get_pixels(form))


def codes(image: Image) -> np.ndarray[Any, Any]:
    return np.asarray(np.floor(image.array[0].clip(0, 1) * 255 + 0.5).astype(np.uint8))


def bits(array: np.ndarray[Any, Any]) -> list[int]:
    assert array.dtype == np.float16
    return array.view(np.uint16).ravel().tolist()


def test_dilate_is_the_reference() -> None:
    source = Image(pixels("morph/morphsource.tif", OpenImageIO.FLOAT)[None])
    assert np.array_equal(codes(dilate(source, radius=1)), pixels("morph/dilate.tif", OpenImageIO.UINT8))


@pytest.mark.parametrize("radius", [1, 2])
def test_morphology_is_openimageios(radius: int) -> None:
    source = OpenImageIO.ImageBuf(str(OIIO_OPS / "morph/morphsource.tif"))
    image, size = Image(np.asarray(source.get_pixels(OpenImageIO.FLOAT))[None]), 2 * radius + 1
    grown = OpenImageIO.ImageBufAlgo.dilate(source, size, size)
    shrunk = OpenImageIO.ImageBufAlgo.erode(source, size, size)
    for ours, theirs in (
        (dilate(image, radius=radius), grown),
        (erode(image, radius=radius), shrunk),
        (open(image, radius=radius), OpenImageIO.ImageBufAlgo.dilate(shrunk, size, size)),
        (close(image, radius=radius), OpenImageIO.ImageBufAlgo.erode(grown, size, size)),
    ):
        assert np.array_equal(ours.array[0], theirs.get_pixels(OpenImageIO.FLOAT))


def test_black_is_the_reference() -> None:
    bad = pixels("fixnan/bad.exr", OpenImageIO.HALF)
    repaired = fix_nan(Image(bad[None]), mode="black").buffer[0]
    assert bits(repaired) == bits(pixels("fixnan/black.exr", OpenImageIO.HALF))


def test_box3_is_openimageios() -> None:
    source, repaired = OpenImageIO.ImageBuf(str(OIIO_OPS / "fixnan/bad.exr")), OpenImageIO.ImageBuf()
    assert OpenImageIO.ImageBufAlgo.fixNonFinite(repaired, source, OpenImageIO.NONFINITE_BOX3)
    ours = fix_nan(Image(pixels("fixnan/bad.exr", OpenImageIO.HALF)[None])).buffer[0]
    assert np.isfinite(ours).all()
    assert bits(ours) == bits(np.asarray(repaired.get_pixels(OpenImageIO.HALF)))


def test_refusing_says_how_many() -> None:
    with pytest.raises(OperationError, match=r"2 values are not finite, the first at x=4, y=4: inf in R"):
        fix_nan(Image(pixels("fixnan/bad.exr", OpenImageIO.HALF)[None]), mode="refuse")

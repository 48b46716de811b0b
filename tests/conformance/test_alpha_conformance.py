"""Alpha against OpenImageIO's pictures, and shrinking with it against libvips'."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pipeline_compose import premultiply, unpremultiply
from pipeline_io import load_image
from pipeline_transform import resize

CORPORA = Path(__file__).parents[2].parent / "shared" / "corpora"
ALPHA, SHARP = CORPORA / "oiio-ops" / "alpha", CORPORA / "sharp-composite"


@pytest.mark.skipif(not ALPHA.exists(), reason="the oiio-ops corpus is not here")
def test_premultiplying_is_openimageios_to_the_bit() -> None:
    straight = load_image(path=ALPHA / "common-unpremult.tif", alpha="straight", color="lin_rec709_scene")
    theirs = load_image(path=ALPHA / "premult.exr")
    ours = premultiply(straight)
    assert (ours.alpha, theirs.alpha) == ("associated", "associated")
    assert np.array_equal(ours.array.astype(np.float16), theirs.array.astype(np.float16)), "the reference holds halves"
    seen = theirs.array[..., 3] > 0
    assert seen.mean() > 0.1
    back = unpremultiply(theirs).array
    assert np.abs(back - straight.array)[seen].max() <= 1e-3


@pytest.mark.skipif(not SHARP.exists(), reason="the sharp-composite corpus is not here")
def test_shrinking_a_picture_with_transparent_edges_is_libvips() -> None:
    large = load_image(path=SHARP / "alpha-premultiply-2048x1536-paper.png")
    theirs = load_image(path=SHARP / "alpha-premultiply-reduction-1024x768-paper.png")
    ours = resize(large, width=1024, height=768, filter="lanczos3")
    error = np.mean((ours.associate().array - theirs.associate().array) ** 2, dtype=np.float64)
    assert -10 * np.log10(error) >= 30

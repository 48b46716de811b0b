"""Files with a reference decode beside them: within 2/255 of it where alpha is above 0, or refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from pipeline_io import load_image

from pipeline_core import Image, OperationError

CORPUS = Path(__file__).parents[3] / "shared" / "corpora" / "decode-reference"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus decode-reference is not here")


def rgba(image: Image) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """`(H, W, 4)` on the scale of 8 bits; floats clamped, as the references are."""
    values = np.clip(image.array[0].astype(float), 0, 1) * 255
    color = values[..., [0, 0, 0]] if image.channels[0] == "Y" else values[..., :3]
    alpha = values[..., -1:] if "A" in image.channels else np.full_like(values[..., :1], 255)
    return np.concatenate((color, alpha), axis=2)


def test_files_are_like_their_reference_or_refused() -> None:
    pairs = [(path, ref) for path in sorted(CORPUS.rglob("*")) if (ref := Path(f"{path}.png")).is_file()]
    assert len(pairs) > 40
    refused, different = [], []
    for path, ref in pairs:
        try:
            image = load_image(path=path)
        except OperationError:
            refused.append(path.name)
            continue
        with PIL.Image.open(ref) as opened:
            expected = np.asarray(opened.convert("RGBA")).astype(float)
        found = rgba(image)
        if found.shape != expected.shape or np.abs(found - expected)[expected[..., 3] > 0].max(initial=0) > 2:
            different.append(path.name)
    assert len(different) <= 4, different
    assert not [name for name in different if name.endswith(("tif", "tiff"))]
    # Only what is not read at all, and a file that is cut off.
    assert {name for name in refused if not name.endswith((".gif", ".ico"))} <= {"pal4rlecut.bmp"}

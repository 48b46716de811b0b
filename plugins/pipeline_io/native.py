"""Decoding by OpenImageIO, which is given a file of its own: its Python door has no way in for bytes."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_core import OperationError
from pipeline_io.facts import Facts

Array = np.ndarray[Any, Any]

# libjpeg's word for a slip that costs no pixel; cameras leave such bytes behind.
_HARMLESS = "extraneous bytes before marker"


def decode(content: bytes, facts: Facts) -> Array:
    """`(H, W, C)` pixels as the file holds them, exactly of the facts' size, channels and type.

    A damaged or cut-off file is an OperationError, never half a picture.
    """
    # The name is ours, so only the decoder of the format that the content was found to be is ever asked.
    with tempfile.TemporaryDirectory(prefix="pipeline-") as folder:
        copy = Path(folder) / f"file.{facts.format}"
        copy.write_bytes(content)
        pixels = _read(str(copy), facts)
    expected = (facts.height, facts.width, len(facts.channels))
    if pixels.shape != expected or pixels.dtype.name != facts.dtype:
        raise OperationError(
            f"damaged {facts.format} file: its header says {expected} {facts.dtype}, "
            f"but it holds {pixels.shape} {pixels.dtype.name}"
        )
    return pixels


def _read(name: str, facts: Facts) -> Array:
    import OpenImageIO

    settings = OpenImageIO.ImageSpec()
    settings.attribute("oiio:UnassociatedAlpha", 1)
    settings.attribute("oiio:reorient", 0)
    source = OpenImageIO.ImageInput.open(name, settings)
    if source is None:
        raise _damaged(facts, OpenImageIO.geterror(), name)
    try:
        spec = source.spec()
        if (spec.width, spec.height) != (facts.width, facts.height):
            raise _damaged(facts, f"it says {facts.width}x{facts.height} and {spec.width}x{spec.height} pixels", name)
        pixels = source.read_image(0, 0, 0, spec.nchannels, spec.format)
        complaint = source.geterror()
    finally:
        source.close()
    if pixels is None or (complaint and _HARMLESS not in complaint):
        raise _damaged(facts, complaint, name)
    return np.asarray(pixels)


def _damaged(facts: Facts, reason: str, name: str) -> OperationError:
    text = " ".join(reason.replace(f'("{name}")', "").replace(name, "file").split())
    lacking = re.search(r"(?:[^:]*(?:support is not configured|is not implemented)|No support for.*)", text)
    if lacking:
        return OperationError(f"a {facts.format} file that is not read here: {lacking[0].strip()}; save it another way")
    return OperationError(f"damaged {facts.format} file: {text or 'it can not be decoded'}")

"""Textures in blocks of BC7: colour and alpha, by the library etcpak."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline_core import OperationError

Array = np.ndarray[Any, Any]


def bc7(pixels: Array) -> Array:
    """`(H, W, 4)` uint8 as `(N, 16)` bytes; the last rows and columns are repeated to fill their blocks."""
    try:
        import etcpak
    except ImportError:
        raise OperationError("writing BC7 needs etcpak: pip install 'pipeline-core[game]'") from None
    height, width, _ = pixels.shape
    whole = np.ascontiguousarray(np.pad(pixels, ((0, -height % 4), (0, -width % 4), (0, 0)), mode="edge"))
    params = etcpak.BC7CompressBlockParams()
    params.init_linear_weights()  # errors of all channels alike: textures hold normals and masks too
    blocks = etcpak.compress_bc7(whole.tobytes(), whole.shape[1], whole.shape[0], params)
    return np.frombuffer(blocks, np.uint8).reshape(-1, 16)

"""Rows and columns of a picture's buffer, looked up by number."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def looked_up(buffer: Any, rows: Any, columns: Any) -> Any:
    """`(B, len(rows), len(columns), C)` of a buffer `(B, H, W, C)`, of whatever type and wherever it is."""
    if isinstance(buffer, np.ndarray):
        return buffer[:, np.asarray(rows)][:, :, np.asarray(columns)]
    if buffer.dtype == torch.uint16:  # torch can't look these up on an accelerator, but their bits
        return looked_up(buffer.view(torch.int16), rows, columns).view(torch.uint16)
    at = [torch.as_tensor(places, device=buffer.device) for places in (rows, columns)]
    return buffer[:, at[0]][:, :, at[1]]

"""How many bits of its numbers a network computes with on an accelerator."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Literal

import torch
from pydantic import Field

Precision = Literal["full", "half"]
PrecisionParam = Annotated[
    Precision,
    Field(
        description="bits that the network multiplies with on an accelerator: 32, or 16, sooner; on the CPU always 32"
    ),
]


def computing(precision: Precision, device: str) -> AbstractContextManager[object]:
    """While it is open, networks multiply so. Only what is multiplied is made shorter; sums and results are as they were."""
    kind = device.partition(":")[0]
    return _short(kind) if precision == "half" and kind != "cpu" else nullcontext()


def _short(kind: str) -> AbstractContextManager[object]:
    return torch.autocast(kind, torch.float16)

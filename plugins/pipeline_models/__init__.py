"""Networks as values: models loaded, trained, applied. A family of operations in each folder."""

from collections.abc import Callable, Sequence
from typing import Any

from pipeline_core import hookimpl
from pipeline_models import gan, inpaint, upscale, vision
from pipeline_models.denoise import denoise_model
from pipeline_models.load import convert_model, encode_model, load_model

__all__ = ["convert_model", "denoise_model", "encode_model", "load_model"]


@hookimpl
def operations() -> Sequence[Callable[..., Any]]:
    """What this plugin offers."""
    return [
        load_model,
        encode_model,
        convert_model,
        *upscale.OPERATIONS,
        denoise_model,
        *gan.OPERATIONS,
        *inpaint.OPERATIONS,
        *vision.OPERATIONS,
    ]

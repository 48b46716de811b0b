"""Pictures from files and into files: PNG, JPEG, WebP, TIFF and BMP."""

from collections.abc import Callable
from typing import Any

from pipeline_core import hookimpl
from pipeline_io.load import load_image, load_mask


@hookimpl
def operations() -> list[Callable[..., Any]]:
    return [load_image, load_mask]

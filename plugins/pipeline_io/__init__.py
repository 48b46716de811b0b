"""Pictures from files and into files: PNG, JPEG, WebP, TIFF and BMP."""

from collections.abc import Callable
from typing import Any

from pipeline_core import hookimpl
from pipeline_io.encode import encode_image, encode_mask
from pipeline_io.load import load_image, load_mask
from pipeline_io.table import encode_table


@hookimpl
def operations() -> list[Callable[..., Any]]:
    return [load_image, load_mask, encode_image, encode_mask, encode_table]

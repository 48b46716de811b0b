"""Pictures from files and into files."""

from collections.abc import Callable
from typing import Any

from pipeline_core import hookimpl
from pipeline_io.encode import encode_image, encode_mask
from pipeline_io.layers import list_layers, stack_layers
from pipeline_io.load import load_image, load_mask
from pipeline_io.load_layers import load_exr_layers, load_layers
from pipeline_io.sequence import load_sequence
from pipeline_io.sets import encode_image_set, image_set, pick_image
from pipeline_io.table import encode_table, load_table


@hookimpl
def operations() -> list[Callable[..., Any]]:
    return [
        load_image,
        load_mask,
        load_sequence,
        load_layers,
        load_exr_layers,
        load_table,
        list_layers,
        stack_layers,
        encode_image,
        encode_mask,
        encode_table,
        image_set,
        pick_image,
        encode_image_set,
    ]

"""Textures for games: normal maps, tiling, levels of detail, packed materials."""

from collections.abc import Callable, Sequence
from typing import Any

from pipeline_core import hookimpl
from pipeline_texture.levels import mip_level, power_of_two
from pipeline_texture.material import export_material, list_material_maps, pack_orm
from pipeline_texture.normals import height_to_normal, normal_combine, normal_convert, normal_normalize
from pipeline_texture.tiling import make_tileable, seam_score

__all__ = [
    "export_material",
    "height_to_normal",
    "list_material_maps",
    "make_tileable",
    "mip_level",
    "normal_combine",
    "normal_convert",
    "normal_normalize",
    "pack_orm",
    "power_of_two",
    "seam_score",
]


@hookimpl
def operations() -> Sequence[Callable[..., Any]]:
    """What this plugin offers."""
    return [
        height_to_normal, normal_convert, normal_normalize, normal_combine,
        make_tileable, seam_score, mip_level, power_of_two, pack_orm, export_material, list_material_maps,
    ]  # fmt: skip

"""Materials for game engines: what each wants in which channel. The engines' conventions are in profiles.json."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from pipeline_core import Image, Mask, OperationError, Table, operation
from pipeline_texture.normals import Direction, normal_convert

Profile = Literal["unreal", "unity_hdrp", "unity_urp", "godot", "gltf"]
MapName = Literal["base_color", "normal", "orm", "mask_map", "height"]
Part = Image | Mask | None

MISSING = {"occlusion": 1.0, "roughness": 1.0, "metallic": 0.0, "detail_mask": 1.0}
"""What a channel holds that nothing is wired to: unoccluded, rough, not a metal, details everywhere."""


@cache
def profiles() -> dict[str, Any]:
    """What is known of each engine: direction of green, and per map its suffix and its channels."""
    found: dict[str, Any] = json.loads(files("pipeline_texture").joinpath("profiles.json").read_text("utf-8"))
    return found


@operation(support=0, aliases=("orm", "arm", "occlusion_roughness_metallic"))
def pack_orm(
    occlusion: Image | Mask | None = None,
    roughness: Image | Mask | None = None,
    metallic: Image | Mask | None = None,
) -> Image:
    """Pack occlusion, roughness and metallic into R, G and B of one texture, as Unreal, Godot and glTF want them.

    Masks or images of one channel, of one size; float32, of colour `data`. What is not wired is unoccluded (1), rough
    (1) and not a metal (0). One at least must be wired.
    """
    given = {"occlusion": occlusion, "roughness": roughness, "metallic": metallic}
    return _packed({"R": "occlusion", "G": "roughness", "B": "metallic"}, given, "pack_orm")


@operation(support=0, aliases=("export_material", "mask_map", "channel_pack"))
def material_map(
    base_color: Image | None = None,
    normal: Image | None = None,
    occlusion: Image | Mask | None = None,
    roughness: Image | Mask | None = None,
    metallic: Image | Mask | None = None,
    height: Image | Mask | None = None,
    detail_mask: Image | Mask | None = None,
    *,
    profile: Annotated[Profile, Field(description="the engine")],
    map: Annotated[MapName, Field(description="which of its textures", examples=["normal"])],  # noqa: A002  its word
    normals: Annotated[Direction, Field(description="what the normal map that is wired is")] = "opengl",
) -> Image:
    """Make one texture of a material, packed as a game engine wants it.

    Wire all parts of the material to one node per texture; each takes what it needs. `list_material_maps` tells the
    textures of an engine with their channels, colour flag and usual suffix. `base_color` and `height` are handed on,
    the normal map is turned to the engine's convention (`normals` says what it is), the others are packed in float32,
    of colour `data`; smoothness is 1 - roughness. A channel that nothing is wired to is unoccluded (1), rough (1), not
    a metal (0), or has details everywhere (1); one part at least must be wired.

    Sources: the engines' own manuals, named by `list_material_maps`.
    """
    known = profiles()[profile]
    if map not in known["maps"]:
        raise OperationError(f"'{profile}' has no map '{map}', it has {', '.join(known['maps'])}")
    wanted = known["maps"][map]
    what = f"map '{map}' of '{profile}'"
    if "channels" in wanted:
        given = {
            "occlusion": occlusion, "roughness": roughness, "metallic": metallic,
            "height": height, "detail_mask": detail_mask,
        }  # fmt: skip
        return _packed(wanted["channels"], given, what)
    image = normal if wanted["image"] == "normal" else base_color
    if image is None:
        raise OperationError(f"{what} is made of '{wanted['image']}', but nothing is wired to it")
    if map != "normal":
        return image
    return image if normals == known["normal"] else normal_convert(image)


def _packed(channels: dict[str, str], given: dict[str, Part], what: str) -> Image:
    """An image of these channels: name -> the part that it shows, `smoothness`, or a number."""
    parts = {_part(source) for source in channels.values() if not source.isdigit()}
    wired = {name: raster for name, raster in given.items() if name in parts and raster is not None}
    if not wired:
        raise OperationError(f"{what} is made of {', '.join(sorted(parts))}: wire at least one of them")
    _check(wired)
    like = next(iter(wired.values()))
    batch = max(raster.batch for raster in wired.values())
    shape = (batch, 1, like.height, like.width)
    planes = [_plane(source, wired, like.pixels).expand(shape) for source in channels.values()]
    return Image(
        torch.cat(planes, dim=1).permute(0, 2, 3, 1),
        channels=tuple(channels),
        color="data",
        alpha="straight" if "A" in channels else "none",
        wrap=(all(r.wrap[0] for r in wired.values()), all(r.wrap[1] for r in wired.values())),
        meta=like.meta,
    )


def _part(source: str) -> str:
    return "roughness" if source == "smoothness" else source


def _plane(source: str, wired: dict[str, Image | Mask], like: Tensor) -> Tensor:
    if source.isdigit():
        return like.new_full((1, 1, 1, 1), float(source))
    name = _part(source)
    values = wired[name].pixels if name in wired else like.new_full((1, 1, 1, 1), MISSING[name])
    return 1 - values if source == "smoothness" else values


def _check(wired: dict[str, Image | Mask]) -> None:
    (first, one), *_ = wired.items()
    for name, raster in wired.items():
        if len(raster.channels) != 1:
            raise OperationError(
                f"'{name}' has {len(raster.channels)} channels ({', '.join(raster.channels)}): give one, "
                "by 'to_gray' or 'mask_from_channel'"
            )
        if raster.size != one.size:
            raise OperationError(
                f"'{first}' is {one.width}x{one.height}, '{name}' is {raster.width}x{raster.height}: 'resize' one"
            )
    batches = sorted({raster.batch for raster in wired.values()} - {1})
    if len(batches) > 1:
        raise OperationError(f"batches of {batches[0]} and {batches[1]}: they must be equal, or one")


@operation(device="cpu", aliases=("engine_profiles", "texture_profiles"))
def list_material_maps(*, profile: Annotated[Profile, Field(description="the engine")]) -> Table:
    """List the textures that a game engine wants of a material.

    A row for each: the `map` to ask of `material_map`, what its `channels` hold, whether it is to be imported as `srgb`
    colour, the `suffix` that its file usually has, the direction of green in normal maps, and the `source` of all that.
    """
    known = profiles()[profile]
    rows = []
    for name, wanted in known["maps"].items():
        packed = wanted.get("channels", {})
        channels = " ".join(f"{letter}={source}" for letter, source in packed.items()) or f"RGB={wanted['image']}"
        direction = known["normal"] if name == "normal" else None
        rows.append((name, channels, name == "base_color", wanted["suffix"], direction, known["source"]))
    return Table(("map", "channels", "srgb", "suffix", "green", "source"), tuple(rows))

"""Materials for game engines: what each wants in which channel. The engines' conventions are in profiles.json."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import Image, ImageSet, Mask, OperationError, Table, each_tile, empty, operation
from pipeline_core import opencv as cv2
from pipeline_texture.normals import Direction, normal_convert

if TYPE_CHECKING:
    from torch import Tensor

BAND = 64
"""Rows packed at a time."""
Profile = Literal["unreal", "unity_hdrp", "unity_urp", "godot", "gltf"]
Part = Image | Mask | None

MISSING = {"occlusion": 1.0, "roughness": 1.0, "metallic": 0.0, "detail_mask": 1.0}
"""What a channel holds that nothing is wired to: unoccluded, rough, not a metal, details everywhere."""


_COLORED = ("base_color", "emissive")


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


@operation(aliases=("material_maps", "texture_export", "unreal_textures", "unity_mask_map", "channel_pack"))
def export_material(
    base_color: Image | None = None,
    normal: Image | None = None,
    occlusion: Image | Mask | None = None,
    roughness: Image | Mask | None = None,
    metallic: Image | Mask | None = None,
    height: Image | Mask | None = None,
    emissive: Image | None = None,
    detail_mask: Image | Mask | None = None,
    *,
    profile: Annotated[Profile, Field(description="the engine")],
    normals: Annotated[Direction, Field(description="what the normal map that is wired is")] = "opengl",
) -> ImageSet:
    """Make all textures of a material as a game engine wants them: packed, turned, and named.

    An output with a path like `out/rock.json` saves them: rock_BaseColor.png, rock_Normal.png, ..., and the list with what
    to set at import (`encode_image_set`). `pick_image` takes one out; `list_material_maps` tells the textures of an engine.

    Made are the textures of which a part is wired; what the engine has no texture for is left out. `base_color`, `emissive` and `height` are handed on, the normal map is
    turned to the engine's convention (`normals` says what it is), the others are packed in float32, of colour `data`;
    smoothness is 1 - roughness. A channel that nothing is wired to is unoccluded (1), rough (1), not a metal (0), or has
    details everywhere (1). A height is saved in 16 bits where the file can hold them.

    Sources: the engines' own manuals, named by `list_material_maps`.
    """
    known = profiles()[profile]
    packed: dict[str, Part] = {
        "occlusion": occlusion, "roughness": roughness, "metallic": metallic, "height": height, "detail_mask": detail_mask,
    }  # fmt: skip
    handed = {"base_color": base_color, "normal": normal, "emissive": emissive}
    given = {name: part for name, part in (packed | handed).items() if part is not None}
    images: dict[str, Image] = {}
    for name, wanted in known["maps"].items():
        parts = [part for part in _parts(wanted) if part in given]
        if "channels" in wanted:
            if parts:
                images[name] = _packed(wanted["channels"], packed, f"map '{name}' of '{profile}'")
        elif (image := handed[wanted["image"]]) is not None:
            turned = name == "normal" and normals != known["normal"]
            images[name] = normal_convert(image) if turned else image
    if not images:
        raise OperationError(
            f"nothing is wired that '{profile}' has a texture for: wire base_color, normal, roughness, ..."
        )
    return ImageSet(images, {name: _facts(name, known) for name in images}, next(iter(images.values())).meta)


def _parts(wanted: dict[str, Any]) -> list[str]:
    """What a texture is made of."""
    if "channels" not in wanted:
        return [str(wanted["image"])]
    return list(dict.fromkeys(_part(source) for source in wanted["channels"].values() if not source.isdigit()))


def _facts(name: str, known: dict[str, Any]) -> dict[str, bool | int | float | str | None]:
    """What an importer wants to know of a texture."""
    wanted = known["maps"][name]
    facts: dict[str, bool | int | float | str | None] = {
        "suffix": wanted["suffix"],
        "channels": _shown(wanted),
        "srgb": name in _COLORED,
        "green": known["normal"] if name == "normal" else None,
    }
    return facts | ({"bits": 16} if name == "height" else {})


def _shown(wanted: dict[str, Any]) -> str:
    packed = wanted.get("channels", {})
    return " ".join(f"{letter}={source}" for letter, source in packed.items()) or f"RGB={wanted['image']}"


def _packed(channels: dict[str, str], given: dict[str, Part], what: str) -> Image:
    """An image of these channels: name -> the part that it shows, `smoothness`, or a number."""
    parts = {_part(source) for source in channels.values() if not source.isdigit()}
    wired = {name: raster for name, raster in given.items() if name in parts and raster is not None}
    if not wired:
        raise OperationError(f"{what} is made of {', '.join(sorted(parts))}: wire at least one of them")
    _check(wired)
    like = next(iter(wired.values()))
    batch = max(raster.batch for raster in wired.values())
    return Image(
        (_merged if like.device == "cpu" else _stacked)(list(channels.values()), wired, batch),
        channels=tuple(channels),
        color="data",
        alpha="straight" if "A" in channels else "none",
        wrap=(all(r.wrap[0] for r in wired.values()), all(r.wrap[1] for r in wired.values())),
        meta=like.meta,
    )


def _part(source: str) -> str:
    return "roughness" if source == "smoothness" else source


def _stacked(sources: list[str], wired: dict[str, Image | Mask], batch: int) -> Tensor:
    import torch

    like = next(iter(wired.values())).pixels
    planes = [_plane(source, wired, like).expand(batch, 1, *like.shape[2:]) for source in sources]
    return torch.cat(planes, dim=1).permute(0, 2, 3, 1)


def _merged(sources: list[str], wired: dict[str, Image | Mask], batch: int) -> np.ndarray[Any, Any]:
    """As `_stacked`, by OpenCV, a few rows at a time."""
    like = next(iter(wired.values()))
    arrays = {name: raster.array[..., 0] for name, raster in wired.items()}
    result = empty((batch, like.height, like.width, len(sources)))

    def plane(source: str, item: int, rows: slice) -> np.ndarray[Any, Any]:
        name = _part(source)
        if source.isdigit() or name not in arrays:
            value = float(source) if source.isdigit() else MISSING[name]
            found = np.full((rows.stop - rows.start, like.width), value, np.float32)
        else:
            found = arrays[name][item % len(arrays[name]), rows]
        return 1 - found if source == "smoothness" else found

    def work(rows: slice, _: slice) -> None:
        for item, out in enumerate(result[:, rows]):
            cv2.merge([plane(source, item, rows) for source in sources], out)

    each_tile(like.width, like.height, (like.width, BAND), work)
    return result


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

    A row for each `map` that `export_material` makes: what its `channels` hold, whether it is to be imported as `srgb`
    colour, the `suffix` that its file usually has, the direction of green in normal maps, and the `source` of all that.
    """
    known = profiles()[profile]
    rows = []
    for name in known["maps"]:
        facts = _facts(name, known)
        rows.append((name, facts["channels"], facts["srgb"], facts["suffix"], facts["green"], known["source"]))
    return Table(("map", "channels", "srgb", "suffix", "green", "source"), tuple(rows))

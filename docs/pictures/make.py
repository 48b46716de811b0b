"""Draws a picture for every operation that gives one, as docs/operations.md shows them: what goes in, and what comes out.

`make pictures` runs operations.yaml, beside this file, and writes operations/NAME.webp; those that would look the same
are left as they are, so that only what changed is new.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw

from pipeline_core import Image, Mask
from pipeline_core.api import load, run
from pipeline_core.document import read_document
from pipeline_core.errors import GraphError
from pipeline_core.pages import DISTRIBUTION
from pipeline_core.plugins import Catalogue, catalogue

HERE = Path(__file__).parent
FOLDER = HERE / "operations"
WITHOUT = {"gan_train": "it learns for minutes", "load_sequence": "what it loads looks as what load_image loads"}
"""Operations that could have a picture and have none, and why."""

FIRST_ALONE = {"load_layers"}
"""Those of whose outputs only the first is shown."""

AS_STORED = {"premultiply", "unpremultiply", "edge_extend"}
"""Those that change what alpha hides: shown without it."""

CELL = 112, 84
GAP, ARROW = 4, 18
MOST = 6 * 1024
Array = np.ndarray[Any, Any]


def shown(offered: Catalogue) -> dict[str, list[str]]:
    """The outputs that are pictures, by operation; none for those that give tables, models, files and deep images."""
    found, ours = {}, {plugin.name for plugin in offered.plugins if plugin.distribution == DISTRIBUTION}
    for operation in offered:
        if operation.plugin not in ours:
            continue
        names = [out.name for out in operation.outputs if out.like or out.kind in ("Image", "Mask")]
        if names and operation.name not in WITHOUT:
            found[operation.name] = names
    return found


def links(document: Mapping[str, Any], offered: Catalogue) -> dict[str, tuple[list[str], list[str]]]:
    """What goes into each operation's node and what comes out, as links."""
    found = {}
    for name, outputs in shown(offered).items():
        if name in document["nodes"]:
            given = document["nodes"][name].get("inputs", {}).values()
            into = [link for value in given for link in (value if isinstance(value, list) else [value])]
            found[name] = into, [f"{name}.{output}" for output in outputs[: 1 if name in FIRST_ALONE else None]]
    return found


def values(
    document: dict[str, Any], wanted: Mapping[str, tuple[list[str], list[str]]], folder: Path = HERE
) -> dict[str, Any]:
    """The values of all these links."""
    every = list(dict.fromkeys(link for pair in wanted.values() for part in pair for link in part))
    made = {**document, "outputs": {f"o{i}": {"from": link} for i, link in enumerate(every)}}
    path = folder / ".operations.json"
    path.write_text(json.dumps(made), encoding="utf-8")
    try:
        found = run(load(path), device="cpu")
    finally:
        path.unlink()
    return {link: found[f"o{i}"] for i, link in enumerate(every)}


def picture_of(name: str, wanted: tuple[list[str], list[str]], found: Mapping[str, Any]) -> Picture.Image:
    """What goes into the operation's node and what comes out."""
    into, out = ([found[link] for link in links] for links in wanted)
    return drawn(into, out, as_stored=name in AS_STORED)


def drawn(into: list[Any], out: list[Any], *, as_stored: bool = False) -> Picture.Image:
    """Pictures that go in, an arrow, pictures that come out; on white."""
    left, right = [list(_cells(values, as_stored)) for values in (into, out)]
    width = sum(cell.width + GAP for cell in left + right) - GAP + (ARROW if left else 0)
    height = max(cell.height for cell in left + right)
    sheet = Picture.new("RGB", (width, height), "white")
    x = 0
    for cell in left:
        sheet.paste(cell, (x, (height - cell.height) // 2))
        x += cell.width + GAP
    if left:
        middle = height // 2
        ImageDraw.Draw(sheet).polygon([(x + 3, middle - 7), (x + 3, middle + 7), (x + 12, middle)], fill="#888888")
        x += ARROW
    for cell in right:
        sheet.paste(cell, (x, (height - cell.height) // 2))
        x += cell.width + GAP
    return sheet


def _cells(given: list[Any], as_stored: bool) -> Iterator[Picture.Image]:
    rasters = [value for value in given if isinstance(value, (Image, Mask))][:4]
    for raster in rasters:
        for item in range(min(raster.batch, 4 // len(rasters))):
            yield _cell(raster, item, as_stored)


def _cell(raster: Image | Mask, item: int, as_stored: bool) -> Picture.Image:
    """One picture as the eye would have it, over checks where it is transparent."""
    color, alpha = _seen(raster, item, as_stored)
    if alpha is not None and not as_stored:
        y, x = np.mgrid[: color.shape[0], : color.shape[1]]
        step = max(1, round(6 * max(color.shape[0] / CELL[1], color.shape[1] / CELL[0])))
        checks = np.where((x // step + y // step) % 2, 0.62, 0.8)[..., None]
        color = color * alpha + checks * (1 - alpha)
    picture = Picture.fromarray(np.rint(color.clip(0, 1) * 255).astype(np.uint8))
    scale = min(CELL[0] / picture.width, CELL[1] / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Picture.Resampling.NEAREST if scale >= 2 else Picture.Resampling.LANCZOS)


def _seen(raster: Image | Mask, item: int, as_stored: bool) -> tuple[Array, Array | None]:
    array = np.nan_to_num(raster.array[item].astype(np.float64), nan=1, posinf=1, neginf=0)
    if isinstance(raster, Mask):
        return np.repeat(array, 3, axis=-1), None
    straight = (
        array
        if as_stored
        else np.nan_to_num(raster.unassociate().array[item].astype(np.float64), nan=1, posinf=1, neginf=0)
    )
    names = raster.channels
    alpha = array[..., [names.index("A")]] if raster.coverage != "none" else None
    if {"R", "G", "B"} <= set(names):
        color = straight[..., [names.index(name) for name in "RGB"]]
    elif len(names) >= 3 and "Y" not in names:
        color = straight[..., :3]
    else:
        color = np.repeat(straight[..., :1], 3, axis=-1)
    if raster.color == "data":
        high = color.max() or 1.0
        return (color / high if high > 1 or high < 0.1 else color), alpha  # distances, and numbers of classes
    if raster.color.startswith("lin_"):
        color = np.where(color <= 0.0031308, 12.92 * color, 1.055 * np.abs(color) ** (1 / 2.4) - 0.055)
    return color, alpha


def encoded(picture: Picture.Image) -> bytes:
    """As WebP, as good as its bytes allow."""
    for quality in (80, 70, 60, 50, 40, 30, 20):
        file = BytesIO()
        picture.save(file, "WEBP", quality=quality, method=6)
        if file.tell() <= MOST:
            break
    return file.getvalue()


def difference(one: Picture.Image, other: Picture.Image) -> float:
    """How far two pictures lie apart on the whole: 0 to 255, 255 for those of other sizes."""
    if one.size != other.size:
        return 255.0
    a, b = (np.asarray(picture.convert("RGB"), np.float64) for picture in (one, other))
    return float(np.sqrt(((a - b) ** 2).mean()))


ALIKE = 9.0
"""Up to this difference a picture is what it was: WebP's losses, and the last bits of another machine."""


def main() -> None:
    offered = catalogue()
    document = read_document((HERE / "operations.yaml").read_bytes(), "operations.yaml").value
    wanted = links(document, offered)
    missing = sorted(set(shown(offered)) - set(wanted))
    if missing:
        raise SystemExit(f"operations.yaml has no node for {', '.join(missing)}")
    try:
        found = values(document, wanted)
    except GraphError as error:
        raise SystemExit(str(error)) from None
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.webp"):
        if old.stem not in wanted:
            old.unlink()
    changed = 0
    for name in wanted:
        picture, path = picture_of(name, wanted[name], found), FOLDER / f"{name}.webp"
        if not path.exists() or difference(picture, Picture.open(path)) > ALIKE or "--all" in sys.argv:
            path.write_bytes(encoded(picture))
            changed += 1
    total = sum(path.stat().st_size for path in FOLDER.glob("*.webp"))
    print(f"{changed} of {len(wanted)} pictures are new; all together {total:,} bytes")


if __name__ == "__main__":
    main()

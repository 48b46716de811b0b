"""A project to change: pictures, a folder of weights, a pipeline, and two plugins of its own (one of them editable)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image as Pillow

from benchmarks.soak.children import Done, command
from benchmarks.soak.typed import CHANGES

EDITABLE = '''\
"""A plugin in its own checkout."""

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import Color, Image, Mask, Seed, hookimpl, operation

from .tone import scaled
from soak_sibling import OFFSET


@operation(version=1, infer=lambda image, **_: image)
def note(image: Image, *, value: Any = 1, amount: float = 0.5, seed: Seed = 7, mode: Literal["soft", "hard"] = "soft",
         color: Color = (1, 0, 0, 1)) -> Image:
    """Scale by a half, whatever the params say."""
    return image.with_array(scaled(image.array) + OFFSET)


@operation(infer=lambda first, second, more, mask=None: first)
def mix(first: Image, second: Image, more: list[Image], mask: Mask | None = None) -> Image:
    """The first, brighter by the mean of all, weighted by where they stand."""
    means = [image.array.mean() * (2 + place) for place, image in enumerate((first, second, *more))]
    return first.with_array(first.array + np.float32(sum(means) / 100))


@operation(infer=lambda image, **_: image)
def weigh(image: Image, *, weights: Path, folder: Path | None = None) -> Image:
    """Weighted by the first byte of a file."""
    return image.with_array(image.array * np.float32(weights.read_bytes()[0]))


BYTES = np.arange(8 * 8 * 4, dtype=np.uint16) * 7


@operation(infer=lambda **_: Image.stand_in(8, 8, ("R", "G", "B", "A"), dtype="uint16", alpha="straight"))
def tag(*, order: str = "RGBA", dtype: str = "uint16", color: str = "srgb_rec709_scene", alpha: str = "straight",
        wrap: bool = False, meta: str = "") -> Image:
    """The same bytes under other names."""
    array = BYTES.view(dtype).reshape(1, 8, 8, 4)
    return Image(array, channels=tuple(order), color=color, alpha=alpha, wrap=(wrap, wrap), meta={"note": meta})


@hookimpl
def operations():
    return [note, mix, weigh, tag]
'''
TONE = '"""Helper module."""\n\n\ndef scaled(array):\n    return array * 0.5\n'
SIBLING = '"""A local module beside the plugin."""\n\nOFFSET = 0\n'
FIXED = '''\
"""A plugin that is installed, not editable."""

from pipeline_core import Image, hookimpl, operation


@operation(infer=lambda image: image)
def settled(image: Image) -> Image:
    """A quarter."""
    return image.with_array(image.array * 0.25)


@operation(infer=lambda image: Image.stand_in(8, 8))
def three(image: Image) -> Image:
    """The first three channels, whatever they are called."""
    return Image(image.array[..., :3].copy())


@hookimpl
def operations():
    return [settled, three]
'''


@dataclass
class Scene:
    """A project, and how the command is called on it."""

    folder: Path
    spec: dict[str, Any]
    options: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    file: str = "project.yaml"
    cache: Path | None = None
    cwd: Path | None = None
    text: str = ""
    """The pipeline file as it is to be written; '' for `spec` as YAML."""

    @property
    def nodes(self) -> dict[str, Any]:
        return self.spec["nodes"]  # type: ignore[no-any-return]

    def run(self, before: Any = lambda: None) -> Done:
        path = self.folder / self.file
        path.write_text(self.text or yaml.safe_dump(self.spec, allow_unicode=True, sort_keys=False), encoding="utf-8")
        where = ["--cache", self.cache or self.folder / "cache", "--device", "cpu", "--json", *self.options]
        plugins = (self.folder / "plugins",)
        return command("run", path, *where, cwd=self.cwd, env=self.env, paths=plugins, before=before)


def computed(done: Done) -> set[str]:
    """The nodes that a run computed. RuntimeError where it failed or warned."""
    if done.code or done.err:
        raise RuntimeError(done.err or f"exit code {done.code}")
    events = [json.loads(line) for line in done.out.splitlines()]
    return {event["node"] for event in events if event["event"] == "Finished" and not event["cached"]}


def make(folder: Path) -> Scene:
    """The project as it is before any change."""
    pictures(folder / "art")
    (folder / "models" / "parts").mkdir(parents=True)
    (folder / "models" / "net.bin").write_bytes(bytes(range(1, 100)))
    (folder / "models" / "parts" / "a.bin").write_bytes(b"part")
    plugin(folder / "plugins", "soak_project", "1.0", {"__init__.py": EDITABLE, "tone.py": TONE}, editable=True)
    (folder / "plugins" / "soak_sibling.py").write_text(SIBLING)
    plugin(folder / "plugins", "soak_fixed", "1.0", {"__init__.py": FIXED}, editable=False)
    return Scene(folder, specification())


def pictures(art: Path) -> None:
    art.mkdir(parents=True)
    for name, seed in (("photo", 1), ("other", 2)):
        pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
        Pillow.fromarray(pixels).save(art / f"{name}.png", compress_level=0)


def plugin(folder: Path, name: str, version: str, modules: dict[str, str], *, editable: bool) -> None:
    """A distribution as pip would have installed it."""
    (folder / name).mkdir(parents=True)
    for module, text in modules.items():
        (folder / name / module).write_text(text)
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[pipeline_core]\n{name} = {name}\n")
    if editable:
        (info / "direct_url.json").write_text(json.dumps({"url": "file:///checkout", "dir_info": {"editable": True}}))


def specification() -> dict[str, Any]:
    image = {"image": "photo"}
    nodes: dict[str, Any] = {
        "photo": {"op": "load_image", "params": {"path": "art/photo.png"}},
        "other": {"op": "load_image", "params": {"path": "art/other.png"}},
        "note": {
            "op": "soak_project.note",
            "inputs": image,
            "params": {"amount": "${gain}", "seed": 21, "mode": "soft"},  # of no other node: of one key one runs
        },
        "mixed": {"op": "soak_project.mix", "inputs": {"first": "note", "second": "other", "more": ["photo", "other"]}},
        "turned": {"op": "flip", "inputs": {"image": "mixed"}},
        "weighed": {
            "op": "soak_project.weigh",
            "inputs": image,
            "params": {"weights": "models/net.bin", "folder": "models/parts"},
        },
        "tagged": {"op": "soak_project.tag"},
        "after-tag": {"op": "soak_fixed.three", "inputs": {"image": "tagged"}},
        "settled": {"op": "soak_fixed.settled", "inputs": image},
        "aside": {"op": "flop", "inputs": {"image": "other"}},
    }
    for number, (before, _) in enumerate(CHANGES):
        # With a seed of its own, since some values are the same before: of one key one runs.
        nodes[f"typed{number}"] = {
            "op": "soak_project.note",
            "inputs": image,
            "params": {"value": before, "seed": 100 + number},
        }
    saved = [name for name in nodes if name not in ("photo", "other", "note", "mixed", "tagged")]
    return {
        "pipeline": 1,
        "params": {"gain": {"type": "float", "default": 0.5}},
        "nodes": nodes,
        "outputs": {name: {"from": name, "path": f"out/{name}.png"} for name in saved},
    }

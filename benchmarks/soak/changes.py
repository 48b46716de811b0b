"""Changes to a project: some must run a node again, others must not run anything."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from PIL import Image as Pillow

from benchmarks.soak.project import Scene, plugin
from benchmarks.soak.typed import CHANGES

Make = Callable[[Scene], Any]


@dataclass(frozen=True)
class Change:
    """`nodes` must be computed after a change that `misses`; none of them after one that does not (all: ('*',))."""

    name: str
    misses: bool
    nodes: tuple[str, ...]
    make: Make
    before: Callable[[], Any] = lambda: None


def edit(path: str, old: str, new: str) -> Make:
    """In a text file of the project."""

    def make(scene: Scene) -> None:
        file = scene.folder / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return make


def param(node: str, name: str, value: Any) -> Make:
    def make(scene: Scene) -> None:
        scene.nodes[node].setdefault("params", {})[name] = value

    return make


def inputs(**given: Any) -> Make:
    """Of the node 'mixed'."""
    return lambda scene: scene.nodes["mixed"]["inputs"].update(given)


def photo(change: Callable[[np.ndarray], np.ndarray], **options: Any) -> Make:
    """The first picture saved again."""

    def make(scene: Scene) -> None:
        path = scene.folder / "art" / "photo.png"
        with Pillow.open(path) as picture:
            pixels = np.asarray(picture)
        Pillow.fromarray(change(pixels)).save(path, **{"compress_level": 0, **options})

    return make


def one_bit(pixels: np.ndarray) -> np.ndarray:
    changed = pixels.copy()
    changed[5, 5, 1] ^= 1
    return changed


def with_its_old_time(change: Make, *, by_rename: bool = False) -> Make:
    def make(scene: Scene) -> None:
        path = scene.folder / "art" / "photo.png"
        before = path.stat()
        if by_rename:
            shutil.copyfile(path, path.with_suffix(".old"))
            os.replace(path.with_suffix(".old"), path)
        change(scene)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size

    return make


def as_16_bit(scene: Scene) -> None:
    """The same picture in another type; the depth is in the file, not in the pixels."""
    path = scene.folder / "art" / "photo.png"
    with Pillow.open(path) as picture:
        gray = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    Pillow.fromarray(gray).save(path)


def newer_version(scene: Scene) -> None:
    plugins = scene.folder / "plugins"
    shutil.rmtree(plugins / "soak_fixed-1.0.dist-info")
    modules = {"__init__.py": (plugins / "soak_fixed" / "__init__.py").read_text()}
    shutil.rmtree(plugins / "soak_fixed")
    plugin(plugins, "soak_fixed", "1.1", modules, editable=False)


def newer_format() -> None:
    from pipeline_core import keys, uptodate

    keys.FORMAT += 1
    uptodate.FORMAT += 1


INIT, TONE = "plugins/soak_project/__init__.py", "plugins/soak_project/tone.py"
NOTES = ("note",)

MISSES = [
    *(
        Change(f"value {old!r} -> {new!r}", True, (f"typed{i}",), param(f"typed{i}", "value", new))
        for i, (old, new) in enumerate(CHANGES)
    ),
    Change("a byte of the plugin's source", True, NOTES, edit(INIT, "checkout.", "checkout!")),
    Change("a helper module", True, NOTES, edit(TONE, "0.5", "0.6")),
    Change("a local module beside it", True, NOTES, edit("plugins/soak_sibling.py", "0", "0.0")),
    Change("the operation's version", True, NOTES, edit(INIT, "version=1", "version=2")),
    Change("the plugin's version", True, ("settled",), newer_version),
    Change("a default of the operation", True, ("typed0",), edit(INIT, "amount: float = 0.5", "amount: float = 0.6")),
    Change("a seed", True, NOTES, param("note", "seed", 8)),
    Change("a choice", True, NOTES, param("note", "mode", "hard")),
    Change("a colour", True, NOTES, param("note", "color", "#ff0001")),
    Change("a default of the pipeline", True, NOTES, lambda s: s.spec["params"]["gain"].update(default=0.25)),
    Change("a param of the pipeline", True, NOTES, lambda s: s.options.extend(["-p", "gain=0.75"])),
    Change("one bit of an input", True, ("photo", "note", "mixed", "turned"), photo(one_bit)),
    Change("an edit with size and mtime kept", True, ("photo", "note"), with_its_old_time(photo(one_bit))),
    Change("a rename with size and mtime kept", True, ("photo",), with_its_old_time(photo(one_bit), by_rename=True)),
    Change("an input of 16 bits", True, ("photo", "note"), as_16_bit),
    Change("an input with its channels swapped", True, ("photo", "note"), photo(lambda p: p[..., ::-1])),
    Change("an input of the same bytes, another shape", True, ("photo",), photo(lambda p: p.reshape(6, 24, 3))),
    Change("an opaque alpha", True, ("photo", "note"), photo(lambda p: np.dstack([p, np.full((12, 12), 255, np.uint8)]))),
    Change("weights", True, ("weighed",), lambda s: (s.folder / "models/net.bin").write_bytes(b"\x02" + bytes(98))),
    Change("a file in a folder", True, ("weighed",), lambda s: (s.folder / "models/parts/a.bin").write_bytes(b"tarp")),
    Change("a new file in a folder", True, ("weighed",), lambda s: (s.folder / "models/parts/b.bin").touch()),
    Change("channel order of the same bytes", True, ("after-tag",), param("tagged", "order", "BGRA")),
    Change("dtype of the same bytes", True, ("after-tag",), param("tagged", "dtype", "float16")),
    Change("colour of the same bytes", True, ("after-tag",), param("tagged", "color", "data")),
    Change("alpha state of the same bytes", True, ("after-tag",), param("tagged", "alpha", "associated")),
    Change("wrap of the same bytes", True, ("after-tag",), param("tagged", "wrap", True)),
    Change("a text of the same bytes", True, ("after-tag",), param("tagged", "meta", "x")),
    Change("another operation", True, ("turned",), lambda s: s.nodes["turned"].update(op="flop")),
    Change("another link", True, ("mixed",), inputs(first="other")),
    Change("inputs swapped", True, ("mixed",), inputs(first="other", second="note")),
    Change("the order of a list of links", True, ("mixed",), inputs(more=["other", "photo"])),
    Change("a link less in a list", True, ("mixed",), inputs(more=["photo"])),
    Change("the format of keys", True, NOTES, lambda s: None, newer_format),
]  # fmt: skip


def as_json(scene: Scene) -> None:
    (scene.folder / scene.file).unlink(missing_ok=True)
    scene.file, scene.text = "project.json", json.dumps(scene.spec)


def written(change: Callable[[str], str]) -> Make:
    """The pipeline file with its text changed."""

    def make(scene: Scene) -> None:
        scene.text = change(yaml.safe_dump(scene.spec, allow_unicode=True, sort_keys=False))

    return make


def turned_round(table: dict[str, Any]) -> dict[str, Any]:
    return dict(reversed(table.items()))


def renamed(scene: Scene) -> None:
    scene.nodes["renamed"] = scene.nodes.pop("mixed")
    scene.nodes["turned"]["inputs"]["image"] = "renamed"


def moved(scene: Scene) -> None:
    target = scene.folder.with_name("elsewhere")
    shutil.rmtree(target, ignore_errors=True)
    os.rename(scene.folder, target)
    scene.folder = target


def moved_cache(scene: Scene) -> None:
    os.rename(scene.folder / "cache", scene.folder / "kept")
    scene.cache = scene.folder / "kept"


def touched(scene: Scene) -> None:
    for path in (scene.folder / "art").iterdir():
        os.utime(path, (1, 1))


def another_name(scene: Scene) -> None:
    os.rename(scene.folder / "art" / "photo.png", scene.folder / "art" / "face.png")
    scene.nodes["photo"]["params"]["path"] = "art/face.png"


def absolute(scene: Scene) -> None:
    scene.nodes["photo"]["params"]["path"] = str(scene.folder / "art" / "photo.png")


def elsewhere(scene: Scene) -> None:
    scene.cwd = scene.folder.parent


def as_pipeline_param(scene: Scene) -> None:
    scene.spec["params"]["seed"] = {"type": "int", "default": 21}
    scene.nodes["note"]["params"]["seed"] = "${seed}"


def another_output(scene: Scene) -> None:
    scene.spec["outputs"]["more"] = {"from": "mixed", "path": "out/more.tif"}


def unused(scene: Scene) -> None:
    scene.nodes["new"] = {"op": "flop", "inputs": {"image": "photo"}}
    scene.spec["outputs"]["new"] = {"from": "new", "path": "out/new.png"}


def as_bmp(scene: Scene) -> None:
    with Pillow.open(scene.folder / "art" / "photo.png") as picture:
        content = io.BytesIO()
        picture.save(content, "bmp")
    (scene.folder / "art" / "photo.png").write_bytes(content.getvalue())


ALL = ("*",)
DOWN = ("mixed", "turned", "weighed", "settled")

HITS = [
    Change("nothing", False, ALL, lambda s: None),
    Change("the order of params", False, ALL, lambda s: s.nodes["note"].update(params=turned_round(s.nodes["note"]["params"]))),
    Change("the order of inputs", False, ALL, lambda s: s.nodes["mixed"].update(inputs=turned_round(s.nodes["mixed"]["inputs"]))),
    Change("the order of nodes", False, ALL, lambda s: s.spec.update(nodes=turned_round(s.nodes))),
    Change("the order of outputs", False, ALL, lambda s: s.spec.update(outputs=turned_round(s.spec["outputs"]))),
    Change("comments", False, ALL, written(lambda text: "# about\n" + text.replace("\n", " # a remark\n", 5))),
    Change("JSON", False, ALL, as_json),
    Change("a node's name", False, ALL, renamed),
    Change("the folder", False, ALL, moved),
    Change("the cache's folder", False, ALL, moved_cache),
    Change("touched inputs", False, ALL, touched),
    Change("an input's name", False, ALL, another_name),
    Change("an absolute path", False, ALL, absolute),
    Change("the working directory", False, ALL, elsewhere),
    Change("the pipeline file's name", False, ALL, lambda s: setattr(s, "file", "other.yaml")),
    Change("one worker", False, ALL, lambda s: s.options.extend(["--jobs", "1"])),
    Change("many workers", False, ALL, lambda s: s.options.extend(["--jobs", "7"])),
    Change("--keep-going, --no-metadata", False, ALL, lambda s: s.options.extend(["--keep-going", "--no-metadata"])),
    Change("a user and a home", False, ALL, lambda s: s.env.update(HOME=str(s.folder / "home"), USER="other")),
    Change("a default written out", False, ALL, param("note", "color", [1, 0, 0, 1])),
    Change("a param for a literal", False, ALL, as_pipeline_param),
    Change("the same value given", False, ALL, lambda s: s.options.extend(["-p", "gain=0.5"])),
    Change("an output's path", False, ALL, lambda s: s.spec["outputs"]["turned"].update(path="new/place.png")),
    Change("an output's format", False, ALL, lambda s: s.spec["outputs"]["turned"].update(path="out/turned.webp")),
    Change("another output", False, ALL, another_output),
    Change("only one output", False, ALL, lambda s: s.options.extend(["--only", "turned"])),
    Change("a sibling branch", False, (*DOWN, "note"), param("tagged", "meta", "y")),
    Change("a new branch", False, (*DOWN, "note", "photo"), unused),
    Change("the same pixels, saved again", False, (*DOWN, "note"), photo(lambda p: p, compress_level=9)),
    Change("code that gives the same", False, ("turned", "after-tag"), edit(TONE, "array * 0.5", "0.5 * array")),
    Change("a plugin's read-me", False, ALL, lambda s: (s.folder / "plugins/soak_project/README.md").write_text("new")),
]  # fmt: skip

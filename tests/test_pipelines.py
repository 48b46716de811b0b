"""Every file in pipelines/ runs as it is and gives the pictures it promises."""

from __future__ import annotations

import importlib.util
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pipeline_core
from pipeline_core.api import load, run_graph

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "pipelines"
FILES = sorted(path.name for suffix in ("*.yaml", "*.json") for path in FOLDER.glob(suffix))

SIZES: dict[str, dict[str, tuple[int, int] | None]] = {
    "01-load-resize-save.yaml": {"01-small.jpg": (300, 200)},
    "02-merge-and-masks.yaml": {"02-eyes.png": (451, 300), "02-mask.png": (451, 300)},
    "03-params-and-references.json": {"03-cat-450.png": (450, 299)},
    "03-params-and-references.yaml": {"03-cat-450.png": (450, 299)},
    "04-several-outputs.yaml": {
        "04-cup.png": (600, 400), "04-matte.png": (600, 400), "04-thumb.webp": (144, 96), "04-turned.png": (695, 566),
    },
    "05-generated-backgrounds.yaml": {"05-card.png": (640, 400), "05-preview.png": (300, 300)},
    "character-card.yaml": {
        "character-card.png": (768, 1024), "character-card.tga": (768, 1024), "character-card.dds": (768, 1024),
        "character-figure.png": (768, 1024), "character-thumb.webp": (192, 256),
    },
    "restore-photo.yaml": {
        "restore-damaged.png": (420, 280), "restore-restored.png": (840, 560), "restore-both.jpg": (1688, 560),
    },
    "06-find-and-cut-out.yaml": {
        "06-found.png": (320, 200), "06-cut-out.png": (320, 200), "06-preview.png": (320, 200),
    },
    "07-digits-from-noise.yaml": {
        "07-digits.png": (298, 118), "07-between.png": (298, 28), "07-made.png": (298, 28), "07-judged.csv": None,
    },
    "08-train-on-labels.yaml": {
        "08-made.png": (298, 178), "08-course.png": (456, 280), "08-losses.csv": None, "08-model.safetensors": None,
    },
    "enlarge.yaml": {"enlarge.jpg": (972, 486)},
    "seamless-texture.yaml": {
        "texture.json": None, "texture-preview.png": (1024, 1024), "texture-seams.csv": None,
    },
    "layered-artwork.yaml": {
        "artwork-poster.png": (480, 640), "artwork-both.png": (960, 640), "artwork-figure.png": (355, 355),
        "artwork-layers.png": (1212, 643), "artwork-layers.csv": None, "artwork-measured.csv": None,
    },
    "relight-render.yaml": {
        "render-shown.png": (480, 270), "render-both.png": (480, 544), "render-relit.exr": (480, 270),
    },
    "restore-scan.yaml": {"scan-restored.tif": (502, 390), "scan-dust.png": (502, 390), "scan-all.jpg": (1518, 390)},
    "launch-poster.yaml": {
        "launch-poster.png": (1200, 800), "launch-poster-600.jpg": (600, 400), "launch-poster-240.webp": (240, 160),
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of pipelines/ with its photographs, so that pictures are written nowhere else."""
    if importlib.util.find_spec("skimage") is None:
        pytest.skip("the photographs come out of scikit-image, which is not installed")
    copy = tmp_path_factory.mktemp("pipelines")
    for name in (*FILES, "photos.py", "files.py"):
        shutil.copyfile(FOLDER / name, copy / name)
    runpy.run_path(str(copy / "photos.py"))["copy_photos"](copy / "photos")
    if importlib.util.find_spec("psd_tools") is None:
        pytest.skip("the Photoshop file is written by psd-tools, which is not installed")
    runpy.run_path(str(copy / "files.py"))["make_files"](copy / "files")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield copy


def test_every_pipeline_is_listed_here() -> None:
    assert sorted(SIZES) == FILES


def test_every_photograph_says_where_it_comes_from(folder: Path) -> None:
    notes = (folder / "photos" / "SOURCES.txt").read_text().splitlines()
    pictures = {path.name for path in (folder / "photos").iterdir()} - {"SOURCES.txt"}
    assert {note.partition(":")[0] for note in notes} == pictures
    assert all(any(terms in note for terms in ("Public domain", "CC0", "CC BY 4.0")) for note in notes)


@pytest.mark.parametrize("name", FILES)
def test_runs_and_saves_what_it_promises(folder: Path, name: str) -> None:
    from pipeline_io.load import load_image

    result = run_graph(load(folder / name), save=True, device="cpu", cache=False)
    assert {path.name for path in result.saved.values()} == set(SIZES[name])
    for path in result.saved.values():
        if SIZES[name][path.name] is None:
            assert path.read_bytes().count(b"\n") > 1 or path.suffix == ".safetensors"
            continue
        picture = load_image(path=path)
        assert picture.size == SIZES[name][path.name]
        assert picture.array.std() > 0.04, "a flat picture"


@pytest.mark.parametrize("name", FILES)
def test_is_good_before_it_runs(folder: Path, name: str) -> None:
    assert pipeline_core.check(folder / name, deep=True) == []


@pytest.mark.parametrize("name", FILES)
def test_reads_no_path_but_its_own_files_and_writes_to_out(folder: Path, name: str) -> None:
    graph = load(folder / name)
    assert all(target.path is not None and target.path.parent == folder / "out" for target in graph.targets.values())
    read = [value for node in graph.nodes.values() for value in node.params.values() if isinstance(value, Path)]
    assert all(path.parent in (folder / "photos", folder / "files") for path in read)


def test_yaml_and_json_are_the_same_pipeline(folder: Path) -> None:
    names = [name for name in FILES if name.endswith(".json")]
    assert names
    for name in names:
        twin = folder / name.replace(".json", ".yaml")
        keys = [[step.key for step in pipeline_core.plan(path).steps] for path in (folder / name, twin)]
        assert keys[0] == keys[1]
        values = [pipeline_core.run(path, device="cpu", cache=False) for path in (folder / name, twin)]
        assert values[0].keys() == values[1].keys()
        for output, value in values[0].items():
            assert np.array_equal(value.array, values[1][output].array)


def test_only_runs_no_more_than_the_output_needs(folder: Path) -> None:
    steps = pipeline_core.plan(folder / "04-several-outputs.yaml", only=["matte"]).steps
    assert [step.name for step in steps] == ["photo", "cut", "matte.png"]


def test_the_poster_shows_the_figure_the_rocket_and_the_night(folder: Path) -> None:
    """Where things are in the picture: an orange suit, a blue night that is darker above, a bright rocket."""
    poster = pipeline_core.run(folder / "launch-poster.yaml", only=["medium"], device="cpu", cache=False)[
        "medium"
    ].array[0]
    suit = poster[270:330, 60:90].mean((0, 1))
    sky, below = poster[5:40, 400:440].mean((0, 1)), poster[240:280, 400:440].mean((0, 1))
    rocket = poster[150:280, 335:350].mean((0, 1))
    assert suit[0] > 2 * suit[2]
    assert sky[2] > 1.5 * sky[0]
    assert sky.mean() < below.mean() < rocket.mean()


def test_the_layers_of_the_artwork_give_its_own_picture(folder: Path) -> None:
    """Within 3/255 of what the program that wrote the file made of its ten layers."""
    values = pipeline_core.run(
        folder / "layered-artwork.yaml", only=["poster", "measured", "table"], device="cpu", cache=False
    )
    measured = dict(zip(values["measured"].columns, values["measured"].rows[0], strict=True))
    assert measured["channel"] == "all"
    assert measured["max"] <= 3 / 255
    assert len(values["table"].rows) == 11, "ten layers and a group"
    assert values["poster"].array.std() > 0.2


def test_the_render_is_relit_and_keeps_its_layers(folder: Path) -> None:
    from pipeline_io import load_exr_layers

    kept = pipeline_core.run(folder / "relight-render.yaml", only=["kept"], save=True, device="cpu", cache=False)[
        "kept"
    ]
    before = load_exr_layers(path=folder / "files" / "render.exr")
    saved = load_exr_layers(path=folder / "out" / "render-relit.exr")
    assert set(saved.channels) == set(kept.channels)
    assert {"R", "A", "Z", "N.X", "albedo.B"} <= set(saved.channels)

    def at(image: pipeline_core.Image, name: str, x: int, y: int) -> float:
        return float(image.array[0, y, x, image.index(name)])

    assert at(saved, "B", 385, 160) > at(before, "B", 385, 160) + 0.3, "the blue ball is lit from the right"
    assert at(saved, "R", 265, 200) > 2.5 * at(before, "R", 265, 200), "the lamp is turned up"
    assert at(saved, "Z", 265, 140) < at(before, "Z", 265, 140) - 1, "the visitor is before the white ball"
    assert at(saved, "R", 100, 140) == pytest.approx(at(before, "R", 100, 140), abs=0.01), (
        "the red one is lit as before"
    )


def test_the_scan_is_freed_of_dust_and_stays_in_16_bits(folder: Path) -> None:
    from pipeline_io import load_image

    values = pipeline_core.run(folder / "restore-scan.yaml", save=True, device="cpu", cache=False)
    restored = load_image(path=folder / "out" / "scan-restored.tif")
    assert restored.dtype == "uint16"
    wall = restored.array[0, 10:200, 315:360]  # beside the head nothing is bright, and nothing is in focus
    assert np.abs(np.diff(wall, axis=1)).max() < 0.2, "no speck is left"
    assert 0.002 < values["dust"].array.mean() < 0.06
    low, high = np.percentile(restored.array, [1, 99])
    assert low < 0.08
    assert high > 0.9


def test_the_material_lies_beside_its_list(folder: Path) -> None:
    import json

    from pipeline_io import load_image

    pipeline_core.run(
        folder / "seamless-texture.yaml", only=["material", "seams"], save=True, device="cpu", cache=False
    )
    seams = (folder / "out" / "texture-seams.csv").read_text().splitlines()[1:]
    assert all(float(row.split(",")[3]) <= 1.1 for row in seams)
    listed = json.loads((folder / "out" / "texture.json").read_text())["images"]
    assert [entry["name"] for entry in listed] == ["base_color", "normal", "orm", "height"]
    assert [entry["srgb"] for entry in listed] == [True, False, False, False]
    for entry in listed:
        (name,) = entry["files"]
        picture = load_image(path=folder / "out" / f"texture{name}")
        assert picture.size == (1024, 1024)
        assert picture.dtype == ("uint16" if entry["name"] == "height" else "uint8")
        assert picture.array.std() > 0.02

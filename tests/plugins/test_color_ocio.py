"""OpenColorIO's spaces, looks and views: held to our own conversions and to the library's tables."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import PyOpenColorIO
import pytest
from pipeline_color import color_convert, display_transform, ocio_convert, ocio_look
from pipeline_io import encode_image, load_image

from pipeline_core import Image, OperationError

CONFIG = """ocio_profile_version: 2
environment: {SHOT: root}
search_path: tables
roles: {scene_linear: lin, default: lin}
displays:
  screen:
    - !<View> {name: graded, colorspace: tabled}
    - !<View> {name: root, colorspace: root}
looks:
  - !<Look> {name: warm, process_space: lin, transform: !<MatrixTransform> {matrix: [2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]}}
colorspaces:
  - !<ColorSpace> {name: lin, aliases: [lin_rec709_scene]}
  - !<ColorSpace> {name: root, from_scene_reference: !<ExponentTransform> {value: [0.5, 0.5, 0.5, 1]}}
  - !<ColorSpace> {name: shot, from_scene_reference: !<ColorSpaceTransform> {src: lin, dst: $SHOT}}
  - !<ColorSpace> {name: tabled, from_scene_reference: !<FileTransform> {src: half.cube}}
"""


def light(*values: float, channels: str = "RGB", alpha: str = "none", color: str = "lin_rec709_scene") -> Image:
    pixels = np.array(values, np.float32).reshape(1, 1, -1, len(channels))
    return Image(pixels, channels=tuple(channels), alpha=alpha, color=color)  # type: ignore[arg-type]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/half.cube").write_text("LUT_1D_SIZE 2\n0 0 0\n0.5 0.5 0.5\n")
    path = tmp_path / "studio.ocio"
    path.write_text(CONFIG)
    return path


def test_the_same_spaces_as_ours() -> None:
    source = Image(np.random.default_rng(1).random((1, 9, 7, 3), np.float32) * 2, color="lin_rec709_scene")
    for to in ("lin_ap1_scene", "srgb_rec709_scene", "lin_rec2020_scene", "g22_adobergb_scene"):
        theirs, ours = ocio_convert(source, to=to), color_convert(source, to=to)  # type: ignore[arg-type]
        assert theirs.color == to
        assert np.abs(theirs.array - ours.array).max() < 3e-5


def test_a_role_a_log_and_back() -> None:
    source = light(0.18, 0.5, 4.0)
    log = ocio_convert(source, to="compositing_log")
    assert log.color == "ocio:acescct_ap1_scene"
    assert np.allclose(ocio_convert(log, to="lin_rec709_scene").array, source.array, rtol=1e-4)
    gray = ocio_convert(light(0.18, 0.18, 0.18), to="ACEScct").array
    assert np.allclose(gray, (np.log2(0.18) + 9.72) / 17.52, atol=1e-5)  # Academy S-2016-001, equation 6


def test_gray_18_percent_as_aces_shows_it_on_srgb() -> None:
    shown = display_transform(light(0.18, 0.18, 0.18))
    assert shown.color == "srgb_rec709_display"
    # ACES 2.0 puts it at 10 nits of 100 (A. Forsythe et al., ACES 2 technical documentation, "Tonescale").
    linear = color_convert(shown.with_buffer(shown.buffer, color="srgb_rec709_scene"), to="lin_rec709_scene").array
    assert np.allclose(linear, 0.1, atol=2e-3)
    assert display_transform(light(1e4, 1e4, 1e4)).array.max() <= 1 + 1e-5


def test_what_a_display_shows_is_saved_and_named(tmp_path: Path) -> None:
    shown = display_transform(light(*np.linspace(0, 2, 30)))
    (tmp_path / "shown.png").write_bytes(encode_image(shown, format="png").content)
    back = load_image(path=tmp_path / "shown.png")
    assert back.color == "srgb_rec709_display"
    assert np.abs(back.array - shown.array).max() <= 0.5 / 255 + 1e-6


def test_alpha_is_divided_out() -> None:
    straight = light(0.4, 0.2, 0.1, 0.25, channels="RGBA", alpha="straight")
    shown = [display_transform(image) for image in (straight, straight.associate())]
    assert (shown[0].alpha, shown[1].alpha) == ("straight", "associated")
    assert np.allclose(shown[0].associate().array, shown[1].array, atol=1e-6)


def test_looks_of_a_studio_and_back(config: Path) -> None:
    source = light(0.2, 0.3, 0.4)
    warm = ocio_look(source, look="warm", config=config)
    assert warm.color == source.color
    assert np.allclose(warm.array.ravel(), [0.4, 0.3, 0.4])
    assert np.allclose(ocio_look(warm, look="-warm", config=config).array, source.array)
    assert np.allclose(display_transform(source, display="screen", view="root", config=config).array ** 2, source.array)
    assert ocio_convert(source, to="root", config=config).color == "unknown"


def test_the_environment_changes_nothing(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = light(0.2, 0.3, 0.4)
    found = [ocio_convert(source, to="shot", config=config).array]
    monkeypatch.setenv("SHOT", "lin")
    found.append(ocio_convert(source, to="shot", config=config).array)
    assert np.allclose(np.square(found), source.array)


def test_files_beside_a_config_are_refused_and_taken_in_an_archive(config: Path) -> None:
    source = light(0.2, 0.4, 1.0)
    with pytest.raises(OperationError, match=r"studio.ocio uses other files \(half.cube\): pack them"):
        ocio_convert(source, to="tabled", config=config)
    packed = config.with_suffix(".ocioz")
    PyOpenColorIO.Config.CreateFromFile(str(config)).archive(str(packed))
    assert np.allclose(ocio_convert(source, to="tabled", config=packed).array.ravel(), [0.1, 0.2, 0.5])


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda image: ocio_convert(image, to="ACEScgg"), "no colour space 'ACEScgg': it has ACEScg"),
        (lambda image: ocio_convert(image, to="Raw"), "'Raw' is data"),
        (lambda image: ocio_convert(light(1, 1, 1, color="data"), to="ACEScg"), "'data' is data"),
        (lambda image: ocio_convert(light(1, 1, 1, color="unknown"), to="ACEScg"), "or give 'source'"),
        (lambda image: ocio_convert(light(1, channels="Y"), to="ACEScg"), "to_rgb makes them"),
        (lambda image: ocio_look(image, look="cold"), "no look 'cold'"),
        (lambda image: display_transform(image, display="wall"), "no display 'wall'"),
        (lambda image: display_transform(image, view="Film"), "no view of 'sRGB - Display' 'Film'"),
        (lambda image: ocio_convert(image, to="lin", config=Path(__file__)), "is no OpenColorIO config"),
    ],
)
def test_refused(ask: object, words: str) -> None:
    with pytest.raises(OperationError, match=words):
        ask(light(0.5, 0.5, 0.5))  # type: ignore[operator]


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PyOpenColorIO", None)
    with pytest.raises(OperationError, match=r"pip install 'pipeline-core\[color\]'"):
        ocio_look(light(1, 1, 1), look="warm", config=Path(__file__))

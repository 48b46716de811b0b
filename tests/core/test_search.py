"""`ops --search`: names of other programs, however they are written, find what does it here; nothing else is claimed."""

from __future__ import annotations

import pytest

from pipeline_core.errors import PluginError
from pipeline_core.plugins import Catalogue, catalogue
from pipeline_core.search import search, words


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return catalogue(tmp_path_factory.mktemp("catalogue"))


@pytest.mark.parametrize("text", ["ImageScaleBy", "image_scale_by", "image-scale by", "IMAGE Scale/by"])
def test_however_a_name_is_put_together_its_words_count(text: str) -> None:
    assert words(text) == ["image", "scale", "by"]


def test_digits_acronyms_and_spellings() -> None:
    assert words("CornerPin2D") == words("corner_pin_2_d") == ["corner", "pin", "2", "d"]
    assert words("OCIODisplay ZMerge") == ["ocio", "display", "z", "merge"]
    assert words("colour GreyCentre") == ["color", "gray", "center"]


KNOWN = """
nuke: CornerPin2D corner_pin, ZMerge z_merge, Premult premultiply, Unpremult unpremultiply, Shuffle shuffle, Copy shuffle,
      Reformat resize, Transform affine, Dissolve mix, Keymix keymix, ColorLookup curves, Saturation saturation, Grade grade,
      Keyer luma_key, STMap st_map, DeepMerge deep_merge, ZDefocus z_defocus, Position translate, MatchGrade match_histogram,
      EXPTool exposure, CheckerBoard2 checkerboard, Text2 text, FilterErode erode, AddBorder pad, LensDistortion lens_distort
natron: ChromaKeyer chroma_key, Difference difference_key
oiiotool: zover z_merge, absdiff channel_math, maxchan channel_math, minchan channel_math, fixnan fix_nan, cshift offset,
      chappend combine_channels, unpremult unpremultiply, idiff compare, maketx mip_level, saturate saturation, cut crop
gimp: unsharp-mask unsharp_mask, autocrop trim, "bucket fill" flood_fill, "fuzzy select" flood_mask, despeckle median,
      "non local means" denoise, flatten-image flatten
comfyui: ImageScale resize, ImageScaleBy resize, GrowMask grow_mask, FeatherMask feather_mask, InvertMask invert_mask,
      ImageCompositeMasked merge, LoadImageMask load_mask, MaskToImage combine_channels, ImageToMask mask_from_channel,
      SplitImageWithAlpha split_alpha, JoinImageWithAlpha set_alpha, ImageBlur blur, ImageSharpen unsharp_mask,
      ImageUpscaleWithModel super_resolve, SaveImage encode_image, EmptyImage constant, ImageQuantize quantize
photoshop: levels levels, "motion blur" directional_blur, "magic wand" flood_mask, "content-aware fill" inpaint,
      "layer mask" set_alpha, "free transform" affine, "image size" resize, posterize posterize
"""


def pairs() -> list[tuple[str, str]]:
    found = []
    for entry in KNOWN.replace("\n", " ").split(","):
        text = entry.rpartition(":")[2].strip()
        name, _, operation = text.rpartition(" ")
        found.append((name.strip('"'), operation))
    return found


@pytest.mark.parametrize(("name", "operation"), pairs())
def test_names_of_other_programs_come_first(offered: Catalogue, name: str, operation: str) -> None:
    found = search(offered, name)
    assert found, f"nothing is found for {name}"
    assert operation in [one.operation.name for one in found[:2]]


@pytest.mark.parametrize(
    "name", ["HueCorrect", "VectorBlur", "Roto paint clone", "OpticalFlow", "ParticleEmitter", "Tracker4"]
)
def test_what_is_not_there_is_not_claimed(offered: Catalogue, name: str) -> None:
    exact = {one.operation.name for one in search(offered, name) if "".join(words(one.alias)) == "".join(words(name))}
    assert exact == set()


def test_the_best_comes_first(offered: Catalogue) -> None:
    names = [one.operation.name for one in search(offered, "blur")]
    assert names[:2] == ["blur", "directional_blur"]
    assert names.index("defocus") < names.index("high_pass"), "an alias before a word of the summary"
    assert [one.alias for one in search(offered, "lens-blur")][:2] == ["lens_blur", "lens_blur"]


def test_an_alias_is_a_name_of_few_things_and_of_no_other_operation(offered: Catalogue) -> None:
    owners: dict[str, set[str]] = {}
    for operation in offered:
        for alias in operation.aliases:
            owners.setdefault("".join(words(alias)), set()).add(operation.name)
    assert {alias: names for alias, names in owners.items() if len(names) > 2} == {}
    own = {"".join(words(operation.name)): operation.name for operation in offered}
    assert {alias: names for alias, names in owners.items() if alias in own and names != {own[alias]}} == {}


def test_a_file_with_a_name_of_another_program_is_told_ours(offered: Catalogue) -> None:
    with pytest.raises(PluginError, match=r"unknown operation 'CornerPin2D'\. It is called 'corner_pin' here"):
        offered.find("CornerPin2D")

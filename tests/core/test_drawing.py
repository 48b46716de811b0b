"""Pictures of a graph: everything is on them, nothing covers anything, and no text can break them."""

from __future__ import annotations

import io
import itertools
import os
import random
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline_core.cli.drawing import SUFFIXES, Arrow, Box, Role, Sheet, dot, draw, mermaid, png, svg
from pipeline_core.cli.drawing.layout import Card, Curve, Layout, lay_out
from pipeline_core.cli.drawing.lettering import shorten, width
from pipeline_core.cli.drawing.style import ACCENTS, LIGHT

SVG = "{http://www.w3.org/2000/svg}"

CARD = Sheet(
    "card.yaml",
    (
        Box("hero", "load_image", ("1280x853 RGBA uint8",), "source", "pipeline_io"),
        Box("ground", "gradient", ("512x512 RGB float32",), "source", "pipeline_draw"),
        Box("small", "resize", ("512x341 RGBA float32", "filter: lanczos"), "step", "pipeline_transform"),
        Box("card", "merge", ("512x512 RGB float32",), "step", "pipeline_compose"),
        Box("card", "out/card.png", ("512x512 RGB float32",), "output", id="output card"),
        Box("spare", "blur", (), "unused", "pipeline_filter"),
    ),
    (
        Arrow("hero", "small", "image"),
        Arrow("ground", "card", "base"),
        Arrow("small", "card", "top"),
        Arrow("card", "output card"),
    ),
)
TWICE = Sheet("", (Box("a"), Box("b")), (Arrow("a", "b", "base"), Arrow("a", "b", "top")))


@st.composite
def sheets(draw: st.DrawFn) -> Sheet:
    count = draw(st.integers(1, 16))
    roles: st.SearchStrategy[Role] = st.sampled_from(["source", "step", "output", "unused"])
    boxes = tuple(
        Box(f"n{number}" * draw(st.integers(1, 12)), "blur", ("64x64 RGB",) * draw(st.integers(0, 3)), draw(roles))
        for number in range(count)
    )
    pairs = list(itertools.combinations([box.id for box in boxes], 2))
    links = draw(st.lists(st.sampled_from(pairs), max_size=30)) if pairs else []
    return Sheet("random", boxes, tuple(Arrow(*link, draw(st.sampled_from(["", "image"]))) for link in links))


def points_along(curve: Curve) -> list[tuple[float, float]]:
    """The curve sampled, from start to tip, by the Bernstein form of its pieces."""
    points = [curve.start]
    for first, second, end in curve.pieces:
        begin = points[-1]
        for t in (0.1, 0.25, 0.5, 0.75, 0.9, 1.0):
            shares = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            corners = (begin, first, second, end)
            x, y = (sum(share * corner[axis] for share, corner in zip(shares, corners, strict=True)) for axis in (0, 1))
            points.append((x, y))
    return [*points, curve.tip]


def card_of(layout: Layout, name: str) -> Card:
    return next(card for card in layout.cards if card.box.id == name)


@given(sheets())
@settings(max_examples=60, deadline=None)
def test_every_box_and_arrow_is_placed_and_no_two_cards_touch(sheet: Sheet) -> None:
    layout = lay_out(sheet)
    assert {card.box for card in layout.cards} == set(sheet.boxes)
    assert Counter(curve.arrow for curve in layout.curves) == Counter(sheet.arrows)
    for card in layout.cards:
        assert card.x >= 0
        assert card.y >= 0
        assert card.x + card.width <= layout.width
        assert card.y + card.height <= layout.height
    for one, other in itertools.combinations(layout.cards, 2):
        apart = (
            one.x + one.width + 10 <= other.x
            or other.x + other.width + 10 <= one.x
            or one.y + one.height + 10 <= other.y
            or other.y + other.height + 10 <= one.y
        )
        assert apart, (one, other)


@given(sheets())
@settings(max_examples=60, deadline=None)
def test_arrows_join_their_cards_and_pass_over_no_other(sheet: Sheet) -> None:
    layout = lay_out(sheet)
    for curve in layout.curves:
        source, target = card_of(layout, curve.arrow.source), card_of(layout, curve.arrow.target)
        assert curve.start == pytest.approx((source.x + source.width, source.y + source.height / 2))
        assert curve.tip[0] == pytest.approx(target.x)
        assert target.y < curve.tip[1] < target.y + target.height
        for x, y in points_along(curve):
            for card in layout.cards:
                inside_x = card.x + 0.1 < x < card.x + card.width - 0.1
                assert not (inside_x and card.y - 1 < y < card.y + card.height + 1), (curve, card)


def test_parallel_arrows_end_apart_with_their_own_labels() -> None:
    curves = lay_out(TWICE).curves
    assert [curve.label.text for curve in curves if curve.label] == ["base", "top"]
    assert abs(curves[0].tip[1] - curves[1].tip[1]) >= 12


def test_a_chain_is_one_straight_line_and_a_fan_is_centred() -> None:
    chain = lay_out(
        Sheet(
            "",
            tuple(Box(f"n{i}", detail=("x",) * (i % 3)) for i in range(9)),
            tuple(Arrow(f"n{i}", f"n{i + 1}") for i in range(8)),
        )
    )
    heights = [y for curve in chain.curves for _, y in points_along(curve)]
    assert heights == pytest.approx([heights[0]] * len(heights))
    fan = lay_out(Sheet("", tuple(Box(f"n{i}") for i in range(8)), tuple(Arrow("n0", f"n{i}") for i in range(1, 8))))
    middles = sorted(card.y + card.height / 2 for card in fan.cards if card.box.id != "n0")
    assert card_of(fan, "n0").y + card_of(fan, "n0").height / 2 == pytest.approx(middles[3], abs=1)


def test_strands_named_in_a_muddle_do_not_cross() -> None:
    strands = range(6)
    boxes = [Box(f"{strand}{column}") for strand in strands for column in "abcd"]
    random.Random(7).shuffle(boxes)
    arrows = [Arrow(f"{s}{one}", f"{s}{two}") for s in strands for one, two in itertools.pairwise("abcd")]
    arrows += [Arrow("0a", f"{s}b") for s in strands]  # ties the strands into one part
    layout = lay_out(Sheet("", tuple(boxes), tuple(arrows)))
    for strand in strands:
        cards = [card_of(layout, f"{strand}{column}") for column in "bcd"]
        assert len({round(card.y + card.height / 2, 3) for card in cards}) == 1


def test_a_long_edge_is_straight_between_its_ends() -> None:
    names = "abcdef"
    arrows = [Arrow(one, two) for one, two in itertools.pairwise(names)] + [Arrow("a", "f", "far")]
    layout = lay_out(Sheet("", tuple(Box(name) for name in names), tuple(arrows)))
    far = next(curve for curve in layout.curves if curve.arrow.label == "far")
    bends = {round(end[1], 3) for _, _, end in far.pieces[:-2]}
    assert len(bends) == 1


def test_the_svg_holds_every_name_operation_size_and_label() -> None:
    root = ET.fromstring(svg(CARD))
    texts = {text.text for text in root.iter(f"{SVG}text")}
    assert {box.name for box in CARD.boxes} <= texts
    assert {box.title for box in CARD.boxes} <= texts
    assert {line for box in CARD.boxes for line in box.detail} <= texts
    assert {"image", "base", "top", "card.yaml", "pipeline_io", "unused"} <= texts
    classes = [group.get("class") for group in root.iter(f"{SVG}g") if group.get("class")]
    assert sorted(map(str, classes)) == sorted(f"box {box.role}" for box in CARD.boxes)
    links = [(group.get("data-from"), group.get("data-to")) for group in root.iter(f"{SVG}g") if group.get("data-from")]
    assert sorted(links) == sorted((arrow.source, arrow.target) for arrow in CARD.arrows)


def test_the_svg_follows_light_and_dark_and_fetches_nothing() -> None:
    text = svg(CARD)
    assert "@media (prefers-color-scheme:dark)" in text
    assert "<script" not in text
    assert "url(" not in text
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]


def test_plugins_differ_in_colour_and_an_unused_node_has_none() -> None:
    text = svg(CARD)
    assert sum(colour in text for colour in ACCENTS) == 4
    assert "pipeline_filter" not in {node.text for node in ET.fromstring(text).iter(f"{SVG}text")}


any_text = st.text(st.characters(exclude_categories=()), max_size=40)


@given(any_text, any_text, any_text, any_text)
@settings(max_examples=80, deadline=None)
def test_no_text_can_break_the_svg(name: str, title: str, label: str, plugin: str) -> None:
    sheet = Sheet(
        title, (Box(name, title, (label,), plugin=plugin, id="a"), Box(label, id="b")), (Arrow("a", "b", label),)
    )
    root = ET.fromstring(svg(sheet).encode())
    assert len(list(root.iter(f"{SVG}g"))) == 3


@given(any_text, any_text, any_text)
@settings(max_examples=80, deadline=None)
def test_no_text_can_break_the_text_forms(name: str, title: str, label: str) -> None:
    sheet = Sheet(title, (Box(name, title, (label,), id="a"), Box("b")), (Arrow("a", "b", label),))
    body = mermaid(sheet).split("flowchart LR\n")[-1].splitlines()
    assert len(body) == 3
    assert re.fullmatch(r'  n0\["<b>[^"<>&|`\[\]{}()]*</b>(<br/>[^"<>&|`\[\]{}()]*)*"\]', body[0])
    assert re.fullmatch(r'  n0 -->(\|"[^"<>&|`\[\]{}()]+"\|)? n1', body[2])
    graph = dot(sheet)
    assert len(graph.splitlines()) == 8
    assert graph.encode()
    edge = graph.splitlines()[6]
    assert re.fullmatch(r'  n0 -> n1( \[label="([^"\\]|\\\\|\\")*"\])?', edge)
    ET.fromstring("<p>" + re.findall(r"label=<(.*)>, color", graph.splitlines()[4])[0] + "</p>")


def test_text_forms_show_parallel_links_and_roles() -> None:
    assert [line for line in mermaid(TWICE).splitlines() if "-->" in line] == [
        '  n0 -->|"base"| n1',
        '  n0 -->|"top"| n1',
    ]
    assert dot(TWICE).count("n0 -> n1") == 2
    chart = mermaid(CARD)
    assert 'n4(["<b>card</b><br/>out#47;card#46;png<br/>512x512 RGB float32"])' in chart
    assert "class n5 unused" in chart
    assert 'title: "card.yaml"' in chart
    assert "<b>hero</b><br/>load_image<br/>1280x853 RGBA uint8" in dot(CARD)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 3.0])
def test_the_png_has_the_layouts_size_and_colours(scale: float) -> None:
    layout = lay_out(CARD)
    with Image.open(io.BytesIO(png(CARD, scale))) as picture:
        assert picture.format == "PNG"
        assert picture.size == (round(layout.width * scale), round(layout.height * scale))
        assert picture.getpixel((1, 1)) == tuple(bytes.fromhex(LIGHT.page[1:]))
        output = card_of(layout, "output card")
        inside = (round((output.x + output.width - 8) * scale), round((output.y + output.height / 2) * scale))
        assert picture.getpixel(inside) == tuple(bytes.fromhex(LIGHT.output[1:]))


def test_the_png_writes_the_names() -> None:
    def ink(name: str) -> int:
        with Image.open(io.BytesIO(png(Sheet("", (Box(name),), ())))) as picture:
            return sum(picture.convert("L").histogram()[:100])

    assert ink("a") > 0
    assert ink("mmmm") > 3 * ink("m") * 0.9
    assert ink("größe") > ink("gre")


def test_a_huge_png_is_scaled_down() -> None:
    sheet = Sheet("", tuple(Box(f"n{i}") for i in range(300)), tuple(Arrow("n0", f"n{i}") for i in range(1, 300)))
    with Image.open(io.BytesIO(png(sheet, scale=8))) as picture:
        assert picture.width * picture.height == pytest.approx(16_000_000, rel=0.01)


def test_two_thousand_boxes_take_seconds_and_no_recursion() -> None:
    count = 2000
    boxes = tuple(Box(f"n{number}", "blur", ("512x512 RGB",)) for number in range(count))
    chain = tuple(Arrow(f"n{number}", f"n{number + 1}", "image") for number in range(count - 1))
    skips = tuple(
        Arrow(f"n{number}", f"n{(number * 7919 + 13) % (count - number - 1) + number + 1}")
        for number in range(count - 1)
    )
    for arrows in (chain, skips, chain + skips, ()):
        started = time.perf_counter()
        layout = lay_out(Sheet("many", boxes, arrows))
        assert time.perf_counter() - started < 60  # seconds when quiet are two; a quadratic way takes minutes
        assert len(layout.cards) == count
        assert len(layout.curves) == len(arrows)


def test_the_same_sheet_gives_the_same_bytes_in_every_process_without_torch_or_numpy() -> None:
    program = (
        "import sys, hashlib\n"
        "from pipeline_core.cli.drawing import *\n"
        "boxes = tuple(Box(f'n{i}', 'op', ('1x1',), plugin=f'p{i % 4}') for i in range(12))\n"
        "arrows = tuple(Arrow(f'n{i}', f'n{j}', 'x') for i in range(12) for j in range(i + 1, 12) if (i * j) % 5 == 1)\n"
        "sheet = Sheet('t', boxes, arrows)\n"
        "text = [draw(sheet, suffix) for suffix in ('.svg', '.mmd', '.dot')]\n"
        "assert 'PIL' not in sys.modules\n"
        "print(hashlib.sha256(b''.join([*text, draw(sheet, '.png')])).hexdigest())\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_draw_goes_by_the_suffix() -> None:
    starts = {".svg": b"<svg", ".png": b"\x89PNG", ".mmd": b"---\ntitle", ".dot": b"digraph"}
    assert {suffix: draw(CARD, suffix)[: len(start)] for suffix, start in starts.items()} == starts
    assert set(starts) == set(SUFFIXES)
    assert draw(CARD, ".SVG") == draw(CARD, ".svg")
    with pytest.raises(ValueError, match=r"\.svg, \.png, \.mmd, \.dot \(got '\.gif'\)"):
        draw(CARD, ".gif")


def test_an_empty_sheet_can_be_drawn() -> None:
    for suffix in SUFFIXES:
        assert draw(Sheet("nothing yet", (), ()), suffix)


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(ValueError, match="two boxes have the id 'a'"):
        Sheet("", (Box("a"), Box("a")), ())
    with pytest.raises(ValueError, match="names the box 'b'"):
        Sheet("", (Box("a"),), (Arrow("a", "b"),))
    with pytest.raises(ValueError, match="loop"):
        svg(Sheet("", (Box("a"), Box("b")), (Arrow("a", "b"), Arrow("b", "a"))))


def test_long_names_keep_both_ends_and_fit() -> None:
    short = shorten("plate_" * 20 + "v002", "name", 200)
    assert short.startswith("plate_")
    assert short.endswith("v002")
    assert width(short, "name") <= 200
    assert shorten("plate", "name", 200) == "plate"
    assert "plate_" * 20 in svg(Sheet("", (Box("plate_" * 20),), ()))  # whole in the tooltip

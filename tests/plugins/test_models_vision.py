"""What is in a picture: the bundled networks on scenes they have not seen, and networks from elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pipeline_models import networks
from pipeline_models.load import load_model
from pipeline_models.networks import build
from pipeline_models.vision import classify, detect, segment, segment_classes
from pipeline_models.vision.boxes import overlap, suppressed
from pipeline_models.vision.reading import Reading
from torch import nn

from pipeline_core import Image, Model, OperationError, Table
from training.scenes import LABELS, scene

UNSEEN = range(2_000_000, 2_000_008)


def picture(pixels: Any, **fields: Any) -> Image:
    return Image(np.asarray(pixels)[None] if np.ndim(pixels) == 3 else np.asarray(pixels), **fields)


def pictures() -> Image:
    return picture(np.stack([scene(seed).pixels for seed in UNSEEN]))


def column(table: Table, name: str) -> list[Any]:
    return [row[table.columns.index(name)] for row in table.rows]


class Answers(nn.Module):
    """A network that answers with what it was made with, and remembers what it saw."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer
        self.seen: list[torch.Tensor] = []

    def forward(self, pixels: torch.Tensor) -> Any:
        self.seen.append(pixels)
        return self.answer(pixels) if callable(self.answer) else self.answer


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a model of a network from elsewhere, which says nothing of itself."""

    def made(answer: Any, **config: Any) -> tuple[Model, Answers]:
        network = Answers(answer)
        monkeypatch.setattr(networks, "build", lambda model, device="cpu": network)
        return Model("elsewhere", {}, config, {"name": "elsewhere"}), network

    return made


# --- segment ---


def test_the_bundled_model_segments_scenes_it_has_not_seen() -> None:
    model, image = load_model(name="segment-scenes"), pictures()
    found = segment_classes(image, model)
    assert (found.channels, found.dtype, found.color) == (("class",), "uint8", "data")
    answers = np.stack([scene(seed).labels for seed in UNSEEN])
    overlaps = [
        ((found.buffer[..., 0].numpy() == i) & (answers == i)).sum()
        / ((found.buffer[..., 0].numpy() == i) | (answers == i)).sum()
        for i in range(len(LABELS) + 1)
    ]
    assert np.mean(overlaps) > 0.8
    shapes = segment(image, model, threshold=0.5).array[..., 0]
    assert ((shapes == 1) == (answers > 0)).mean() > 0.97
    discs = segment(image, model, classes=["disc"]).array[..., 0]
    assert discs[answers == 1].mean() > 0.8
    assert discs[answers != 1].mean() < 0.05


def test_any_size_goes_in_and_comes_out() -> None:
    model = load_model(name="segment-scenes")
    pixels = scene(UNSEEN[0], size=101).pixels[:77]
    mask = segment(picture(pixels), model)
    assert (mask.size, mask.dtype) == ((101, 77), "float32")
    assert segment(picture(pixels[:1, :1]), model).size == (1, 1)
    sixteen = pixels.astype(np.uint16) * 257
    np.testing.assert_allclose(segment(picture(sixteen), model).array, mask.array, atol=1e-5)
    small = segment(picture(pixels), model, reading=Reading(size=(64, 64), fit="inside"))
    assert small.size == (101, 77)
    assert 0 <= small.array.min() <= small.array.max() <= 1


def test_where_a_picture_tiles_shapes_go_across_the_seam() -> None:
    model = load_model(name="segment-scenes")
    pixels = np.concatenate([scene(seed).pixels for seed in UNSEEN[:2]], 1)
    rolled = np.roll(pixels, (64, 96), (0, 1))
    whole = segment(picture(pixels, wrap=(True, True)), model)
    apart = [
        np.abs(
            np.roll(whole.array, (64, 96), (1, 2)) - segment(picture(rolled, wrap=(wraps, wraps)), model).array
        ).mean()
        for wraps in (True, False)
    ]
    assert whole.wrap == (True, True)
    assert apart[0] < 0.003 < apart[1]


def test_large_pictures_are_seen_in_pieces_as_they_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(name="segment-scenes")
    reach: Any = build(model).reach
    pixels = np.concatenate([scene(seed).pixels for seed in range(UNSEEN[0], UNSEEN[0] + 7)], 1)[:100, :870]
    whole = segment(picture(pixels), model).array
    monkeypatch.setattr(sys.modules[segment.__module__], "TILE", 128)
    assert pixels.shape[1] > 128 + 2 * reach
    np.testing.assert_allclose(segment(picture(pixels), model).array, whole, atol=1e-4)
    round_ = segment(picture(pixels, wrap=(True, False)), model)
    assert (round_.size, round_.wrap) == ((870, 100), (True, False))


def test_convention_transparent_is_seen_as_black_and_gray_as_luma() -> None:
    model = load_model(name="segment-scenes")
    pixels = scene(UNSEEN[0]).pixels / np.float32(255)
    alpha = np.zeros((128, 128, 1), np.float32)
    alpha[:, :64] = 1
    straight = picture(np.concatenate([pixels, alpha], 2), channels=tuple("RGBA"), alpha="straight")
    wanted = segment(picture(pixels * alpha), model).array
    np.testing.assert_allclose(segment(straight, model).array, wanted, atol=1e-6)
    np.testing.assert_allclose(segment(straight.associate(), model).array, wanted, atol=1e-6)
    gray = pixels @ np.float32([[0.2126], [0.7152], [0.0722]])
    twice = segment(picture(gray, channels=("Y",)), model).array
    np.testing.assert_allclose(twice, segment(picture(np.repeat(gray, 3, 2)), model).array, atol=1e-5)


def test_one_score_is_a_sigmoid_and_fixed_sizes_are_brought_back(elsewhere: Any) -> None:
    model, network = elsewhere(lambda pixels: (pixels.mean(1, keepdim=True) - 0.5) * 20, size=[32, 16])
    pixels = np.zeros((40, 80, 3), np.float32)
    pixels[:, 40:] = 1
    mask = segment(picture(pixels), model)
    assert tuple(network.seen[0].shape) == (1, 3, 16, 32)
    assert mask.size == (80, 40)
    assert mask.array[0, :, :36].max() < 1e-3
    assert mask.array[0, :, 44:].min() > 0.999


def test_what_can_not_be_segmented_is_refused(elsewhere: Any) -> None:
    model = load_model(name="segment-scenes")
    pixels = scene(UNSEEN[0]).pixels
    with pytest.raises(
        OperationError, match="'segment-scenes' reads srgb_rec709_scene, this is lin_rec709_scene: 'color_convert'"
    ):
        segment(picture(pixels, color="lin_rec709_scene"), model)
    with pytest.raises(OperationError, match="knows no 'cat'; it knows ground, disc, triangle, box, star"):
        segment(picture(pixels), model, classes=["cat"])
    with pytest.raises(OperationError, match="reads R, G, B or Y, this has Z"):
        segment(picture(pixels[..., :1], channels=("Z",)), model)
    with pytest.raises(OperationError, match="'digits-classifier' is no network to segment: it answers with"):
        segment(picture(pixels), load_model(name="digits-classifier"))
    with pytest.raises(OperationError, match="'mean' has 2 values; 3 channels want one, or 3"):
        segment(picture(pixels), model, reading=Reading(mean=[0.1, 0.2]))


# --- detect ---


def test_the_bundled_model_finds_shapes_it_has_not_seen() -> None:
    table = detect(pictures(), load_model(name="detect-scenes"), threshold=0.4)
    assert table.columns == ("image", "x", "y", "width", "height", "score", "label")
    found = wanted = 0
    for i, seed in enumerate(UNSEEN):
        made = scene(seed)
        mine = [row for row in table.rows if row[0] == i]
        for (x, y, width, height), kind in zip(made.boxes.tolist(), made.kinds.tolist(), strict=True):
            wanted += 1
            edges = torch.tensor([[x, y, x + width, y + height]])
            same = torch.tensor([[r[1], r[2], r[1] + r[3], r[2] + r[4]] for r in mine if r[6] == LABELS[kind]])  # type: ignore[operator]  # numbers
            found += bool(len(same)) and float(overlap(edges, same).max()) >= 0.5
    assert found / wanted > 0.8
    assert len(table.rows) < 1.3 * wanted


def test_a_shape_across_the_seam_is_found_once() -> None:
    pixels = np.full((128, 128, 3), 40, np.uint8)
    y, x = np.mgrid[:128, :128]
    pixels[np.hypot(x - 63.5, y - 63.5) < 22] = (220, 180, 60)
    model = load_model(name="detect-scenes")
    (row,) = detect(picture(pixels), model).rows
    assert row[6] == "disc"
    np.testing.assert_allclose(row[1:5], (42, 42, 44, 44), atol=4)
    (round_,) = detect(picture(np.roll(pixels, 64, 1), wrap=(True, False)), model).rows
    assert round_[6] == "disc"
    assert float(round_[1]) % 128 == pytest.approx(106, abs=4)  # type: ignore[arg-type]  # a number
    assert round_[3] == pytest.approx(44, abs=5)


def test_boxes_that_hide_each_other_are_one() -> None:
    edges = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [0, 1, 10, 11], [0, 5, 10, 15]])
    scores, kinds = torch.tensor([0.8, 0.9, 0.5, 0.7, 0.6]), torch.tensor([0, 0, 0, 1, 0])
    assert overlap(edges[:1], edges).tolist()[0] == pytest.approx([1, 90 / 110, 0, 90 / 110, 50 / 150])
    assert suppressed(edges, scores, kinds, 0.5).tolist() == [1, 3, 4, 2]
    assert suppressed(edges, scores, kinds, 0.2).tolist() == [1, 3, 2]
    rng = torch.Generator().manual_seed(0)
    start = torch.rand(200, 2, generator=rng) * 50
    edges = torch.cat([start, start + 5 + 20 * torch.rand(200, 2, generator=rng)], 1)
    scores, kinds = torch.rand(200, generator=rng), torch.randint(3, (200,), generator=rng)
    stay: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        if all(kinds[i] != kinds[j] or overlap(edges[[i]], edges[[j]]) <= 0.4 for j in stay):
            stay.append(i)
    assert suppressed(edges, scores, kinds, 0.4).tolist() == stay


def test_tables_and_lists_of_networks_from_elsewhere_are_understood(elsewhere: Any) -> None:
    blank = picture(np.zeros((50, 100, 3), np.uint8))
    rows = torch.tensor([[20.0, 10, 8, 4, 0.1, 0.9], [21, 10, 8, 4, 0.0, 0.8], [60, 30, 10, 20, 0.7, 0.2]])
    for answer in (rows[None], rows.T[None], [rows[None]]):
        model, _ = elsewhere(answer)
        table = detect(blank, model, reading=Reading(labels=["cat", "dog"]))
        assert [row[6] for row in table.rows] == ["dog", "cat"]
        np.testing.assert_allclose(
            [row[:6] for row in table.rows], [[0, 16, 8, 8, 4, 0.9], [0, 55, 20, 10, 20, 0.7]], rtol=1e-6
        )
    lists = [torch.tensor([[16.0, 8, 24, 12]]), torch.tensor([1]), torch.tensor([0.9])]
    model, _ = elsewhere(lists)
    assert detect(blank, model).rows == ((0, 16.0, 8.0, 8.0, 4.0, pytest.approx(0.9), "1"),)


def test_convention_boxes_come_back_in_pixels_of_the_picture(elsewhere: Any) -> None:
    model, network = elsewhere(torch.tensor([[[8.0], [8], [16], [16], [0.9]]]), size=[16, 16], labels=["all"])
    table = detect(picture(np.zeros((50, 100, 3), np.uint8)), model)
    assert table.rows[0][1:5] == (0, 0, 100, 50)
    model, network = elsewhere(
        torch.tensor([[[8.0], [4], [16], [8], [0.9]]]), size=[16, 16], fit="inside", labels=["all"]
    )
    table = detect(picture(np.zeros((50, 100, 3), np.uint8)), model)
    assert table.rows[0][1:5] == (0, 0, 100, 50)
    assert network.seen[0][0, 0, 8:].unique().tolist() == [0.5]  # below the picture it is gray
    model, _ = elsewhere(torch.tensor([[[8.0], [8], [40], [4], [0.9]]]), labels=["all"])
    assert detect(picture(np.zeros((16, 16, 3), np.uint8)), model).rows[0][1:5] == (0, 6, 16, 4)  # cut at the frame


def test_the_threshold_is_the_models_unless_told(elsewhere: Any) -> None:
    answer = torch.tensor([[[8.0] * 4] * 4 + [[0.2, 0.35, 0.55, 0.9]]])
    answer[0, 0] += torch.tensor([0.0, 20, 40, 60])
    blank = picture(np.zeros((16, 100, 3), np.uint8))

    def scores(told: float | None = None, **config: Any) -> list[float]:
        model, _ = elsewhere(answer, labels=["all"], **config)
        return [round(score, 2) for score in column(detect(blank, model, threshold=told), "score")]

    assert scores() == [0.9, 0.55, 0.35]
    assert scores(threshold=0.5) == [0.9, 0.55]
    assert scores(0.0, threshold=0.5) == [0.9, 0.55, 0.35, 0.2]
    with pytest.raises(OperationError, match="has a threshold of 'half'; it must be from 0 to 1"):
        scores(threshold="half")
    model = load_model(name="detect-scenes")
    assert (
        model.config["threshold"] == getattr(networks.make(model.architecture, model.config), "threshold", None) == 0.4
    )


def test_a_network_that_finds_nothing_is_refused(elsewhere: Any) -> None:
    blank = picture(np.zeros((16, 16, 3), np.uint8))
    model, _ = elsewhere(torch.zeros(1, 6, 100))
    with pytest.raises(OperationError, match=r"a table of \(6, 100\), which is not 4 and one for each of 1 labels"):
        detect(blank, model, reading=Reading(labels=["cat"]))
    with pytest.raises(OperationError, match="'elsewhere' is no network to detect with"):
        detect(blank, elsewhere(torch.zeros(1, 10))[0])


def test_numbers_of_a_model_from_a_file_are_those_of_training() -> None:
    config = {"channels": 3, "labels": ["a", "b"], "widths": [4, 4]}
    network = networks.make("center_detector", config).eval()
    model = Model("center_detector", network.state_dict(), config)
    pixels = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, found = network(pixels), build(model)(pixels)
    assert tuple(found.heat.shape) == (2, 2, 8, 12)
    torch.testing.assert_close(found.reach, wanted.reach)


# --- ONNX ---


def onnx_file(
    path: Path, nodes: list[Any], outputs: dict[str, tuple[int, list[Any]]], sides: tuple[Any, Any] = ("h", "w"),
    **numbers: Any,
) -> Path:  # fmt: skip
    """A file of a network with one input `x` of one RGB picture."""
    helper = pytest.importorskip("onnx.helper", reason="needs onnx")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    from onnx import numpy_helper

    graph = helper.make_graph(
        [helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes], "graph",
        [helper.make_tensor_value_info("x", 1, [1, 3, *sides])],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def thirds() -> Image:
    """Two pictures: red, green and blue side by side; and blue."""
    pixels = np.zeros((2, 12, 30, 3), np.uint8)
    for i in range(3):
        pixels[0, :, i * 10 : i * 10 + 10, i] = 255
    pixels[1, ..., 2] = 255
    return Image(pixels)


def test_onnx_networks_segment_and_classify(tmp_path: Path) -> None:
    scores = onnx_file(
        tmp_path / "segment.onnx", [("Mul", ["x", "k"], ["y"])], {"y": (1, [1, 3, "h", "w"])}, k=np.float32(20)
    )
    reading = Reading(labels=["red", "green", "blue"])
    model = load_model(path=scores)
    classes = segment_classes(thirds(), model, reading=reading).buffer[..., 0].numpy()
    assert classes[0, 5].tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert (classes[1] == 2).all()
    assert segment(thirds(), model, classes=["green"], reading=reading).array[0, 5, 12:18].min() > 0.99
    means = onnx_file(
        tmp_path / "classify.onnx",
        [("Mul", ["x", "k"], ["z"]), ("ReduceMean", ["z"], ["y"], {"axes": [2, 3], "keepdims": 0})],
        {"y": (1, [1, 3])}, k=np.float32(20),
    )  # fmt: skip
    table = classify(thirds(), load_model(path=means), top=1, reading=reading)
    assert table.rows[1][:3] == (1, 1, "blue")


def test_onnx_networks_detect(tmp_path: Path) -> None:
    file = onnx_file(
        tmp_path / "detect.onnx",
        [("Identity", [name], [f"{name}_out"]) for name in ("boxes", "labels", "scores")]
        + [("Shape", ["x"], ["size"])],
        {"boxes_out": (1, [2, 4]), "labels_out": (7, [2]), "scores_out": (1, [2])},
        boxes=np.float32([[2, 3, 12, 9], [0, 0, 5, 5]]), labels=np.int64([1, 0]), scores=np.float32([0.5, 0.9]),
    )  # fmt: skip
    table = detect(thirds(), load_model(path=file), reading=Reading(labels=["cat", "dog"]))
    assert column(table, "label") == ["cat", "dog"] * 2
    assert table.rows[3][:6] == (1, 2, 3, 10, 6, 0.5)


def test_onnx_networks_of_one_size_see_pictures_brought_to_it(tmp_path: Path) -> None:
    reading = Reading(labels=["red", "green", "blue"])
    scores = onnx_file(
        tmp_path / "s.onnx", [("Mul", ["x", "k"], ["y"])], {"y": (1, [1, 3, 24, 60])}, (24, 60), k=np.float32(20)
    )
    classes = segment_classes(thirds(), load_model(path=scores), reading=reading)
    assert classes.size == (30, 12)
    assert classes.buffer[0, 5, :, 0].tolist() == [0] * 10 + [1] * 10 + [2] * 10
    nodes = [("Identity", [name], [f"{name}_out"]) for name in ("boxes", "labels", "scores")] + [
        ("Shape", ["x"], ["size"])
    ]
    file = onnx_file(
        tmp_path / "d.onnx", nodes,  # type: ignore[arg-type]  # nodes of three parts and of four
        {"boxes_out": (1, [1, 4]), "labels_out": (7, [1]), "scores_out": (1, [1])}, (60, 60),
        boxes=np.float32([[0, 12, 60, 24]]), labels=np.int64([0]), scores=np.float32([0.5]),
    )  # fmt: skip
    model = load_model(path=file)
    # Of 60x60 the picture takes 60x24, and is there twice as large as it is.
    assert detect(thirds(), model).rows[0][1:5] == (0, 6, 30, 6)
    assert detect(thirds(), model, reading=Reading(fit="stretch")).rows[0][1:5] == pytest.approx((0, 2.4, 30, 2.4))
    with pytest.raises(OperationError, match=r"takes pictures of 60x60 alone, not 32x32: leave 'reading.size' out"):
        detect(thirds(), model, reading=Reading(size=(32, 32)))

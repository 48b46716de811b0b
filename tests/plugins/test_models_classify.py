"""What a picture is of: the bundled reader of digits, and networks from elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pipeline_models import networks
from pipeline_models.load import load_model
from pipeline_models.vision import classify
from pipeline_models.vision.reading import Reading
from torch import nn

from pipeline_core import Image, Model, OperationError, Table


def picture(pixels: Any, **fields: Any) -> Image:
    return Image(np.asarray(pixels)[None] if np.ndim(pixels) == 3 else np.asarray(pixels), **fields)


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


def test_the_bundled_model_reads_digits_it_has_not_seen() -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    from training.digits_classifier import digits

    pixels, answers = digits(held_back=True)
    image = Image(pixels.permute(0, 2, 3, 1).numpy(), channels=("Y",))
    table = classify(image, load_model(name="digits-classifier"), top=1)
    assert table.columns == ("image", "rank", "label", "score")
    assert column(table, "image") == list(range(len(answers)))
    right = [label == str(answer) for label, answer in zip(column(table, "label"), answers.tolist(), strict=True)]
    assert np.mean(right) >= 0.97
    larger = torch.nn.functional.interpolate(pixels, size=(28, 28), mode="bicubic").permute(0, 2, 3, 1)
    colored = image.with_buffer(np.repeat(larger.numpy(), 3, 3), channels=tuple("RGB"))
    table = classify(colored, load_model(name="digits-classifier"), top=1)
    right = [label == str(answer) for label, answer in zip(column(table, "label"), answers.tolist(), strict=True)]
    assert np.mean(right) >= 0.97


def test_classes_come_in_order_and_add_up() -> None:
    noisy = picture(np.random.default_rng(0).random((3, 24, 20, 3), np.float32))
    table = classify(noisy, load_model(name="digits-classifier"), top=10)
    assert column(table, "rank") == [*range(1, 11)] * 3
    scores = np.reshape(column(table, "score"), (3, 10))
    assert (np.diff(scores) <= 0).all()
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)


def test_a_network_from_elsewhere_is_given_what_it_wants(elsewhere: Any) -> None:
    model, network = elsewhere(lambda pixels: pixels.mean(dim=(2, 3)))
    reading = Reading(size=(8, 4), mean=[0.5, 0.25, 0], std=[0.5, 0.5, 2], labels=["warm", "green", "cold"])
    table = classify(picture(np.full((9, 9, 3), 255, np.uint8)), model, top=2, reading=reading)
    np.testing.assert_allclose(network.seen[0][0, :, 0, 0], [1, 1.5, 0.5])
    assert tuple(network.seen[0].shape) == (1, 3, 4, 8)
    assert column(table, "label") == ["green", "warm"]
    classify(picture(np.full((9, 9, 3), 51, np.uint8)), model, reading=Reading(size=(8, 4), channels=1, scale=255))
    np.testing.assert_allclose(network.seen[1], torch.full((1, 1, 4, 8), 51.0), rtol=1e-6)


def test_what_can_not_be_classified_is_refused(elsewhere: Any) -> None:
    model = load_model(name="digits-classifier")
    with pytest.raises(
        OperationError, match="'digits-classifier' reads srgb_rec709_scene, this is lin_rec709_scene: 'color_convert'"
    ):
        classify(picture(np.zeros((8, 8, 3), np.uint8), color="lin_rec709_scene"), model)
    with pytest.raises(OperationError, match=r"'elsewhere' is no network to classify: it answers with \(1, 3, 8, 8\)"):
        classify(picture(np.zeros((8, 8, 3), np.uint8)), elsewhere(lambda pixels: pixels)[0])

"""GANs: training that can be killed, pictures that depend on their seed alone, what a discriminator says."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from pipeline_io import encode_table
from pipeline_models import networks, weights_file
from pipeline_models.gan import discriminate, gan_interpolate, gan_project, gan_sample, gan_train, train
from pipeline_models.gan.augment import augmented
from pipeline_models.gan.chance import normal
from pipeline_models.gan.sample import slerp
from pipeline_models.gan.training import Training

from pipeline_core import Checkpoint, Image, Model, OperationError, Table
from pipeline_core.api import load, run_graph
from pipeline_core.call import without_gradients

LABELS = Table(("label",), tuple((name,) for name in ("bar", "disc") * 12))
TINY: dict[str, Any] = {"preset": "tiny", "steps": 6}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("PIPELINE_CACHE", str(tmp_path))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with without_gradients():  # as in a run
        yield tmp_path
    torch.set_num_threads(before)


def pictures(channels: str = "Y", size: tuple[int, int] = (16, 16)) -> Image:
    """A bar and a disc by turns, each of another brightness."""
    rng = np.random.default_rng(0)
    down, across = np.ogrid[: size[1], : size[0]]
    bar = np.broadcast_to(abs(across - size[0] / 2) < 3, size[::-1])
    disc = (down - size[1] / 2) ** 2 + (across - size[0] / 2) ** 2 < 25
    shapes = np.stack([(bar if i % 2 == 0 else disc) * rng.uniform(0.6, 1) for i in range(24)])
    alpha = "straight" if "A" in channels else "none"
    return Image(
        np.repeat(shapes[..., None], len(channels), -1).astype(np.float32), channels=tuple(channels), alpha=alpha
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> train.Trained:
    with pytest.MonkeyPatch.context() as patch, without_gradients():
        patch.setenv("PIPELINE_CACHE", str(tmp_path_factory.mktemp("cache")))
        return gan_train(pictures(), LABELS, preset="tiny", steps=60, width=8, rate=4e-3, critic_rate=4e-3)


# --- training -------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """What nobody catches."""


@pytest.mark.parametrize(("preset", "at"), [("tiny", 1), ("few", 4), ("dcgan", 3)])
def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(
    preset: Any, at: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    params: dict[str, Any] = {"preset": preset, "steps": 5, "batch": 4, "width": 4, "mean": 0.5}
    whole = gan_train(pictures(), LABELS, **params)

    monkeypatch.setenv("PIPELINE_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", 0)
    step, done = Training.step, []

    def until_killed(self: Training) -> None:
        if self.done == at:
            raise Killed
        done.append(self.done)
        step(self)

    monkeypatch.setattr(Training, "step", until_killed)
    with pytest.raises(Killed):
        gan_train(pictures(), LABELS, **params)
    at = -1
    resumed = gan_train(pictures(), LABELS, **params)
    assert done == [0, 1, 2, 3, 4]  # no step was done twice
    assert weights_file.content_of(resumed.model) == weights_file.content_of(whole.model)
    assert resumed.losses == whole.losses
    assert np.array_equal(resumed.samples.array, whole.samples.array)


def test_what_was_done_after_the_last_checkpoint_is_done_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = gan_train(pictures(), **TINY)
    monkeypatch.setenv("PIPELINE_CACHE", str(tmp_path / "other"))
    kept: list[bytes] = []
    write = Checkpoint.write

    def once(self: Checkpoint, content: bytes) -> None:
        if not kept:
            kept.append(content)
            write(self, content)

    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(Checkpoint, "write", once)
    gan_train(pictures(), **TINY)  # leaves the checkpoint of its first step
    assert gan_train(pictures(), **TINY).model.digest == whole.model.digest


def test_more_steps_go_on_from_what_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gan_train(pictures(), LABELS, preset="tiny", steps=3)
    count = []
    step = Training.step
    monkeypatch.setattr(Training, "step", lambda self: (count.append(1), step(self))[1])
    longer = gan_train(pictures(), LABELS, **TINY)
    assert len(count) == 3
    monkeypatch.setenv("PIPELINE_CACHE", str(tmp_path / "other"))
    assert gan_train(pictures(), LABELS, **TINY).model.digest == longer.model.digest
    assert gan_train(pictures(), LABELS, preset="tiny", steps=2).losses.rows[-1][0] == 2  # fewer start anew


def test_another_seed_picture_or_setting_is_another_training(cache: Path) -> None:
    gan_train(pictures(), **TINY)
    gan_train(pictures(), **TINY, seed=1)
    gan_train(pictures(), **TINY, rate=1e-4)
    gan_train(pictures().with_array(pictures().array * 0.9), **TINY)
    gan_train(pictures(), LABELS, **TINY)
    assert len(list((cache / "checkpoints").iterdir())) == 5


def test_no_global_generator_is_asked() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one = gan_train(pictures(), **TINY)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(gan_sample(one.model).pixels, gan_sample(one.model).pixels)


def test_it_learns(trained: train.Trained) -> None:
    untrained = gan_train(pictures(), LABELS, preset="tiny", steps=1).model
    real = pictures().pixels.mean((0, 1))
    far = [
        float((gan_sample(model, count=32).pixels.mean((0, 1)) - real).abs().mean())
        for model in (untrained, trained.model)
    ]
    assert far[1] < 0.7 * far[0]


def test_losses_and_sheets_tell_how_it_went(trained: train.Trained) -> None:
    assert trained.losses.columns == ("step", "discriminator", "generator", "real", "made")
    assert [row[0] for row in trained.losses.rows] == list(range(1, 61))
    # Before the first step, after 25, 50 and the last; rows for two labels, eight columns.
    assert (trained.samples.batch, trained.samples.size) == (4, (8 * 16, 2 * 16))


@pytest.mark.parametrize("size", [(28, 28), (32, 48)])
@pytest.mark.parametrize("channels", ["Y", "RGB", "RGBA", "YZ"])
def test_any_channels_and_sizes(channels: str, size: tuple[int, int]) -> None:
    given = pictures(channels, size)
    made = gan_sample(gan_train(given, preset="tiny", steps=1).model, count=2)
    assert (made.size, made.channels, made.alpha, made.color) == (size, given.channels, given.alpha, given.color)


@pytest.mark.parametrize("norm", ["batch", "spectral", "none"])
def test_settings_change_a_preset(norm: Any) -> None:
    model = gan_train(pictures(), preset="tiny", steps=1, norm=norm, width=6, loss="hinge", r1=0.5, augment=False).model
    assert (model.config["norm"], model.config["width"]) == (norm, 6)
    assert discriminate(model, pictures()).rows


@pytest.mark.parametrize(
    ("given", "labels", "told"),
    [
        (Image(np.zeros((2, 30, 30, 1), np.float32), channels=("Y",)), None, "30x30"),
        (Image(np.zeros((2, 256, 256, 1), np.float32), channels=("Y",)), None, "at most 128x128"),
        (Image(np.full((2, 16, 16, 1), 2, np.float32), channels=("Y",)), None, "0 to 1"),
        (Image(np.full((2, 16, 16, 1), np.nan, np.float32), channels=("Y",)), None, "0 to 1"),
        (pictures(), Table(("name",), (("a",),) * 24), "no column 'label'; they have name"),
        (pictures(), Table(("label",), (("a",),)), "1 labels and 24 pictures"),
    ],
)
def test_what_can_not_be_learnt_is_refused(given: Image, labels: Table | None, told: str) -> None:
    with pytest.raises(OperationError, match=told):
        gan_train(given, labels, **TINY)


def test_pictures_are_moved_with_gradients() -> None:
    pixels = torch.ones(64, 1, 16, 16, requires_grad=True)
    with torch.enable_grad():
        seen = augmented(pixels, torch.Generator().manual_seed(0))
        seen.sum().backward()
    assert pixels.grad is not None
    assert float(pixels.grad.sum()) == float(seen.sum())
    shares = seen.detach().mean((1, 2, 3))
    assert (shares < 1).any()  # moved
    assert shares.min() >= (7 / 8) ** 2  # by an eighth of either side at most


# --- sampling -------------------------------------------------------------------------------------------------------


def test_a_picture_depends_on_its_seed_and_place_alone(trained: train.Trained) -> None:
    few, many = (gan_sample(trained.model, seed=3, count=count).pixels for count in (2, 5))
    assert torch.allclose(few, many[:2], atol=1e-6)
    assert not torch.allclose(gan_sample(trained.model, seed=4).pixels, few[:1], atol=1e-3)


def test_labels_are_made_as_asked_or_by_turns(trained: train.Trained) -> None:
    turns = gan_sample(trained.model, count=4).pixels
    discs = gan_sample(trained.model, count=4, label="disc").pixels
    assert torch.allclose(turns[1::2], discs[1::2], atol=1e-6)
    assert not torch.allclose(turns[0], discs[0], atol=1e-3)
    with pytest.raises(OperationError, match="knows no label 'star'; it knows bar, disc"):
        gan_sample(trained.model, label="star")


def test_convention_truncation_multiplies(trained: train.Trained) -> None:
    spread = [
        float(gan_sample(trained.model, count=16, label="bar", truncation=t).pixels.std(0).mean()) for t in (1, 0.5, 0)
    ]
    assert spread[0] > spread[1] > spread[2]
    assert spread[2] < 1e-6


def test_random_numbers_are_normal_and_by_place() -> None:
    rows, columns = np.arange(-3, 60), np.arange(100, 150)
    found = normal(5, 0, 6, rows, columns)
    assert found.shape == (6, 63, 50)
    assert abs(float(found.mean())) < 0.02
    assert abs(float(found.std()) - 1) < 0.02
    flat = found.flatten(1)
    assert float((torch.corrcoef(flat) - torch.eye(6)).abs().max()) < 0.08
    assert torch.equal(normal(5, 0, 3, rows[10:12], columns[7:9]), found[:3, 10:12, 7:9])
    assert not torch.equal(normal(5, 1, 6, rows, columns), found)


def test_another_kind_of_model_is_refused() -> None:
    torch.manual_seed(0)
    state = networks.make("residual_upscaler", {"factor": 2, "width": 4, "blocks": 1}).state_dict()
    model = Model("residual_upscaler", state, {"factor": 2, "width": 4, "blocks": 1})
    with pytest.raises(OperationError, match="makes no pictures from random numbers"):
        gan_sample(model)


def test_sizes_that_it_does_not_make_are_refused(trained: train.Trained) -> None:
    with pytest.raises(OperationError, match="makes 16x16 only, not 20x16"):
        gan_sample(trained.model, width=20)
    with pytest.raises(OperationError, match="not seamless"):
        gan_sample(trained.model, wrap=True)


# --- between and back -----------------------------------------------------------------------------------------------


def test_between_two_seeds(trained: train.Trained) -> None:
    made = gan_interpolate(trained.model, seeds=[3, 9], frames=4, label="disc").pixels
    assert len(made) == 5
    ends = [gan_sample(trained.model, seed=seed, label="disc").pixels[0] for seed in (3, 9)]
    assert torch.allclose(made[0], ends[0], atol=1e-5)
    assert torch.allclose(made[4], ends[1], atol=1e-5)
    steps = [float((b - a).abs().mean()) for a, b in pairwise(made)]
    assert max(steps) < float((ends[1] - ends[0]).abs().mean())
    assert len(gan_interpolate(trained.model, seeds=[1, 2, 3], frames=4, closed=True).buffer) == 12


def test_convention_the_way_is_a_great_circle() -> None:
    one, other = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 4.0])
    half = slerp(one[:, None, None], other[:, None, None], 0.5)[:, 0, 0]
    assert torch.allclose(half, torch.full((2,), 3 / 2**0.5))
    assert torch.allclose(slerp(one[:, None, None], one[:, None, None], 0.3)[:, 0, 0], one)


def test_a_made_picture_is_found_again(trained: train.Trained) -> None:
    made = gan_sample(trained.model, seed=11, count=2, label="disc")
    found = gan_project(made, trained.model, steps=150)
    assert [row[1] for row in found.latents.rows] == ["disc", "disc"]
    assert float((found.image.pixels - made.pixels).square().mean().sqrt()) < 0.05
    again = gan_sample(trained.model, found.latents).pixels
    assert torch.allclose(again, found.image.pixels, atol=1e-5)
    between = gan_interpolate(trained.model, found.latents, frames=2).pixels
    assert torch.allclose(between[[0, 2]], again, atol=1e-5)


def test_latents_that_are_none_are_refused(trained: train.Trained) -> None:
    with pytest.raises(OperationError, match="no column z0; 'gan_project' gives"):
        gan_sample(trained.model, Table(("label",), (("disc",),)))


def test_the_discriminator_knows_real_pictures(trained: train.Trained) -> None:
    noise = pictures().with_array(np.random.default_rng(1).random((24, 16, 16, 1), np.float32))
    real, wrong = (discriminate(trained.model, image) for image in (pictures(), noise))
    assert real.columns == ("image", "label", "score", "real")
    assert np.mean([row[2] for row in real.rows]) > np.mean([row[2] for row in wrong.rows])
    assert all(0 <= row[3] <= 1 for row in real.rows)
    with pytest.raises(OperationError, match="16x16, this is 8x8: 'resize' it"):
        discriminate(trained.model, pictures(size=(8, 8)))
    with pytest.raises(OperationError, match="knows Y, this has R, G, B"):
        discriminate(trained.model, pictures("RGB"))


# --- checkpoints ----------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_whole_or_not_there(cache: Path) -> None:
    checkpoint = Checkpoint("work")
    assert checkpoint.read() is None
    checkpoint.write(b"half")
    checkpoint.write(b"more than half")
    assert checkpoint.read() == b"more than half"
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-1])
    assert checkpoint.read() is None


def test_a_damaged_checkpoint_is_not_used(cache: Path) -> None:
    whole = gan_train(pictures(), **TINY).model
    (path,) = (cache / "checkpoints").iterdir()
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2])
    assert gan_train(pictures(), **TINY).model.digest == whole.digest


PIPELINE = """
pipeline: 1
nodes:
  sheet: {op: load_image, params: {path: sheet.png}}
  labels: {op: load_table, params: {path: labels.csv}}
  cut: {op: split_tiles, inputs: {image: sheet}, params: {size: [16, 16]}}
  trained:
    op: gan_train
    inputs: {images: cut, labels: labels}
    params: {preset: few, width: 4, batch: 2, steps: 60}
outputs:
  model: {from: trained.model, path: model.safetensors}
  losses: {from: trained.losses, path: losses.csv}
"""
OFTEN = (
    "from pipeline_models.gan import train; train.CHECKPOINT_SECONDS = 0; from pipeline_core.cli import main; main()"
)
"""The command, with a checkpoint after every step."""


@pytest.mark.slow
def test_a_run_that_the_system_killed_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL, at whatever step it is then; the pictures and their labels come from files."""
    sheet = np.round(pictures().array * 255).astype(np.uint8).reshape(4, 6, 16, 16).transpose(0, 2, 1, 3)
    PIL.Image.fromarray(sheet.reshape(64, 96)).save(tmp_path / "sheet.png")
    (tmp_path / "labels.csv").write_bytes(encode_table(LABELS, format="csv").content)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    command = [sys.executable, "-c", OFTEN, "run", "-q", str(tmp_path / "pipeline.yaml")]

    def started() -> subprocess.Popen[bytes]:
        environment = os.environ | {"PIPELINE_CACHE": str(tmp_path / "killed"), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, env=environment)

    def results() -> list[bytes]:
        return [(tmp_path / name).read_bytes() for name in ("model.safetensors", "losses.csv")]

    checkpoints, patience = tmp_path / "killed" / "checkpoints", time.monotonic() + 100
    steps, seen = random.randint(1, 20), set[int]()
    with started() as killed:
        while len(seen) < steps:
            seen |= {path.stat().st_mtime_ns for path in checkpoints.glob("gan-*")}
            assert killed.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < patience
            time.sleep(0.002)
        killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "model.safetensors").exists()
    assert started().wait() == 0
    resumed = results()
    run_graph(load(tmp_path / "pipeline.yaml"), save=True, device="cpu")
    assert results() == resumed

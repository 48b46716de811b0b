"""Generators as the operations see them: what is asked of them by label, and what a part of their noise becomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_core import Image, Model, OperationError, progress
from pipeline_models import networks

SPATIAL = "texture_pyramid"
ARCHITECTURES = ("dcgan", SPATIAL)
TILE = 1024
Places = NDArray[np.int64]
Noise = Callable[[int, Places, Places], torch.Tensor]
"""The item's random numbers at these rows and columns of cells: `(latent_channels, rows, columns)`."""


class Generator:
    """A model that makes pictures. OperationError where it is another."""

    def __init__(self, model: Model) -> None:
        if model.architecture not in ARCHITECTURES:
            raise OperationError(
                f"'{model.name}' makes no pictures from random numbers; 'load_model' with name digits does, and what "
                "'gan_train' gives"
            )
        self.model = model
        self.labels = [str(name) for name in model.config.get("labels", ())]
        self.latent_channels = int(model.config.get("latent_channels", 100))
        named = model.config["channels"]
        self.channels = tuple(named) if not isinstance(named, int) else {1: ("Y",), 3: ("R", "G", "B")}[named]
        self.color = str(model.config.get("color") or model.manifest.get("color") or "srgb_rec709_scene")
        self.alpha = model.config.get("alpha", "none")
        self.spatial = model.architecture == SPATIAL

    def size(self, width: int | None, height: int | None, wrap: bool) -> tuple[int, int]:
        """What is made when this is asked for."""
        if self.spatial:
            found = width or 256, height or 256
            cell = self._stride()
            if wrap and (found[0] % cell or found[1] % cell):
                raise OperationError(
                    f"a seamless {found[0]}x{found[1]} can't be made: both sides must be multiples of {cell}"
                )
            return found
        own = int(self.model.config["size"][0]), int(self.model.config["size"][1])
        if (width or own[0], height or own[1]) != own or wrap:
            asked = "seamless pictures" if wrap else f"{width or own[0]}x{height or own[1]}"
            raise OperationError(
                f"'{self.model.name}' makes {own[0]}x{own[1]} only, not {asked}; 'resize' them, or take a model of textures"
            )
        return own

    def label(self, asked: str | int | None, item: int) -> int:
        """The number of a label; without one asked for they have their turn."""
        if asked is None:
            return item % len(self.labels) if self.labels else 0
        if not self.labels:
            raise OperationError(f"'{self.model.name}' was trained without labels, so there is no '{asked}'")
        if str(asked) not in self.labels:
            raise OperationError(f"'{self.model.name}' knows no label '{asked}'; it knows {', '.join(self.labels)}")
        return self.labels.index(str(asked))

    def stand_in(self, count: int, size: tuple[int, int], wrap: bool) -> Image:
        """What is known of pictures before they are made."""
        return Image.stand_in(*size, self.channels, batch=count, color=self.color, alpha=self.alpha, wrap=(wrap, wrap))

    def make(
        self,
        noise: Noise,
        labels: list[int],
        size: tuple[int, int],
        *,
        wrap: bool,
        tile: int,
        device: str = "cpu",
        together: bool = False,
    ) -> Image:
        """A picture for each label, in parts no larger than `tile`; a part's pixels are those of the whole.

        What tiles is rolled so that its seams are like other lines: each picture its own way, or all `together`.
        """
        network = networks.build(self.model, device)
        parts = [
            self._one(network, noise, item, label, size, wrap, tile, len(labels)) for item, label in enumerate(labels)
        ]
        if wrap:
            steps = [to_middling_lines(part) for part in (parts[:1] * len(parts) if together else parts)]
            parts = [part.roll(step, (1, 2)) for part, step in zip(parts, steps, strict=True)]
        state: Literal["none", "associated"] = "none" if self.alpha == "none" else "associated"
        made = Image(
            torch.stack(parts).permute(0, 2, 3, 1).contiguous(),
            channels=self.channels, color=self.color, alpha=state, wrap=(wrap, wrap),
        )  # fmt: skip
        return made.with_alpha_state(self.alpha)

    def _one(
        self,
        network: Any,
        noise: Noise,
        item: int,
        label: int,
        size: tuple[int, int],
        wrap: bool,
        tile: int,
        count: int,
    ) -> torch.Tensor:
        device = next(network.parameters()).device
        asked = torch.tensor([label], device=device)
        if not self.spatial:
            progress(item, count)
            one = np.zeros(1, np.int64)
            found: torch.Tensor = network(noise(item, one, one)[None].to(device), asked)[0]
            return found
        cell, margin = int(network.stride), int(network.margin)
        across, down = (-(-length // cell) for length in size)
        side = max(1, tile // cell)
        canvas = torch.empty(len(self.channels), down * cell, across * cell, device=device)
        for top in range(0, down, side):
            progress(item * down + top, count * down)
            for left in range(0, across, side):
                rows = np.arange(top - margin, min(top + side, down) + margin)
                columns = np.arange(left - margin, min(left + side, across) + margin)
                if wrap:
                    rows, columns = rows % down, columns % across
                made = network(noise(item, rows, columns)[None].to(device), asked)[0]
                canvas[:, top * cell : top * cell + made.shape[1], left * cell : left * cell + made.shape[2]] = made
        return canvas[:, : size[1], : size[0]]

    def _stride(self) -> int:
        with torch.device("meta"):
            network: Any = networks.make(self.model.architecture, self.model.config)
        return int(network.stride)


def to_middling_lines(picture: torch.Tensor) -> tuple[int, int]:
    """How far a picture `(C, H, W)` that tiles is to be rolled, down and across, so that its seams are like other lines.

    Rolled, it is as good a picture. But where a joint of bricks happens to lie on the seam, the seam is a harder edge than
    most: it is laid where neighbours differ as much as they do at the middle one of all lines.
    """
    steps = []
    for axis in (1, 2):
        apart = (picture - picture.roll(1, axis)).abs().double().mean((0, 3 - axis)).cpu().numpy()
        # In coarse units, so that the last bits, which differ from device to device, hardly ever decide.
        order = np.argsort((apart / max(apart.mean(), 1e-9) * 1e4).round(), kind="stable")
        steps.append(-int(order[(len(order) - 1) // 2]))
    return steps[0], steps[1]

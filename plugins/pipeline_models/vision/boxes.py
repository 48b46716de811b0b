"""Boxes: rows of a table, and tensors of edges.

A box is x, y, width, height in pixels: x and y are its left and top edge, where the picture's are 0 and pixel i reaches
from i to i + 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from pipeline_core import OperationError, Table

COLUMNS = ("image", "x", "y", "width", "height", "score", "label")


@dataclass(frozen=True)
class Box:
    """One row; `image` is None where the table does not say, and it is meant for every picture."""

    image: int | None
    x: float
    y: float
    width: float
    height: float
    score: float | None = None
    label: str = ""


def read_boxes(table: Table, batch: int) -> list[Box]:
    """The rows of a table as boxes. OperationError where it has no boxes, or one of a picture that is not there."""
    lacking = [name for name in ("x", "y", "width", "height") if name not in table.columns]
    if lacking:
        raise OperationError(
            f"the table has no {' and no '.join(lacking)}, so it holds no boxes; its columns are {', '.join(table.columns)}"
        )
    return [_box(dict(zip(table.columns, row, strict=True)), i, batch) for i, row in enumerate(table.rows)]


def _box(row: dict[str, bool | int | float | str | None], number: int, batch: int) -> Box:
    sides = [row[name] for name in ("x", "y", "width", "height")]
    numbers = [float(side) for side in sides if isinstance(side, (int, float))]
    if len(numbers) < 4 or not all(map(math.isfinite, numbers)) or min(numbers[2:]) <= 0:
        raise OperationError(f"row {number} is no box: x, y, width, height are {', '.join(map(str, sides))}")
    image, score, label = row.get("image"), row.get("score"), row.get("label")
    if image is not None and not (isinstance(image, int) and 0 <= image < batch):
        there = f"are 0 to {batch - 1}" if batch > 1 else "is only picture 0"
        raise OperationError(f"row {number} is a box of picture {image}, but there {there}")
    x, y, width, height = numbers
    known = float(score) if isinstance(score, (int, float)) else None
    return Box(image, x, y, width, height, known, "" if label is None else str(label))


def of_picture(found: list[Box], image: int) -> list[Box]:
    """Those that are meant for one picture of a batch."""
    return [box for box in found if box.image in (None, image)]


def overlap(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Intersection over union `(N, M)` of edges `(N, 4)` and `(M, 4)`: left, top, right, bottom."""
    start = torch.maximum(one[:, None, :2], other[None, :, :2])
    end = torch.minimum(one[:, None, 2:], other[None, :, 2:])
    both = (end - start).clamp_min(0).prod(-1)
    areas = [(part[:, 2:] - part[:, :2]).clamp_min(0).prod(-1) for part in (one, other)]
    return both / (areas[0][:, None] + areas[1][None] - both).clamp_min(1e-12)


def suppressed(edges: torch.Tensor, scores: torch.Tensor, kinds: torch.Tensor, iou: float) -> torch.Tensor:
    """Which boxes stay, best first: each takes away those of its kind that overlap it by more than `iou`.

    Equal scores keep their order. Greedy non-maximum suppression, as in P. Felzenszwalb et al., "Object Detection with
    Discriminatively Trained Part-Based Models", 2010, section 7.
    """
    order = scores.argsort(descending=True, stable=True)
    edges, kinds = edges[order], kinds[order]
    hides = (overlap(edges, edges) > iou) & (kinds[:, None] == kinds[None])
    stays = torch.ones(len(order), dtype=torch.bool, device=order.device)
    for i in range(len(order)):
        if stays[i]:
            stays[i + 1 :] &= ~hides[i, i + 1 :]
    return order[stays]

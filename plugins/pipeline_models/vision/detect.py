"""Where things are in a picture."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field
from torch.nn.functional import max_pool2d

from pipeline_core import Image, Model, OperationError, Table, Unit, operation
from pipeline_models.networks.center_detector import STRIDE, Found
from pipeline_models.vision.boxes import COLUMNS, suppressed
from pipeline_models.vision.reading import As, Reader, Reading, Window, reader
from pipeline_models.vision.segment import MARGIN

MOST = 1000
"""The best so many of a picture are looked at; more would take the time of their square."""


class Candidates(NamedTuple):
    """Of one picture, in pixels of what the network saw: `edges` `(N, 4)` left, top, right, bottom; `scores` and `kinds`
    `(N,)`."""

    edges: torch.Tensor
    scores: torch.Tensor
    kinds: torch.Tensor


USUAL = 0.3
"""The threshold of models that tell none."""


def _table(image: Image, model: Model, *, reading: Reading = Reading(), **_: Any) -> Table:  # noqa: B008  frozen
    reader(model, reading).check(image)
    _threshold(model)
    return Table(COLUMNS, ())


@operation(version=2, infer=_table, aliases=("object_detection", "find_objects", "bounding_boxes", "yolo"))
def detect(
    image: Image,
    model: Model,
    *,
    threshold: Annotated[
        Unit | None, Field(description="scores below are left out; by default the model's own, or 0.3")
    ] = None,
    iou: Annotated[Unit, Field(description="of two boxes of one label that overlap more, the better stays")] = 0.5,
    reading: As = Reading(),  # noqa: B008  frozen
) -> Table:
    """Find things and their boxes: `load_model` with name detect-scenes, or another.

    A row for each thing: `image`, its picture's place in the batch; `x`, `y`, `width`, `height` in pixels; `score`, how
    sure the network is; `label`. Pictures in order, the surest first. `draw_boxes` shows them, `crop_by_boxes` cuts them
    out.

    ONNX networks may answer with boxes (edges), labels and scores, as torchvision's do, or with one table of middle x,
    middle y, width, height and a score for each class, as YOLO's from version 8 on do.

    Convention: x and y are a box's left and top edge, where the picture's are 0, so that a box of pixel (3, 4) alone is
    3, 4, 1, 1; a box ends where the picture ends, except where that tiles: there it goes on beyond the seam. Of boxes
    that overlap the others are taken away one label at a time. Transparent is seen as black. Values are taken as sRGB;
    scene-linear pictures are refused.
    """
    reads = reader(model, reading)
    network = reads.network(image.device)
    least = _threshold(model) if threshold is None else threshold
    rows: list[tuple[Any, ...]] = []
    for window in reads.windows(image, MARGIN, fit="inside"):
        for i, found in enumerate(_candidates(network(window.pixels), reads)):
            rows += _rows(_placed(found, window, image.wrap), window.first + i, least, iou, reads)
    return Table(COLUMNS, tuple(rows))


def _threshold(model: Model) -> float:
    """The model's own."""
    told = model.config.get("threshold", USUAL)
    if not isinstance(told, (int, float)) or not 0 <= told <= 1:
        raise OperationError(f"the config of '{model.name}' has a threshold of {told!r}; it must be from 0 to 1")
    return float(told)


def _rows(found: Candidates, image: int, threshold: float, iou: float, reads: Reader) -> list[tuple[Any, ...]]:
    sure = (found.scores >= threshold).nonzero()[:, 0]
    best = sure[found.scores[sure].argsort(descending=True, stable=True)[:MOST]]
    edges, scores, kinds = (part[best] for part in found)
    stays = suppressed(edges, scores, kinds, iou)
    return [
        (image, left, top, right - left, bottom - top, score, reads.label(kind))
        for (left, top, right, bottom), score, kind in zip(
            edges[stays].tolist(), scores[stays].tolist(), kinds[stays].tolist(), strict=True
        )
    ]


def _placed(found: Candidates, window: Window, wrap: tuple[bool, bool]) -> Candidates:
    """In pixels of the picture; of one that tiles, those whose middle is in the picture, else cut at the frame."""
    start, inner, size = (found.edges.new_tensor(part) for part in (window.start, window.inner, window.size))
    edges = ((found.edges.view(-1, 2, 2) - start) * (size / inner)).flatten(1)
    middle = (edges[:, :2] + edges[:, 2:]) / 2
    keep = ((middle >= 0) & (middle < size)).all(1)
    limits = [size[0] if not wrap[0] else torch.inf, size[1] if not wrap[1] else torch.inf]
    lowest = [0.0 if not wraps else -torch.inf for wraps in wrap]
    edges = edges.clamp(edges.new_tensor(lowest * 2), edges.new_tensor([float(limit) for limit in limits] * 2))
    keep &= (edges[:, 2:] > edges[:, :2]).all(1)
    return Candidates(edges[keep], found.scores[keep], found.kinds[keep])


# --- what networks answer with --------------------------------------------------------------------------------------


def _candidates(answer: Any, reads: Reader) -> list[Candidates]:
    """Of each picture that the network was given."""
    if isinstance(answer, Found):
        return [_of_peaks(*part) for part in zip(answer.heat.float(), answer.reach.float(), strict=True)]
    parts = list(answer.values()) if isinstance(answer, dict) else answer
    if isinstance(parts, torch.Tensor):
        parts = [parts]
    if isinstance(parts, (list, tuple)) and all(isinstance(part, torch.Tensor) for part in parts):
        if len(parts) == 1 and parts[0].ndim == 3:
            return [_of_table(part.float(), reads) for part in parts[0]]
        if len(parts) == 3 and (found := _of_lists(list(parts))) is not None:
            return [found]
    raise OperationError(
        f"'{reads.model.name}' is no network to detect with: it must answer with boxes, labels and scores, or with one "
        "table of boxes and scores"
    )


def _of_peaks(heat: torch.Tensor, reach: torch.Tensor) -> Candidates:
    """Cells that are hotter than those around them, of one class."""
    sure = heat.sigmoid()
    peaks = sure * (max_pool2d(sure[None], 3, 1, 1)[0] == sure)
    scores, places = peaks.flatten().topk(min(MOST, peaks.numel()))
    kinds, cells = places // (heat.shape[1] * heat.shape[2]), places % (heat.shape[1] * heat.shape[2])
    y, x = ((part + 0.5) * STRIDE for part in (cells // heat.shape[2], cells % heat.shape[2]))
    left, top, right, bottom = reach.flatten(1)[:, cells]
    return Candidates(torch.stack([x - left, y - top, x + right, y + bottom], 1), scores, kinds)


def _of_table(table: torch.Tensor, reads: Reader) -> Candidates:
    """`(4 + classes, N)`, or `(N, 4 + classes)`: middle x and y, width and height, then scores of 0 to 1."""
    columns = 4 + len(reads.labels)
    if not reads.labels or columns not in table.shape:
        raise OperationError(
            f"'{reads.model.name}' answers with a table of {tuple(table.shape)}, which is not 4 and one for each of "
            f"{len(reads.labels)} labels: say them in 'reading.labels'"
        )
    if table.shape[0] != columns:
        table = table.T
    middle, half = table[:2].T, table[2:4].T / 2
    scores, kinds = table[4:].max(0)
    return Candidates(torch.cat([middle - half, middle + half], 1), scores, kinds)


def _of_lists(parts: list[torch.Tensor]) -> Candidates | None:
    """Edges `(N, 4)`, whole numbers `(N,)` and scores `(N,)`, in any order, of one picture; None for anything else."""
    parts = [part[0] if part.ndim > 1 and len(part) == 1 and part.shape[1:] != (4,) else part for part in parts]
    edges = [part for part in parts if part.ndim == 2 and part.shape[1] == 4]
    lists = [part for part in parts if part.ndim == 1]
    kinds = [part for part in lists if not part.is_floating_point()]
    scores = [part for part in lists if part.is_floating_point()]
    if not (len(edges) == len(kinds) == len(scores) == 1 and len(edges[0]) == len(kinds[0]) == len(scores[0])):
        return None
    return Candidates(edges[0].float(), scores[0].float(), kinds[0].long())

"""The figures of docs/vision.md, measured through the operations: `python -m training.vision_figures`.

    python -m training.vision_figures 7000000 500                    on scenes of your own choice
    python -m training.vision_figures --sheet docs/vision.jpg        the picture of that page

Mean IoU: of each class over all pixels of all scenes. AP50: of each label the area under precision over recall, at every
recall the best precision there or beyond (M. Everingham et al., "The PASCAL Visual Object Classes Challenge: A
Retrospective", 2015, section 3.2); a box is right if it overlaps one of its label, found by none before, by half or more.
"""

from __future__ import annotations

import argparse
from typing import Any

import cv2
import numpy as np
import torch
from pipeline_models.load import load_model
from pipeline_models.vision import classify, detect, draw_boxes, overlay_mask, segment, segment_classes
from pipeline_models.vision.boxes import overlap
from pipeline_models.vision.painting import color_of

from pipeline_core import Image, Mask, Model, Table
from training.digits_classifier import digits
from training.scenes import LABELS, Scene, scenes

AT_ONCE = 50
Array = np.ndarray[Any, Any]


def mean_iou(made: list[Scene]) -> dict[str, float]:
    """Of segment-scenes, for each class, and their mean."""
    model = load_model(name="segment-scenes")
    names = ("ground", *LABELS)
    counts = np.zeros((len(names), len(names)), np.int64)
    for start in range(0, len(made), AT_ONCE):
        part = made[start : start + AT_ONCE]
        found = segment_classes(Image(np.stack([one.pixels for one in part])), model).array[..., 0] * 255
        pairs = np.stack([one.labels for one in part]).astype(np.int64) * len(names) + np.rint(found).astype(np.int64)
        counts += np.bincount(pairs.ravel(), minlength=len(names) ** 2).reshape(counts.shape)
    both = counts.diagonal()
    iou = both / (counts.sum(0) + counts.sum(1) - both)
    return {"mean": float(iou.mean()), **dict(zip(names, iou.tolist(), strict=True))}


Boxes = list[tuple[int, torch.Tensor, float, str]]
"""Of which scene, its edges, score and label."""


def boxes_of(made: list[Scene], model: Model) -> Boxes:
    """What a detector finds, unsure as it may be."""
    found: Boxes = []
    for start in range(0, len(made), AT_ONCE):
        part = Image(np.stack([one.pixels for one in made[start : start + AT_ONCE]]))
        for row in detect(part, model, threshold=0.02).rows:
            image, x, y, width, height, score = (float(value or 0) for value in row[:6])
            found.append((start + int(image), torch.tensor([[x, y, x + width, y + height]]), score, str(row[6])))
    return found


def ap50(made: list[Scene], found: Boxes) -> dict[str, float]:
    """Of each label, and their mean."""
    figures = {label: _ap(*_hits(made, found, kind)) for kind, label in enumerate(LABELS)}
    return {"mean": sum(figures.values()) / len(figures), **figures}


def best_threshold(made: list[Scene], found: Boxes) -> tuple[float, float]:
    """The score from which boxes are to be taken for the best balance of precision and recall (F1), and that."""
    hits = [_hits(made, found, kind) for kind in range(len(LABELS))]
    scores, right = (np.concatenate(part) for part in zip(*((one[0], one[1]) for one in hits), strict=True))
    order = np.argsort(-scores)
    f1 = 2 * right[order].cumsum() / (np.arange(1, len(order) + 1) + sum(one[2] for one in hits))
    return round(float(scores[order][f1.argmax()]), 2), float(f1.max())


def _hits(made: list[Scene], found: Boxes, kind: int) -> tuple[Array, Array, int]:
    """Of one label: the scores of the boxes found, surest first, which of them are right, and how many there were to find."""
    found = sorted((one for one in found if one[3] == LABELS[kind]), key=lambda one: -one[2])
    wanted = [torch.from_numpy(one.boxes[one.kinds == kind]) for one in made]
    edges = [torch.cat([part[:, :2], part[:, :2] + part[:, 2:]], 1) for part in wanted]
    free = [torch.ones(len(part), dtype=torch.bool) for part in wanted]
    right = []
    for image, box, _, _ in found:
        shares = overlap(box, edges[image])[0] * free[image]
        hit = len(shares) > 0 and float(shares.max()) >= 0.5
        if hit:
            free[image][shares.argmax()] = False
        right.append(hit)
    return np.array([one[2] for one in found]), np.array(right), sum(map(len, wanted))


def _ap(_: Array, right: Array, count: int) -> float:
    hits = np.cumsum(right)
    recall, precision = hits / count, hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0) * best).sum())


def accuracy() -> float:
    """Of digits-classifier, on the digits held back."""
    pixels, answers = digits(held_back=True)
    table = classify(
        Image(pixels.permute(0, 2, 3, 1).numpy(), channels=("Y",)), load_model(name="digits-classifier"), top=1
    )
    return float(np.mean([row[2] == str(answer) for row, answer in zip(table.rows, answers.tolist(), strict=True)]))


def sheet(made: list[Scene]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Scenes, below them what was found in them, and below that what each pixel was taken for; twice as large."""
    image = Image(np.stack([one.pixels for one in made]).repeat(2, 1).repeat(2, 2))
    table = detect(Image(np.stack([one.pixels for one in made])), load_model(name="detect-scenes"))
    doubled = tuple((row[0], *(2 * float(v or 0) for v in row[1:5]), *row[5:]) for row in table.rows)
    found = draw_boxes(image, Table(table.columns, doubled), fill=0.15)
    model, shown = load_model(name="segment-scenes"), image
    for label in LABELS:
        mask = segment(Image(np.stack([one.pixels for one in made])), model, classes=[label])
        larger = Mask(mask.array.repeat(2, 1).repeat(2, 2))
        shown = overlay_mask(shown, larger, color=color_of(label), opacity=0.8)
    rows = [np.concatenate(list(part.array), 1) for part in (image, found, shown)]
    drawn: np.ndarray[Any, np.dtype[np.uint8]] = np.rint(np.concatenate(rows).clip(0, 1) * 255).astype(np.uint8)
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "seed", type=int, nargs="?", default=3_000_000, help="of the first scene; below 5000 it has seen them"
    )
    parser.add_argument("count", type=int, nargs="?", default=500, help="of scenes")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--sheet", help="draw the first four scenes into this file instead")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.sheet:
        drawn = sheet(scenes(range(given.seed, given.seed + 4)))
        cv2.imwrite(given.sheet, cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
        return
    print(f"digits-classifier  accuracy {accuracy():.4f}")
    made = scenes(range(given.seed, given.seed + given.count))
    with torch.no_grad():
        found = boxes_of(made, load_model(name="detect-scenes"))
        for name, measured in (
            ("segment-scenes     IoU ", mean_iou(made)),
            ("detect-scenes      AP50", ap50(made, found)),
        ):
            print(name, "  ".join(f"{key} {value:.4f}" for key, value in measured.items()))


if __name__ == "__main__":
    main()

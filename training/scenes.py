"""Scenes to learn from: textured shapes that lie over each other on textured grounds, lit, blurred and noisy.

Every scene follows from its seed alone, so that anybody can make as many as they like: to train with, or to check with.

    python -m training.scenes sheet.png --seed 7
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
LABELS = ("disc", "triangle", "box", "star")
SIZE = 128
FINE = 4
"""Outlines are drawn so many times finer, and averaged."""
RADII = (10, 34)
MOST = 6
VISIBLE, IN_FRAME = 0.6, 0.75
"""Shares of a shape that must stay in sight of the others, and lie in the frame; else its label is anybody's guess."""
APART = 0.28
"""How far the colours of what touches lie apart, of 0 to 1.7: less is camouflage."""


@dataclass(frozen=True)
class Scene:
    """`pixels` `(H, W, 3)` uint8, sRGB; `labels` `(H, W)`: 0 is ground, 1 the first of LABELS; boxes of what is visible.

    `boxes` `(N, 4)` are x, y, width, height in pixels; `kinds` `(N,)` their places in LABELS.
    """

    pixels: np.ndarray[Any, np.dtype[np.uint8]]
    labels: np.ndarray[Any, np.dtype[np.uint8]]
    boxes: Array
    kinds: np.ndarray[Any, np.dtype[np.int64]]


def scene(seed: int, size: int = SIZE) -> Scene:
    """One scene."""
    rng = np.random.default_rng(seed)
    canvas, ground = _ground(rng, size)
    colors: list[Array] = []
    owner = np.full((size, size), -1, np.int32)
    kinds: list[int] = []
    areas: list[int] = []
    for _ in range(int(rng.integers(1, MOST + 1))):
        for _ in range(8):  # tries to find it a place
            kind = int(rng.integers(len(LABELS)))
            cover, whole = _shape(rng, kind, size)
            inside = cover >= 0.5
            if inside.sum() < IN_FRAME * whole or not _stay_visible(owner, inside, areas):
                continue
            near = [*ground, *(colors[i] for i in np.unique(owner[inside]) if i >= 0)]
            color = _color_apart(rng, near)
            canvas = _shadowed(rng, canvas, cover)
            surface = _texture(rng, size, color, _other_color(rng, color, near), strong=True)
            surface = surface * _ramp(rng, size, 0.25)
            canvas = canvas * (1 - cover[..., None]) + surface * cover[..., None]
            owner[inside] = len(kinds)
            kinds.append(kind)
            colors.append(color)
            areas.append(int(inside.sum()))
            break
    pixels = _photographed(rng, canvas)
    labels = np.zeros((size, size), np.uint8)
    boxes = np.zeros((len(kinds), 4), np.float32)
    for i, kind in enumerate(kinds):
        mine = owner == i
        labels[mine] = kind + 1
        boxes[i] = cv2.boundingRect(mine.astype(np.uint8))
    return Scene(pixels, labels, boxes, np.array(kinds, np.int64))


def scenes(seeds: range, size: int = SIZE) -> list[Scene]:
    """One scene for each seed."""
    return [scene(seed, size) for seed in seeds]


# --- shapes ---------------------------------------------------------------------------------------------------------


def _shape(rng: np.random.Generator, kind: int, size: int) -> tuple[Array, float]:
    """Coverage `(H, W)` of a shape somewhere, and the area that it has in and out of the frame."""
    radius = math.exp(rng.uniform(math.log(RADII[0]), math.log(RADII[1])))
    center = rng.uniform(0, size, 2)
    turn = rng.uniform(0, 2 * math.pi)
    outline = _outline(rng, LABELS[kind]) * radius
    turned = outline @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]) + center
    sheet = np.zeros((size * FINE, size * FINE), np.uint8)
    cv2.fillPoly(sheet, [np.round(turned * FINE * 16).astype(np.int32)], 255, shift=4)
    cover = cv2.resize(sheet, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return cover, cv2.contourArea(turned.astype(np.float32))


def _outline(rng: np.random.Generator, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Points around 0, the farthest at about 1."""
    if name == "disc":
        angles = np.linspace(0, 2 * math.pi, 64, endpoint=False)
        return np.stack([np.cos(angles), np.sin(angles) * rng.uniform(0.75, 1)], 1) * 0.9
    if name == "box":
        height = rng.uniform(0.55, 1)
        points = np.array([[-1, -height], [1, -height], [1, height], [-1, height]])
        return points / math.hypot(1, height)
    if name == "triangle":
        angles = np.arange(3) * 2 * math.pi / 3 + rng.uniform(-0.25, 0.25, 3)
        return np.stack([np.cos(angles), np.sin(angles)], 1)
    angles = np.arange(10) * math.pi / 5
    lengths = np.where(np.arange(10) % 2, rng.uniform(0.4, 0.55), 1.0)
    return np.stack([np.cos(angles), np.sin(angles)], 1) * lengths[:, None]


def _stay_visible(owner: np.ndarray[Any, Any], inside: np.ndarray[Any, Any], areas: list[int]) -> bool:
    """Whether all that lies there is still seen well enough with one more over it."""
    hidden = np.bincount(owner[owner >= 0], minlength=len(areas)) - np.bincount(
        owner[inside & (owner >= 0)], minlength=len(areas)
    )
    return all(left >= VISIBLE * area for left, area in zip(hidden, areas, strict=True))


# --- colours and surfaces -------------------------------------------------------------------------------------------


def _color_apart(rng: np.random.Generator, others: list[Array]) -> Array:
    """A colour that stands out from all of these, or of 50 the one that does so most."""
    tries = rng.uniform(0.05, 0.95, (50, 3)).astype(np.float32)
    away = np.min([np.linalg.norm(tries - other, axis=1) for other in others], axis=0)
    good = np.flatnonzero(away >= APART)
    found: Array = tries[good[0] if good.size else int(away.argmax())]
    return found


def _other_color(rng: np.random.Generator, color: Array, others: list[Array]) -> Array:
    """A second colour for a surface, not too far from the first one, and no other's."""
    tries = np.clip(color + rng.uniform(-0.4, 0.4, (50, 3)), 0, 1).astype(np.float32)
    away = np.min([np.linalg.norm(tries - other, axis=1) for other in others], axis=0)
    good = np.flatnonzero(away >= APART)
    return tries[good[0]] if good.size else color


def _ground(rng: np.random.Generator, size: int) -> tuple[Array, list[Array]]:
    """A ground of one surface or two, with scratches; and the colours in it."""
    first = rng.uniform(0.05, 0.95, 3).astype(np.float32)
    colors = [first, np.clip(first + rng.uniform(-0.2, 0.2, 3), 0, 1).astype(np.float32)]
    canvas = _texture(rng, size, colors[0], colors[1], strong=False)
    if rng.random() < 0.4:  # another surface begins somewhere
        second = np.clip(first + rng.uniform(-0.35, 0.35, 3), 0, 1).astype(np.float32)
        side: Array = (_along(size, rng.uniform(0, 2 * math.pi)) > rng.uniform(-0.3, 0.3)).astype(np.float32)
        side = cv2.GaussianBlur(side, (0, 0), rng.uniform(0.5, 2))[..., None]
        canvas = canvas * (1 - side) + _texture(rng, size, second, first, strong=False) * side
        colors[1] = second
    for _ in range(int(rng.integers(0, 5))):
        ends = rng.uniform(-0.1, 1.1, (2, 2)) * size * 16
        line = np.zeros((size, size), np.uint8)
        start, end = ([int(v) for v in point] for point in ends)
        cv2.line(line, start, end, 255, int(rng.integers(1, 4)), cv2.LINE_AA, shift=4)
        share = line.astype(np.float32)[..., None] / 255 * rng.uniform(0.3, 1)
        canvas = canvas * (1 - share) + rng.uniform(0, 1, 3).astype(np.float32) * share
    return canvas, colors


def _texture(rng: np.random.Generator, size: int, one: Array, other: Array, *, strong: bool) -> Array:
    """`(H, W, 3)`: two colours in a pattern, a little mottled."""
    pattern = str(rng.choice(["flat", "stripes", "checks", "dots", "ramp", "mottled"]))
    period = rng.uniform(4, 12) if strong else rng.uniform(5, 24)
    turn = rng.uniform(0, math.pi)
    u, v = _along(size, turn) * size / period, _along(size, turn + math.pi / 2) * size / period
    if pattern == "stripes":
        share = 0.5 + 0.5 * np.sin(2 * math.pi * u)
        share = (share > 0.5).astype(np.float32) if rng.random() < 0.5 else share
    elif pattern == "checks":
        share = ((np.floor(u) + np.floor(v)) % 2).astype(np.float32)
    elif pattern == "dots":
        share = (np.hypot(u % 1 - 0.5, v % 1 - 0.5) < rng.uniform(0.2, 0.4)).astype(np.float32)
    elif pattern == "ramp":
        share = np.clip(0.5 + _along(size, turn) * rng.uniform(0.5, 2), 0, 1)
    elif pattern == "mottled":
        share = np.clip(0.5 + 1.2 * _cloud(rng, size, period), 0, 1)
    else:
        share = np.zeros((size, size), np.float32)
    surface: Array = one + (other - one) * share[..., None].astype(np.float32)
    mottled: Array = surface + rng.uniform(0, 0.08) * _cloud(rng, size, rng.uniform(2, 16))[..., None]
    return mottled


def _cloud(rng: np.random.Generator, size: int, period: float) -> Array:
    """Smooth noise of about -1 to 1, twice as fine and half as strong on top."""
    total = np.zeros((size, size), np.float32)
    for octave in range(3):
        cells = max(2, round(size / period * 2**octave))
        grid = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
        total += cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC) / 2**octave
    return total / 1.75


def _along(size: int, angle: float) -> Array:
    """How far each pixel lies in a direction, about -0.5 to 0.5."""
    place = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    return (place[None, :] * math.cos(angle) + place[:, None] * math.sin(angle)).astype(np.float32)


# --- light ----------------------------------------------------------------------------------------------------------


def _ramp(rng: np.random.Generator, size: int, strength: float) -> Array:
    """Light that falls off in a direction, around 1."""
    return (1 + rng.uniform(0, strength) * 2 * _along(size, rng.uniform(0, 2 * math.pi)))[..., None]


def _shadowed(rng: np.random.Generator, canvas: Array, cover: Array) -> Array:
    """With the shadow that a shape casts, sometimes."""
    if rng.random() < 0.5:
        return canvas
    shift = np.array([[1, 0, rng.uniform(-4, 4)], [0, 1, rng.uniform(-4, 4)]])
    shadow = cv2.GaussianBlur(cv2.warpAffine(cover, shift, cover.shape[::-1]), (0, 0), rng.uniform(1, 4))
    return np.asarray(canvas * (1 - rng.uniform(0.1, 0.5) * shadow[..., None]), np.float32)


def _photographed(rng: np.random.Generator, canvas: Array) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Lit, tinted, out of focus, noisy, in 8 bits."""
    size = len(canvas)
    lit = canvas * _ramp(rng, size, 0.4) * rng.uniform(0.92, 1.08, 3)
    if rng.random() < 0.3:
        x, y = rng.uniform(-0.5, 0.5, 2)
        apart = np.hypot(_along(size, 0) - x, _along(size, math.pi / 2) - y)[..., None]
        lit = lit * (1.15 - rng.uniform(0.2, 0.6) * apart)
    exposed: Array = np.clip(lit * rng.uniform(0.8, 1.15), 0, 1) ** rng.uniform(0.8, 1.25)
    if rng.random() < 0.5:
        exposed = cv2.GaussianBlur(exposed, (0, 0), rng.uniform(0.3, 0.9))
    noisy = exposed + rng.normal(0, 1, exposed.shape) * rng.uniform(0, 0.05)
    return np.rint(np.clip(noisy, 0, 1) * 255).astype(np.uint8)


def sheet(seed: int, columns: int = 6, rows: int = 4) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Many scenes in one picture, with what is to be found in them: to look at."""
    tints = np.array([[0, 0, 0], [230, 60, 60], [60, 200, 60], [70, 90, 240], [240, 200, 40]], np.uint8)
    lines = []
    for row in range(rows):
        made = scenes(range(seed + row * columns, seed + (row + 1) * columns))
        pictures, answers = [one.pixels for one in made], [tints[one.labels] for one in made]
        for one, answer in zip(made, answers, strict=True):
            for x, y, width, height in one.boxes.astype(int).tolist():
                cv2.rectangle(answer, (x, y), (x + width - 1, y + height - 1), (255, 255, 255))
        lines += [np.concatenate(pictures, 1), np.concatenate(answers, 1)]
    return np.concatenate(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw a sheet of scenes and their labels.")
    parser.add_argument("path")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cv2.imwrite(arguments.path, cv2.cvtColor(sheet(arguments.seed), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()

"""Irregular holes as people draw them: strokes that wander, blobs, and what is left of both at other sizes."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

Array = np.ndarray[Any, Any]


def irregular(
    height: int, width: int, random: np.random.Generator, share: float, *, strokes: float = 0.65, scale: float = 1.0
) -> Array:
    """`(height, width)` uint8 with 1 in the holes, over `share` of it or a little more.

    strokes  so many of the holes are strokes, the others blobs
    scale    of their widths: at 1 strokes are 3 to 20 pixels wide, blobs 8 to 60
    """
    hole = np.zeros((height, width), np.uint8)
    while hole.mean() < share:
        x, y, turn = random.uniform(0, width), random.uniform(0, height), random.uniform(0, 2 * math.pi)
        if random.random() < strokes:
            thickness = max(1, round(random.uniform(3, 20) * scale))
            points = [(x, y)]
            for _ in range(random.integers(3, 10)):
                turn += random.normal(0, 0.6)
                length = random.uniform(15, 60)
                x, y = x + math.cos(turn) * length, y + math.sin(turn) * length
                points.append((x, y))
            cv2.polylines(hole, [np.array(points, np.int32)], False, 1, thickness)
        else:
            axes = tuple(max(1, round(random.uniform(4, 30) * scale)) for _ in range(2))
            cv2.ellipse(hole, (int(x), int(y)), axes, math.degrees(turn), 0, 360, 1, -1)
    return hole

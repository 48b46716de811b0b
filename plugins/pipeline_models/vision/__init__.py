"""What is in a picture, and how near what was made comes to what is real."""

from collections.abc import Callable
from typing import Any

from pipeline_models.vision.classify import classify
from pipeline_models.vision.cropping import crop_by_boxes
from pipeline_models.vision.detect import detect
from pipeline_models.vision.draw import draw_boxes, overlay_mask
from pipeline_models.vision.segment import segment, segment_classes
from pipeline_models.vision.sets import compare_sets, nearest

__all__ = [
    "OPERATIONS", "classify", "compare_sets", "crop_by_boxes", "detect", "draw_boxes", "nearest", "overlay_mask",
    "segment", "segment_classes",
]  # fmt: skip

OPERATIONS: list[Callable[..., Any]] = [
    segment, segment_classes, classify, detect, draw_boxes, overlay_mask, crop_by_boxes, compare_sets, nearest
]  # fmt: skip

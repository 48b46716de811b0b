"""Filters at 4K, RGBA, float32, beside bare OpenCV on the same pixels in the same run: python benchmarks/operations/filter.py

Where OpenCV has no float kernel the row says what stands beside ours: its 8-bit kernel, or its kernels for fewer
channels. OpenCV's own results are not associated, and its float kernels get associated pixels here.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import pipeline_filter as f

from pipeline_core import Image, Mask

WIDTH, HEIGHT = 3840, 2160


class Row(NamedTuple):
    name: str
    beside: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    limit: float = 1.5


def picture() -> np.ndarray:
    """Smooth colours with grain, cut out by large shapes with soft edges; associated."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    color = np.stack([np.sin(x / 190) * 0.4 + 0.5, np.cos(y / 170) * 0.4 + 0.5, (x + y) % 256 / 256], axis=2)
    color += np.random.default_rng(0).normal(0, 0.02, color.shape)
    alpha = ((900 - np.hypot(x - WIDTH / 2, y - HEIGHT / 2)) / 6).clip(0, 1)[..., None]
    return np.concatenate([color * alpha, alpha], axis=2).astype(np.float32)


def rows(pixels: np.ndarray) -> list[Row]:
    image = Image(pixels[None], channels=tuple("RGBA"), alpha="associated")
    straight = image.with_buffer(image.buffer, alpha="straight")
    codes = (pixels.clip(0, 1) * 255).astype(np.uint8)
    color, alpha = np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(pixels[..., 3])
    luma = np.ascontiguousarray(codes[..., 1])
    mask = Mask(pixels[None, ..., 3:])
    square, cross = np.ones((7, 7), np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (7, 7))
    steps = np.arange(-3, 4)
    disc = (steps[:, None] ** 2 + steps**2 <= 9).astype(np.uint8)
    edge = cv2.BORDER_REPLICATE
    equalizer = cv2.createCLAHE(2, (8, 8))
    lens = np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (21, 21)), np.float32) / 317

    def gauss(sigma: float) -> np.ndarray:
        return cv2.GaussianBlur(pixels, (2 * int(4 * sigma + 0.5) + 1,) * 2, sigma, borderType=edge)

    def find_edges() -> np.ndarray:
        across, down = (cv2.Sobel(pixels, -1, *order, scale=0.25, borderType=edge) for order in ((1, 0), (0, 1)))
        return cv2.magnitude(across, down).max(axis=2)

    return [
        Row("blur sigma 1", "GaussianBlur", lambda: f.blur(image, sigma=1), lambda: gauss(1)),
        Row("blur sigma 3", "GaussianBlur", lambda: f.blur(image, sigma=3), lambda: gauss(3)),
        Row("blur sigma 3, straight", "GaussianBlur", lambda: f.blur(straight, sigma=3), lambda: gauss(3), 4),
        Row("blur box 11x11", "blur", lambda: f.blur(image, radius=5, filter="box"), lambda: cv2.blur(pixels, (11, 11))),
        Row("defocus radius 10", "filter2D", lambda: f.defocus(image, radius=10), lambda: cv2.filter2D(pixels, -1, lens)),
        Row("median 3x3", "medianBlur", lambda: f.median(image), lambda: cv2.medianBlur(pixels, 3)),
        Row("median 5x5", "medianBlur", lambda: f.median(image, radius=2), lambda: cv2.medianBlur(pixels, 5)),
        Row("dilate 7x7", "dilate", lambda: f.dilate(image, radius=3), lambda: cv2.dilate(pixels, square)),
        Row("erode 7x7", "erode", lambda: f.erode(image, radius=3), lambda: cv2.erode(pixels, square)),
        Row("dilate disc 3", "dilate", lambda: f.dilate(image, radius=3, shape="disc"), lambda: cv2.dilate(pixels, disc)),
        Row("dilate cross 3", "dilate", lambda: f.dilate(image, radius=3, shape="cross"), lambda: cv2.dilate(pixels, cross)),
        Row(
            "open 7x7", "morphologyEx", lambda: f.open(image, radius=3),
            lambda: cv2.morphologyEx(pixels, cv2.MORPH_OPEN, square),
        ),
        Row(
            "bilateral", "bilateralFilter of RGB and of A", lambda: f.bilateral(image),
            lambda: (cv2.bilateralFilter(color, 7, 0.1, 2), cv2.bilateralFilter(alpha, 7, 0.1, 2)),
        ),
        Row(
            "unsharp_mask sigma 2", "GaussianBlur, addWeighted", lambda: f.unsharp_mask(image),
            lambda: cv2.addWeighted(pixels, 1.5, gauss(2), -0.5, 0),
        ),
        Row("edge_detect sobel", "Sobel, magnitude", lambda: f.edge_detect(image), find_edges),
        Row(
            "distance", "distanceTransform", lambda: f.distance(mask),
            lambda: cv2.distanceTransform(255 - codes[..., 3], cv2.DIST_L2, cv2.DIST_MASK_PRECISE),
        ),
        Row(
            "denoise 5x5 in 11x11", "fastNlMeansDenoising, 8-bit", lambda: f.denoise(image),
            lambda: cv2.fastNlMeansDenoising(codes, None, 10, 5, 11), 4,
        ),
        Row("clahe", "CLAHE of one 8-bit plane", lambda: f.clahe(image), lambda: equalizer.apply(luma), 4),
        Row("equalize", "equalizeHist of one 8-bit plane", lambda: f.equalize(image), lambda: cv2.equalizeHist(luma), 4),
    ]  # fmt: skip


def seconds(change: Callable[[], object]) -> float:
    start = time.perf_counter()
    change()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="the fastest of so many counts (5)")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    given = parser.parse_args()
    print(f"{'operation':24}{'ours ms':>9}{'theirs ms':>11}{'ratio':>8}{'limit':>7}  beside")
    for row in rows(picture()):
        if given.only not in row.name:
            continue
        row.ours(), row.theirs()
        pairs = [(seconds(row.ours), seconds(row.theirs)) for _ in range(given.rounds)]
        ours, theirs = (min(times) * 1000 for times in zip(*pairs, strict=True))
        print(f"{row.name:24}{ours:9.0f}{theirs:11.0f}{ours / theirs:8.2f}{row.limit:7.1f}  {row.beside}", flush=True)


if __name__ == "__main__":
    main()

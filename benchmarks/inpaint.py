"""How well and how fast holes are filled: `python -m benchmarks.inpaint [photographs] [textures] [speed] [pictures]`.

Photographs are those held back from training, textures three of scikit-image's; holes are irregular. OpenCV's methods
are called bare, in 8 bits, each with the better of two radii.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from pipeline_models.inpaint import inpaint
from pipeline_models.vision.sets import compare_sets

from benchmarks.timing import machine, medians
from pipeline_core import Image, Mask
from training.holes import irregular
from training.inpaint import psnr
from training.photographs import HELD_BACK, photograph

Array = np.ndarray[Any, Any]
SHARES = (0.1, 0.15, 0.2, 0.25)
TEXTURES = ("skimage:brick.png", "skimage:grass.png", "skimage:gravel.png")
FLAGS = {"telea": cv2.INPAINT_TELEA, "navier-stokes": cv2.INPAINT_NS}


def bare(whole: Array, hole: Array, method: str) -> Array:
    """OpenCV's, with the radius that serves it better."""
    return max(
        (cv2.inpaint(whole, hole, radius, FLAGS[method]) for radius in (3, 5)), key=lambda found: psnr(found, whole)
    )


def by(method: Any, whole: Array, hole: Array) -> Array:
    mask = Mask(hole.astype(np.float32)[None, ..., None])
    return np.asarray(inpaint(Image(whole[None]), mask, method=method).buffer[0])


def photographs() -> None:
    """PSNR of the whole picture in dB."""
    methods = ("telea", "navier-stokes", "diffuse", "model")
    print("| photograph | " + " | ".join(methods) + " | gain |\n|---|" + "---|" * (len(methods) + 1))
    gains = []
    for number, name in enumerate(HELD_BACK):
        whole = photograph(name)
        found: dict[str, list[float]] = {method: [] for method in methods}
        for share in SHARES:
            random = np.random.default_rng([number, round(1000 * share)])
            hole = irregular(whole.shape[0], whole.shape[1], random, share)
            for method in methods:
                filled = bare(whole, hole, method) if method in FLAGS else by(method, whole, hole)
                assert np.array_equal(filled[hole == 0], whole[hole == 0])
                found[method].append(psnr(filled, whole))
        means = {method: float(np.mean(values)) for method, values in found.items()}
        gains.append(means["model"] - max(means["telea"], means["navier-stokes"]))
        print(f"| {name} | " + " | ".join(f"{means[method]:.2f}" for method in methods) + f" | {gains[-1]:+.2f} |")
    print(f"mean gain over the better of telea and navier-stokes: {np.mean(gains):+.2f} dB")


def textures() -> None:
    """Sliced Wasserstein distance of the filled texture from the whole one, times 1000."""
    methods = ("telea", "navier-stokes", "diffuse", "model", "patch")
    print("| texture | " + " | ".join(methods) + " |\n|---|" + "---|" * len(methods))
    for number, name in enumerate(TEXTURES):
        whole = photograph(name)
        hole = irregular(whole.shape[0], whole.shape[1], np.random.default_rng(number), 0.2)
        row = []
        for method in methods:
            filled = bare(whole, hole, method) if method in FLAGS else by(method, whole, hole)
            table = compare_sets(Image(filled[None]), Image(whole[None]), normalize="real")
            row.append(1000 * float(dict(table.rows)["swd"]))  # type: ignore[arg-type]  # rows of two
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in row) + " |")


def speed() -> None:
    """Seconds for a picture of a megapixel, 20 % of it hole."""
    whole = cv2.resize(photograph("skimage:astronaut.png"), (1024, 1024), interpolation=cv2.INTER_CUBIC)
    hole = irregular(1024, 1024, np.random.default_rng(0), 0.2)
    jobs: dict[str, Any] = {
        method: lambda method=method: by(method, whole, hole) for method in (*FLAGS, "diffuse", "model", "patch")
    }
    for method, seconds in medians(jobs, 3).items():
        print(f"| {method} | {seconds:.2f} |")
    print(f"{machine()}, {torch.get_num_threads()} threads of torch")


def pictures() -> None:
    """Writes docs/inpaint.jpg: a photograph by three methods, and a texture by two."""
    rows = []
    shown: tuple[tuple[str, tuple[str, ...]], ...] = (
        (HELD_BACK[0], ("telea", "model")),
        (TEXTURES[0], ("telea", "patch")),
    )
    for number, (name, methods) in enumerate(shown):
        whole = photograph(name)[:280, :360]
        hole = irregular(whole.shape[0], whole.shape[1], np.random.default_rng(5 + number), 0.15)
        cut = np.where(hole[..., None] > 0, np.uint8(255), whole)
        rows.append(np.concatenate([cut, *(by(method, whole, hole) for method in methods)], 1))
    path = Path(__file__).parents[1] / "docs" / "inpaint.jpg"
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    print(f"{path.name}: the holes, and what was made of them")


PARTS = {"photographs": photographs, "textures": textures, "speed": speed, "pictures": pictures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all, unless some are named")
    for part in parser.parse_args().parts or PARTS:
        print(f"{PARTS[part].__doc__}\n")
        PARTS[part]()
        print()


if __name__ == "__main__":
    main()

"""Decoding and encoding beside OpenCV, Pillow and OpenImageIO: `python -m benchmarks.codecs [--small]`."""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import skimage.data
from pipeline_io import encode_image, jpeg, load_image, native, png

from benchmarks.timing import machine, medians
from pipeline_core import Image

Array = np.ndarray[Any, Any]
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "retina", "hubble_deep_field", "moon", "page")


def photo(width: int, height: int) -> Array:
    """RGBA: four photographs enlarged, with a little noise, and a round fade."""
    names = ("astronaut", "chelsea", "rocket", "coffee")
    tiles = [cv2.resize(getattr(skimage.data, name)(), (width // 2, height // 2)) for name in names]
    rgb = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])]).astype(np.float32)
    rgb += np.random.default_rng(0).normal(0, 1.5, rgb.shape)
    y, x = np.mgrid[:height, :width]
    fade = 1.3 - np.hypot(x / width - 0.5, y / height - 0.5) * 2
    return np.dstack([rgb, fade * 255]).clip(0, 255).astype(np.uint8)


def image(pixels: Array) -> Image:
    channels = {1: ("Y",), 3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}[pixels.shape[2]]
    return Image(pixels[None], channels=channels, alpha="straight" if "A" in channels else "none")


def swapped(pixels: Array) -> Array:
    """As OpenCV has it."""
    return np.ascontiguousarray(pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])


def pillow(pixels: Array, level: int) -> bytes:
    out = io.BytesIO()
    PIL.Image.fromarray(pixels.squeeze()).save(out, "PNG", compress_level=level)
    return out.getvalue()


def opencv(pixels: Array, level: int) -> bytes:
    return cv2.imencode(".png", swapped(pixels), [cv2.IMWRITE_PNG_COMPRESSION, level])[1].tobytes()


def decoded(content: bytes) -> Array:
    found: Array = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    return found


def two(job: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        with ThreadPoolExecutor(2) as pool:
            return [done.result() for done in [pool.submit(job), pool.submit(job)]]

    return run


def table(title: str, found: dict[str, float]) -> None:
    first = next(iter(found.values()))
    print(f"\n| {title} | ms | to cv2 |\n|---|---|---|")
    for name, seconds in found.items():
        print(f"| {name} | {seconds * 1e3:,.0f} | {seconds / first:.2f} |")


def pngs(pixels: Array, rounds: int) -> None:
    content = pillow(pixels, 6)
    facts = png.probe(content)
    found = medians(
        {
            "cv2": lambda: decoded(content),
            "Pillow": lambda: np.asarray(PIL.Image.open(io.BytesIO(content))),
            "OpenImageIO": lambda: native.decode(content, facts),
            "ours": lambda: png.decode(content, png.probe(content)),
            "ours, two files in two threads": two(lambda: png.decode(content, png.probe(content))),
        },
        rounds,
    )
    found["ours, two files in two threads"] /= 2
    table("PNG decode, a file", found)
    for level in (1, 6):
        jobs: dict[str, Callable[[], object]] = {
            "cv2": lambda level=level: opencv(pixels, level),  # type: ignore[misc]  # the loop's level
            "Pillow": lambda level=level: pillow(pixels, level),  # type: ignore[misc]
            "ours": lambda level=level: encode_image(image(pixels), format="png", compression=level),  # type: ignore[misc]
        }
        table(f"PNG encode, level {level}", medians(jobs, rounds))


def sizes() -> None:
    print("\n| bytes to cv2's (level 1) and Pillow's | 1 | 2 | 4 | 6 | 9 |\n|---|---|---|---|---|---|")
    for name in PHOTOS:
        pixels = np.ascontiguousarray(np.atleast_3d(getattr(skimage.data, name)()))
        shown = []
        for level in (1, 2, 4, 6, 9):
            other = opencv(pixels, 1) if level == 1 and pixels.shape[2] > 1 else pillow(pixels, level)
            shown.append(len(encode_image(image(pixels), format="png", compression=level).content) / len(other))
        print(f"| {name} | " + " | ".join(f"{ratio:.2f}" for ratio in shown) + " |")


def batch(count: int, rounds: int) -> None:
    """JPEGs to half the size, a picture over them, and into a file again, with two threads."""
    cv2.setNumThreads(1)
    whole = photo(1024, 1024)[..., :3]
    over = photo(512, 512)
    alpha = over[..., 3:].astype(np.uint16)
    plus = over[..., :3] * alpha
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        path.write_bytes(encode_image(image(whole), format="jpg", quality=90).content)

        def overlaid(small: Array) -> Array:
            return ((small * (255 - alpha) + plus + 127) // 255).astype(np.uint8)

        def theirs(suffix: str) -> None:
            small = cv2.resize(decoded(path.read_bytes()), (512, 512), interpolation=cv2.INTER_AREA)
            options = [cv2.IMWRITE_PNG_COMPRESSION, 1] if suffix == "png" else [cv2.IMWRITE_JPEG_QUALITY, 90]
            cv2.imencode(f".{suffix}", overlaid(small), options)

        def ours(suffix: Any, shrink: Any) -> None:
            pixels = load_image(path=path, shrink=shrink).buffer[0]
            small = pixels if shrink == 2 else cv2.resize(pixels, (512, 512), interpolation=cv2.INTER_AREA)
            encode_image(image(overlaid(small)), format=suffix, quality=90, subsampling="4:2:0", compression=1)

        def all_of(job: Callable[..., None], *given: object) -> Callable[[], object]:
            def run() -> object:
                with ThreadPoolExecutor(2) as pool:
                    return [done.result() for done in [pool.submit(job, *given) for _ in range(count)]]

            return run

        for suffix in ("png", "jpg"):
            jobs = {
                "cv2": all_of(theirs, suffix),
                "ours": all_of(ours, suffix, 1),
                "ours, shrink 2": all_of(ours, suffix, 2),
            }
            table(f"{count} JPEGs to {suffix}", medians(jobs, rounds))


def main() -> None:
    small = "--small" in sys.argv
    width, height, rounds, count = (960, 540, 3, 20) if small else (3840, 2160, 7, 200)
    print(f"{machine()}; {width} x {height} RGBA; medians of {rounds} alternating runs")
    pngs(photo(width, height), rounds)
    pixels = photo(width, height)[..., :3].copy()
    content = encode_image(image(pixels), format="jpg", quality=90, subsampling="4:2:0").content
    table(
        "JPEG decode",
        medians({"cv2": lambda: decoded(content), "ours": lambda: jpeg.decode(content, jpeg.probe(content))}, rounds),
    )
    table(
        "JPEG encode",
        medians(
            {
                "cv2": lambda: cv2.imencode(".jpg", swapped(pixels), [cv2.IMWRITE_JPEG_QUALITY, 90]),
                "ours": lambda: encode_image(image(pixels), format="jpg", quality=90, subsampling="4:2:0"),
            },
            rounds,
        ),
    )
    batch(count, rounds)
    sizes()


if __name__ == "__main__":
    main()

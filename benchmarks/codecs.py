"""Decoding and encoding beside OpenCV, Pillow and OpenImageIO: `python -m benchmarks.codecs [--rounds N] [--small]`.

Then sizes of files."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import skimage.data
from pipeline_io import encode_image, jpeg, load_image, native, png

from benchmarks.timing import Comparison, Job, Line, table
from pipeline_core import Image, Pipeline

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


def two(job: Job) -> Job:
    def run() -> object:
        with ThreadPoolExecutor(2) as pool:
            return [done.result() for done in [pool.submit(job), pool.submit(job)]]

    return run


def pngs(pixels: Array) -> Iterator[Comparison]:
    content = pillow(pixels, 6)
    facts = png.probe(content)

    def ours() -> object:
        return png.decode(content, png.probe(content))

    yield Comparison(
        "PNG decode",
        ours,
        {
            "cv2": lambda: decoded(content),
            "Pillow": lambda: np.asarray(PIL.Image.open(io.BytesIO(content))),
            "OpenImageIO": lambda: native.decode(content, facts),
        },
        {"cv2": "0.60"},
    )
    cv2_twice = {"cv2, one after another": lambda: (decoded(content), decoded(content))}
    yield Comparison("two PNGs decoded", two(ours), cv2_twice, dict.fromkeys(cv2_twice, "0.35"))
    corner = np.ascontiguousarray(pixels[: pixels.shape[0] // 4, : pixels.shape[1] // 4])  # it takes seconds
    for what, level, shown, goals in (
        ("PNG encode, level 1", 1, pixels, {"cv2": "0.25"}),
        ("a sixteenth of it, level 6", 6, corner, {}),
    ):
        yield Comparison(
            what,
            partial(encode_image, image(shown), format="png", compression=level),
            {"cv2": partial(opencv, shown, level), "Pillow": partial(pillow, shown, level)},
            goals,
        )


def jpegs(pixels: Array) -> Iterator[Comparison]:
    def ours() -> Any:
        return encode_image(image(pixels), format="jpg", quality=90, subsampling="4:2:0")

    content = ours().content
    yield Comparison(
        "JPEG decode",
        lambda: jpeg.decode(content, jpeg.probe(content)),
        {"cv2": lambda: decoded(content)},
    )
    yield Comparison(
        "JPEG encode",
        ours,
        {"cv2": lambda: cv2.imencode(".jpg", swapped(pixels), [cv2.IMWRITE_JPEG_QUALITY, 90])},
    )


def ratio(name: str, level: int) -> float:
    """Bytes to cv2's (level 1) or Pillow's."""
    pixels = np.ascontiguousarray(np.atleast_3d(getattr(skimage.data, name)()))
    other = opencv(pixels, 1) if level == 1 and pixels.shape[2] > 1 else pillow(pixels, level)
    return len(encode_image(image(pixels), format="png", compression=level).content) / len(other)


def sizes() -> None:
    print("\n| bytes to cv2's (level 1) and Pillow's | 1 | 2 | 4 | 6 | 9 |\n|---|---|---|---|---|---|")
    for name in PHOTOS:
        print(f"| {name} | " + " | ".join(f"{ratio(name, level):.2f}" for level in (1, 2, 4, 6, 9)) + " |")


def batch(count: int) -> Iterator[Comparison]:
    """JPEGs to half the size, a picture over them, and into a file again, with two threads."""
    whole = photo(1024, 1024)[..., :3]
    over = photo(512, 512)
    alpha = over[..., 3:].astype(np.uint16)
    plus = over[..., :3] * alpha
    threads = cv2.getNumThreads()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        path.write_bytes(encode_image(image(whole), format="jpg", quality=90).content)
        (Path(folder) / "over.png").write_bytes(encode_image(image(over), format="png").content)

        def overlaid(small: Array) -> Array:
            return ((small * (255 - alpha) + plus + 127) // 255).astype(np.uint8)

        def theirs(suffix: str, name: str = "") -> None:
            small = cv2.resize(decoded(path.read_bytes()), (512, 512), interpolation=cv2.INTER_AREA)
            options = [cv2.IMWRITE_PNG_COMPRESSION, 1] if suffix == "png" else [cv2.IMWRITE_JPEG_QUALITY, 90]
            content = cv2.imencode(f".{suffix}", overlaid(small), options)[1]
            if name:
                (Path(folder) / f"{name}.{suffix}").write_bytes(content)

        def ours(suffix: Any, shrink: Any) -> None:
            pixels = load_image(path=path, shrink=shrink).buffer[0]
            small = pixels if shrink == 2 else cv2.resize(pixels, (512, 512), interpolation=cv2.INTER_AREA)
            encode_image(image(overlaid(small)), format=suffix, quality=90, subsampling="4:2:0", compression=1)

        def as_pipeline(suffix: str) -> None:
            from pipeline_core.api import run_plan
            from pipeline_core.plan import make_plan

            made = Pipeline(folder=folder)
            top = made.node("over", "load_image", path="over.png")
            params = {"compression": 1} if suffix == "png" else {"quality": 90, "subsampling": "4:2:0"}
            for i in range(count):
                photo = made.node(f"photo{i}", "load_image", path="photo.jpg")
                small = made.node(f"small{i}", "resize", image=photo, width=512, height=512, filter="area")
                both = made.node(f"both{i}", "merge", base=small, top=top)
                made.output(f"done{i}", both, path=f"{i}.{suffix}", **params)
            run_plan(make_plan(made.graph(), values=False))  # as the command does it

        def all_of(job: Callable[..., None], *given: object) -> Job:
            def run() -> object:
                with ThreadPoolExecutor(2) as pool:
                    return [done.result() for done in [pool.submit(job, *given) for _ in range(count)]]

            return run

        cv2.setNumThreads(1)  # two threads are at work already
        for suffix, goal in (("png", "0.50"), ("jpg", "1.00")):
            peers = {"cv2 in two threads": all_of(theirs, suffix)}
            for detail, shrink in (("", 1), (", `shrink: 2`", 2)):
                what = f"{count} JPEGs to half the size, under a picture, to {suffix}{detail}"
                yield Comparison(what, all_of(ours, suffix, shrink), peers, dict.fromkeys(peers, goal))
            what = f"the same to files of {suffix}, as one pipeline of {4 * count + 1} steps"
            peers = {"cv2 in two threads": all_of(theirs, suffix, "theirs")}
            yield Comparison(what, partial(as_pipeline, suffix), peers, dict.fromkeys(peers, goal))
        cv2.setNumThreads(threads)


def comparisons(small: bool = False) -> Iterator[Comparison | Line]:
    pixels = photo(*((960, 540) if small else (3840, 2160)))
    yield from pngs(pixels)
    bytes_of = [ratio(name, 1) for name in PHOTOS]
    yield Line("bytes of PNGs at level 1", f"{len(PHOTOS)} photographs", "cv2", bytes_of, goal="1.06")
    yield from jpegs(pixels[..., :3].copy())
    yield from batch(20 if small else 200)


if __name__ == "__main__":
    table("codecs", comparisons)
    sizes()

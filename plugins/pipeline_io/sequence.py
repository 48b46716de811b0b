"""Frame sequences: numbered files as one batch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipeline_core import Image, OperationError, operation, progress
from pipeline_io.load import AlphaParam, ColorParam, LayerParam, infer_image, load_image

_NUMBER = re.compile(r"#+|%0?(\d*)d")
_MOST_FRAMES = 10_000

NameParam = Annotated[
    str,
    Field(description="in a folder, the files' name, with #### or %04d for the frame's number in as many digits"),
]
Missing = Literal["refuse", "hold"]
MissingParam = Annotated[Missing, Field(description="what a missing frame is: an error, or the one before once more")]


def _infer_sequence(
    *,
    path: Path,
    name: str = "",
    first: int = 1,
    last: int = 1,
    step: int = 1,
    missing: Missing = "refuse",
    **params: Any,
) -> Image:
    frames = _frames(path, name, range(first, last + 1, step), missing)
    image = infer_image(path=frames[0], **params)
    fields = {field: getattr(image, field) for field in ("color", "alpha", "dtype")}
    return Image.stand_in(image.width, image.height, image.channels, batch=len(frames), **fields)


@operation(
    device="cpu", infer=_infer_sequence, aliases=("read_sequence", "image_sequence", "load_frames", "LoadImages")
)
def load_sequence(
    *,
    path: Annotated[Path, Field(description="the folder of the frames; a file is a still, the same in every frame")],
    name: NameParam = "",
    first: Annotated[int, Field(ge=0, description="number of the first frame")] = 1,
    last: Annotated[int, Field(ge=0, description="number of the last frame, which is loaded too")] = 1,
    step: Annotated[int, Field(ge=1, description="every how many frames")] = 1,
    missing: MissingParam = "refuse",
    color: ColorParam = "auto",
    alpha: AlphaParam = "auto",
    layer: LayerParam = "",
) -> Image:
    """Load a frame sequence: numbered files of a folder, as one batch.

    As `load_image` for each frame, `(N, H, W, C)`; all frames have to be of one size, type, colour space and the same
    channels. All of the batch is in memory at once; a pipeline that maps over its items loads them one by one instead.

    Convention: the texts (`meta`) are those of the first frame.
    """
    paths = _frames(path, name, range(first, last + 1, step), missing)
    image = load_image(path=paths[0], color=color, alpha=alpha, layer=layer)
    frames = np.empty((len(paths), image.height, image.width, len(image.channels)), image.dtype)
    frames[0] = image.buffer[0]
    for index, file in enumerate(paths[1:], 1):
        if file == paths[index - 1]:
            frames[index] = frames[index - 1]
        else:
            frame = load_image(path=file, color=color, alpha=alpha, layer=layer)
            if _facts(frame) != _facts(image):
                raise OperationError(f"{file}: a frame of {frame}, but the first is {image}: all have to be alike")
            frames[index] = frame.buffer[0]
        progress(index + 1, len(paths))
    return image.with_buffer(frames)


def _facts(image: Image) -> tuple[object, ...]:
    return image.size, image.channels, image.dtype, image.color, image.alpha


def _frames(folder: Path, name: str, numbers: range, missing: Missing) -> list[Path]:
    """The files of the frames, in order."""
    if not 0 < len(numbers) <= _MOST_FRAMES:
        raise OperationError(
            f"{len(numbers)} frames: last must be first or later, with {_MOST_FRAMES:,} frames at most"
        )
    if folder.is_file():
        return [folder] * len(numbers)
    if not _NUMBER.search(name):
        raise OperationError(f"the name '{name}' has no place for the frame's number: write it as shot.####.exr")
    found: list[Path] = []
    for number in numbers:
        path = folder / _numbered(name, number)
        if path.is_file():
            found.append(path)
        elif missing == "hold" and found:
            found.append(found[-1])
        else:
            raise OperationError(f"no frame {number}: {path}")
    return found


def _numbered(name: str, number: int) -> str:
    def digits(place: re.Match[str]) -> str:
        width = len(place[0]) if place[0][0] == "#" else int(place[1] or 0)
        return f"{number:0{width}d}"

    return _NUMBER.sub(digits, name)

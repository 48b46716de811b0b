"""A picture's rows into a file as they are computed, for pictures that are larger than the memory.

`write_rows` gives a `RowWriter` for PNG, TIFF and OpenEXR. The file is byte for byte what `encode_image` makes of the whole
picture with the same params.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np

from pipeline_core import Image, OperationError
from pipeline_io import exr_write, png, tiff
from pipeline_io.encode import Suffix, pixels_for
from pipeline_io.samples import Nan
from pipeline_io.target import Depth, ExrCodec, Target, for_image

Array = np.ndarray[Any, Any]

FORMATS = ("png", "tif", "tiff", "exr")


class RowWriter:
    """The rows of one picture, from the top to the bottom, any number at a time.

    Used with `with`: at its end the file is whole, or where an error came or rows are missing it is gone.
    """

    def __init__(
        self,
        path: Path,
        facts: Image,
        add: Callable[[Image], None],
        finish: Callable[[], None],
        closing: ExitStack,
    ) -> None:
        self.facts = facts
        self._path = path
        self._add, self._finish, self._closing = add, finish, closing
        self._next = 0

    def write(self, rows: Image) -> None:
        """The next rows, as `(1, n, W, C)` with the facts' channels and alpha state; OperationError for others."""
        wanted, given = self._described(self.facts), self._described(rows)
        if wanted != given or rows.batch != 1 or self._next + rows.height > self.facts.height:
            raise OperationError(
                f"rows {self._next} to {self._next + rows.height} of {given} do not fit into "
                f"{self.facts.height} rows of {wanted}"
            )
        self._add(rows)
        self._next += rows.height

    def close(self) -> None:
        """The end of the file; OperationError where rows are missing."""
        if self._next < self.facts.height:
            self.discard()
            raise OperationError(f"{self._next} of {self.facts.height} rows were written to {self._path}")
        with self._closing:
            self._finish()

    def discard(self) -> None:
        """No file."""
        self._closing.close()
        self._path.unlink(missing_ok=True)

    @staticmethod
    def _described(image: Image) -> str:
        return f"{image.width} {', '.join(image.channels)} {image.dtype} {image.color} {image.alpha}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()


def can_write(*, format: str, dither: bool = False, **_: Any) -> bool:  # noqa: A002  the word of encode_image
    """Whether `encode_image` can do what these params say row by row."""
    return format in FORMATS and not dither  # dither: the noise is that of the whole picture


def write_rows(
    path: Path,
    image: Image,
    *,
    format: Suffix,  # noqa: A002  the word of encode_image
    depth: Depth = "auto",
    compression: int = 4,
    exr_compression: ExrCodec = "zip",
    nan: Nan = "refuse",
    dither: bool = False,
    alpha: Literal["keep", "drop"] = "keep",
    metadata: bool = True,
    **_: Any,
) -> RowWriter | None:
    """A writer of a picture like `image`, a stand-in; None where only `encode_image` can do what is asked.

    The params are those of `encode_image`, and so are the refusals. `path` is overwritten.
    """
    if not can_write(format=format, dither=dither):
        return None
    target = for_image(image, format, depth, drop=alpha == "drop")
    meta = image.meta if metadata else {}
    with ExitStack() as failing, ExitStack() as closing:
        failing.callback(path.unlink, missing_ok=True)
        add, finish = _stream(path, image, target, meta, compression, exr_compression, closing)
        failing.pop_all()
        return RowWriter(path, image, lambda rows: add(pixels_for(target, rows, nan, False)), finish, closing.pop_all())


def _stream(
    path: Path,
    image: Image,
    target: Target,
    meta: Mapping[str, str],
    level: int,
    codec: ExrCodec,
    closing: ExitStack,
) -> tuple[Callable[[Array], None], Callable[[], None]]:
    """How rows are added to the file, and how it is finished."""
    shape = image.height, image.width, len(target.channels)
    color, dtype = target.color, target.dtype
    file = closing.enter_context(path.open("wb"))
    if target.kind.name == "png":
        itemsize = np.dtype(dtype).itemsize
        picture = png.Stream(file.write, shape, itemsize, color=color, meta=meta, compression=level)
        return picture.add, picture.finish
    if target.kind.name == "tiff":
        associated = image.alpha == "associated"
        page = tiff.Stream(file, shape, dtype, associated=associated, color=color, meta=meta, compression=level)
        return page.add, page.finish
    # Beside the file: where temporary files lie there may be no room for it.
    folder = closing.enter_context(tempfile.TemporaryDirectory(prefix=".pipeline-", dir=path.parent))
    part = exr_write.Stream(
        Path(folder), shape, target.channels, dtype, color=color, meta=meta, codec=codec, level=level
    )
    return part.add, lambda: file.writelines(part.parts())

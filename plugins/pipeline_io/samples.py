"""From an image's values to the samples that a file holds."""

from __future__ import annotations

from ctypes import byref, c_float, c_int
from typing import Any, Literal

import numpy as np

from pipeline_core import Alpha, Image, Mask, OperationError, Pixels, Scratch, each_tile, empty, load_kernels, pass_over

Array = np.ndarray[Any, Any]
Nan = Literal["refuse", "zero", "keep"]

_HALF_MOST = 65504
_ROWS = 16
"""At a time."""


def samples(image: Image | Mask, dtype: str, *, state: Alpha, nan: Nan, dither: bool) -> Array:
    """The picture as `(H, W, C)` of `dtype`, without a copy where nothing has to change.

    `state` is the alpha state that is wanted: associated colour is divided by alpha for straight (and left as it is
    where alpha is 0), straight colour multiplied for associated; with none, and without alpha, nothing is done.
    """
    given = image.coverage if isinstance(image, Image) else "none"
    turned = "none" not in (given, state) and given != state
    if image.dtype == dtype and not turned:
        return _finite(_buffer(image), nan)
    if image.dtype.startswith("uint") and dtype.startswith("uint") and not turned and not dither:
        return _rescaled(_buffer(image), dtype)
    if not turned and not dither and dtype.startswith("uint"):
        codes = _codes(_buffer(image), dtype)
        if codes is not None:
            return codes
    # Half and float differ only in range, and float32 holds both.
    values = _finite(image.array[0], nan)
    if turned and isinstance(image, Image):
        values = (_unassociated if state == "straight" else _associated)(values, image)
    if dtype.startswith("uint"):
        alpha = image.channels.index("A") if "A" in image.channels else None
        return _quantised(values, dtype, dither, alpha)
    if dtype == "float16" and (beyond := int((np.isfinite(values) & (np.abs(values) > _HALF_MOST)).sum())):
        raise OperationError(
            f"{beyond:,} values are beyond the {_HALF_MOST} that half can hold; save with depth: float"
        )
    return np.asarray(values.astype(dtype, copy=False))


def _buffer(image: Image | Mask) -> Array:
    buffer = image.buffer
    if not isinstance(buffer, np.ndarray):
        buffer = buffer.detach().cpu().numpy()
    return np.asarray(buffer[0])


def _rescaled(values: Array, dtype: str) -> Array:
    """8 bits as 16 and the other way round, exactly: 65535 is 257 times 255, so no value lies halfway."""
    if dtype == "uint16":
        return np.asarray(values.astype(np.uint16) * np.uint16(257))
    return np.asarray((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _finite(values: Array, nan: Nan) -> Array:
    if values.dtype.kind != "f" or nan == "keep":
        return values
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(
            values.sum(dtype=np.float32)
        ):  # without memory for an answer each; large ones may add up to infinity
            return values
    finite = np.isfinite(values)
    wrong = finite.size - int(np.count_nonzero(finite))
    if not wrong:
        return values
    if nan == "zero":
        return np.where(finite, values, values.dtype.type(0))
    row, column, _ = np.argwhere(~finite)[0]
    raise OperationError(
        f"{wrong:,} of {values.size:,} values are not finite (the first at x {column}, y {row}); "
        "find where they come from, or save with nan: zero"
    )


def _unassociated(values: Array, image: Image) -> Array:
    alpha = values[..., [image.index("A")]]
    out = values.copy()
    out[..., image.color_indices] /= np.where(alpha == 0, np.float32(1), alpha)
    return out


def _associated(values: Array, image: Image) -> Array:
    out = values.copy()
    out[..., image.color_indices] *= values[..., [image.index("A")]]
    return out


def _codes(values: Array, dtype: str) -> Array | None:
    """As `_quantised`, in one pass; None where there is no kernel for it, or a value is not finite."""
    kernels = load_kernels(__file__)
    if kernels is None or values.dtype.kind != "f" or not Pixels.are_packed(values):
        return None
    codes, wrong = empty((1, *values.shape), dtype), c_int(0)
    full = c_float(np.iinfo(dtype).max)
    pass_over(kernels.quantise, [values[None], codes], c_int(values.shape[2]), full, byref(wrong))
    return None if wrong.value else codes[0]


def _quantised(values: Array, dtype: str, dither: bool, alpha: int | None) -> Array:
    """0..1 to the whole range, clamped, the nearest value, halves to even; as float32 computes it."""
    full = np.float32(np.iinfo(dtype).max)
    noise = _noise(values, alpha) if dither else None
    codes, scratch = empty(values.shape, dtype), Scratch()

    def work(rows: slice, _: slice) -> None:
        part = values[rows]
        scaled = np.multiply(part, full, out=scratch.array("scaled", part.shape))
        if noise is not None:
            scaled += noise[rows]
        np.clip(scaled, 0, full, out=scaled)
        np.rint(scaled, out=scaled)
        np.copyto(codes[rows], scaled, casting="unsafe")

    each_tile(values.shape[1], len(values), (values.shape[1], _ROWS), work)
    return codes


def _noise(values: Array, alpha: int | None) -> Array:
    """Triangular noise of one step either way, the same for every picture of a size; none on alpha."""
    generator = np.random.Generator(np.random.PCG64(0))
    noise: Array = np.asarray(generator.random(values.shape, np.float32))
    noise -= generator.random(values.shape, np.float32)
    if alpha is not None:
        noise[..., alpha] = 0
    return noise

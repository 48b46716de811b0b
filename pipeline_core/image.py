"""The kinds that travel on links: Image, Mask, ImageSet, Table, File. See docs/data.md.

torch is imported by `pixels`, never by this module: a pipeline of CPU kernels over arrays does not pay for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from ctypes import byref, c_ssize_t, c_void_p
from dataclasses import dataclass, field, fields, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

import numpy as np

from pipeline_core.buffers import empty
from pipeline_core.devices import as_own_tensor, as_tensor, transfer
from pipeline_core.kernels import Pixels, load_kernels

if TYPE_CHECKING:
    import torch

Alpha = Literal["none", "straight", "associated"]
Plain = None | bool | int | float | str
ALPHA_STATES = ("none", "straight", "associated")
DTYPES = ("uint8", "uint16", "float16", "float32")
FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0}
COLOR_CHANNELS = frozenset("RGBY")
BAND = 1 << 15
"""Pixels at once, for loops that would leave a core's cache."""
_NAMES: dict[Any, str] = {}


class KindError(ValueError):
    """A value that breaks the contract of its kind; says what was found and what would be right."""


class _Planes:
    """The pixels that an image was made with. A view of them takes torch a microsecond, and lets other threads in.

    So the buffer waits until somebody asks for it, and the first who asks for pixels gets these. He may give the tensor another
    shape in place, or have it followed by gradients: it is remembered how it was.
    """

    __slots__ = ("_first", "_followed", "_start", "_strides", "shape", "tensor")

    def __init__(self, tensor: torch.Tensor, shape: tuple[int, ...]) -> None:
        self.tensor, self.shape = tensor, shape
        self._strides, self._start, self._followed = tensor.stride(), tensor.storage_offset(), tensor.requires_grad
        self._first = [tensor] if _name_of(tensor.dtype) == "float32" else []

    def lend(self) -> torch.Tensor | None:
        """Once, and never the same tensor to two."""
        try:
            return self._first.pop()
        except IndexError:
            return None

    def as_buffer(self) -> torch.Tensor:
        tensor = self.tensor
        if tensor.requires_grad and not self._followed:
            tensor = tensor.detach()
        if (tensor.shape, tensor.stride(), tensor.storage_offset()) != (self.shape, self._strides, self._start):
            tensor = tensor.as_strided(self.shape, self._strides, self._start)
        return tensor.permute(0, 2, 3, 1)


@dataclass(frozen=True, eq=False)
class Raster:
    """What Image and Mask share: one buffer `(B, H, W, C)` and two float views of it.

    `buffer` is a numpy array in CPU memory or a torch tensor on any device, of uint8, uint16, float16 or float32.
    Nobody changes a buffer in place: a value is shared by all its readers and by the cache.
    """

    buffer: Any
    wrap: tuple[bool, bool] = field(default=(False, False), kw_only=True)
    meta: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    if TYPE_CHECKING:

        @property
        def channels(self) -> tuple[str, ...]:
            """Names of the last axis, in order."""

    def __post_init__(self) -> None:
        self._check_buffer()
        object.__setattr__(self, "wrap", (bool(self.wrap[0]), bool(self.wrap[1])))
        if type(self.meta) is not MappingProxyType:
            object.__setattr__(self, "meta", MappingProxyType(dict(self.meta)))

    def _check_buffer(self) -> None:
        name, buffer = type(self).__name__, self.buffer
        shape = getattr(buffer, "shape", None)
        if shape is None:
            raise KindError(f"{name}: the buffer must be a numpy array or torch tensor, not {type(buffer).__name__}")
        if len(shape) != 4:
            raise KindError(f"{name}: the buffer must be (B, H, W, C), got {tuple(shape)}")
        if (dtype := _name_of(buffer.dtype)) not in DTYPES:
            raise KindError(f"{name}: the buffer must be one of {', '.join(DTYPES)}, got {dtype}")
        if 0 in shape:
            raise KindError(f"{name}: the buffer is empty: {tuple(shape)}")
        if shape[3] != len(self.channels):
            raise KindError(
                f"{name}: {shape[3]} channels in the buffer, but {len(self.channels)} names: {self.channels}"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        return partial(type(self), **{**held, "meta": dict(self.meta)}), ()

    if not TYPE_CHECKING:  # for whom it would excuse every name

        def __getattr__(self, name: str) -> Any:
            """The buffer of what `with_pixels` made, once somebody asks for it."""
            planes = self.__dict__.get("_planes")
            if name != "buffer" or planes is None:
                raise AttributeError(f"'{type(self).__name__}' has no '{name}'")
            self.__dict__["buffer"] = buffer = planes.as_buffer()
            return buffer

    @property
    def _memory(self) -> Any:
        """What knows the device, the type and the bytes: the buffer, or the pixels that it is a view of."""
        return self.__dict__["buffer"] if "buffer" in self.__dict__ else self.__dict__["_planes"].tensor

    @property
    def dtype(self) -> str:
        """The buffer's own type: 'uint8', 'uint16', 'float16' or 'float32'."""
        return _name_of(self._memory.dtype)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The buffer's: (B, H, W, C)."""
        if "buffer" in self.__dict__:
            return self.buffer.shape  # type: ignore[no-any-return]  # a tuple of four, as was checked
        batch, channels, height, width = self.__dict__["_planes"].shape
        return batch, height, width, channels

    @property
    def batch(self) -> int:
        return self.shape[0]

    @property
    def height(self) -> int:
        return self.shape[1]

    @property
    def width(self) -> int:
        return self.shape[2]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), as people say it."""
        return self.width, self.height

    @property
    def device(self) -> str:
        memory = self._memory
        return "cpu" if isinstance(memory, np.ndarray) or memory.is_cpu else str(memory.device)

    @property
    def nbytes(self) -> int:
        return int(self._memory.nbytes)

    @property
    def pixels(self) -> torch.Tensor:
        """`(B, C, H, W)` float32; integers as 0..1, floats as they are, never clipped.

        A view of the buffer where it is float32 (and, as an array, can be written to and is not read backwards), else a fresh
        tensor.
        """
        planes: _Planes | None = self.__dict__.get("_planes")
        if planes is not None and (lent := planes.lend()) is not None:
            return lent
        buffer = self.buffer
        if isinstance(buffer, np.ndarray):
            buffer = as_own_tensor(_to_float(buffer))  # converted in numpy: torch has no arithmetic for uint16
        elif self.dtype != "float32":
            import torch

            scale = FULL_SCALE.get(self.dtype)
            buffer = buffer.to(torch.float32)
            if scale:
                buffer /= scale
        pixels: torch.Tensor = buffer.permute(0, 3, 1, 2)
        return pixels

    @property
    def array(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """`(B, H, W, C)` float32, C-contiguous, read-only; integers as 0..1. Comes to the CPU if need be."""
        buffer = self.buffer
        if not isinstance(buffer, np.ndarray):
            buffer = transfer(buffer.detach(), "cpu").numpy()
        view = np.ascontiguousarray(_to_float(buffer)).view()
        view.flags.writeable = False
        return view

    def with_buffer(self, buffer: Any, **changes: Any) -> Self:
        """The same with another `(B, H, W, C)` buffer (and other fields, as `dataclasses.replace` takes them)."""
        if changes and changes.keys() != {"wrap"}:
            return replace(self, buffer=buffer, **changes)
        # All else was checked when this one was made, and is by far the most of it: strips are made by the thousand.
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__, buffer=buffer)
        made.__dict__.pop("_planes", None)
        if changes:
            wrap = changes["wrap"]
            made.__dict__["wrap"] = bool(wrap[0]), bool(wrap[1])
        made._check_buffer()
        return made

    def with_pixels(self, pixels: torch.Tensor, **changes: Any) -> Self:
        """The same with other pixels, `(B, C, H, W)` of any float type (float64 and bfloat16 become float32)."""
        if pixels.ndim != 4:
            raise KindError(f"{type(self).__name__}: pixels must be (B, C, H, W), got {tuple(pixels.shape)}")
        if _name_of(pixels.dtype) not in DTYPES:
            import torch

            pixels = pixels.to(torch.float32)
        shape = pixels.shape
        if changes or shape[1] != len(self.channels) or 0 in shape:
            return self.with_buffer(pixels.permute(0, 2, 3, 1), **changes)
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__, _planes=_Planes(pixels, shape))
        made.__dict__.pop("buffer", None)
        return made

    def with_array(self, array: np.ndarray[Any, Any], **changes: Any) -> Self:
        """The same with another `(B, H, W, C)` array."""
        if array.dtype.name not in DTYPES:
            array = array.astype(np.float32)
        return self.with_buffer(array, **changes)

    def like(
        self, *, width: int | None = None, height: int | None = None, dtype: str = "float32", **changes: Any
    ) -> Self:
        """A stand-in (see `Image.stand_in`) like this one, but for what is said: what most `infer` rules return."""
        channels = changes.get("channels", self.channels)
        shape = (self.batch, height or self.height, width or self.width, len(channels))
        return replace(self, buffer=_no_memory(shape, dtype), **changes)

    def to(self, device: str) -> Self:
        """The same on another device ('cpu', 'cuda', 'cuda:1', 'mps', 'meta'), in its own dtype."""
        if device == self.device or (device == "cpu" and isinstance(self.buffer, np.ndarray)):
            return self
        if isinstance(self.buffer, np.ndarray):
            import torch

            if device == "meta":
                dtype = getattr(torch, self.dtype)
                return replace(self, buffer=torch.empty(self.buffer.shape, dtype=dtype, device="meta"))
            return replace(self, buffer=transfer(as_tensor(self.buffer), device))
        return replace(self, buffer=transfer(self.buffer, device))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


@dataclass(frozen=True, eq=False, repr=False)
class Image(Raster):
    """A batch of pictures of one size.

    channels  names in order: ("R","G","B","A"), ("Y",), ("R","G","B","Z"), ...
    color     a Colour Interop Forum id ("srgb_rec709_scene", "lin_rec709_scene", ...) or "data" (never converted)
    alpha     "none", "straight" or "associated" (premultiplied); other than "none" exactly when there is an "A"
    wrap      whether it tiles in x and in y
    meta      strings carried to the file's metadata
    """

    channels: tuple[str, ...] = ("R", "G", "B")
    color: str = "srgb_rec709_scene"
    alpha: Alpha = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        super().__post_init__()
        if len(set(self.channels)) != len(self.channels):
            raise KindError(f"Image: two channels have one name: {self.channels}")
        if self.alpha not in ALPHA_STATES:
            raise KindError(f"Image: alpha must be one of {', '.join(ALPHA_STATES)}, got {self.alpha!r}")
        if ("A" in self.channels) != (self.alpha != "none"):
            raise KindError(f"Image: alpha is {self.alpha!r}, but the channels are {self.channels}")

    def __str__(self) -> str:
        times = f"{self.batch} x " if self.batch > 1 else ""
        names = "".join(self.channels) if all(len(c) == 1 for c in self.channels) else ",".join(self.channels)
        alpha = f" {self.alpha}" if self.alpha != "none" else ""
        return f"{times}{self.width}x{self.height} {names} {self.dtype} {self.color}{alpha}"

    @property
    def color_indices(self) -> list[int]:
        """Where the channels are that alpha multiplies: R, G, B, Y, and those of layers ('diffuse.R').

        A Y beside an X is a coordinate (of a normal, a position), not a brightness.
        """
        return [i for i, name in enumerate(self.channels) if _is_color(name, self.channels)]

    def channel(self, name: str) -> torch.Tensor:
        """One channel by name, `(B, 1, H, W)` float32."""
        return self.pixels[:, self.index(name)].unsqueeze(1)

    def index(self, name: str) -> int:
        """The position of a channel; an error that lists the names where there is none."""
        try:
            return self.channels.index(name)
        except ValueError:
            raise KindError(f"no channel '{name}' in {', '.join(self.channels)}") from None

    @property
    def coverage(self) -> Alpha:
        """How colour goes with alpha: `alpha`, but "none" in an image of colour `data`, whose A covers nothing."""
        return "none" if self.color == "data" else self.alpha

    def associate(self) -> Image:
        """Colour multiplied by alpha; the image itself where there is nothing to do. Of `data` the label alone."""
        if self.alpha != "straight":
            return self
        if self.color == "data":
            return replace(self, alpha="associated")
        return self._by_alpha("associated")

    def unassociate(self) -> Image:
        """Colour divided by alpha; where alpha is 0 colour stays as it is, as in OpenImageIO's `unpremult`.

        Of `data` the label alone changes.
        """
        if self.alpha != "associated":
            return self
        if self.color == "data":
            return replace(self, alpha="straight")
        return self._by_alpha("straight")

    def _by_alpha(self, state: Alpha) -> Image:
        """Colour multiplied by alpha, or divided by it where it is not 0."""
        where, at = self.color_indices, self.index("A")
        if self.device == "cpu" and not getattr(self.buffer, "requires_grad", False):
            buffer = self.buffer if isinstance(self.buffer, np.ndarray) else self.buffer.numpy()
            return replace(self, buffer=_weighed(buffer, where, at, multiply=state == "associated"), alpha=state)
        import torch

        pixels = self.pixels.clone()
        alpha = pixels[:, [at]]
        if state == "associated":
            pixels[:, where] *= alpha
        else:
            pixels[:, where] /= torch.where(alpha == 0, torch.ones_like(alpha), alpha)
        return self.with_pixels(pixels, alpha=state)

    def with_alpha_state(self, alpha: Alpha) -> Image:
        """Associated or straight as asked; for handing back the state an operation was given."""
        return self.associate() if alpha == "associated" else self.unassociate() if alpha == "straight" else self

    @classmethod
    def stand_in(
        cls,
        width: int,
        height: int,
        channels: tuple[str, ...] = ("R", "G", "B"),
        *,
        batch: int = 1,
        dtype: str = "float32",
        **fields: Any,
    ) -> Image:
        """An image of which only the facts matter: every pixel is one shared zero, whatever the size.

        Static inference passes these to an operation's `infer` rule and takes them back from it.
        """
        return cls(_no_memory((batch, height, width, len(channels)), dtype), channels=channels, **fields)


@dataclass(frozen=True, eq=False, repr=False)
class Mask(Raster):
    """Coverage, `(B, H, W, 1)` in the buffer and `(B, 1, H, W)` in `pixels`: 1 is inside, always."""

    channels: ClassVar[tuple[str, ...]] = ("M",)

    def __str__(self) -> str:
        times = f"{self.batch} x " if self.batch > 1 else ""
        return f"{times}{self.width}x{self.height} mask {self.dtype}"

    @classmethod
    def stand_in(cls, width: int, height: int, *, batch: int = 1, dtype: str = "float32", **fields: Any) -> Mask:
        """As `Image.stand_in`."""
        return cls(_no_memory((batch, height, width, 1), dtype), **fields)


@dataclass(frozen=True)
class Table:
    """Rows of plain values (numbers, strings, truth values, None) under column names."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Plain, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise KindError(f"Table: a row of {len(row)} values under {len(self.columns)} columns: {row}")

    def __str__(self) -> str:
        return f"table of {len(self.rows)} x {len(self.columns)}"


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Images of one thing under names, of any sizes: the maps of a material. They are saved together.

    images  by name
    facts   what else is to be known of each, by its name: plain values under names
    meta    strings carried to the files' metadata
    """

    images: Mapping[str, Image]
    facts: Mapping[str, Mapping[str, Plain]] = field(default_factory=dict)
    meta: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.images:
            raise KindError("ImageSet: there must be at least one image")
        unknown = next((name for name in self.facts if name not in self.images), None)
        if unknown is not None:
            raise KindError(f"ImageSet: there are facts of '{unknown}', but no image of that name")
        facts = {name: MappingProxyType(dict(told)) for name, told in self.facts.items()}
        for name, held in (("images", self.images), ("facts", facts), ("meta", self.meta)):
            object.__setattr__(self, name, MappingProxyType(dict(held)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self.images), {name: dict(told) for name, told in self.facts.items()}, dict(self.meta))

    def __str__(self) -> str:
        return f"images {', '.join(self.images)}"

    def __repr__(self) -> str:
        return f"<ImageSet {self}>"


@dataclass(frozen=True)
class File:
    """An encoded file, in memory: what an encoding operation returns and the run writes under an output's path.

    `beside` holds what belongs to it and lies beside it: content by what follows the output's name without its suffix
    (`_Normal.png`). These are written first, so that the file itself is there only when they are.
    """

    content: bytes
    media_type: str = "application/octet-stream"
    beside: Mapping[str, bytes] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.size:,} bytes {self.media_type}"

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return len(self.content) + sum(map(len, self.beside.values()))


AnyRaster = TypeVar("AnyRaster", Image, Mask)
"""For operations that take an image or a mask and give the same back: `def crop(image: AnyRaster, ...) -> AnyRaster`."""


def _name_of(dtype: Any) -> str:
    """Of numpy's or torch's element type."""
    name = _NAMES.get(dtype)
    if name is None:  # numpy takes microseconds to spell it
        name = _NAMES[dtype] = str(dtype).removeprefix("torch.")
    return name


def _is_color(name: str, channels: tuple[str, ...]) -> bool:
    layer, dot, last = name.rpartition(".")
    return last in COLOR_CHANNELS and not (last == "Y" and f"{layer}{dot}X" in channels)


def _to_float(buffer: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    if buffer.dtype == np.float32:
        return buffer
    kernels = load_kernels(__file__)
    if kernels is not None and _is_for_kernels(buffer):
        height, width, channels = buffer.shape[1:]
        floats = empty(buffer.shape)
        for item, out in zip(buffer, floats, strict=True):
            kernels.floats(byref(Pixels.of(item)), _memory(out), c_ssize_t(height), c_ssize_t(width * channels))
        return floats
    scale = FULL_SCALE.get(buffer.dtype.name)
    if scale is None:
        return np.asarray(buffer, np.float32)
    # Dividing is correctly rounded; multiplying by the reciprocal is not, and 8-bit round trips must be exact.
    return np.asarray(np.divide(buffer, np.float32(scale), dtype=np.float32))


def _is_for_kernels(buffer: np.ndarray[Any, Any]) -> bool:
    """Whether they take it, and it is not so small that numpy is done before they begin."""
    return buffer.size >= 1 << 12 and Pixels.are_packed(buffer)


def _memory(array: np.ndarray[Any, Any]) -> c_void_p:
    return c_void_p(array.ctypes.data)


def _weighed(buffer: np.ndarray[Any, Any], where: list[int], at: int, *, multiply: bool) -> np.ndarray[Any, Any]:
    """The channels `where` multiplied by the channel `at`, or divided by it where it is not 0; the others as floats.

    A band of rows at a time stays in a core's cache, and whole pixels are weighed at once: a loop over four neighbours
    in memory is many times slower than one over all of them.
    """
    result = empty(buffer.shape)
    kernels = load_kernels(__file__)
    if kernels is not None and _is_for_kernels(buffer) and (where, at) == ([0, 1, 2], 3) and buffer.shape[3] == 4:
        height, width = (c_ssize_t(length) for length in buffer.shape[1:3])
        for item, out in zip(buffer, result, strict=True):
            kernels.weigh(byref(Pixels.of(item)), _memory(out), multiply, height, width)
        return result
    rows = max(1, BAND // buffer.shape[2])
    weights = np.ones((min(rows, buffer.shape[1]), *buffer.shape[2:]), np.float32)
    for item, out in zip(buffer, result, strict=True):
        for start in range(0, buffer.shape[1], rows):
            part = _to_float(item[None, start : start + rows])[0]
            weight, alpha = weights[: len(part)], part[..., at]
            if not multiply:
                alpha = np.where(alpha == 0, np.float32(1), alpha)
            for channel in where:
                weight[..., channel] = alpha
            (np.multiply if multiply else np.divide)(part, weight, out=out[start : start + rows])
    return result


def _no_memory(shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    return np.broadcast_to(np.zeros((), dtype), shape)

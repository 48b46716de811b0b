"""Running out of memory, and how much of it a network takes."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from pathlib import Path

import torch
from torch import Tensor, nn

M_MMAP_THRESHOLD = -3
"""Of mallopt, as in malloc.h of the C libraries that have it."""

BLOCKS = 32
"""Of so many parts of the memory that is left: smaller blocks may be kept by the C library."""

_OUT_OF_MEMORY = (
    "can't allocate memory",
    "out of memory",
    "bad_alloc",
    "could not create a primitive",
    "could not create a memory",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is what running out of memory raises."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # On the CPU torch has no class for it, neither of its own nor for its library of convolutions.
    told = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in told for words in _OUT_OF_MEMORY)


def give_back() -> None:
    """Lets go of what a failed attempt holds."""
    gc.collect()
    _return_blocks(0)
    _trim()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def room(asked: int, device: str) -> int:
    """So many MiB, or three quarters of what there still is where that is less: a tile that fits at once costs no attempt,
    and on the CPU every attempt leaves programs for its shape behind."""
    left = torch.cuda.mem_get_info(device)[0] if device.startswith("cuda") else _left()
    if left is None or left * 3 // 4 >> 20 >= asked:
        return asked
    if not device.startswith("cuda"):
        _return_blocks(left // BLOCKS)
    return max(1, left * 3 // 4 >> 20)


def _return_blocks(least: int) -> None:
    """From now on blocks of so many bytes go back to the system when they are freed.

    The C library else keeps ever larger ones (mallopt(3) on the dynamic M_MMAP_THRESHOLD), in pieces that soon fit nothing. To
    get each from the system takes time, so only where memory is short.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, min(max(least, 1 << 20), 32 << 20))


def _left() -> int | None:
    """Bytes that this process may still take; None where the system does not tell."""
    _trim()
    try:
        import resource

        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        told = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        left = int(told["MemAvailable"].split()[0]) << 10
    except (ImportError, OSError, KeyError):
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return left if limit == resource.RLIM_INFINITY else min(left, limit - taken)


def _trim() -> None:
    """Gives back to the system what is free, where the C library can."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


@torch.no_grad()
def bytes_per_pixel(network: nn.Module, pixels: Tensor) -> float:
    """What a network takes at its fullest for each input pixel, told by a run on a few (`pixels`).

    Three times the largest step's input and output together: what is kept for a later step, and room to work in.
    A network that knows it says it itself.
    """
    told = getattr(network, "bytes_per_pixel", None)
    if told is not None:
        return float(told)
    largest = 0

    def watch(_: nn.Module, given: tuple[object, ...], found: object) -> None:
        nonlocal largest
        held = sum(part.nbytes for part in (*given, found) if isinstance(part, Tensor))
        largest = max(largest, held)

    hooks = [part.register_forward_hook(watch) for part in network.modules()]
    try:
        network(pixels)
    finally:
        for hook in hooks:
            hook.remove()
    return 3 * largest / (pixels.shape[0] * pixels.shape[-1] * pixels.shape[-2])

"""Running out of memory, and how much of it a network takes."""

from __future__ import annotations

import gc

import torch
from torch import Tensor, nn

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
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@torch.no_grad()
def bytes_per_pixel(network: nn.Module, pixels: Tensor) -> float:
    """What a network takes at its fullest for each input pixel, told by a run on a few (`pixels`).

    Three times the largest step's input and output together: what is kept for a later step, and room to work in.
    """
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

"""Where operations run."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import Any

from pipeline_core.errors import PipelineError


def choose(wanted: str = "auto") -> str:
    """The device for a run: 'cpu', 'cuda', 'cuda:1' or 'mps'; 'auto' takes an accelerator where there is one.

    PipelineError for a device that this machine lacks: nothing falls back to the CPU in silence.
    """
    if wanted == "cpu" or (wanted == "auto" and not _has_driver()):
        return "cpu"
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if wanted == "auto":
        return "cuda" if cuda else "mps" if mps else "cpu"
    kind, _, number = wanted.partition(":")
    if kind == "cuda" and cuda and (not number or (number.isdigit() and int(number) < torch.cuda.device_count())):
        return wanted
    if kind == "mps" and mps:
        return "mps"
    have = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count() if cuda else 0)), *(["mps"] if mps else [])]
    raise PipelineError(f"no device '{wanted}' on this machine; it has {', '.join(have)}")


def _has_driver() -> bool:
    """Whether there may be an accelerator; to ask torch takes seconds, which a run on the CPU alone need not spend."""
    if sys.platform == "darwin":
        return os.uname().machine == "arm64"
    if os.path.exists("/dev/kfd"):  # AMD's, under the name of cuda too
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def torch_if_loaded() -> Any:
    """torch where somebody has imported it, else None; waits for a thread that is at it."""
    if "torch" not in sys.modules:
        return None
    import torch  # not out of sys.modules, where it lies before it is whole

    return torch


def as_tensor(array: Any) -> Any:
    """An array's memory as a tensor that nobody writes to; a copy where it has gaps. torch warns of memory that can't be written to."""
    import numpy as np
    import torch

    array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    if array.flags.writeable or not array.size:
        return torch.from_numpy(array)
    memory = (ctypes.c_uint8 * array.nbytes).from_address(array.ctypes.data)
    memory.array = array  # lives as long
    return torch.frombuffer(memory, dtype=getattr(torch, array.dtype.name)).reshape(array.shape)


def as_own_tensor(array: Any) -> Any:
    """An array's memory as a tensor that may be written to; a copy of what torch does not take: what can't be written to, or is read backwards."""
    import torch

    fits = array.flags.writeable and min(array.strides) >= 0
    return torch.from_numpy(array if fits else array.copy())


def transfer(tensor: Any, device: str) -> Any:
    """A torch tensor on a device, itself where it is there.

    Between CPU and CUDA it goes through page-locked memory, which torch keeps for reuse, and beside what the device computes: several
    times as fast, and on the way up nobody waits for it.
    """
    import torch

    source = tensor.device.type
    if str(tensor.device) == device:
        return tensor
    if source == "cpu" and device.startswith("cuda"):
        way, computing = _way(device, "up"), torch.cuda.current_stream(device)
        with torch.cuda.stream(way):
            there = tensor.pin_memory().to(device, non_blocking=True)
        computing.wait_stream(way)
        there.record_stream(computing)
        return there
    if source == "cuda" and device == "cpu":
        way = _way(str(tensor.device), "down")
        way.wait_stream(torch.cuda.current_stream(tensor.device))
        here = torch.empty_like(tensor, device="cpu", pin_memory=True)
        with torch.cuda.stream(way):
            here.copy_(tensor, non_blocking=True)
            arrived = way.record_event()
        tensor.record_stream(way)
        arrived.synchronize()
        return here
    return tensor.to(device)


@cache
def _way(device: str, direction: str) -> Any:
    """The stream of copies one way: up and down go side by side, and beside the computing."""
    import torch

    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it so


def settle(device: str) -> None:
    """Waits until a device did what it was asked for, so that a step's seconds and errors are its own."""
    if device == "cpu":
        return
    import torch

    if device.startswith("cuda"):
        torch.cuda.current_stream(device).synchronize()
    elif device == "mps":
        torch.mps.synchronize()

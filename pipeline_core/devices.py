"""Where operations run."""

from __future__ import annotations

import os
import sys
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
    import ctypes

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


def transfer(tensor: Any, device: str) -> Any:
    """A torch tensor on a device, itself where it is there.

    Between CPU and CUDA it goes through page-locked memory, which torch keeps for reuse: several times as fast, and on
    the way up nobody waits for it.
    """
    import torch

    source = tensor.device.type
    if str(tensor.device) == device:
        return tensor
    if source == "cpu" and device.startswith("cuda"):
        return tensor.pin_memory().to(device, non_blocking=True)
    if source == "cuda" and device == "cpu":
        return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor)
    return tensor.to(device)

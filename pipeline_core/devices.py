"""Where operations run."""

from __future__ import annotations

from pipeline_core.errors import PipelineError


def choose(wanted: str = "auto") -> str:
    """The device for a run: 'cpu', 'cuda', 'cuda:1' or 'mps'; 'auto' takes an accelerator where there is one.

    PipelineError for a device that this machine lacks: nothing falls back to the CPU in silence.
    """
    if wanted == "cpu":
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

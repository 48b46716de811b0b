"""Networks of torch, built from models. A module here is an architecture: its `network(**config)` makes one.

`build` is for using a model: the same network for everybody who asks for it, on the device, never to be trained or
changed. `make` is for training: a fresh one with numbers of its own.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline_core import Model, OperationError
from pipeline_models import foreign

if TYPE_CHECKING:
    from torch import nn

BUDGET = {"cpu": 1 << 30}
"""Bytes of networks kept on a device; where it is not named, a quarter of its memory."""

_LARGEST = 1 << 16
_kept: OrderedDict[tuple[str, str], tuple[nn.Module, int]] = OrderedDict()
_lock = threading.RLock()


def architectures() -> list[str]:
    """Names of the architectures of our own."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def make(architecture: str, config: Mapping[str, Any]) -> nn.Module:
    """A fresh network, with random numbers. OperationError where there is no such architecture or config."""
    if architecture not in architectures():
        raise OperationError(f"no architecture '{architecture[:80]}' is known; there are {', '.join(architectures())}")
    _check_size(config)
    try:
        network: nn.Module = importlib.import_module(f"{__name__}.{architecture}").network(**config)
    except (TypeError, ValueError, RuntimeError) as error:
        raise OperationError(f"a {architecture} can't be built with {dict(config)}: {error}") from None
    return network


def build(model: Model, device: str = "cpu") -> nn.Module:
    """The network of a model: shared, in eval mode, in `channels_last`, its numbers without gradients."""
    key = (model.digest, device)
    if not device.startswith("cpu"):
        _keep_all_bits()
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key][0]
        network = foreign.network(model, device) if model.architecture in foreign.FORMATS else _built(model).to(device)
        _kept[key] = (network, model.nbytes)
        room = _budget(device)
        for other in [other for other in _kept if other[1] == device and other != key]:
            if sum(size for (_, where), (_, size) in _kept.items() if where == device) <= room:
                break
            del _kept[other]  # the least recently used; who still works with it keeps it alive
        return network


def _keep_all_bits() -> None:
    """Of what a convolution multiplies: by itself torch drops 13 of 23 of each on an accelerator (TF32), which is seen."""
    import torch

    torch.backends.cudnn.allow_tf32 = False


def forget() -> None:
    """Gives back the memory of all networks that are kept."""
    with _lock:
        _kept.clear()


def _built(model: Model) -> nn.Module:
    import numpy as np
    import torch

    with torch.device(
        "meta"
    ):  # no memory, and no time for random numbers; a config can't ask for more than the file has
        network = make(model.architecture, model.config)
    # Copies: a network does not share memory with a value on a link.
    state = {
        name: torch.from_numpy(np.array(part)) if isinstance(part, np.ndarray) else part.detach().clone()
        for name, part in model.tensors.items()
    }
    state = {name: part.float() if part.is_floating_point() else part for name, part in state.items()}
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        told = re.sub(r"\s+", " ", str(error).partition("\n")[2] or str(error)).strip()
        raise OperationError(
            f"the numbers of '{model.name}' are not those of a {model.architecture}: {told[:300]}"
        ) from None
    lost = [name for name, part in [*network.named_parameters(), *network.named_buffers()] if part.is_meta]
    if lost:
        raise OperationError(f"the numbers of '{model.name}' lack {', '.join(lost[:5])}")
    network.eval().requires_grad_(False)
    return in_channels_last(network)


def in_channels_last(network: nn.Module) -> nn.Module:
    """The network with its convolutions' numbers in the order in which the CPU multiplies fastest."""
    import torch

    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's own stub lacks it
    return network


def _check_size(config: Mapping[str, Any]) -> None:
    """A config from a file may not ask for a network that takes the machine's time to set up."""
    waiting: list[Any] = [*config.values()]
    count = 0
    while waiting:
        value = waiting.pop()
        count += 1
        if isinstance(value, (list, tuple)):
            waiting += value
        elif isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, int) and abs(value) > _LARGEST:
            raise OperationError(f"a network of {value} parts is too large")
        if count > 1000:
            raise OperationError("its config has more than 1,000 values")


def _budget(device: str) -> int:
    import torch

    if device not in BUDGET and device.startswith("cuda"):
        return int(torch.cuda.get_device_properties(device).total_memory) // 4
    return BUDGET.get(device, BUDGET["cpu"])

"""Scenes to train with, drawn once, and shown turned, mirrored and in other colours."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from training.scenes import MOST, SIZE, scene

OUT = Path(__file__).with_name("out")
COUNT = 5000
HELD_BACK = 1_000_000
"""Seeds from here on are never trained on."""


class Batch(NamedTuple):
    """`pixels` `(B, 3, H, W)` of 0 to 1; `labels` `(B, H, W)`; `edges` `(B, MOST, 4)` left, top, right, bottom;
    `kinds` `(B, MOST)`, -1 where there is nothing."""

    pixels: torch.Tensor
    labels: torch.Tensor
    edges: torch.Tensor
    kinds: torch.Tensor


def drawn(seeds: range) -> Batch:
    """Scenes as they are, one for each seed; pixels in 8 bits."""
    pixels = np.empty((len(seeds), SIZE, SIZE, 3), np.uint8)
    labels = np.empty((len(seeds), SIZE, SIZE), np.uint8)
    edges = np.zeros((len(seeds), MOST, 4), np.float32)
    kinds = np.full((len(seeds), MOST), -1, np.int64)
    for i, seed in enumerate(seeds):
        made = scene(seed)
        pixels[i], labels[i] = made.pixels, made.labels
        count = len(made.kinds)
        edges[i, :count] = made.boxes
        edges[i, :count, 2:] += made.boxes[:, :2]
        kinds[i, :count] = made.kinds
    tensors = (torch.from_numpy(part) for part in (pixels.transpose(0, 3, 1, 2), labels, edges, kinds))
    return Batch(*tensors)


def batches(steps: range, size: int, count: int = COUNT) -> Iterator[Batch]:
    """A batch for each step, that follows from the step's number."""
    everything = drawn(range(count))
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        which = torch.randint(count, (size,), generator=generator)
        pixels, labels, edges, kinds = (part[which] for part in everything)
        yield _varied(Batch(pixels.float() / 255, labels.long(), edges, kinds), generator)


def _varied(batch: Batch, generator: torch.Generator) -> Batch:
    """The whole batch turned one way, its colours exchanged, each scene darker or lighter."""
    pixels, labels, edges, kinds = batch
    turn = int(torch.randint(8, (), generator=generator))
    if turn & 1:
        pixels, labels = pixels.flip(-1), labels.flip(-1)
        edges = torch.stack([SIZE - edges[..., 2], edges[..., 1], SIZE - edges[..., 0], edges[..., 3]], -1)
    if turn & 2:
        pixels, labels = pixels.flip(-2), labels.flip(-2)
        edges = torch.stack([edges[..., 0], SIZE - edges[..., 3], edges[..., 2], SIZE - edges[..., 1]], -1)
    if turn & 4:
        pixels, labels = pixels.mT, labels.mT
        edges = edges[..., [1, 0, 3, 2]]
    pixels = pixels[:, torch.randperm(3, generator=generator)]
    if turn in (0, 3, 6):
        pixels = 1 - pixels
    gain = 1 - 0.3 * torch.rand(len(pixels), 1, 1, 1, generator=generator)
    return Batch((pixels * gain).contiguous(memory_format=torch.channels_last), labels.contiguous(), edges, kinds)


def trained(
    name: str, network: nn.Module, cycles: Sequence[int], loss_of: Callable[[nn.Module, Batch], torch.Tensor], *,
    size: int = 16, rate: float = 3e-3, tell: Callable[[nn.Module], str],
) -> nn.Module:  # fmt: skip
    """Trains a network for so many steps, in cycles of a rate that falls along a cosine (I. Loshchilov and F. Hutter,
    "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017). Killed and called again, it goes on from its last
    checkpoint, in `out`."""
    steps = sum(cycles)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's own stub lacks it
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-4)
    checkpoint, start, told = OUT / f"{name}.pt", 0, time.time()
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(kept["network"])
        optimizer.load_state_dict(kept["optimizer"])
        start = kept["step"]
    for step, batch in zip(range(start, steps), batches(range(start, steps), size), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate * _share(step, cycles)
        network.train()
        loss = loss_of(network, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        if step % 100 == 99 or step == steps - 1:
            seconds, told = time.time() - told, time.time()
            print(f"{step + 1} of {steps}, loss {loss.item():.4f}, {tell(network.eval())}, {seconds:.0f} s", flush=True)
            OUT.mkdir(exist_ok=True)
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(state, checkpoint.with_suffix(".new"))
            os.replace(checkpoint.with_suffix(".new"), checkpoint)
    return network.eval()


def _share(step: int, cycles: Sequence[int]) -> float:
    """Of the rate, at a step: up within 100 steps, then down to a thousandth."""
    for length in cycles:
        if step < length:
            return min(1.0, (step + 1) / 100) * max(1e-3, (1 + math.cos(math.pi * step / length)) / 2)
        step -= length
    return 1e-3

"""A training that lasts for some minutes, can be killed, and goes on where it was."""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

OUT = Path(__file__).with_name("out")
SAVING, TELLING = 30, 10
"""Seconds between checkpoints, and between lines of the log."""
WARMING = 200
"""Steps until the rate is what it is to be."""


def options(minutes: float, batch: int, what: str | None) -> argparse.ArgumentParser:
    """What every script is told."""
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=minutes, help="by the clock, checkpoints counted in")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the processor")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--checkpoint", type=Path, help="default: in training/out")
    parser.add_argument("--weights", type=Path, help="folder for the result; default: where the plugin finds it")
    return parser


def prepare(given: argparse.Namespace, seed: int = 1) -> None:
    """The same random numbers for each run; on a GPU the fastest convolutions."""
    torch.set_num_threads(given.threads)
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")


def cost(given: argparse.Namespace, steps: int) -> dict[str, Any]:
    """What is told of it beside the weights."""
    device = torch.cuda.get_device_name() if given.device.startswith("cuda") else "CPU"
    if device == "CPU":
        device = f"{given.threads} thread{'s' * (given.threads > 1)} of a processor"
    return {"cost": f"{given.minutes:g} minutes of {device}, {steps} steps of {given.batch}"}


class Course:
    """`for step, done in course`: until the minutes are over; `done` goes from 0 to 1.

    parts  modules and optimizers, by name: what a checkpoint keeps
    """

    def __init__(self, minutes: float, checkpoint: Path, parts: Mapping[str, Any], device: str) -> None:
        self.minutes, self.checkpoint, self.parts, self.device = minutes, checkpoint, parts, device
        self.step, self.spent = 0, 0.0
        self.told: dict[str, torch.Tensor] = {}
        if checkpoint.exists():
            saved = torch.load(checkpoint, weights_only=True, map_location=device)
            for name, part in parts.items():
                part.load_state_dict(saved[name])
            self.step, self.spent = saved["step"], saved["spent"]

    def __iter__(self) -> Iterator[tuple[int, float]]:
        before = self.spent
        began = kept = told = time.monotonic()
        while (done := self.spent / (60 * self.minutes)) < 1:
            yield self.step, done
            self.step += 1
            if self.step % 8 == 0 and self.device.startswith("cuda"):
                torch.cuda.synchronize()  # what is queued has not happened yet
            now = time.monotonic()
            self.spent = before + now - began
            if now - told > TELLING:
                told = now
                said = ", ".join(f"{name} {float(value):.4f}" for name, value in self.told.items())
                print(f"{self.spent:.0f} s, step {self.step}: {said}", flush=True)
            if now - kept > SAVING:
                kept = now
                self.save()
        self.save()

    def save(self) -> None:
        """Keeps the state, whole or not at all."""
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.checkpoint.with_suffix(".new")
        states = {name: part.state_dict() for name, part in self.parts.items()}
        torch.save({**states, "step": self.step, "spent": self.spent}, unfinished)
        os.replace(unfinished, self.checkpoint)


@torch.no_grad()
def follow(mean: nn.Module, network: nn.Module, keep: float) -> None:
    """The running mean of a network's numbers, a step on."""
    torch._foreach_lerp_([*mean.parameters()], [*network.parameters()], 1 - keep)


def half(device: str) -> torch.autocast:
    """Computed in bfloat16, which takes half as long; what is trained stays float32."""
    return torch.autocast(device.partition(":")[0], torch.bfloat16)


class Learner:
    """A network, the running mean of its numbers, and Adam, whose rate warms up and then falls like a cosine."""

    def __init__(self, network: nn.Module, rate: float, *, keep: float, clip: float) -> None:
        """`keep` is how much of the mean stays in a step, `clip` the largest norm of a gradient."""
        self.network, self.mean, self.rate, self.keep, self.clip = network, copy.deepcopy(network), rate, keep, clip
        self.optimizer = torch.optim.Adam(network.parameters(), rate, betas=(0.9, 0.99))

    @property
    def parts(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"network": self.network, "mean": self.mean, "optimizer": self.optimizer}

    def learn(self, loss: torch.Tensor, step: int, done: float) -> None:
        """One step down the gradient."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * min(1.0, (step + 1) / WARMING) * max(0.01, (1 + math.cos(math.pi * done)) / 2)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own lack
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimizer.step()
        follow(self.mean, self.network, min(self.keep, (step + 1) / (step + 21)))

"""A training that lasts for some minutes, can be killed, and goes on where it was."""

from __future__ import annotations

import argparse
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


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """For all that it trains."""
    for group in optimizer.param_groups:
        group["lr"] = rate

"""Trains `digits`, which makes handwritten digits: `python -m training.digits [--figures]`.

By `gan_train` as everybody has it, with the preset `digits`, on the 1,797 digits of 8x8 pixels that come with scikit-learn
(E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998, CC BY 4.0),
brought to 28x28. Killed and started again, it goes on.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from pipeline_models.gan import gan_sample, gan_train
from pipeline_models.load import load_model
from pipeline_models.vision import nearest
from torch.nn.functional import interpolate

from pipeline_core import Image, Model, Table
from pipeline_core.events import reporter
from training.weights import write_model

NAME = "digits"
STEPS = 10000
EACH = 100
"""So many of each digit are made to be judged."""


def real_digits() -> tuple[Image, Table]:
    """At 28x28, and what they are."""
    from sklearn.datasets import load_digits

    found = load_digits()
    small = torch.from_numpy(found.images).float()[:, None] / 16
    pixels = interpolate(small, size=(28, 28), mode="bicubic").clamp(0, 1)
    labels = Table(("label",), tuple((str(label),) for label in found.target))
    return Image(pixels.permute(0, 2, 3, 1).contiguous().numpy(), channels=("Y",)), labels


def figures(model: Model) -> dict[str, Any]:
    """How many of 100 digits of each kind a support vector machine takes for what was asked; how much they differ; copies.

    The machine knows the real digits at 8x8 and gamma 0.001, as in scikit-learn's own example.
    """
    from sklearn.datasets import load_digits
    from sklearn.svm import SVC

    found = load_digits()
    judge = SVC(gamma=0.001).fit(found.images.reshape(-1, 64), found.target)
    real, labels = real_digits()
    told = np.array([row[0] for row in labels.rows])
    right, variety, copies = [], [], 0
    for digit in range(10):
        made = gan_sample(model, seed=digit, count=EACH, label=str(digit))
        small = interpolate(made.pixels, size=(8, 8), mode="bilinear", antialias=True).flatten(1) * 16
        right.append(float((judge.predict(small.numpy()) == digit).mean()))
        same = real.with_array(real.array[told == str(digit)])
        variety.append(_apart(made) / _apart(same))
        copies += sum(bool(row[4]) for row in nearest(made, same).rows)
    return {
        "taken for what was asked": round(float(np.mean(right)), 4),
        "of the worst digit": min(right),
        "distance between two, of that between two real ones": round(float(np.mean(variety)), 3),
        "of the most alike digit": round(min(variety), 3),
        "copies": copies,
        "on": f"{EACH} of each digit, seeds 0 to 9",
    }


def _apart(pictures: Image) -> float:
    return float(torch.pdist(pictures.pixels.flatten(1)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--figures", action="store_true", help="measure the model that is there")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.set_grad_enabled(False)
    if given.figures:
        print(figures(load_model(name=NAME)))
        return
    reporter.set(
        lambda done, total, note: print(f"{done:.0f} of {total:.0f}: {note}", flush=True) if done % 100 == 0 else None
    )
    trained = gan_train(*real_digits(), preset="digits", steps=given.steps).model
    found = figures(trained)
    settings = trained.manifest["settings"]
    model = write_model(
        NAME, {name: torch.from_numpy(part) for name, part in trained.tensors.items()},
        architecture="dcgan", config=trained.config, task="make handwritten digits, bright on dark, 28x28",
        data="scikit-learn's digits (UCI Optical Recognition of Handwritten Digits, CC BY 4.0)",
        script="python -m training.digits", figures=found, steps=given.steps, seed=0, settings=settings,
    )  # fmt: skip
    print(model, found)


if __name__ == "__main__":
    main()

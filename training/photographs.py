"""The photographs that training may use, and those that it may not: on these the figures are measured.

They come inside scikit-image and scikit-learn; data/README.txt of the one and datasets/images/README.txt of the other
name their makers and licences. Held back are one still life with fine text, one close view of a flower, and one
portrait in gray: no script trains on them, so that a figure on them is one on unseen pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from PIL import Image as Picture

Array = np.ndarray[Any, Any]

TRAINED = (
    "skimage:astronaut.png", "skimage:chelsea.png", "skimage:rocket.jpg", "skimage:motorcycle_left.png",
    "skimage:hubble_deep_field.jpg", "skimage:ihc.png", "skimage:retina.jpg", "skimage:coins.png", "skimage:moon.png",
    "skimage:brick.png", "skimage:grass.png", "skimage:gravel.png", "skimage:page.png", "skimage:text.png",
    "sklearn:china.jpg",
)  # fmt: skip
HELD_BACK = ("skimage:coffee.png", "sklearn:flower.jpg", "skimage:camera.png")

_FOLDERS = {"skimage": ("skimage", "data"), "sklearn": ("sklearn", "datasets/images")}
SOURCE = "photographs that come with scikit-image and scikit-learn (training/photographs.py)"


def photograph(name: str) -> Array:
    """`(H, W, 3)` uint8, by a name of the lists above; gray ones have three equal channels."""
    library, _, file = name.partition(":")
    package, folder = _FOLDERS[library]
    with files(package).joinpath(folder, file).open("rb") as opened, Picture.open(opened) as picture:
        return np.asarray(picture.convert("RGB"))


def photographs(names: Sequence[str] = TRAINED) -> dict[str, Array]:
    """Several, by name."""
    return {name: photograph(name) for name in names}

"""Puts the pictures that the lessons use into `photos/`, beside this file.

They come out of the installed scikit-image and scikit-learn, which carry them in their wheels; nothing is downloaded. Who
made them and under what terms is in PHOTOS and DIGITS, after the notes of the two (`skimage/data/_fetchers.py`,
`sklearn/datasets/descr/digits.rst`).
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parent / "photos"

PHOTOS = {
    "astronaut.png": "Eileen Collins. NASA, Great Images database. Public domain.",
    "chelsea.png": "A cat. Stefan van der Walt. CC0 1.0.",
    "coffee.png": "A cup of coffee. Rachel Michetti, courtesy of Pikolo Espresso Bar. CC0 1.0.",
    "hubble_deep_field.jpg": "The Hubble eXtreme Deep Field. NASA. Public domain.",
    "rocket.jpg": "A Falcon 9 before the launch of DSCOVR. SpaceX. Public domain.",
}


DIGITS = {
    "digits.png": "Handwritten digits. E. Alpaydin and C. Kaynak, UCI Machine Learning Repository. CC BY 4.0.",
    "digits.csv": "What they are. E. Alpaydin and C. Kaynak, UCI Machine Learning Repository. CC BY 4.0.",
}
IN_A_ROW, ROWS = 56, 32
"""Of the 1,797 digits those that fill a sheet."""


def copy_photos(folder: Path = FOLDER) -> list[Path]:
    """Copies every photograph that is not there yet; returns where they all are."""
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise SystemExit("the photographs come out of scikit-image: pip install 'pipeline-core[photos]'")
    source = Path(found.origin).parent / "data"
    folder.mkdir(parents=True, exist_ok=True)
    for name in PHOTOS:
        if not (folder / name).exists():
            shutil.copyfile(source / name, folder / name)
    notes = "".join(f"{name}: {note}\n" for name, note in (PHOTOS | DIGITS).items())
    if not (folder / "digits.csv").exists():
        draw_digits(folder)
    (folder / "SOURCES.txt").write_text(notes, encoding="utf-8")
    return [folder / name for name in PHOTOS | DIGITS]


def draw_digits(folder: Path) -> None:
    """A sheet of digits, 8x8 pixels each, and what each one is, row by row."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise SystemExit("the digits come out of scikit-learn: pip install 'pipeline-core[photos]'") from None
    found = load_digits()
    count = IN_A_ROW * ROWS
    cells = np.uint8(found.images[:count] / 16 * 255 + 0.5).reshape(ROWS, IN_A_ROW, 8, 8)
    Image.fromarray(cells.transpose(0, 2, 1, 3).reshape(8 * ROWS, 8 * IN_A_ROW)).save(folder / "digits.png")
    lines = ["label", *(str(label) for label in found.target[:count])]
    (folder / "digits.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    print(f"{len(copy_photos(target))} pictures in {target}")

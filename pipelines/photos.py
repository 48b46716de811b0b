"""Puts the photographs that the lessons use into `photos/`, beside this file.

They come out of the installed scikit-image, which carries them in its wheel; nothing is downloaded. Who made them and
under what terms is in PHOTOS, after scikit-image's own notes (`skimage/data/_fetchers.py`).
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "photos"

PHOTOS = {
    "astronaut.png": "Eileen Collins. NASA, Great Images database. Public domain.",
    "chelsea.png": "A cat. Stefan van der Walt. CC0 1.0.",
    "coffee.png": "A cup of coffee. Rachel Michetti, courtesy of Pikolo Espresso Bar. CC0 1.0.",
    "hubble_deep_field.jpg": "The Hubble eXtreme Deep Field. NASA. Public domain.",
    "rocket.jpg": "A Falcon 9 before the launch of DSCOVR. SpaceX. Public domain.",
}


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
    notes = "".join(f"{name}: {note}\n" for name, note in PHOTOS.items())
    (folder / "SOURCES.txt").write_text(notes, encoding="utf-8")
    return [folder / name for name in PHOTOS]


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    print(f"{len(copy_photos(target))} photographs in {target}")

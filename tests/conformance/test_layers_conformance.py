"""Photoshop's own layers, loaded from a file and put together again, against Photoshop's flattened picture of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from pipeline_compose import layer_stack
from pipeline_io import load_layers
from pipeline_io.psd import BLENDS

FOLDER = Path(__file__).parents[2].parent / "shared" / "corpora" / "photoshop-blend" / "three-layers"
psd_tools = pytest.importorskip("psd_tools", reason="psd-tools writes the files")
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the photoshop-blend corpus is not here")
KEYS = {name: key for key, name in BLENDS.items()} | {"normal": b"norm"}


@pytest.mark.parametrize("mode", sorted(path.name.removesuffix(".layer0.png") for path in FOLDER.glob("*.layer0.png")))
def test_a_file_s_layers_give_photoshops_picture(tmp_path: Path, mode: str) -> None:
    from psd_tools.constants import BlendMode

    theirs = np.asarray(Picture.open(FOLDER / f"{mode}.photoshop.png").convert("RGBA"), np.float32) / 255
    theirs[..., :3] *= theirs[..., 3:]
    art = psd_tools.PSDImage.new("RGBA", theirs.shape[1::-1])
    for i in range(3):
        layer = Picture.open(FOLDER / f"{mode}.layer{i}.png").convert("RGBA")
        left, top, right, bottom = layer.getbbox() or (0, 0, *layer.size)
        blend = BlendMode(KEYS[mode])
        art.create_pixel_layer(
            layer.crop((left, top, right, bottom)), name=str(i), left=left, top=top, opacity=128, blend_mode=blend
        )
    art.save(tmp_path / "x.psd")
    image, table, canvas = load_layers(path=tmp_path / "x.psd")
    again = layer_stack(canvas, [image], table=table).associate().array[0]
    assert np.abs(again - theirs).max() * 255 <= 3

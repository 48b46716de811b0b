import numpy as np
from pipeline_glow import glow

from pipeline_core import Image
from pipeline_core.testing import contract

test_contract = contract("pipeline_glow")


def test_light_reaches_as_far_as_the_radius() -> None:
    pixels = np.zeros((1, 9, 9, 3), np.float32)
    pixels[0, 4, 4] = 1
    lit = glow(Image(pixels), radius=2, strength=0.5).array[0, :, :, 0]
    assert lit[4, 4] == np.float32(1 + 0.5 / 25)
    assert lit[2, 2] == np.float32(0.5 / 25)
    assert lit[1, 4] == 0

"""Weighting by alpha."""

from __future__ import annotations

from pipeline_core import AnyRaster, Image


def associated(image: AnyRaster) -> AnyRaster:
    """Ready to be blended with its neighbours: colour multiplied by alpha where there is alpha."""
    return image.associate() if isinstance(image, Image) else image


def handed_back(result: AnyRaster, image: AnyRaster) -> AnyRaster:
    """The result in the alpha state that the image was given in."""
    if isinstance(result, Image) and isinstance(image, Image):
        return result.with_alpha_state(image.alpha)
    return result

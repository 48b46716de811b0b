"""Weighting by alpha, where that is coverage. In an image of colour `data` A is one more packed channel."""

from __future__ import annotations

from pipeline_core import AnyRaster, Image


def associated(image: AnyRaster) -> AnyRaster:
    """Ready to be blended with its neighbours: colour multiplied by alpha, if that is coverage."""
    return image.associate() if isinstance(image, Image) and image.color != "data" else image


def handed_back(result: AnyRaster, image: AnyRaster) -> AnyRaster:
    """The result in the alpha state that the image was given in."""
    if isinstance(result, Image) and isinstance(image, Image):
        return result.with_alpha_state(image.alpha)
    return result

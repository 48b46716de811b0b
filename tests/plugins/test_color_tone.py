"""Curves, tone mapping and posterizing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_color.tone import curves, posterize, tonemap

from pipeline_core import Image, OperationError


def ramp(*values: float) -> Image:
    return Image(np.repeat(np.array(values, np.float32)[None, None, :, None], 3, axis=-1), color="lin_rec709_scene")


def tones(found: Image) -> Any:
    return found.array[0, 0, :, 0]


def test_curves_go_through_their_points_and_do_nothing_by_default() -> None:
    points = [[0.0, 0.1], [0.25, 0.2], [0.6, 0.9], [1.0, 0.95]]
    found = tones(curves(ramp(*[p[0] for p in points]), points=points))
    np.testing.assert_allclose(found, [p[1] for p in points], atol=1e-6)
    np.testing.assert_allclose(tones(curves(ramp(-1, 0.3, 5))), [-1, 0.3, 5], rtol=1e-6)


@given(st.lists(st.integers(0, 100), min_size=2, max_size=8, unique=True), st.data())
def test_curves_never_overshoot(inputs: list[int], data: st.DataObject) -> None:
    outputs = data.draw(st.lists(st.floats(-2, 2), min_size=len(inputs), max_size=len(inputs)))
    points = sorted([x / 100, y] for x, y in zip(inputs, outputs, strict=True))
    x, y = np.array(points).T
    values = np.linspace(x[0], x[-1], 101).astype(np.float32)
    found = tones(curves(ramp(*values), points=points))
    which = np.clip(np.searchsorted(x, values, side="right") - 1, 0, len(x) - 2)
    assert (found >= np.minimum(y[which], y[which + 1]) - 1e-4).all()
    assert (found <= np.maximum(y[which], y[which + 1]) + 1e-4).all()


def test_convention_curves_go_on_as_straight_lines() -> None:
    found = tones(curves(ramp(-1, 0, 1, 3), points=[[0, 0], [0.5, 0.25], [1, 1]]))
    np.testing.assert_allclose(found, [-0.5, 0, 1, 4], atol=1e-6)


def test_curves_of_one_channel_come_first() -> None:
    found = curves(ramp(0.5), red=[[0, 0], [1, 2]], points=[[0, 1], [1, 0]])
    np.testing.assert_allclose(found.array.ravel(), [0, 0.5, 0.5], atol=1e-6)


@pytest.mark.parametrize(
    "params",
    [
        {"points": [[0.0, 0.1], [0.25, 0.2], [0.6, 0.9], [1.0, 0.95]]},
        {"points": [[-0.5, 0.0], [2.0, 3.0]]},
        {"red": [[0.0, 0.0], [0.5, 0.7], [1.0, 1.0]], "points": [[0.0, 0.0], [0.5, 0.3], [1.0, 1.0]]},
        {"points": [[0.0, 0.0], [0.5, 0.0], [0.5 + 1e-9, 1.0], [1.0, 1.0]]},  # too steep for a table
        {},
    ],
)
def test_compiled_curves_give_what_formulas_give(params: Any, as_formulas: Callable[..., None]) -> None:
    as_formulas(lambda picture: curves(picture, **params))


def test_tonemap_formulas() -> None:
    x = np.array([0.0, 0.18, 1.0, 4.0, 20.0])
    source = ramp(*x)
    np.testing.assert_allclose(tones(tonemap(source)), x / (1 + x), rtol=1e-5)
    np.testing.assert_allclose(tones(tonemap(source, white=4)), x * (1 + x / 16) / (1 + x), rtol=1e-5)
    aces = np.minimum(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 1)
    np.testing.assert_allclose(tones(tonemap(source, method="aces")), aces, rtol=1e-5)

    def hable(v: Any) -> Any:
        a, b, c, d, e, f = 0.15, 0.50, 0.10, 0.20, 0.02, 0.30
        return (v * (a * v + c * b) + d * e) / (v * (a * v + b) + d * f) - e / f

    np.testing.assert_allclose(tones(tonemap(source, method="hable")), hable(x) / hable(11.2), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["reinhard", "aces", "hable"])
def test_convention_tonemap_leaves_negative_values_and_bears_infinity(method: Any) -> None:
    found = tones(tonemap(ramp(-0.5, 1e-3, 1, 1e30, np.inf), method=method))
    assert found[0] == -0.5
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()


def test_the_white_of_tonemap_becomes_one() -> None:
    for method in ("reinhard", "hable"):
        assert tones(tonemap(ramp(6), method=method, white=6)) == pytest.approx(1, rel=1e-5)  # type: ignore[arg-type]


def test_convention_posterize_rounds_to_even_and_clips_nothing() -> None:
    found = tones(posterize(ramp(-0.6, 0.25, 0.3, 0.74, 0.75, 1.6), levels=3))
    assert found.tolist() == [-0.5, 0, 0.5, 0.5, 1, 1.5]


def test_refusals() -> None:
    gray = Image(np.zeros((1, 1, 1, 1), np.float32), channels=("Y",))
    with pytest.raises(OperationError, match="finite inputs that differ"):
        curves(ramp(1), points=[[0, 0], [0, 1]])
    with pytest.raises(OperationError, match="but the image has Y"):
        curves(gray, red=[[0, 0], [1, 1]])
    with pytest.raises(OperationError, match="white is given"):
        tonemap(ramp(1), method="aces", white=2)

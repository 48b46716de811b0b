"""Kernels in C held against the formulas in Python that they stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from pipeline_core import Image

ODD = [-40.0, -1, -0.25, -0.0, 0, 0.25, 0.5, 0.999, 1, 1.5, 60000, np.inf, -np.inf, np.nan]
Operation = Callable[[Image], Any]


def pictures(channels: tuple[str, ...] = ("RGB", "RGBA", "ABRGZ")) -> Iterator[Image]:
    """Of every type and alpha state, wider than a block and narrower, some with what is no number."""
    random = np.random.default_rng(11)
    for names in channels:
        for alpha in ("straight", "associated") if "A" in names else ("none",):
            for dtype in ("uint8", "uint16", "float16", "float32"):
                for batch, height, width in ((2, 5, 259), (1, 1, 1)):
                    values = random.random((batch, height, width, len(names)))
                    if "A" in names:
                        values[:, :2, ..., names.index("A")] = 1
                        values[:, 2:3, :200, names.index("A")] = 0
                        values[:, 2:3, :100] = 0
                    if dtype.startswith("f"):
                        values[-1, -1, : len(ODD), names.index("Y" if "Y" in names else "R")] = ODD[:width]
                        if "A" in names:
                            values[-1, -1, 20:24, names.index("A")] = [-0.25, 1.5, np.inf, np.nan][: max(0, width - 20)]
                    scale = float(np.iinfo(dtype).max) if dtype.startswith("u") else 1.0
                    with np.errstate(over="ignore"):
                        yield Image((values * scale).astype(dtype), channels=tuple(names), alpha=alpha)  # type: ignore[arg-type]  # one of two


@pytest.fixture
def as_formulas(compiled: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Holds what an operation gives by kernels against what it gives without any, whatever the picture, in parts and whole."""

    def check(operation: Operation, channels: tuple[str, ...] = ("RGB", "RGBA", "ABRGZ"), within: float = 2e-6) -> None:
        for picture in pictures(channels):
            with monkeypatch.context() as without, np.errstate(all="ignore"):
                without.setattr("pipeline_core.passes.load_kernels", lambda file: None)
                expected = operation(picture)
            with np.errstate(all="ignore"):
                found = operation(picture)
            with monkeypatch.context() as small, np.errstate(all="ignore"):
                small.setattr("pipeline_core.passes.LEAST", 1)
                small.setattr("pipeline_core.passes.PARTS", 1000)
                parts = operation(picture)
            for one, other, part in zip(_arrays(found), _arrays(expected), _arrays(parts), strict=True):
                assert (one.shape, one.dtype) == (other.shape, other.dtype)
                np.testing.assert_allclose(one, other, rtol=within, atol=within, err_msg=str(picture))
                assert np.array_equal(one, part, equal_nan=True)

    return check


def _arrays(found: Any) -> list[np.ndarray[Any, Any]]:
    return [one.array for one in (found if isinstance(found, tuple) else [found])]

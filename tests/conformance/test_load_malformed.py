"""Hostile files: loaded whole or refused in one line, with little time and memory."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import numpy as np
import pytest
from pipeline_io import load_image

from pipeline_core import OperationError

CORPUS = Path(__file__).parents[3] / "shared" / "corpora" / "malformed-images"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus malformed-images is not here")


def test_malformed_files_are_loaded_or_refused() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files = sorted(path for path in CORPUS.rglob("*") if path.is_file())
    assert len(files) > 100
    reasons = {}
    for path in files:
        start = time.monotonic()
        try:
            image = load_image(path=path)
        except OperationError as error:
            reasons[path] = str(error)
        else:
            assert np.isfinite(image.array).all(), path.name
        assert time.monotonic() - start < 5, path.name
    assert all(reason.startswith(f"{path}: ") and "\n" not in reason for path, reason in reasons.items())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20, "more than 1 GiB"

"""docs/operations.md says what the operations are."""

from __future__ import annotations

import difflib
from pathlib import Path

from pipeline_core.pages import PICTURES, operations_page
from pipeline_core.plugins import catalogue

PAGE = Path(__file__).parents[1] / "docs" / "operations.md"


def test_the_operations_page_is_up_to_date(tmp_path: Path) -> None:
    fresh = operations_page(catalogue(tmp_path), pictures={path.stem for path in PICTURES.glob("*.webp")})
    committed = PAGE.read_text(encoding="utf-8")
    drift = list(difflib.unified_diff(committed.splitlines(), fresh.splitlines(), "committed", "fresh", lineterm=""))
    assert not drift, "\n".join(["run: python -m pipeline_core.pages > docs/operations.md", *drift[:40]])

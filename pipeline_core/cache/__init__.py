"""Results kept by content: `key -> record` in SQLite, `content digest -> blob` in files, a memory tier before them.

`Cache` is the whole of it; `record` alone is light enough for the answer "up to date" (no numpy, no torch).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline_core.cache.cache import Cache
    from pipeline_core.cache.record import FORMAT, Output, Record, default_folder, read_stamp

_HOME = {
    "Cache": "cache",
    "FORMAT": "record",
    "Output": "record",
    "Record": "record",
    "default_folder": "record",
    "read_stamp": "record",
}

__all__ = ["FORMAT", "Cache", "Output", "Record", "default_folder", "read_stamp"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pipeline_core.cache' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(f"pipeline_core.cache.{_HOME[name]}"), name)

"""Modules that are imported when something of them is first used: they cost more than many a pipeline without them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class Late(ModuleType):
    """Stands for a module of this name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what looks at all modules is not answered for
            raise AttributeError(name)
        value = getattr(import_module(self.__name__), name)
        setattr(self, name, value)
        return value


opencv = Late("cv2")
"""15 MiB and 20 ms: `from pipeline_core import opencv as cv2`."""

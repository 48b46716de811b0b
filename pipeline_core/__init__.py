"""pipeline-core: a text file of nodes becomes pictures, checked before it runs and never computed twice.

This is the front door: what is listed here is public, for users and plugin authors alike. Names are imported when they
are first used, so that `import pipeline_core` costs nothing and never imports torch.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    import cv2 as opencv

    from pipeline_core.api import check, plan, run
    from pipeline_core.buffers import empty
    from pipeline_core.build import Pipeline
    from pipeline_core.errors import (
        Cancelled,
        GraphError,
        NodeError,
        OperationError,
        OutputError,
        PipelineError,
        PluginError,
        SpecError,
    )
    from pipeline_core.events import progress
    from pipeline_core.folders import Checkpoint
    from pipeline_core.hookspecs import hookimpl
    from pipeline_core.image import Alpha, AnyRaster, File, Image, ImageSet, Mask, Table
    from pipeline_core.kernels import Pixels, load_kernels
    from pipeline_core.model import Model
    from pipeline_core.operation import operation
    from pipeline_core.passes import Layout, kernels_for, pass_over, stored
    from pipeline_core.rows import RowFile, Rows
    from pipeline_core.schema import Color, Seed, Unit
    from pipeline_core.tiles import Scratch, each_tile

_HOMES = {
    "api": ("check", "plan", "run"),
    "buffers": ("empty",),
    "build": ("Pipeline",),
    "errors": (
        "Cancelled", "GraphError", "NodeError", "OperationError", "OutputError", "PipelineError", "PluginError",
        "SpecError",
    ),
    "events": ("progress",),
    "folders": ("Checkpoint",),
    "hookspecs": ("hookimpl",),
    "image": ("Alpha", "AnyRaster", "File", "Image", "ImageSet", "Mask", "Table"),
    "kernels": ("Pixels", "load_kernels"),
    "late": ("opencv",),
    "model": ("Model",),
    "operation": ("operation",),
    "passes": ("Layout", "kernels_for", "pass_over", "stored"),
    "rows": ("RowFile", "Rows"),
    "schema": ("Color", "Seed", "Unit"),
    "tiles": ("Scratch", "each_tile"),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Alpha",
    "AnyRaster",
    "Cancelled",
    "Checkpoint",
    "Color",
    "File",
    "GraphError",
    "Image",
    "ImageSet",
    "Layout",
    "Mask",
    "Model",
    "NodeError",
    "OperationError",
    "OutputError",
    "Pipeline",
    "PipelineError",
    "Pixels",
    "PluginError",
    "RowFile",
    "Rows",
    "Scratch",
    "Seed",
    "SpecError",
    "Table",
    "Unit",
    "__version__",
    "check",
    "each_tile",
    "empty",
    "hookimpl",
    "kernels_for",
    "load_kernels",
    "opencv",
    "operation",
    "pass_over",
    "plan",
    "progress",
    "run",
    "stored",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pipeline_core' has no attribute '{name}'")
    import importlib

    value = getattr(importlib.import_module(f"pipeline_core.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


class _FrontDoor(ModuleType):
    """Keeps `pipeline_core.run` the function: importing the submodule `run` would put the module in its place."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor

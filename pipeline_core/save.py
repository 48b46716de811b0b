"""Encoded outputs become files: signed with where they come from, written whole or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline_core.errors import OutputError
from pipeline_core.folders import write_atomically
from pipeline_core.image import File
from pipeline_core.plan import Plan, Step

PROVENANCE = "pipeline"
"""The name under which a picture's metadata carries where it comes from."""


class Writer:
    """Writes the outputs of one plan."""

    def __init__(self, plan: Plan, *, provenance: str = "", sync: bool = False) -> None:
        self.plan, self.provenance, self.sync = plan, provenance, sync
        self.written: dict[str, str] = {}

    def sign(self, step: Step, inputs: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        """The inputs of an encoding step with the provenance in their metadata, in place of any older one."""
        return {name: [self._signed(value) for value in values] for name, values in inputs.items()}

    def _signed(self, value: Any) -> Any:
        meta = getattr(value, "meta", None)
        if not isinstance(meta, Mapping) or (not self.provenance and PROVENANCE not in meta):
            return value
        signed = {key: text for key, text in meta.items() if key != PROVENANCE}
        if self.provenance:
            signed[PROVENANCE] = self.provenance
        return dataclasses.replace(value, meta=signed)

    def write(self, step: Step, path: Path, file: File) -> int:
        """Writes one file, its folders created; returns its bytes. OutputError names output, path and reason."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(21, "is a folder")
            if not _holds(path, file.content):
                write_atomically(path, file.content, sync=self.sync)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            where = self.plan.graph.spec.where(*step.node.place, "path")
            place = f"{where}: " if where else ""
            raise OutputError(
                f"{place}output '{step.node.place[1]}': can't write {path} ({len(file.content):,} bytes): {reason}"
            ) from error
        return len(file.content)


def _holds(path: Path, content: bytes) -> bool:
    """Whether the file already is what would be written; then it keeps its time."""
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False

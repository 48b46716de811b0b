"""Encoded outputs become files: signed with where they come from, written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_core import __version__
from pipeline_core.errors import OutputError
from pipeline_core.folders import put_in_place, temporary, write_atomically
from pipeline_core.image import File, Raster
from pipeline_core.keys import digest, digest_file
from pipeline_core.plan import Plan, Step
from pipeline_core.rows import RowFile, RowWriter

if TYPE_CHECKING:
    from pipeline_core.cache import Cache

PROVENANCE = "pipeline"
"""The name under which a picture's metadata carries where it comes from."""


class Writer:
    """Writes the outputs of one plan.

    With a cache it notes what it wrote, so that an output that still is what was written is not made again. With
    `metadata` a picture carries its provenance: what it is made of, never a path, a user or a machine.
    """

    def __init__(self, plan: Plan, *, cache: Cache | None = None, metadata: bool = True, sync: bool = False) -> None:
        self.plan, self.cache, self.metadata, self.sync = plan, cache, metadata, sync
        self.digests: dict[str, str] = {}
        """Of the files that this writer wrote or found to be current, by output."""
        self.beside: dict[str, dict[Path, str]] = {}
        """The same of what lies beside them."""
        self.paths = {target.encoder: target.path for target in plan.targets if target.encoder and target.path}

    def path(self, step: Step) -> Path:
        """Where a step's file goes."""
        return self.paths[step.name]

    def note_key(self, step: Step) -> str:
        """The name of the note on what was written; by output, since two of one picture differ in their provenance."""
        return f"written {step.name} {step.key} {'with' if self.metadata else 'without'} metadata"

    def text(self, step: Step) -> str:
        """The provenance as the picture carries it."""
        return json.dumps(provenance(self.plan, step), sort_keys=True) if self.metadata else ""

    def is_current(self, step: Step) -> bool:
        """Whether the file is there and is what a run would write."""
        if self.cache is None:
            return False
        try:
            found = digest_file(self.path(step))
        except OSError:
            return False
        note = self.cache.stamp(self.note_key(step))
        if note is None or note.get("digest") != found:
            return False
        path = self.path(step)
        beside = {path.with_name(name): digest for name, digest in note.get("beside", {}).items()}
        if any(not _is(other, digest) for other, digest in beside.items()):
            return False
        self.digests[step.node.place[1]], self.beside[step.node.place[1]] = found, beside
        return True

    def sign(self, step: Step, inputs: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        """The inputs of an encoding step with the provenance in their metadata, in place of any older one."""
        text = self.text(step)
        return {name: [_signed(value, text) for value in values] for name, values in inputs.items()}

    def write(self, step: Step, file: File) -> int:
        """Writes a file and before it what lies beside it, its folders created; returns its bytes.

        OutputError names output, path and reason.
        """
        with self.blamed(step, f" ({file.size:,} bytes)"):
            path = self.ready(step)
            beside = {self._beside(step, name): content for name, content in file.beside.items()}
            for other, content in {**beside, path: file.content}.items():
                if not _holds(other, content):
                    write_atomically(other, content, sync=self.sync)
        self.beside[step.node.place[1]] = {other: digest(content) for other, content in beside.items()}
        self.note(step, lambda: digest(file.content))
        return file.size

    def _beside(self, step: Step, name: str) -> Path:
        """The path of what lies beside a step's file; OutputError where it would be another output's."""
        path, output = self.path(step), step.node.place[1]
        other = path.with_name(path.stem + name) if Path(name).name == name else path
        taken = [where for at, where in self.paths.items() if at != step.name]
        taken += [where for which, found in list(self.beside.items()) if which != output for where in found]
        if other == path or other in taken:
            raise OutputError(f"output '{output}': {other} is written by another output, too, or is the output itself")
        return other

    def ready(self, step: Step) -> Path:
        """The path of a step's file, its folders created."""
        path = self.path(step)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(21, "is a folder")
        return path

    def note(self, step: Step, digest_of: Callable[[], str]) -> None:
        """Notes what was written, so that it is known to be current."""
        if self.cache is not None:
            written = self.digests[step.node.place[1]] = digest_of()
            beside = {path.name: digest for path, digest in self.beside.get(step.node.place[1], {}).items()}
            self.cache.put_stamp(self.note_key(step), {"digest": written, "beside": beside})

    @contextmanager
    def blamed(self, step: Step, what: str = "") -> Iterator[None]:
        """An OSError inside becomes an OutputError that names the output."""
        try:
            yield
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            where = self.plan.graph.spec.where(*step.node.place, "path")
            place = f"{where}: " if where else ""
            message = f"{place}output '{step.node.place[1]}': can't write {self.path(step)}{what}: {reason}"
            raise OutputError(message) from error


class RowOutput:
    """One output's file while its rows come: under a temporary name until it is whole."""

    def __init__(self, writer: Writer, step: Step, rows: RowFile) -> None:
        self.writer, self.step, self.rows = writer, step, rows
        self._path: Path | None = None
        self._file: RowWriter | None = None

    def add(self, rows: Raster, height: int) -> None:
        """The next of so many rows; the first of them say what the picture is."""
        with self.writer.blamed(self.step):
            if self._file is None:
                self._path = temporary(self.writer.ready(self.step))
                signed = _signed(rows, self.writer.text(self.step))
                self._file = self.rows.open(self._path, signed.like(height=height, dtype=rows.dtype))
            self._file.write(rows)

    def finish(self) -> int:
        """The file has its name; its bytes."""
        assert self._file is not None
        assert self._path is not None
        path = self.writer.path(self.step)
        with self.writer.blamed(self.step):
            self._file.close()
            size = self._path.stat().st_size
            if _alike(path, self._path):
                self._path.unlink()
            else:
                put_in_place(self._path, path, sync=self.writer.sync)
        self._file = self._path = None
        self.writer.note(self.step, lambda: digest_file(path))
        return size

    def discard(self) -> None:
        """No file, unless it is finished."""
        if self._file is not None:
            self._file.discard()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def provenance(plan: Plan, step: Step) -> dict[str, Any]:
    """Where an encoded output comes from: the digest of all that made it, the nodes with their params, the version.

    A path appears as its file's name and content digest; no folder, user or environment goes in.
    """
    source = plan.steps[next(iter(step.sources))[1][0][0]]
    wanted, stack = {source.index}, [source.index]
    while stack:
        found = {i for _, links in plan.steps[stack.pop()].sources for i, _ in links} - wanted
        wanted |= found
        stack += found
    nodes = {}
    for index in sorted(wanted):
        made = plan.parts(plan.steps[index])
        params = {**made["params"], **{name.partition(": ")[0]: name.partition(": ")[2] for name in made["files"]}}
        nodes[plan.steps[index].name] = {
            "operation": f"{made['plugin'].split()[0]}.{made['operation']}",
            "params": params,
        }
        if made["files"]:
            nodes[plan.steps[index].name]["files"] = made["files"]
    named = {name: value for name, value in plan.graph.params.items() if plan.graph.spec.params[name].type != "path"}
    params = {
        **named,
        **{name: Path(str(plan.graph.params[name])).name for name in plan.graph.params if name not in named},
    }
    return {"software": f"pipeline-core {__version__}", "digest": source.key, "params": params, "nodes": nodes}


def _signed(value: Any, text: str) -> Any:
    meta = getattr(value, "meta", None)
    if not isinstance(meta, Mapping) or (not text and PROVENANCE not in meta):
        return value
    signed = {key: known for key, known in meta.items() if key != PROVENANCE}
    if text:
        signed[PROVENANCE] = text
    return dataclasses.replace(value, meta=signed)


def _alike(path: Path, other: Path) -> bool:
    """Whether two files have the same bytes; then the first keeps its time."""
    try:
        return path.stat().st_size == other.stat().st_size and digest_file(path) == digest_file(other)
    except OSError:
        return False


def _is(path: Path, wanted: str) -> bool:
    try:
        return digest_file(path) == wanted
    except OSError:
        return False


def _holds(path: Path, content: bytes) -> bool:
    """Whether the file already is what would be written; then it keeps its time."""
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False

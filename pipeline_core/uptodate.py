"""Is there anything to do at all? Answered from digests alone: no torch, no plugin, no graph.

After a complete run a stamp notes what went in (the pipeline file, what the command line gave, the installed plugins,
the files that were read) and what came out (the files that were written). While all of that is still so, there is
nothing to do. Any doubt is a no: then the whole way is gone, and the cache answers step by step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from pipeline_core import __version__
from pipeline_core.installed import discover

if TYPE_CHECKING:
    from pipeline_core.plan import Plan
    from pipeline_core.run import Result

FORMAT = 2


def stamp_key(file: str, options: Mapping[str, Any]) -> str | None:
    """The name of a run's stamp; None where the file can't be read. `options` is all that the command line gave.

    The folder does not count, so that a project that was moved is still up to date.
    """
    try:
        content = Path(file).read_bytes()
    except (OSError, ValueError):
        return None
    plugins = [[plugin.name, plugin.identity] for plugin in discover()]
    made_of = [FORMAT, __version__, Path(file).name, blake3(content).hexdigest(), dict(options), plugins]
    return blake3(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def up_to_date(stamp: Mapping[str, Any], file: str) -> dict[str, str] | None:
    """The outputs (name -> path) if every file read and written is what the stamp says, else None."""
    folder = Path(file).parent
    try:
        files = {**stamp["files"], **{path: digest for _, path, digest in stamp["outputs"]}}
        for path, digest in files.items():
            if _digest(folder / path) != digest:
                return None
        return {name: os.path.normpath(folder / path) for name, path, _ in stamp["outputs"]}
    except (OSError, KeyError, TypeError, ValueError):
        return None


def make_stamp(plan: Plan, result: Result) -> dict[str, Any] | None:
    """What to note after a run; None where that can't be told from files (an output without a path, a folder read)."""
    if result.failures or set(result.saved) != {target.name for target in plan.targets}:
        return None
    folder = Path.cwd() / plan.graph.spec.folder
    files = {}
    for step in plan.steps:
        for path, state in step.files.items():
            if state.digest.startswith("folder:"):
                return None
            files[os.path.relpath(path, folder)] = state.digest
    for found in result.beside.values():
        files |= {os.path.relpath(path, folder): _digest(path) for path in found}
    saved = {target.name: result.saved[target.name] for target in plan.targets}
    outputs = [[name, os.path.relpath(path, folder), _digest(path)] for name, path in saved.items()]
    return {"files": files, "outputs": outputs}


def _digest(path: Path) -> str:
    return blake3(path.read_bytes()).hexdigest()

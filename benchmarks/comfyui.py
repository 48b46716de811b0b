"""ComfyUI's executor beside ours: `python -m benchmarks comfyui --comfyui PATH`, with a checkout of it (0.3).

`execution.py` and `comfy_execution` are the checkout's own: its `PromptExecutor` runs the chains, fan-outs and grids of
`benchmarks.scheduler`, of nodes that do nothing: with a new executor, and again with everything in its cache. What
lies beyond the executor is replaced by what takes no time: `nodes` (but for the node), `comfy.model_management` and
`latent_preview`, which would want a GPU and the networks' libraries, and the server, which sends nothing since no browser
listens. Its keys repeat all that comes before a node, so that a node costs more the more there are, and a chain of 2,000
ends in a RecursionError: there are few.
"""

from __future__ import annotations

import gc
import importlib
import re
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.timing import Absent, Comparison, Job, Line, Taken, clocked, reason


def unfit(path: Path) -> str:
    """Why this is no checkout that can be measured; nothing if it is one."""
    missing = [name for name in ("execution.py", "comfy_execution/graph.py") if not (path / name).is_file()]
    return f"{path} is no checkout of ComfyUI 0.3: it has no {' and no '.join(missing)}" if missing else ""


def version(path: Path) -> str:
    file = path / "comfyui_version.py"
    found = re.search(r'__version__ = "([^"]+)"', file.read_text()) if file.is_file() else None
    return found[1] if found else "of unknown version"


class Nothing:
    """The node: the first of its inputs."""

    RETURN_TYPES = ("TABLE",)
    FUNCTION = "first"
    CATEGORY = "benchmark"
    ran = 0

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  ComfyUI's name
        return {"required": {"number": ("INT", {})}, "optional": {"t0": ("TABLE",), "t1": ("TABLE",)}}

    def first(self, number: int, t0: object = (), **others: object) -> tuple[object]:
        Nothing.ran += 1
        return (t0,)


class Idle(ModuleType):
    """Of which whatever is not given does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_given, **_named: None


class Silent:
    """In place of the server."""

    client_id = None
    last_node_id = None

    def __init__(self) -> None:
        self.sockets_metadata: dict[str, Any] = {}

    def send_sync(self, event: str, data: object, sid: object = None) -> None:
        """Nobody listens."""


def executor(path: Path) -> Any:
    """The checkout's module `execution`."""
    sys.path.insert(0, str(path))
    memory, nodes = Idle("comfy.model_management"), Idle("nodes")
    vars(memory).update(
        InterruptProcessingException=type("InterruptProcessingException", (Exception,), {}),
        OOM_EXCEPTION=MemoryError,
        DISABLE_SMART_MEMORY=False,
    )
    vars(nodes).update(NODE_CLASS_MAPPINGS={"Nothing": Nothing})
    sys.modules |= {"comfy.model_management": memory, "nodes": nodes, "latent_preview": Idle("latent_preview")}
    try:
        vars(importlib.import_module("comfy"))["model_management"] = memory
        return importlib.import_module("execution")
    except ModuleNotFoundError as error:
        raise Absent(f"ComfyUI {version(path)} needs {error.name}, which is not installed") from error
    except (ImportError, AttributeError, TypeError) as error:
        raise Absent(f"ComfyUI {version(path)} does not fit: {reason(error)}") from error


def prompt(links: list[list[int]]) -> dict[str, Any]:
    """The graph as ComfyUI takes it; each node has a number, since it computes equal ones once."""
    return {
        str(i): {
            "class_type": "Nothing",
            "inputs": {"number": i, **{f"t{place}": [str(j), 0] for place, j in enumerate(sources)}},
        }
        for i, sources in enumerate(links)
    }


def execute(runner: Any, links: list[list[int]], expected: int) -> Taken:
    given, last = prompt(links), str(len(links) - 1)
    gc.collect()
    before = Nothing.ran
    taken = clocked(lambda: runner.execute(given, "benchmark", {}, [last]))
    if Nothing.ran - before != expected:
        raise RuntimeError(f"ComfyUI ran {Nothing.ran - before} nodes, not {expected}: {runner.status_messages[-1]}")
    return taken


def first(module: Any, links: list[list[int]]) -> Taken:
    return execute(module.PromptExecutor(Silent()), links, len(links))


def again(module: Any, links: list[list[int]]) -> Job:
    runner = module.PromptExecutor(Silent())
    execute(runner, links, len(links))
    return partial(execute, runner, links, 0)


def comparisons(small: bool = False, path: Path | None = None) -> Iterator[Comparison | Line]:
    if path is None:
        yield Line("trivial nodes", "", "ComfyUI: not measured, since no --comfyui PATH is given")
        return
    from benchmarks import scheduler

    module, peer = executor(path), f"ComfyUI {version(path)}"
    for name, shape in scheduler.SHAPES.items():
        links = shape(36 if small else 144)
        what = f"{name} of {len(links)} trivial nodes, a node"
        yield Comparison(
            f"{what}: plan and run",
            partial(scheduler.plan_and_run, links),
            {peer: partial(first, module, links)},
            each=len(links),
        )
        with tempfile.TemporaryDirectory() as folder:
            yield Comparison(
                f"{what}: again, all known",
                scheduler.again(links, Path(folder)),
                {peer: again(module, links)},
                each=len(links),
            )

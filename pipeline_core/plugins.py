"""Plugins: found by entry points, read once into a catalogue on disk, imported only when a run needs them.

`catalogue()` answers what every installed plugin offers without importing one: a plugin is read in a process of its own
and what it offers is remembered by its version (by its source bytes, for an editable install). `Catalogue.load` imports
the plugin of one operation.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from pipeline_core import hookspecs
from pipeline_core.errors import PluginError, did_you_mean, listing, one_line
from pipeline_core.installed import Plugin, discover
from pipeline_core.operation import Operation, read
from pipeline_core.search import answers_to
from pipeline_core.sources import digest_of_function

IMPORT_SECONDS = 120
FORGET_SECONDS = 7 * 86400


@dataclass
class Catalogue:
    """Every operation on offer, by name, and what is wrong with the plugins that are not."""

    operations: dict[str, Operation] = field(default_factory=dict)
    plugins: list[Plugin] = field(default_factory=list)
    conflicts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _by_plugin: dict[tuple[str, str], Operation] = field(default_factory=dict)
    _offering: dict[str, dict[str, None]] = field(default_factory=dict)
    """The plugins that offer a name."""
    _loaded: dict[tuple[str, str], Operation] = field(default_factory=dict)

    @classmethod
    def of(cls, functions: Iterable[Callable[..., Any]], *, plugin: str = "local", version: str = "0") -> Catalogue:
        """A catalogue of plain functions; for tests and for pipelines built in Python."""
        made = cls()
        made.add(functions, plugin=plugin, version=version)
        return made

    def add(self, functions: Iterable[Callable[..., Any]], *, plugin: str = "local", version: str = "0") -> None:
        """Offers plain functions too. Their source files count as their version."""
        for function in functions:
            operation = read(function, plugin=plugin, plugin_version=version)
            known = self._loaded.get((plugin, operation.name))
            if known is not None and known.function is not function:
                raise PluginError(f"two functions are named '{operation.name}'; give one of them another name")
            operation = replace(operation, source=digest_of_function(inspect.unwrap(function)))
            self._offer(operation)
            self._loaded[plugin, operation.name] = operation

    def _offer(self, operation: Operation) -> None:
        self._by_plugin[operation.plugin, operation.name] = operation
        offered = self._offering.setdefault(operation.name, {})
        offered[operation.plugin] = None
        if len(offered) > 1:
            self.conflicts[operation.name] = tuple(sorted(offered))
            self.operations.pop(operation.name, None)
        else:
            self.operations[operation.name] = operation

    def __iter__(self) -> Iterator[Operation]:
        """Every operation, those with one name in two plugins too."""
        return iter(self._by_plugin.values())

    @property
    def broken(self) -> list[Plugin]:
        return [plugin for plugin in self.plugins if plugin.problem]

    def find(self, name: str) -> Operation:
        """The operation of a name, or of `plugin.name` where two plugins offer one. PluginError says what is near."""
        if name in self.operations:
            return self.operations[name]
        plugin, _, short = name.rpartition(".")
        if (plugin, short) in self._by_plugin:
            return self._by_plugin[plugin, short]
        if name in self.conflicts:
            offered = self.conflicts[name]
            choices = " or ".join(f"'{plugin}.{name}'" for plugin in offered)
            raise PluginError(f"operation '{name}' is offered by two plugins: {listing(offered)}. Write {choices}")
        hint = self._other_name(name) or did_you_mean(name, [*self.operations, *self.conflicts])
        raise PluginError(f"unknown operation '{name}'{hint}{self._lost()}")

    def _lost(self) -> str:
        """Plugins that did not load, since the operation that is missing may be one of theirs."""
        broken = self.broken
        if len(broken) == 1:
            return f" (plugin '{broken[0].name}' did not load: {broken[0].problem})"
        return (
            f" (these plugins did not load: {listing(p.name for p in broken)}; see 'pipeline plugins')"
            if broken
            else ""
        )

    def _other_name(self, name: str) -> str:
        found = next((operation.name for operation in self if answers_to(operation, name)), None)
        return f". It is called '{found}' here" if found else ""

    def load(self, operation: Operation) -> Operation:
        """The same operation with its function, its plugin imported. PluginError if that fails."""
        key = (operation.plugin, operation.name)
        if key not in self._loaded:
            for function in import_functions(operation.plugin):  # read and judged when the catalogue was made
                described = self._by_plugin.get((operation.plugin, getattr(function, "__name__", "")))
                if described is not None:
                    self._loaded[operation.plugin, described.name] = replace(described, function=function)
            if key not in self._loaded:
                raise PluginError(f"plugin '{operation.plugin}' no longer offers '{operation.name}'")
        return self._loaded[key]

    def encoders(self, kind: str) -> dict[str, list[Operation]]:
        """Operations that turn one value of a kind into a File, by the suffixes that their `format` param lists."""
        found: dict[str, list[Operation]] = {}
        for operation in self._by_plugin.values():
            wired = [part for part in operation.inputs if not part.optional]
            if [output.kind for output in operation.outputs] != ["File"] or len(wired) != 1 or wired[0].many:
                continue
            schema = next((param.schema for param in operation.params if param.name == "format"), {})
            formats = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
            if kind in wired[0].kinds:
                for suffix in formats:
                    found.setdefault(str(suffix), []).append(operation)
        return found


def catalogue(folder: Path | None = None) -> Catalogue:
    """What the installed plugins offer; read from `folder` where it is still true, and kept there."""
    folder = folder or catalogue_folder()
    plugins = discover()
    found: dict[str, tuple[Operation, ...]] = {}
    problems: dict[str, str] = {}
    for plugin in plugins:
        remembered = _remembered(folder, plugin)
        if remembered is not None:
            found[plugin.name] = remembered
    missing = {plugin.name: plugin for plugin in plugins if plugin.name not in found}
    for name, answer in _read_apart(list(missing)).items():
        found[name] = _described(answer, missing[name])
        problems[name] = answer.get("problem", "")
        if not problems[name]:
            _remember(folder, missing[name], answer)
    made = Catalogue()
    for plugin in plugins:
        for operation in found[plugin.name]:
            made._offer(operation)
        names = tuple(operation.name for operation in found[plugin.name])
        made.plugins.append(replace(plugin, operations=names, problem=problems.get(plugin.name, "")))
    return made


def catalogue_folder() -> Path:
    from pipeline_core.folders import cache_folder

    return cache_folder() / "catalogue"


def _described(answer: Mapping[str, Any], plugin: Plugin) -> tuple[Operation, ...]:
    own = {"plugin_version": plugin.version, "source": plugin.source}
    return tuple(Operation.from_json({**part, **own}) for part in answer["operations"])


_read_before: dict[Path, tuple[Operation, ...]] = {}


def _remembered(folder: Path, plugin: Plugin) -> tuple[Operation, ...] | None:
    path = folder / f"{plugin.name}-{plugin.identity}.json"
    if path not in _read_before:
        try:
            _read_before[path] = _described(json.loads(path.read_bytes()), plugin)
        except (OSError, ValueError, TypeError, KeyError):  # not there, or damaged: read anew
            return None
    return _read_before[path]


def _remember(folder: Path, plugin: Plugin, answer: Mapping[str, Any]) -> None:
    from pipeline_core.folders import write_atomically

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"{plugin.name}-*.json"):
            if time.time() - old.stat().st_mtime > FORGET_SECONDS:  # not at once: environments may share the folder
                old.unlink(missing_ok=True)
        write_atomically(folder / f"{plugin.name}-{plugin.identity}.json", json.dumps(answer).encode())
    except OSError:
        return  # a read-only folder costs the time of reading the plugin again, nothing else


def _read_apart(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What each plugin offers, read in another process: importing may need seconds, hang or crash."""
    answers: dict[str, dict[str, Any]] = {}
    waiting = list(names)
    while waiting:
        # -P: a file in the working directory must not be taken for a module.
        command = [sys.executable, "-P", "-m", "pipeline_core.plugins", *waiting]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=environment,
                timeout=IMPORT_SECONDS,
                check=False,
            )
            if os.environ.get("PIPELINE_TRACE"):
                sys.stderr.write(done.stderr.decode("utf-8", "replace"))
            output, ending = done.stdout, f"importing it ended the process (exit code {done.returncode})"
        except subprocess.TimeoutExpired as error:
            output, ending = error.stdout or b"", f"importing it took more than {IMPORT_SECONDS} s"
        for line in output.decode("utf-8", "replace").splitlines():
            if line.startswith(_MARK):
                answer = json.loads(line.removeprefix(_MARK))
                answers[answer["plugin"]] = answer
        rest = [name for name in waiting if name not in answers]
        if rest:  # the first without an answer is the one that did not let us finish
            answers[rest[0]] = {"plugin": rest[0], "operations": [], "problem": ending}
        waiting = rest[1:]
    return answers


_MARK = "pipeline-core catalogue: "


def _answer(name: str) -> dict[str, Any]:
    try:
        operations = import_operations(name)
    except PluginError as error:
        return {"plugin": name, "operations": [], "problem": one_line(str(error))}
    return {"plugin": name, "operations": [operation.to_json() for operation in operations.values()]}


def import_operations(name: str) -> dict[str, Operation]:
    """What one plugin offers, read from its functions. PluginError, naming the plugin, whatever goes wrong in it."""
    found: dict[str, Operation] = {}
    for function in import_functions(name):
        operation = read(function, plugin=name)
        if operation.name in found:
            raise PluginError(f"it offers '{operation.name}' twice")
        found[operation.name] = operation
    return found


def import_functions(name: str) -> list[Callable[..., Any]]:
    """Imports one plugin and asks its hook, once. PluginError, naming the plugin, whatever goes wrong in it."""
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise PluginError(str(error) if isinstance(error, ImportError) else _named(error)) from error
    known, functions = _asked.get(name, (None, []))
    if known is module:
        return functions
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    if os.environ.get("PIPELINE_TRACE"):
        manager.add_hookcall_monitoring(_trace_before, _trace_after)
    try:
        manager.register(module, name)
        manager.check_pending()
        functions = [function for answer in manager.hook.operations() for function in answer]
    except (Exception, SystemExit) as error:
        raise PluginError(f"its hook failed: {_named(error)}") from error
    if not functions:
        raise PluginError("it offers nothing; write '@hookimpl def operations(): return [...]'")
    _asked[name] = module, functions
    return functions


_asked: dict[str, tuple[ModuleType, list[Callable[..., Any]]]] = {}
"""Plugins that were imported, with what their hooks gave."""


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _trace_before(hook_name: str, hook_impls: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    sys.stderr.write(f"hook {hook_name}: {listing(impl.plugin_name for impl in hook_impls)}\n")


def _trace_after(outcome: Any, hook_name: str, hook_impls: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    if outcome.exception is not None:
        sys.stderr.write(f"hook {hook_name}: raised {outcome.exception!r}\n")
    else:
        names = [getattr(f, "__name__", repr(f)) for answer in outcome.get_result() for f in answer]
        sys.stderr.write(f"hook {hook_name}: {listing(names, 100)}\n")


if __name__ == "__main__":
    for module_name in sys.argv[1:]:
        # On a line of its own, whatever the plugin prints.
        sys.stdout.write("\n" + _MARK + json.dumps(_answer(module_name)) + "\n")
        sys.stdout.flush()

"""Which plugins are installed, and in which version: found by entry points, without importing them.

Light on purpose: an unchanged pipeline is answered from here without pydantic, pluggy or networkx.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from pipeline_core import __version__
from pipeline_core.sources import digest_of_recorded, digest_of_sources

GROUP = "pipeline_core"
CATALOGUE_FORMAT = 1


@dataclass(frozen=True)
class Plugin:
    """An installed plugin: where it comes from and which version it is. `source` tells contents of one version apart."""

    name: str
    entry_point: str
    distribution: str = ""
    version: str = "0"
    source: str = ""
    operations: tuple[str, ...] = ()
    problem: str = ""

    @property
    def identity(self) -> str:
        """Changes whenever what the plugin offers may have changed."""
        parts = [
            str(CATALOGUE_FORMAT),
            __version__,
            sys.version,
            self.name,
            self.distribution,
            self.version,
            self.source,
        ]
        return blake3("\0".join(parts).encode()).hexdigest(24)


def discover() -> list[Plugin]:
    """Every installed plugin, not yet imported, sorted by name."""
    found: dict[str, Plugin] = {}
    known: dict[int, tuple[str, str, str | None]] = {}  # reading it takes milliseconds, and it may bring many plugins
    for entry in importlib.metadata.entry_points(group=GROUP):
        module = entry.value.partition(":")[0]
        distribution = entry.dist
        if id(distribution) not in known:
            known[id(distribution)] = (*_name_and_version(distribution), _recorded(distribution))
        name, version, source = known[id(distribution)]
        found[module] = Plugin(module, entry.name, name, version, _read(module) if source is None else source)
    return sorted(found.values(), key=lambda plugin: plugin.name)


def _recorded(distribution: importlib.metadata.Distribution | None) -> str | None:
    """The digest of what was installed; None where the files themselves have to be read."""
    if distribution is None or _is_editable(distribution):
        return None
    return digest_of_recorded(distribution.read_text("RECORD") or "")


_digests: dict[str, str] = {}
"""Of editable plugins' sources when last read. True of an imported one, whatever happens to its files since."""


def _read(module: str) -> str:
    if module not in _digests or module not in sys.modules:
        _digests[module] = digest_of_sources(module)
    return _digests[module]


def _is_editable(distribution: importlib.metadata.Distribution) -> bool:
    try:
        return bool(json.loads(distribution.read_text("direct_url.json") or "{}")["dir_info"]["editable"])
    except (ValueError, KeyError, TypeError):
        return False


def _name_and_version(distribution: importlib.metadata.Distribution | None) -> tuple[str, str]:
    """Of an installed distribution, even where its metadata is damaged."""
    metadata: Any = distribution.metadata if distribution is not None else None
    if not metadata:
        return "", "0"
    return str(metadata.get("Name") or ""), str(metadata.get("Version") or "0")

"""Which plugins are installed, and in which version: found by entry points, without importing them.

Light on purpose: an unchanged pipeline is answered from here without pydantic, pluggy or networkx.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from dataclasses import dataclass

from blake3 import blake3

from pipeline_core import __version__
from pipeline_core.sources import digest_of_sources

GROUP = "pipeline_core"
CATALOGUE_FORMAT = 1


@dataclass(frozen=True)
class Plugin:
    """An installed plugin: where it comes from and which version it is. `source` is set for editable installs."""

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
    for entry in importlib.metadata.entry_points(group=GROUP):
        module = entry.value.partition(":")[0]
        distribution = entry.dist
        source = digest_of_sources(module) if distribution is None or _is_editable(distribution) else ""
        name = distribution.name if distribution else ""
        version = distribution.version if distribution else "0"
        found[module] = Plugin(module, entry.name, name, version, source)
    return sorted(found.values(), key=lambda plugin: plugin.name)


def _is_editable(distribution: importlib.metadata.Distribution) -> bool:
    text = distribution.read_text("direct_url.json")
    return bool(text and json.loads(text).get("dir_info", {}).get("editable", False))

"""Builds the plugins' kernels in C where there is a compiler; without one the same is computed in Python, slower."""

import os
import re
import runpy
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Kernels(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        compile_kernels = runpy.run_path(str(root / "pipeline_core" / "kernels.py"))["compile_kernels"]

        def build(source: Path) -> Path | None:
            try:
                return Path(compile_kernels(source))
            except (OSError, subprocess.CalledProcessError) as error:
                said = getattr(error, "stderr", None) or error
                self.app.display_warning(f"{source.parent.name} goes without its kernels in C: {said}")
                return None

        sources = [root / "pipeline_core" / "kernels.c", *sorted(root.glob("plugins/*/kernels.c"))]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            built = [library for library in pool.map(build, sources) if library is not None]
        if built:
            build_data["artifacts"] += [library.relative_to(root).as_posix() for library in built]
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{re.sub('[-.]', '_', sysconfig.get_platform())}"  # they know no Python

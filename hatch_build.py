"""Builds the plugins' kernels in C where there is a compiler; without one the same is computed in Python, slower."""

import re
import runpy
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Kernels(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        kernels = runpy.run_path(str(root / "pipeline_core" / "kernels.py"))
        for source in sorted([*root.glob("plugins/*/kernels.c"), root / "pipeline_core" / "kernels.c"]):
            try:
                built = kernels["compile_kernels"](source)
            except (OSError, subprocess.CalledProcessError) as error:
                said = getattr(error, "stderr", None) or error
                self.app.display_warning(f"{source.parent.name} goes without its kernels in C: {said}")
                continue
            build_data["artifacts"].append(built.relative_to(root).as_posix())
            build_data["pure_python"] = False
            build_data["infer_tag"] = False
            build_data["tag"] = f"py3-none-{re.sub('[-.]', '_', sysconfig.get_platform())}"  # they know no Python

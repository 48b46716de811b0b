"""Kernels in C that a plugin brings beside its Python: built when it is installed, found when it is used.

A plugin with a file `kernels.c` has its hot loops built into a library next to it, where there is a compiler. Whoever
loads it gets None where there was none, and works by the formulas that the kernels are held against. See
docs/decisions/0014-kernels-in-c.md. Of this module nothing but the standard library is imported, so that an installer
can run it.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

INCLUDE = Path(__file__).with_name("include")
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
FLAGS = (
    "-std=gnu11", "-O3", *(() if sys.platform == "win32" else ("-fPIC",)), "-fvisibility=hidden",
    # The bits of numpy: no product is left unrounded in a sum. Nobody looks at errno or at the processor's exceptions.
    "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi",
)  # fmt: skip
LEVELS = {"plain": "x86-64", "v3": "x86-64-v3", "v4": "x86-64-v4"}
"""Kinds of processors that kernels are built for, by what is behind their names: the first alone but on x86-64."""
DTYPES = {"B": 0, "H": 1, "e": 2, "f": 3}
"""uint8, uint16, float16 and float32 by the letters that numpy has for them: it takes microseconds to spell their names."""


class Pixels(ctypes.Structure):
    """An array `(H, W, C)` for a kernel: `Pixels` of include/pixels.h."""

    _fields_ = (
        ("at", ctypes.c_void_p),
        ("row", ctypes.c_ssize_t),
        ("pixel", ctypes.c_ssize_t),
        ("dtype", ctypes.c_int),
    )

    @staticmethod
    def fits(array: Any) -> bool:
        """Whether kernels take an array `(..., H, W, C)`: of a type that they know, a pixel's samples side by side."""
        return array.dtype.char in DTYPES and array.strides[-1] == array.itemsize and array.flags.aligned

    @staticmethod
    def are_packed(array: Any) -> bool:
        """Whether one of these also has no gaps within its rows."""
        return Pixels.fits(array) and array.strides[-2] == array.itemsize * array.shape[-1]

    @classmethod
    def of(cls, array: Any) -> Pixels:
        """Of a numpy array `(H, W, C)` that `fits`, which must outlive this."""
        row, pixel, _ = array.strides
        return cls(array.ctypes.data, row, pixel, DTYPES[array.dtype.char])


class Kernels:
    """The kernels of one library, by name; each is a function of ctypes, called without the interpreter's lock."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._level = [*LEVELS][library.level()]

    def __getattr__(self, name: str) -> Any:
        kernel = getattr(self._library, f"{name}_{self._level}")
        kernel.restype = None
        setattr(self, name, kernel)
        return kernel


@cache
def load_kernels(file: str) -> Kernels | None:
    """What was built of `kernels.c` in the folder of `file`, a plugin's `__file__`; None where nothing was.

    A library of another text of `kernels.c` is never loaded: its name tells.
    """
    try:
        return Kernels(ctypes.CDLL(str(library(Path(file).with_name("kernels.c")))))
    except OSError:  # not built, or for another kind of machine
        return None


def library(source: Path) -> Path:
    """Where the library of a `kernels.c` lies: beside it, under a name that tells what it was built of."""
    text = source.read_bytes() + b"".join(path.read_bytes() for path in sorted(INCLUDE.iterdir()))
    return source.with_name(f"kernels-{hashlib.sha256(text).hexdigest()[:12]}{SUFFIX}")


def compile_kernels(source: Path) -> Path:
    """Build the library of a `kernels.c`; OSError or CalledProcessError (with what the compiler said) if that fails.

    The compiler is that of $CC, else the one that Python was built with, else `cc`.
    """
    target = library(source)
    found = [os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc"]
    compiler = [*shlex.split(next(name for name in found if name)), *FLAGS, f"-I{INCLUDE}"]
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    with tempfile.TemporaryDirectory(dir=source.parent, prefix=".kernels-") as folder:

        def build(name: str, *arguments: str) -> str:
            path = os.path.join(folder, name)
            subprocess.run([*compiler, *arguments, "-o", path], check=True, capture_output=True, text=True)
            return path

        parts = [
            build(f"{level}.o", "-c", f"-DLEVEL={level}", *([f"-march={name}"] if x86 else []), str(source))
            for level, name in (LEVELS.items() if x86 else list(LEVELS.items())[:1])
        ]
        whole = build(target.name, "-shared", str(INCLUDE / "level.c"), *parts, "-lm")
        os.replace(whole, target)
    for old in source.parent.glob(f"kernels-*{SUFFIX}"):
        if old != target:
            old.unlink()
    return target

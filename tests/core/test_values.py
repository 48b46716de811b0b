"""Values of any kind taken apart: what is a buffer, and what need not be looked through."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from pipeline_core import Image, Mask, Table
from pipeline_core.values import _buffer_fields, buffers, fingerprint, nbytes

ARRAY = np.arange(6.0, dtype=np.float32)


@dataclass(frozen=True)
class Inner:
    array: np.ndarray[Any, Any]
    name: str = ""


@dataclass(frozen=True)
class Outer:
    inner: Inner
    parts: Mapping[str, torch.Tensor]
    listed: list[Inner]
    anything: Any
    mode: Literal["a", "b"] = "a"
    size: tuple[int, int] = (0, 0)
    maybe: Inner | None = None


def test_buffers_are_found_wherever_a_field_may_hold_them() -> None:
    tensor = torch.ones(3)
    value = Outer(Inner(ARRAY), {"w": tensor}, [Inner(ARRAY[:2])], (ARRAY[1:], {"x": [tensor]}), maybe=Inner(ARRAY[4:]))
    assert [buffer.shape for buffer in buffers(value)] == [(6,), (3,), (2,), (5,), (3,), (2,)]
    assert nbytes(value) == 4 * (6 + 3 + 2 + 5 + 3 + 2)


def test_fields_that_hold_plain_values_are_not_looked_through() -> None:
    assert _buffer_fields(Table) == ()  # however many rows
    assert _buffer_fields(Image) == ("buffer",)
    assert _buffer_fields(Outer) == ("inner", "parts", "listed", "anything", "maybe")
    assert _buffer_fields(dict) is None


def test_a_write_into_any_buffer_shows() -> None:
    for value in (Image(np.zeros((1, 2, 2, 3), np.float32)), Mask(np.zeros((1, 2, 2, 1), np.float32))):
        before = fingerprint(value)
        value.buffer[0, 0, 0, 0] = 1
        assert fingerprint(value) != before


def test_torch_is_not_used_while_another_thread_imports_it() -> None:
    """It lies in `sys.modules` long before it is whole, and plugins import it when they first need it."""
    code = (
        "import threading\n"
        "import numpy as np\n"
        "from pipeline_core.call import restored, without_gradients\n"
        "from pipeline_core.values import is_tensor\n"
        "thread = threading.Thread(target=lambda: __import__('torch'))\n"
        "thread.start()\n"
        "while thread.is_alive():\n"
        "    assert not is_tensor(np.zeros(1))\n"
        "    with restored(), without_gradients():\n"
        "        pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

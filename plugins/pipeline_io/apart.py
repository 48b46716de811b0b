"""Decoding in a child process: what crashes, hangs or fills the memory there is an error here, and nothing else.

A child serves many files, one at a time, and is put away after the first that it gave no answer to.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from pipeline_core import OperationError
from pipeline_io.facts import Facts

Array = np.ndarray[Any, Any]

_PROGRAM = Path(__file__).with_name("decoder.py")
_SECONDS = 8.0
_BYTES_PER_SECOND = 20e6
_SPARE_BYTES = 700 * 2**20


class _Child:
    """One decoding process, owned by one thread at a time."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        # -P: the folder of the program holds modules of ours that others' must not be mistaken for.
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def ask(self, request: dict[str, Any], seconds: float) -> Array | dict[str, Any]:
        """The pixels, or the facts where only they are asked for; OperationError with the reason the child gives, ChildProcessError if it gave none in time."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        timer = threading.Timer(seconds, self.process.kill)
        timer.start()
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline() or b"null")
            if answer is None:
                raise ChildProcessError
            if "shape" in answer:
                pixels = np.empty(answer["shape"], answer["dtype"])
                _fill(self.process.stdout, pixels)
                return pixels
        except (BrokenPipeError, json.JSONDecodeError):
            raise ChildProcessError from None
        finally:
            timer.cancel()
        if "error" in answer:
            raise OperationError(answer["error"])
        return dict(answer)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # what was not sent to a dead child is of no use
                    continue


_idle: list[_Child] = []
_lock = threading.Lock()


def decode(content: bytes, facts: Facts) -> Array:
    """`(H, W, C)` pixels as stored, of the facts' channels; OperationError for a file that can't be decoded whole."""
    with _copy(content, facts.format) as path:
        return _pixels(path, facts, None)


def decode_rows(path: Path, facts: Facts, top: int, bottom: int) -> Array:
    """Some rows of the stored pixels; of a file of tiles they have to begin where a tile does.

    The name's suffix is that of the format.
    """
    return _pixels(path, facts, (top, bottom))


def _pixels(path: Path, facts: Facts, rows: tuple[int, int] | None) -> Array:
    stored = facts.stored
    width, height = (stored.width, stored.height) if stored else (facts.width, facts.height)
    count = rows[1] - rows[0] if rows else height
    nbytes = width * count * 4 * max(len(facts.channels), 4)
    request = {
        "facts": False,
        "part": stored.part if stored else 0,
        "size": (width, height),
        "rows": rows,
        "channels": stored.channels if stored else None,
        "bytes": 3 * nbytes + _SPARE_BYTES,
    }
    pixels = _asked(path, facts.format, request, _SECONDS + nbytes / _BYTES_PER_SECOND)
    if not isinstance(pixels, np.ndarray) or pixels.shape != (count, width, len(facts.channels)):
        raise OperationError(f"damaged {facts.format} file: it does not hold the pixels that its header says")
    return pixels.astype(facts.dtype, copy=False)


def describe(content: bytes, format_name: str) -> dict[str, Any]:
    """What a decoder says of a file's header, for formats whose headers only a decoder understands."""
    with _copy(content, format_name) as path:
        told = _asked(path, format_name, {"facts": True, "bytes": _SPARE_BYTES}, _SECONDS)
    assert isinstance(told, dict)
    return told


@contextmanager
def _copy(content: bytes, name: str) -> Iterator[Path]:
    """A file that holds `content`, named so that the decoder of the format is asked and no other."""
    with tempfile.TemporaryDirectory(prefix="pipeline-") as folder:
        path = Path(folder) / f"file.{name}"
        path.write_bytes(content)
        yield path


def _asked(path: Path, name: str, request: dict[str, Any], seconds: float) -> Array | dict[str, Any]:
    """A child's answer about a file; OperationError where there is none."""
    try:
        return _answered({**request, "path": str(path)}, seconds)
    except ChildProcessError:
        raise OperationError(f"damaged {name} file: decoding it crashed or took longer than its size allows") from None
    except OperationError as error:
        text = " ".join(str(error).replace(str(path), "file").split())
        raise OperationError(f"damaged {name} file: {text[:300]}") from None


def _answered(request: dict[str, Any], seconds: float) -> Array | dict[str, Any]:
    with _lock:
        # A fork inherits the list, but the children belong to the process that started them.
        mine = [child for child in _idle if child.owner == os.getpid()]
        _idle[:] = mine[:-1]
    child = mine[-1] if mine else _Child()
    try:
        answer = child.ask(request, seconds)
    except OperationError:
        _put_back(child)
        raise
    except BaseException:
        child.close()
        raise
    _put_back(child)
    return answer


def _put_back(child: _Child) -> None:
    with _lock:
        _idle.append(child)


def _fill(source: IO[bytes], pixels: Array) -> None:
    room = pixels.data.cast("B")
    while room:
        count = source.readinto(room)  # type: ignore[attr-defined]  # a BufferedReader
        if not count:
            raise ChildProcessError
        room = room[count:]


@atexit.register
def _close_all() -> None:
    for child in _idle:
        if child.owner == os.getpid():
            child.close()

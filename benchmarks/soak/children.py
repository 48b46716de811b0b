"""Processes to run things in, and to kill: forked when everything is imported, so that one costs milliseconds.

A child gets its own copy of the state of this process as it was; nothing here may run torch or cv2 kernels before a
fork, since their threads do not survive one.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HANGING = 300
"""Seconds after which a child is taken for dead."""
warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")  # numpy's idle threads


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def start(job: Callable[[], object]) -> int:
    """Runs a job in a child; its process id. The exit code is 0, or 1 where the job raised."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    signal.alarm(HANGING)  # nothing catches it: the child dies
    try:
        job()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(pid: int) -> int:
    """The exit code; minus the signal for one that was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_after(pid: int, seconds: float) -> int:
    """SIGKILL after that time, unless it has ended by then; its exit code."""
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)  # a child that has ended is still there until it is waited for
    return wait(pid)


class Asked:
    """A job at work in a child; `result` waits for what it returns. RuntimeError where it raised."""

    def __init__(self, job: Callable[[], Any]) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115  closed by `result`
        self.pid = start(lambda: _answer(job, self.file))

    def ended(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def result(self) -> Any:
        code = wait(self.pid)
        with self.file as answer:
            if code:
                raise RuntimeError(f"the child ended with exit code {code}")
            answer.seek(0)
            return pickle.load(answer)


def ask(job: Callable[[], Any]) -> Any:
    """What a job returns in a child."""
    return Asked(job).result()


def _answer(job: Callable[[], Any], file: Any) -> None:
    pickle.dump(job(), file)
    file.flush()


def command(
    *arguments: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    paths: tuple[Path, ...] = (),
    before: Callable[[], object] = lambda: None,
) -> Done:
    """The `pipeline` command in a child. `paths` are put before sys.path; `before` is called in the child."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        code = wait(start(lambda: run_command([str(a) for a in arguments], out, err, cwd, env or {}, paths, before)))
        out.seek(0)
        err.seek(0)
        return Done(code, out.read().decode(), err.read().decode())


def run_command(
    arguments: list[str],
    out: Any,
    err: Any,
    cwd: Path | None,
    env: Mapping[str, str],
    paths: tuple[Path, ...],
    before: Callable[[], object],
) -> None:
    """In the child."""
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    os.environ.update(env)
    if cwd is not None:
        os.chdir(cwd)
    sys.path[:0] = map(str, paths)
    sys.argv = ["pipeline", *arguments]
    before()
    from pipeline_core.cli import main

    main()


def import_everything() -> None:
    """What a run imports, so that children need not."""
    import numpy as np  # noqa: F401
    import torch  # noqa: F401

    from pipeline_core.plugins import import_operations

    for plugin in ("pipeline_draw", "pipeline_io", "pipeline_transform"):
        import_operations(plugin)

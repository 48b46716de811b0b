"""Work behind the computation: one thread that hashes and writes, with a bound on the bytes it keeps alive."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
IN_FLIGHT = 512 << 20


class Writer:
    """Does jobs one after the other, in the order they came. The thread begins with the first one."""

    def __init__(self, limit: int = IN_FLIGHT) -> None:
        self.limit = limit
        self._jobs: deque[tuple[Future[Any], Callable[[], Any], int]] = deque()
        self._changed = threading.Condition()
        self._bytes = 0
        self._unfinished = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, job: Callable[[], T], nbytes: int) -> Future[T]:
        """Waits while more than the limit is in flight; a job larger than that goes alone."""
        future: Future[T] = Future()
        with self._changed:
            while self._unfinished and self._bytes + nbytes > self.limit:
                self._changed.wait()
            if self._closed:
                raise RuntimeError("the cache is closed")
            self._bytes += nbytes
            self._unfinished += 1
            self._jobs.append((future, job, nbytes))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="cache writer", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return future

    def flush(self) -> None:
        """Return when everything that was submitted is done."""
        with self._changed:
            while self._unfinished:
                self._changed.wait()

    def close(self) -> None:
        """Finish and end the thread."""
        self.flush()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._jobs:
                    if self._closed:
                        return
                    self._changed.wait()
                future, job, nbytes = self._jobs.popleft()
            try:
                result = job()
            except BaseException as error:  # whoever asks for the result gets it
                future.set_exception(error)
            else:
                future.set_result(result)
            del job, future
            with self._changed:
                self._bytes -= nbytes
                self._unfinished -= 1
                self._changed.notify_all()

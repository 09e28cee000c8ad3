"""`SyncJob`: a job for plain threads, the synchronous twin of `Job`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

    from stream_serve.jobs.job import Job
    from stream_serve.jobs.portal import Loop

    T = TypeVar("T")


class SyncJob:
    """A job, to be used in `with`, by any threads of the process that opened it.

    What it does is done by an event loop in a thread of its own, so that its lease is renewed while the
    body computes. It belongs to the process that opened it: in one that was forked meanwhile its methods
    raise `RuntimeError`, and the end of the block says nothing.
    """

    def __init__(self, job: Job, loop: Loop) -> None:
        self._job = job
        self._loop = loop
        self._process = 0

    @property
    def name(self) -> str:
        """The name of its stream."""
        return self._job.name

    @property
    def stopping(self) -> bool:
        """Whether somebody has asked it to stop."""
        return self._job.stopping

    @property
    def resumed(self) -> bool:
        """Whether the stream was there before: an earlier worker may have written to it."""
        return self._job.resumed

    def progress(self, value: float, content: str | None = None) -> None:
        """Say how far it is, from 0 to 1, and at what. Raises as `log`, `ValueError`."""
        self._call(self._job.progress(value, content))

    def log(self, content: str, *, source: str | None = None) -> None:
        """Write a line; as `Job.log`."""
        self._call(self._job.log(content, source=source))

    def write(self, data: Any) -> None:
        """Write anything that JSON can say. Raises as `log`, `TypeError`, `ValueError`."""
        self._call(self._job.write(data))

    def chunk(self, content: str) -> None:
        """Write a piece of a text. Raises as `log`."""
        self._call(self._job.chunk(content))

    def flush(self) -> None:
        """Wait until all that was said is kept, as the store promises. Raises as `log`."""
        self._call(self._job.flush())

    def check(self) -> None:
        """Raise `Stopped` when somebody has asked the job to stop; as `Job.check`."""
        self._job.check()

    def __enter__(self) -> Self:
        self._loop.enter()
        self._process = os.getpid()
        try:
            self._loop.call(self._job.__aenter__())
        except BaseException:
            self._loop.leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process != os.getpid():
            return
        try:
            self._loop.call(self._job.__aexit__(kind, error, traceback))
        finally:
            self._loop.leave()

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._process != os.getpid():
            coroutine.close()
            raise RuntimeError(
                "the job is not open in this process: after a fork, open another one"
            )
        return self._loop.call(coroutine)

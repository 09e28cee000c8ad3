"""`Portal`: an event loop in a thread, for callers that have none."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from stream_serve.errors import NotStarted

if TYPE_CHECKING:
    from collections.abc import Coroutine

    T = TypeVar("T")

_LOOK: Final = 0.5
_LOOKS: Final = 2
"""A loop that does not run for so many looks is over: between two parts of its program it may rest."""

_OVER: Final = (
    "the event loop in which the job is open has ended: end the job before the application does"
)
_CLOSING: Final = 30.0
"""Seconds for what is left to do in the loop; it is nothing but connections that close."""


class Loop(Protocol):
    """What runs coroutines for threads, between `enter` and `leave`."""

    def enter(self) -> None:
        """Begin to need it."""
        ...

    def leave(self) -> None:
        """Need it no more."""
        ...

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine, and return what it does. A `KeyboardInterrupt` meanwhile cancels it."""
        ...


class Portal:
    """A loop that runs for as long as somebody needs it. After a fork there is a new one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._over: asyncio.Event | None = None
        self._failure: Exception | None = None

    def enter(self) -> None:
        """Start the thread, unless it runs."""
        if self._process != os.getpid():
            # A fork has not the thread of its parent, nor whoever had the lock.
            self.__init__()
        with self._lock:
            self._users += 1
            if self._thread is None:
                begun = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(begun,), name="stream-serve jobs", daemon=True
                )
                self._thread.start()
                begun.wait()
                if self._loop is None:
                    self._users, self._thread = 0, None
                    words = "there can be no event loop for the jobs of threads"
                    raise RuntimeError(words) from self._failure

    def leave(self) -> None:
        """End the thread with the last who needs it."""
        with self._lock:
            self._users -= 1
            if self._users or self._thread is None or self._loop is None or self._over is None:
                return
            loop, over, thread = self._loop, self._over, self._thread
            self._thread = self._loop = self._over = None
            loop.call_soon_threadsafe(over.set)
            thread.join(_CLOSING)

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the thread."""
        if self._loop is None:
            coroutine.close()
            raise RuntimeError("the loop of the jobs is over")
        return call(self._loop, coroutine)

    def _run(self, begun: threading.Event) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._live(begun))
        except Exception as error:  # noqa: BLE001 - who waits for the loop raises it
            self._failure = error
        finally:
            begun.set()

    async def _live(self, begun: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        begun.set()
        await self._over.wait()


class Borrowed:
    """The loop of an application that runs, for its other threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def enter(self) -> None:
        """Raise `RuntimeError` in the loop's own thread, which would wait for itself."""
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            return
        if here is self._loop:
            raise RuntimeError("this is the thread of the event loop: use `async with` open() here")

    def leave(self) -> None:
        """Do nothing: the loop is the application's."""

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the application's loop."""
        return call(self._loop, coroutine)


def call(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of another thread. Raises `NotStarted` where that runs no more.

    A loop that has stopped says nothing to whoever waits for it, so it is looked at now and then.
    """
    try:
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError as error:
        coroutine.close()
        raise NotStarted(_OVER, retryable=False) from error
    try:
        _wait(loop, future)
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _wait(loop: asyncio.AbstractEventLoop, future: Future[Any]) -> None:
    """Wait until a loop of another thread has done something. Raises `NotStarted`."""
    stopped = 0
    while not wait([future], _LOOK).done:
        stopped = 0 if loop.is_running() else stopped + 1
        if stopped == _LOOKS:
            raise NotStarted(_OVER, retryable=False)

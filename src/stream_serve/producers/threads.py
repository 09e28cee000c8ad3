"""A generator that is not asynchronous, iterated in a thread as if it were."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

_AHEAD: Final = 64
"""How many items a thread may be ahead of who takes them."""

T = TypeVar("T")


async def in_thread(source: Generator[T]) -> AsyncGenerator[T]:
    """Yield what a generator yields, which runs in a thread of its own, in the caller's context.

    An error of the generator is raised here. Closed or cancelled, this closes the generator, which
    happens where it yields next: it cannot be interrupted before. That is waited for, unless the waiting
    is cancelled, too. The thread does not hold up the end of the process.
    """
    worker = _Worker(source, asyncio.get_running_loop())
    worker.start()
    try:
        while await worker.more():
            while worker.items:
                yield worker.take()
    finally:
        worker.stop()
        await asyncio.shield(worker.ended)
        worker.check()


class _Worker(Generic[T]):
    """The thread that iterates, and what it has brought."""

    def __init__(self, source: Generator[T], loop: asyncio.AbstractEventLoop) -> None:
        self.items: deque[T] = deque()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._source = source
        self._loop = loop
        self._stopped = False
        self._slots = threading.Semaphore(_AHEAD)
        self._news = asyncio.Event()
        self._error: BaseException | None = None

    def start(self) -> None:
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._work,), name="a generator", daemon=True
        )
        thread.start()

    async def more(self) -> bool:
        """Wait for items; False when there are no more."""
        if not self.items and not self.ended.done():
            self._news.clear()
            await self._news.wait()
        return bool(self.items)

    def check(self) -> None:
        """Raise what the generator raised, also where it was closed."""
        if self._error is not None:
            raise self._error

    def take(self) -> T:
        self._slots.release()
        return self.items.popleft()

    def stop(self) -> None:
        """Let the thread end at its next item."""
        self._stopped = True
        self._slots.release()

    def _work(self) -> None:
        error: BaseException | None = None
        try:
            try:
                for item in self._source:
                    self._slots.acquire()
                    if self._stopped:
                        break
                    self._loop.call_soon_threadsafe(self._receive, item)
            finally:
                self._source.close()
        except (KeyboardInterrupt, SystemExit) as raised:
            # No signal comes in a thread: it is the generator's own, and would end the event loop.
            error = RuntimeError(f"a generator raised {raised!r}")
        except BaseException as raised:  # noqa: BLE001 - raised again where the items are taken
            error = raised
        with suppress(RuntimeError):  # the loop has ended, and nobody takes anything
            self._loop.call_soon_threadsafe(self._end, error)

    def _receive(self, item: T) -> None:
        if not self._stopped:
            self.items.append(item)
            self._news.set()

    def _end(self, error: BaseException | None) -> None:
        self._error = error
        if not self.ended.done():
            self.ended.set_result(None)
        self._news.set()

"""`AsyncClient`: asks the service and reads its answers in tasks of asyncio."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from stream_serve.client import receipt, requests
from stream_serve.client.course import HEARTBEAT, Course, announced, silence
from stream_serve.client.patience import Patience, Tries, unreachable
from stream_serve.client.receipt import Receipt
from stream_serve.client.wire import AsyncLine, AsyncWire, Broken
from stream_serve.errors import RunNotFound

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from stream_serve.client.requests import Request
    from stream_serve.events.types import Event


class AsyncClient:
    """A client of the service at `url`; `key` is one of its API keys.

    `heartbeat` is the service's longest silence in seconds, where it does not announce it. A client
    belongs to one event loop. As a context manager, or by `close`, it lets go of all connections.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        heartbeat: float = HEARTBEAT,
        patience: Patience | None = None,
    ) -> None:
        self.url: Final = requests.base(url)
        self.patience: Final = patience or Patience()
        self._heartbeat = heartbeat
        self._wire: Final = AsyncWire(self.url, key)

    def chat(
        self,
        message: str | None = None,
        *,
        run_id: str | None = None,
        on_disconnect: Literal["continue", "stop"] = "continue",
        **fields: Any,
    ) -> AsyncAnswer:
        """Return the answer to a message, which is asked for when its first event is.

        `fields` are those of the API in Python's spelling, such as `model`, `messages`, `system_prompt`.
        With `on_disconnect="stop"` a lost connection stops the run, also one that could be made again.
        """
        body = requests.body(message, {**fields, "on_disconnect": on_disconnect})
        return AsyncAnswer(self, self._course(run_id or requests.new_id(), body))

    def follow(self, run_id: str, *, after: int = 0) -> AsyncAnswer:
        """Return the events of a run that was started before, those after a cursor."""
        return AsyncAnswer(self, self._course(run_id, after=after))

    async def stop(self, run_id: str) -> Receipt:
        """Stop a run, and return what came of it."""
        tries = Tries(self.patience)
        while True:
            try:
                async with self.open(requests.stop(run_id)) as line:
                    found = receipt.of_answer(line.status, line.headers, await line.body())
            except Broken as why:
                found = unreachable(why, self.url)
            if isinstance(found, Receipt):
                return found
            await asyncio.sleep(tries.pause(found, found.retry_after))

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncGenerator[AsyncLine]:
        """Give the answer to a request. Raises `Broken`, also inside of the block."""
        async with self._wire.open(request, silence(self._heartbeat)) as line:
            self._heartbeat = announced(line.headers) or self._heartbeat
            yield line

    async def close(self) -> None:
        """Close all connections; answers that are being read must have been closed before."""
        await self._wire.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _course(self, run_id: str, body: bytes | None = None, *, after: int = 0) -> Course:
        return Course(run_id, body, after=after, url=self.url, tries=Tries(self.patience))


class AsyncAnswer:
    """The events of a run, to be iterated over once. Its errors are those of the service, by their code.

    A closed answer lets go of the run as a closed connection does: `on_disconnect` decides what becomes
    of it. `close`, the end of an `async with` block and a cancellation while it is read close it.
    """

    def __init__(self, client: AsyncClient, course: Course) -> None:
        self._reading: Final = _Reading(client, course)
        self._events: Final = self._reading.events()

    @property
    def run_id(self) -> str:
        """The run's id, known before the run has begun."""
        return self._reading.course.run_id

    @property
    def cursor(self) -> int:
        """The number of the newest event that was read, for `follow`."""
        return self._reading.course.cursor

    async def stop(self) -> Receipt:
        """Stop the run, also while another task reads it, and return what came of it.

        The own connection is let go first; the reader then gets the rest and the end by a new one. The
        outcome is "not_started" where the service has not seen the start: it will refuse it.
        """
        return await self._reading.stop()

    async def close(self) -> None:
        """Let go of the run; a task that reads it gets no further event."""
        self._reading.close()
        with suppress(RuntimeError):  # it is being read: the reader closes it
            await self._events.aclose()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        return await anext(self._events)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Reading:
    """Reads a run by one connection after the other; it holds no answer, which may be dropped."""

    def __init__(self, client: AsyncClient, course: Course) -> None:
        self.course: Final = course
        self._client: Final = client
        self._closed: Final = asyncio.Event()
        self._stopping: Final = asyncio.Lock()
        self._line: AsyncLine | None = None
        self._hung_up = False
        self._pause = 0.0

    async def events(self) -> AsyncGenerator[Event]:
        """Return the events until the run is over. Raises `StreamServeError`."""
        while not (self.course.over or self._closed.is_set()):
            async with self._stopping:
                """Wait: a new connection is made after the stop that let go of the last one."""
            try:
                async with (
                    self._client.open(self.course.request()) as self._line,
                    aclosing(self._take(self._line)) as taken,
                ):
                    async for event in taken:
                        yield event
            except Broken as why:
                self._pause = self._lose(why)
            finally:
                self._line = None
            await self._rest()

    async def _take(self, line: AsyncLine) -> AsyncGenerator[Event]:
        """Return the events of one answer; `_pause` is then the seconds until the next request."""
        self._pause = 0.0
        if line.status == 204:
            self.course.finish()
        elif line.status != 200:
            self._pause = self.course.refuse(line.status, line.headers, await line.body())
        else:
            self.course.accept(line.headers)
            async with aclosing(line.pieces()) as pieces:
                async for piece in pieces:
                    for event in self.course.feed(piece):
                        if self._closed.is_set():
                            return
                        yield event
                    if self.course.over:
                        return
            self._pause = self._lose()

    async def _rest(self) -> None:
        """Wait, but not longer than until the answer is closed."""
        if self._pause:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause):
                    await self._closed.wait()

    def _lose(self, why: Broken | None = None) -> float:
        if self._hung_up or self._closed.is_set():
            self._hung_up = False
            return 0.0
        return self.course.lose(why)

    async def stop(self) -> Receipt:
        async with self._stopping:
            self._hang_up()
            try:
                return await self._client.stop(self.course.run_id)
            except RunNotFound:
                if self.course.begun:
                    raise
                return Receipt(self.course.run_id, "not_started")

    def close(self) -> None:
        self._closed.set()
        self._hang_up()

    def _hang_up(self) -> None:
        line = self._line
        if line is not None:
            self._hung_up = True
            line.hang_up()

"""`AsyncClient`: asks the service and reads its answers in tasks of asyncio."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing, asynccontextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar

from stream_serve.client import receipt, requests
from stream_serve.client.course import HEARTBEAT, Course, announced, silence
from stream_serve.client.jobs import ServicePlace
from stream_serve.client.patience import Patience, Tries, unreachable
from stream_serve.client.receipt import Read, Receipt
from stream_serve.client.tail import STOP_WAIT, StreamCourse, StreamReceipt, receipt_of
from stream_serve.client.wire import AsyncLine, AsyncWire, Broken
from stream_serve.errors import RunNotFound, StreamServeError
from stream_serve.jobs.job import Job
from stream_serve.jobs.writer import LEASE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from stream_serve.client.requests import Request
    from stream_serve.events.types import Event
    from stream_serve.jobs.job import OnStop

R = TypeVar("R", Receipt, StreamReceipt)


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

    def tail(self, name: str, *, after: int = 0) -> AsyncTail:
        """Return the messages of a stream, such as a job's, those after a cursor."""
        tries = Tries(self.patience)
        return AsyncTail(self, StreamCourse(name, after=after, url=self.url, tries=tries))

    async def stop(self, run_id: str) -> Receipt:
        """Stop a run, and return what came of it."""
        return await self._deliver(requests.stop(run_id), receipt.of_answer)

    async def stop_stream(self, name: str) -> StreamReceipt:
        """Ask the producer of a stream to end, and return what is known of that.

        The receipt comes when the producer has acknowledged it, or after some seconds; ask again for
        more.
        """
        wait = min(STOP_WAIT, self._heartbeat)  # a longer silence would be a dead connection
        return await self._deliver(requests.stop_stream(name, wait), receipt_of)

    async def _deliver(self, request: Request, read: Read[R]) -> R:
        """Send a stop until it arrives, and return its receipt."""
        tries = Tries(self.patience)
        while True:
            try:
                async with self.open(request) as line:
                    found = read(line.status, line.headers, await line.body())
            except Broken as why:
                found = unreachable(why, self.url)
            if not isinstance(found, StreamServeError):
                return found
            await asyncio.sleep(tries.pause(found, found.retry_after))

    def job(
        self,
        name: str,
        *,
        again: bool = False,
        lease: float = LEASE,
        on_stop: OnStop = "check",
    ) -> Job:
        """Return the job `name`, which writes to the service in `async with`; see `Streams.open`."""
        return Job(
            name,
            partial(nullcontext, ServicePlace(self, name)),
            again=again,
            lease=lease,
            on_stop=on_stop,
            patience=self.patience,
        )

    @asynccontextmanager
    async def open(
        self, request: Request, *, longest: float = math.inf
    ) -> AsyncGenerator[AsyncLine]:
        """Give the answer to a request. Raises `Broken`, also inside of the block.

        A connection is dead after the silence that the service announces, or after `longest` seconds.
        """
        most = min(silence(self._heartbeat), longest)
        async with self._wire.open(request, most) as line:
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


class AsyncTail:
    """The messages of a stream, as their JSON is in Python, to be iterated over once.

    Each comes once, in order. The last one is the job's `end`; a stream that is closed without one ends
    with `{"type": "end", "finishReason": "completed"}`. A closed tail lets go of the stream, and asks
    nobody to stop.
    """

    def __init__(self, client: AsyncClient, course: StreamCourse) -> None:
        self._client: Final = client
        self._reading: Final = _Reading(client, course)
        self._messages: Final[AsyncGenerator[Any]] = self._reading.events()

    @property
    def name(self) -> str:
        """The stream's name."""
        return self._reading.course.run_id

    @property
    def cursor(self) -> int:
        """The offset behind the newest message that was read, for another `tail`."""
        return self._reading.course.cursor

    async def stop(self) -> StreamReceipt:
        """Ask the producer to end, while the stream is read on; see `AsyncClient.stop_stream`."""
        return await self._client.stop_stream(self.name)

    async def close(self) -> None:
        """Let go of the stream; a task that reads it gets no further message."""
        self._reading.close()
        with suppress(RuntimeError):  # it is being read: the reader closes it
            await self._messages.aclose()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._messages)

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
        if self._closed.is_set():
            return  # before there was a line to hang up
        if not self.course.accept(line.status, line.headers):
            self._pause = self.course.refuse(line.status, line.headers, await line.body())
            return
        async with aclosing(line.pieces()) as pieces:
            async for piece in pieces:
                for event in self.course.feed(piece):
                    if self._closed.is_set():
                        return
                    yield event
                if self.course.over:
                    return
        self._pause = 0.0 if self.course.over else self._lose()

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

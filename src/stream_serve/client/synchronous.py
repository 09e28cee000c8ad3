"""`Client`: asks the service and reads its answers in plain threads."""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from time import sleep
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar

from stream_serve.client import receipt, requests
from stream_serve.client.asynchronous import AsyncClient
from stream_serve.client.course import HEARTBEAT, Course, announced, silence
from stream_serve.client.jobs import ServicePlace
from stream_serve.client.patience import Patience, Tries, unreachable
from stream_serve.client.receipt import Read, Receipt
from stream_serve.client.tail import STOP_WAIT, StreamCourse, StreamReceipt, receipt_of
from stream_serve.client.wire import Broken, SyncLine, SyncWire
from stream_serve.errors import RunNotFound, StreamServeError
from stream_serve.jobs.job import Job
from stream_serve.jobs.portal import Portal
from stream_serve.jobs.twin import SyncJob
from stream_serve.jobs.writer import LEASE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator

    from stream_serve.client.requests import Request
    from stream_serve.events.types import Event

R = TypeVar("R", Receipt, StreamReceipt)


class Client:
    """A client of the service at `url`; `key` is one of its API keys.

    `heartbeat` is the service's longest silence in seconds, where it does not announce it. A client
    may be shared by threads. As a context manager, or by `close`, it lets go of all connections.
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
        self._key = key
        self._portal = Portal()
        self._wire: Final = SyncWire(self.url, key)

    def chat(
        self,
        message: str | None = None,
        *,
        run_id: str | None = None,
        on_disconnect: Literal["continue", "stop"] = "continue",
        **fields: Any,
    ) -> Answer:
        """Return the answer to a message, which is asked for when its first event is.

        `fields` are those of the API in Python's spelling, such as `model`, `messages`, `system_prompt`.
        With `on_disconnect="stop"` a lost connection stops the run, also one that could be made again.
        """
        body = requests.body(message, {**fields, "on_disconnect": on_disconnect})
        return Answer(self, self._course(run_id or requests.new_id(), body))

    def follow(self, run_id: str, *, after: int = 0) -> Answer:
        """Return the events of a run that was started before, those after a cursor."""
        return Answer(self, self._course(run_id, after=after))

    def tail(self, name: str, *, after: int = 0) -> Tail:
        """Return the messages of a stream, such as a job's, those after a cursor."""
        tries = Tries(self.patience)
        return Tail(self, StreamCourse(name, after=after, url=self.url, tries=tries))

    def stop(self, run_id: str) -> Receipt:
        """Stop a run, and return what came of it."""
        return self._deliver(requests.stop(run_id), receipt.of_answer)

    def stop_stream(self, name: str) -> StreamReceipt:
        """Ask the producer of a stream to end, and return what is known of that.

        The receipt comes when the producer has acknowledged it, or after some seconds; ask again for
        more.
        """
        wait = min(STOP_WAIT, self._heartbeat)  # a longer silence would be a dead connection
        return self._deliver(requests.stop_stream(name, wait), receipt_of)

    def _deliver(self, request: Request, read: Read[R]) -> R:
        """Send a stop until it arrives, and return its receipt."""
        tries = Tries(self.patience)
        while True:
            try:
                with self.open(request) as line:
                    found = read(line.status, line.headers, line.body())
            except Broken as why:
                found = unreachable(why, self.url)
            if not isinstance(found, StreamServeError):
                return found
            sleep(tries.pause(found, found.retry_after))

    def job(self, name: str, *, again: bool = False, lease: float = LEASE) -> SyncJob:
        """Return the job `name`, which writes to the service in `with`; see `Streams.open_sync`."""
        asked = partial(
            AsyncClient,
            self.url,
            key=self._key,
            heartbeat=self._heartbeat,
            patience=self.patience,
        )
        connect = partial(_place, asked, name)
        job = Job(name, connect, again=again, lease=lease, patience=self.patience)
        return SyncJob(job, self._portal)

    @contextmanager
    def open(self, request: Request) -> Generator[SyncLine]:
        """Give the answer to a request. Raises `Broken`, also inside of the block."""
        with self._wire.open(request, silence(self._heartbeat)) as line:
            self._heartbeat = announced(line.headers) or self._heartbeat
            yield line

    def close(self) -> None:
        """Close all connections; answers that are being read must have been closed before."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _course(self, run_id: str, body: bytes | None = None, *, after: int = 0) -> Course:
        return Course(run_id, body, after=after, url=self.url, tries=Tries(self.patience))


@asynccontextmanager
async def _place(make: Callable[[], AsyncClient], name: str) -> AsyncGenerator[ServicePlace]:
    """Give the place of a job, with connections of its own: it lives in another thread."""
    async with make() as client:
        yield ServicePlace(client, name)


class Answer:
    """The events of a run, to be iterated over once. Its errors are those of the service, by their code.

    A closed answer lets go of the run as a closed connection does: `on_disconnect` decides what becomes
    of it. `close`, the end of a `with` block and the end of the last reference close it.
    """

    def __init__(self, client: Client, course: Course) -> None:
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

    def stop(self) -> Receipt:
        """Stop the run, also while another thread reads it, and return what came of it.

        The own connection is let go first; the reader then gets the rest and the end by a new one. The
        outcome is "not_started" where the service has not seen the start: it will refuse it.
        """
        return self._reading.stop()

    def close(self) -> None:
        """Let go of the run; a thread that reads it gets no further event."""
        self._reading.close()
        with suppress(ValueError):  # it is being read: the reader closes it
            self._events.close()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        return next(self._events)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Tail:
    """The messages of a stream, as their JSON is in Python, to be iterated over once.

    Each comes once, in order. The last one is the job's `end`; a stream that is closed without one ends
    with `{"type": "end", "finishReason": "completed"}`. A closed tail lets go of the stream, and asks
    nobody to stop.
    """

    def __init__(self, client: Client, course: StreamCourse) -> None:
        self._client: Final = client
        self._reading: Final = _Reading(client, course)
        self._messages: Final[Generator[Any]] = self._reading.events()

    @property
    def name(self) -> str:
        """The stream's name."""
        return self._reading.course.run_id

    @property
    def cursor(self) -> int:
        """The offset behind the newest message that was read, for another `tail`."""
        return self._reading.course.cursor

    def stop(self) -> StreamReceipt:
        """Ask the producer to end, while another thread reads on; see `Client.stop_stream`."""
        return self._client.stop_stream(self.name)

    def close(self) -> None:
        """Let go of the stream; a thread that reads it gets no further message."""
        self._reading.close()
        with suppress(ValueError):  # it is being read: the reader closes it
            self._messages.close()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._messages)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Reading:
    """Reads a run by one connection after the other; it holds no answer, which may be dropped."""

    def __init__(self, client: Client, course: Course) -> None:
        self.course: Final = course
        self._client: Final = client
        self._closed: Final = threading.Event()
        self._stopping: Final = threading.Lock()
        self._line: SyncLine | None = None
        self._hung_up = False

    def events(self) -> Generator[Event]:
        """Return the events until the run is over. Raises `StreamServeError`."""
        while not (self.course.over or self._closed.is_set()):
            with self._stopping:
                """Wait: a new connection is made after the stop that let go of the last one."""
            try:
                with self._client.open(self.course.request()) as self._line:
                    pause = yield from self._take(self._line)
            except Broken as why:
                pause = self._lose(why)
            finally:
                self._line = None
            self._closed.wait(pause)

    def _take(self, line: SyncLine) -> Generator[Event, None, float]:
        """Return the events of one answer, and in the end the seconds until the next request."""
        if self._closed.is_set():
            return 0.0  # before there was a line to hang up
        if not self.course.accept(line.status, line.headers):
            return self.course.refuse(line.status, line.headers, line.body())
        for piece in line.pieces():
            for event in self.course.feed(piece):
                if self._closed.is_set():
                    return 0.0
                yield event
            if self.course.over:
                break
        return 0.0 if self.course.over else self._lose()

    def _lose(self, why: Broken | None = None) -> float:
        if self._hung_up or self._closed.is_set():
            self._hung_up = False
            return 0.0
        return self.course.lose(why)

    def stop(self) -> Receipt:
        with self._stopping:
            self._hang_up()
            try:
                return self._client.stop(self.course.run_id)
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

"""`ServicePlace`: a job's stream at a service, which is reached over HTTP.

How it works: each question is one request. A stop is not asked for: one connection is held for as long as
the job is open, on which the service says it at once. One that breaks is made anew, later each time, for
as long as the job is open: whether the service can be written to is found out by the appends.
"""

from __future__ import annotations

import asyncio
import math
import sys
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from msgspec import Struct

from stream_serve.client import failures, requests
from stream_serve.client.patience import Tries, unreachable
from stream_serve.client.wire import Broken
from stream_serve.errors import BodyTooLarge, ServiceProtocol, StreamError, StreamServeError
from stream_serve.events import sse
from stream_serve.jobs.base import Found
from stream_serve.streams.errors import StaleProducer, StreamClosed, StreamNotFound
from stream_serve.streams.state import JSON, media_type

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from contextlib import AbstractAsyncContextManager

    from stream_serve.client.patience import Patience
    from stream_serve.client.requests import Request
    from stream_serve.client.wire import AsyncLine
    from stream_serve.jobs.outbox import Batch

_LASTS: Final = 5.0
"""A connection that lasts for so many seconds is a good one: the next one is made soon."""

_SOONEST: Final = 1.0
_PARTS: Final = 3
"""An append without an answer is sent again after this part of its lease: in time to renew it."""

_MAX_CONTROL: Final = 65_536
_OK: Final = 200
_TOO_LARGE: Final = 413
_TRUE: Final = "true"
_STOP: Final = "stream-stop-requested"
_OFFSET: Final = "stream-next-offset"
"""Every success of the service has it; a page of another server that says 200 has kept nothing."""
_CONTROL: Final = b"control"


class Asked(Protocol):
    """What asks the service."""

    url: str
    patience: Patience

    def open(
        self, request: Request, *, longest: float = ...
    ) -> AbstractAsyncContextManager[AsyncLine]:
        """Give the answer to a request, with silences of `longest` seconds at most. Raises `Broken`."""
        ...


class _Control(Struct, rename="camel"):
    stop_requested: bool
    stream_closed: bool
    stream_deleted: bool


class ServicePlace:
    """The stream `name` of the service that `client` asks."""

    def __init__(self, client: Asked, name: str) -> None:
        self._client = client
        self._name = name
        self._heard = False

    async def find(self) -> Found | None:
        """Return what is there."""
        try:
            said = await self._ask(requests.stream("GET", self._name))
        except StreamNotFound:
            return None
        return Found(
            media_type(said.get("content-type", "")) == JSON,
            said.get("stream-closed") == _TRUE,
            said.get("stream-lost") == _TRUE,
        )

    async def create(self) -> None:
        """Make the stream."""
        await self._ask(requests.stream("PUT", self._name))

    async def remove(self) -> None:
        """Remove it, if it is closed."""
        await self._ask(requests.stream("DELETE", self._name))

    async def append(self, batch: Batch) -> bool:
        """Append."""
        longest = max(_SOONEST, batch.lease / _PARTS)
        return _STOP in await self._ask(requests.append(self._name, batch), longest)

    async def stopped(self) -> None:
        """Be told of it, by one connection after the other."""
        loop = asyncio.get_running_loop()
        patience = self._client.patience
        tries = Tries(msgspec.structs.replace(patience, attempts=sys.maxsize))
        while True:
            begun = loop.time()
            try:
                await self._listen()
            except StreamServeError as error:
                if isinstance(error, StreamError) and not error.retryable:
                    raise  # there is no such stream any more
                if loop.time() - begun > _LASTS:
                    tries.succeed()
                asked = min(error.retry_after or 0.0, patience.longest_asked)
                await asyncio.sleep(tries.pause(error, asked))
            else:
                return

    async def _listen(self) -> None:
        """Return when the job is asked to stop. Raises what the service says else, and at its end."""
        parser = sse.Parser(_MAX_CONTROL)
        async with self._open(requests.control(self._name)) as line:
            if line.status != _OK:
                raise _failure(line.status, line.headers, await line.body(), heard=self._heard)
            async with aclosing(line.pieces()) as pieces:
                async for piece in pieces:
                    if any(map(_is_stop, _events(parser, piece))):
                        return
        raise unreachable(None, self._client.url)

    async def _ask(self, request: Request, longest: float = math.inf) -> Mapping[str, str]:
        """Return the headers of the answer. Raises what it says else."""
        async with self._open(request, longest) as line:
            status, headers, body = line.status, line.headers, await line.body()
        if status < 300 and (_OFFSET in headers or request.method == "DELETE"):
            self._heard = True
            return headers
        raise _failure(status, headers, body, heard=self._heard)

    @asynccontextmanager
    async def _open(self, request: Request, longest: float = math.inf) -> AsyncGenerator[AsyncLine]:
        """Give an answer. Raises `ServiceUnreachable`, also inside of the block."""
        try:
            async with self._client.open(request, longest=longest) as line:
                yield line
        except Broken as why:
            raise unreachable(why, self._client.url) from why


def _failure(
    status: int, headers: Mapping[str, str], body: bytes, *, heard: bool
) -> StreamServeError:
    """Return what the service says."""
    failure = failures.of_answer(status, headers, body, heard=heard)
    if status == _TOO_LARGE:  # also where a server in between says it
        return BodyTooLarge(str(failure))
    epoch = headers.get("producer-epoch", "")
    if isinstance(failure, StaleProducer) and epoch.isdecimal():
        failure.epoch = int(epoch)
    return failure


def _events(parser: sse.Parser, piece: bytes) -> list[_Control]:
    """Return what a piece of the answer says. Raises `ServiceProtocol` for what is no such answer."""
    try:
        return [
            msgspec.json.decode(one.data, type=_Control)
            for one in parser.feed(piece)
            if one.event == _CONTROL
        ]
    except (sse.EventTooLarge, msgspec.MsgspecError) as error:
        raise ServiceProtocol(f"what is said of a stop cannot be read: {error}") from error


def _is_stop(said: _Control) -> bool:
    """Return whether a stop is asked for. Raises `StreamError` where there will be none any more."""
    if said.stop_requested:
        return True
    if said.stream_deleted:
        raise StreamNotFound("the stream was removed")
    if said.stream_closed:
        raise StreamClosed("the stream is closed")
    return False

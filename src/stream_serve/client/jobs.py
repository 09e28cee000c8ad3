"""`ServicePlace`: a job's stream at a service, which is reached over HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from stream_serve.client import failures, requests
from stream_serve.client.patience import unreachable
from stream_serve.client.wire import Broken
from stream_serve.errors import StreamServeError
from stream_serve.jobs.base import Found
from stream_serve.streams.errors import (
    StaleProducer,
    StreamClosed,
    StreamConflict,
    StreamGone,
    StreamNotFound,
    StreamsFull,
)
from stream_serve.streams.state import JSON, media_type

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from stream_serve.client.requests import Request
    from stream_serve.client.wire import AsyncLine
    from stream_serve.jobs.outbox import Batch

_LOOK: Final = 1.0
"""Seconds between two looks whether somebody has asked the job to stop."""

_KINDS: Final[dict[str, type[StreamServeError]]] = {
    kind.code: kind
    for kind in (StreamClosed, StreamConflict, StreamGone, StreamNotFound, StreamsFull)
}
_TRUE: Final = "true"
_STOP: Final = "stream-stop-requested"


class Asked(Protocol):
    """What asks the service."""

    url: str

    def open(self, request: Request) -> AbstractAsyncContextManager[AsyncLine]:
        """Give the answer to a request. Raises `Broken`."""
        ...


class ServicePlace:
    """The stream `name` of the service that `client` asks."""

    def __init__(self, client: Asked, name: str) -> None:
        self._client = client
        self._name = name

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
        """Remove it."""
        await self._ask(requests.stream("DELETE", self._name))

    async def append(self, batch: Batch) -> bool:
        """Append."""
        return _STOP in await self._ask(requests.append(self._name, batch))

    async def stopped(self) -> None:
        """Look again and again; a look that failed may succeed the next time."""
        while True:
            await asyncio.sleep(_LOOK)
            try:
                said = await self._ask(requests.stream("HEAD", self._name))
            except StreamServeError as error:
                if not error.retryable:
                    raise
            else:
                if _STOP in said:
                    return

    async def _ask(self, request: Request) -> Mapping[str, str]:
        """Return the headers of the answer. Raises what it says else."""
        try:
            async with self._client.open(request) as line:
                status, headers, body = line.status, line.headers, await line.body()
        except Broken as why:
            raise unreachable(why, self._client.url) from why
        if status < 300:
            return headers
        raise _failure(status, headers, body)


def _failure(status: int, headers: Mapping[str, str], body: bytes) -> StreamServeError:
    """Return what the service says, as an error of the streams where it is one of them."""
    failure = failures.of_answer(status, headers, body)
    epoch = headers.get("producer-epoch", "")
    if failure.code == StaleProducer.code and epoch.isdecimal():
        return StaleProducer(str(failure), epoch=int(epoch))
    kind = _KINDS.get(failure.code)
    return failure if kind is None else kind(str(failure))

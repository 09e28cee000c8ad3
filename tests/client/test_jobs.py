"""A job's stream at a service: what its answers mean."""

from __future__ import annotations

from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.client.jobs import ServicePlace
from stream_serve.client.patience import Patience
from stream_serve.errors import TooManyReaders
from stream_serve.streams.errors import StreamError, StreamsUnavailable, StreamUnreadable
from stream_serve.web import problems

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from stream_serve.client.requests import Request
    from stream_serve.errors import StreamServeError

STOP = (
    b'event: control\ndata: {"stopRequested":true,"streamClosed":false,"streamDeleted":false}\n\n'
)


class Service:
    """Answers each request with the next error; then it says that the job is to stop."""

    url = "http://service"
    patience = Patience(first=0.0, longest=0.0, longest_asked=0.0)

    def __init__(self, errors: Sequence[StreamServeError]) -> None:
        self.errors = list(errors)

    @asynccontextmanager
    async def open(self, request: Request, *, longest: float = 0.0) -> AsyncGenerator[Any]:
        assert request.path.endswith("/control?live=sse"), longest

        async def pieces() -> AsyncGenerator[bytes]:
            yield STOP

        async def body() -> bytes:
            return bytes(answer.body)

        if not self.errors:
            yield SimpleNamespace(status=200, headers={}, pieces=pieces)
            return
        answer = problems.from_error(self.errors.pop(0))
        yield SimpleNamespace(status=answer.status_code, headers=answer.headers, body=body)


@pytest.mark.parametrize("kind", [StreamsUnavailable, TooManyReaders])
async def test_a_stop_is_heard_after_a_refusal_that_may_pass(kind: type[StreamServeError]) -> None:
    service = Service([kind("in a while")] * 3)
    await ServicePlace(service, "job").stopped()
    assert not service.errors


async def test_a_stream_that_nobody_can_stop_any_more_is_not_asked_for_again() -> None:
    service = Service([StreamUnreadable("damaged")] * 2)
    with pytest.raises(StreamError):
        await ServicePlace(service, "job").stopped()
    assert len(service.errors) == 1

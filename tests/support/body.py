"""A provider without sockets: it answers with the pieces of a body that a test gives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal

from stream_serve.producers.base import Patience
from stream_serve.producers.http1.base import IncompleteResponse
from stream_serve.producers.openai.endpoint import Endpoint, Traits
from stream_serve.producers.openai.provider import OpenAIProducer, OpenAIProvider
from stream_serve.producers.provider import ChatRequest
from stream_serve.runs.spec import RunSpec
from support.runs import Harness, read
from support.upstream import StepProvider

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.events.types import Event
    from stream_serve.producers.http1.base import OnSocket, Receiver

    Last = Literal["end", "cut", "silence"]

STREAM: Final = "text/event-stream"


class Body:
    """An exchange whose response is there: its body's pieces, and then its end, a cut, or silence.

    A number between the pieces is a wait, in seconds.
    """

    status = 200

    def __init__(self, pieces: Sequence[bytes | float], last: Last, kind: str | None) -> None:
        self.headers = {} if kind is None else {"content-type": kind}
        self._pieces = pieces
        self._last = last
        self._discarded = asyncio.Event()

    async def read_head(self) -> None:
        """Return at once."""

    async def read_body(self, receive: Receiver) -> None:
        """Play the pieces."""
        for piece in self._pieces:
            if isinstance(piece, bytes):
                receive(piece)
            else:
                await asyncio.sleep(piece)
            if self._discarded.is_set():
                return
        if self._last == "cut":
            raise IncompleteResponse("cut")
        if self._last == "silence":
            await self._discarded.wait()

    def discard_rest(self) -> None:
        """Tell no more."""
        self._discarded.set()

    async def finish(self, timeout: float) -> bool:
        """Keep nothing."""
        del timeout
        return False

    async def close(self) -> None:
        """Close nothing."""


class BodyClient:
    """An HTTP client that has one response."""

    def __init__(self, body: Body) -> None:
        self._body = body

    async def open(self, body: bytes, on_socket: OnSocket, *, fresh: bool = False) -> Body:
        """Return the response."""
        del body, on_socket, fresh
        return self._body

    async def close(self) -> None:
        """Close nothing."""


def producer(
    pieces: Sequence[bytes | float],
    last: Last = "end",
    *,
    kind: str | None = STREAM,
    traits: Traits = Traits(),  # noqa: B008 - frozen
    max_event_bytes: int = 100_000,
) -> OpenAIProducer:
    """Return the producer of an answer whose stream has these pieces."""
    provider = OpenAIProvider(
        Endpoint("http://provider.test/v1", "", "m", "upstream_api_key", traits=traits),
        patience=Patience(first_token=60, idle=30),
        connect_timeout=5,
        max_event_bytes=max_event_bytes,
    )
    provider.client = BodyClient(Body(pieces, last, kind))
    return provider.ask(ChatRequest("m", [{"role": "user", "content": "a"}], {}))


async def events_of(one: OpenAIProducer) -> list[Event]:
    """Run a producer; return the events that readers get."""
    runs = Harness(StepProvider(), run=1000).runs
    events = await read(await runs.start(RunSpec.of(one), owner=None))
    await runs.close()
    return events


def text_of(events: Sequence[Event], kind: type[Event]) -> str:
    """Return the text of all events of a kind, `Chunk` or `Reasoning`."""
    return "".join(getattr(event, "content", "") for event in events if isinstance(event, kind))

"""A question whose history is too long for the model is asked once more, with less of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from stream_serve.errors import UpstreamContextExceeded
from stream_serve.producers.delegating import DelegatingProducer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stream_serve.producers.base import Emit, Finish, Producer

_log = structlog.stdlib.get_logger("stream_serve.conversations")


class ShorteningProducer(DelegatingProducer):
    """Produces as `first` does; where the provider refuses that for its length, as `shorten()` does.

    `shorten` returns None where nothing is left to be cut.
    """

    def __init__(self, first: Producer, shorten: Callable[[], Awaitable[Producer | None]]) -> None:
        super().__init__(first, model=first.model)
        self._first = first
        self._shorten = shorten

    @property
    def closed(self) -> bool | None:
        """Whether the connections of both requests are closed; None when there was none."""
        known = [one.closed for one in {self._first, self.producer}]
        return None if set(known) == {None} else False not in known

    async def produce(self, emit: Emit) -> Finish:
        """Produce as the provider does. Raises `RunFailure`; cancelled, it leaves all to `close`."""
        try:
            return await self.producer.produce(emit)
        except UpstreamContextExceeded as error:
            shorter = await self._shorten()
            if shorter is None:
                raise _named(error) from error
            _log.info("the history is too long for the model: it is asked again with less of it")
            self.producer = shorter
        try:
            return await shorter.produce(emit)
        except UpstreamContextExceeded as error:
            raise _named(error) from error

    async def close(self) -> None:
        """Close both, also when the waiting for one of them is cancelled; let go of the history."""
        self._shorten = _nothing
        try:
            await self._first.close()
        finally:
            if self.producer is not self._first:
                await self.producer.close()


async def _nothing() -> None:
    """Return that there is nothing to be cut."""


def _named(error: UpstreamContextExceeded) -> UpstreamContextExceeded:
    return UpstreamContextExceeded(
        f"{error}; less of the conversation's history can be sent",
        parameters=[*error.parameters, "Conversations.tokens"],
        provider_code=error.provider_code,
        request_id=error.request_id,
    )

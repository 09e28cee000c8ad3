"""The way of a stream's body: parsed (`sse`), decoded (`chunks`), emitted, and known to be over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from stream_serve.errors import UpstreamIncomplete, UpstreamProtocol
from stream_serve.events import sse
from stream_serve.producers.openai.chunks import DONE, Reading

if TYPE_CHECKING:
    from stream_serve.events.types import Delta
    from stream_serve.producers import http1
    from stream_serve.producers.base import Emit

_DONE_TIMEOUT: Final = 2.0


class Receiver:
    """Receives the pieces of a stream's body and emits their deltas.

    One small object with slots, because it is used for every token. After the finish_reason only usage
    and [DONE] may follow, and it waits at most two seconds for them. Each further finish_reason starts
    the two seconds again; the timer is not restarted but checks the time when it fires, as that of
    `Deadline` does. Silence does not end the answer if text has come after the newest finish_reason, or
    a part of an event, or if there is no text at all and the finish_reason is "stop".
    """

    __slots__ = (
        "_emit",
        "_endings",
        "_exchange",
        "_has_text",
        "_parser",
        "_reading",
        "_timer",
        "_until",
    )

    def __init__(
        self, exchange: http1.HTTPExchange, reading: Reading, max_event_bytes: int, emit: Emit
    ) -> None:
        self._exchange = exchange
        self._reading = reading
        self._parser = sse.Parser(max_event_bytes)
        self._emit = emit
        self._endings = 0
        self._has_text = False
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def midway(self) -> bool:
        """Whether an event that may contain text has come by half."""
        reading = self._reading
        ended = reading.done or reading.error is not None or reading.broken is not None
        return not (ended or DONE.startswith(self._parser.rest()))

    def receive(self, piece: bytes) -> None:
        """Parse a piece of the body and emit its deltas. Raises `EventTooLarge`, `UpstreamProtocol`."""
        reading = self._reading
        deltas: list[Delta] = []
        try:
            for data in self._parser.data(piece):
                reading.add(data, deltas)
                if reading.done or reading.error is not None:
                    self._exchange.discard_rest()
                    break
        finally:
            if deltas:
                self._has_text = True
                self._emit(deltas)
        if reading.endings != self._endings:
            self._endings = reading.endings
            self._start_done_timer()

    def finish(self) -> None:
        """Read an event that the end of the body, and no empty line, has ended.

        Raises `UpstreamIncomplete` if only a part of it has come.
        """
        if not (self.midway or self._parser.rest() == DONE):
            return
        try:
            self.receive(b"\n\n")
        except UpstreamProtocol:
            raise UpstreamIncomplete(
                "the provider's stream ended in the middle of an event: the answer may be cut"
            ) from None

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_done_timer(self) -> None:
        """Wait two more seconds for usage and [DONE]."""
        loop = asyncio.get_running_loop()
        self._until = loop.time() + _DONE_TIMEOUT
        if self._timer is None:
            self._timer = loop.call_at(self._until, self._stop_waiting)

    def _stop_waiting(self) -> None:
        """Stop reading when the time is over, unless the finish_reason came too early to be the end."""
        self._timer = None
        reading = self._reading
        loop = asyncio.get_running_loop()
        if loop.time() < self._until:
            self._timer = loop.call_at(self._until, self._stop_waiting)
        elif self.midway:
            self._start_done_timer()
        elif reading.settled and (self._has_text or reading.finish_reason != "stop"):
            self._exchange.discard_rest()

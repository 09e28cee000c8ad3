"""The way of a stream's body: parsed (`sse`), decoded (`chunks`), emitted, and known to be over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal

from stream_serve.errors import UpstreamIncomplete
from stream_serve.events import sse
from stream_serve.producers.openai.wire import DONE

if TYPE_CHECKING:
    from stream_serve.events.types import Delta
    from stream_serve.producers import http1
    from stream_serve.producers.base import Emit
    from stream_serve.producers.openai.chunks import Reading

_DONE_TIMEOUT: Final = 2.0
_OTHER_TIMEOUT: Final = 2.0
_MAX_KEPT: Final = 65_536
_MAX_PART: Final = 16_384
_CHOICES: Final = b'"choices"'
_LINE_ENDS: Final = (b"\n", b"\r")


class Receiver:
    """Receives the pieces of a stream's body and emits their deltas.

    One small object with slots, because it is used for every token. After the finish_reason only usage
    and [DONE] may follow, and it waits at most two seconds for them. Each further finish_reason starts
    the two seconds again; the timer is not restarted but checks the time when it fires, as that of
    `Deadline` does. Silence does not end the answer if text has come after the newest finish_reason, or
    a part of an event, or if there is no text at all and the finish_reason is "stop".

    A chunk without text emits nothing, which is a sign of life; so is a comment if `comments` says so
    (see `Traits`). Unless the body is `labelled` as a stream, it has to begin as one, or as JSON; of one
    that does not (`other`) two seconds are read. `body` keeps what comes before the first chunk, up to
    64 KiB, where it may be no stream; it is None in a stream. `failure` is the data of an event that is
    named as an error.
    """

    __slots__ = (
        "_begun",
        "_comments",
        "_emit",
        "_endings",
        "_exchange",
        "_has_text",
        "_parser",
        "_reading",
        "_timer",
        "_until",
        "body",
        "failure",
        "other",
    )

    def __init__(
        self,
        exchange: http1.HTTPExchange,
        reading: Reading,
        max_event_bytes: int,
        emit: Emit,
        *,
        comments: Literal["never", "first", "always"] = "never",
        labelled: bool = True,
    ) -> None:
        self._exchange = exchange
        self._reading = reading
        self._parser = sse.JSONParser(max_event_bytes)
        self._emit = emit
        self._comments = comments
        self._endings = 0
        self._has_text = False
        self._begun = labelled
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.body: bytearray | None = None if labelled else bytearray()
        self.other = False
        self.failure: bytes | None = None

    @property
    def midway(self) -> bool:
        """Whether an event that may contain text has come by half."""
        reading = self._reading
        ended = (
            *(reading.done, reading.error is not None, reading.broken is not None),
            *(self.failure is not None, self.other),
        )
        return not any(ended) and (
            self._parser.may_fail or not DONE.startswith(self._parser.rest())
        )

    def receive(self, piece: bytes) -> None:
        """Parse a piece of the body and emit its deltas. Raises `EventTooLarge`.

        A large piece is taken in parts of 16 KiB. What a part may cost is bounded (`odd.Unread`): of a
        stream that goes beyond that, nothing more is read.
        """
        if len(piece) > _MAX_PART:
            self._receive_parts(piece)
            return
        reading = self._reading
        deltas: list[Delta] = []
        data = b""
        try:
            for data in self._parser.data(piece):
                if not reading.add(data, deltas):
                    self._exchange.discard_rest()
                    break
            if self._parser.failure is not None:
                self._fail(self._parser.failure, deltas)
        except sse.EventTooLarge as error:
            self._read_before(error, deltas)
        finally:
            reading.unread.spent = 0
            if deltas:
                self._has_text = True
                self._emit(deltas)
        if not deltas:
            self._look_at(piece, data)
        if reading.endings != self._endings:
            self._endings = reading.endings
            if not reading.done:
                self._start_done_timer()

    def _receive_parts(self, piece: bytes) -> None:
        for start in range(0, len(piece), _MAX_PART):
            if not self._is_over():
                self.receive(piece[start : start + _MAX_PART])

    def _is_over(self) -> bool:
        """Return whether nothing more is to be read."""
        return self._reading.over or self.failure is not None

    def _read_before(self, error: sse.EventTooLarge, deltas: list[Delta]) -> None:
        """Read the events that came before one that is too large; raise its error unless they end all."""
        for data in error.before:
            self._reading.add(data, deltas)
            if self._is_over():
                break
        if self._parser.failure is not None:
            self._fail(self._parser.failure, deltas)
        if not self._is_over():
            raise error
        self._exchange.discard_rest()

    def learn_name(self) -> None:
        """Record an error event of which only the name has come, or a part of its data."""
        if self._parser.fails and not self._is_over():
            self.failure = self._parser.rest()

    def finish(self) -> None:
        """Read an event that the end of the body, and no empty line, has ended.

        Raises `UpstreamIncomplete` if only a part of it has come.
        """
        reading = self._reading
        if self._is_over():
            return
        self.learn_name()
        rest = self._parser.rest()
        if self.failure is None and not (self.midway or rest == DONE):
            return
        deltas: list[Delta] = []
        before = reading.unread.lost
        reading.add(rest, deltas)
        if deltas:
            self._emit(deltas)
        cut = self._parser.may_fail or reading.unread.lost != before
        if cut and self.failure is None and not self._is_over():
            raise UpstreamIncomplete(
                "the provider's stream ended in the middle of an event: the answer may be cut"
            )

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fail(self, failure: bytes, deltas: list[Delta]) -> None:
        """End the answer by an event that is named as an error, unless [DONE] came before it."""
        if not self._reading.done:
            self.failure = failure
            self._reading.add(failure, deltas)
            self._exchange.discard_rest()

    def _look_at(self, piece: bytes, data: bytes) -> None:
        """Look at a piece without text: is it a stream at all, or a sign of life?

        `data` is that of the last event that it has completed, which may have begun in pieces before.
        """
        if self.body is not None and not self._is_stream(piece):
            return
        if (
            _CHOICES in piece
            or _CHOICES in data
            or (
                (self._comments == "always" or (self._comments == "first" and not self._has_text))
                and any(end in piece for end in _LINE_ENDS)
            )
        ):
            self._emit(())

    def _is_stream(self, piece: bytes) -> bool:
        """Keep what came before the first chunk; return False where it is neither a stream nor JSON."""
        if self.body is None or self._reading.started:
            self.body = None
            return True
        self.body += piece[: _MAX_KEPT - len(self.body)]
        if not self._begun:
            begun = sse.may_begin(bytes(self.body))
            if begun is False and not self.other:
                self.other = True
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(_OTHER_TIMEOUT, self._exchange.discard_rest)
            self._begun = begun is True
        if self.other and len(self.body) == _MAX_KEPT:
            self._exchange.discard_rest()
        return not self.other

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
        elif self.midway and not self._parser.fails:
            self._start_done_timer()
        elif self._parser.fails or (
            reading.settled and (self._has_text or reading.finish_reason != "stop")
        ):
            self._exchange.discard_rest()

"""One run: an answer being generated, from its start to some minutes after its end.

A run has a lifecycle, the writer of its event log, and what its readers and its receipt need to know.
It has ended when its terminal event is written, and is `over` when its task is, too: then the
provider's connection is closed.
Everything here is done in one step, without waiting, so that nothing can come between: whoever ends
a run first decides how it ended.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, Literal, cast

from msgspec import Struct

from stream_serve import sse, usage
from stream_serve.errors import RunFailure, UpstreamTooLarge
from stream_serve.events import Chunk, End, Error, Start, Usage, encode
from stream_serve.lifecycle import Lifecycle, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.events import Delta, Event
    from stream_serve.streams.base import LogWriter
    from stream_serve.upstream.base import Call, ChatRequest, Finish

STOPPED: Final = "stopped"


class Receipt(Struct, frozen=True, rename="camel"):
    """What a stop did.

    `outcome` is "stopped" when a stop ended the run (this one or an earlier one), else
    "already_finished". `upstream_closed` is true only when every socket that the run had to the
    provider is really closed; false when one is open (after a finished answer it waits in the pool
    for the next call); null when there was none. `latency_ms` is the time from the stop's arrival
    until this was known, in milliseconds. `finish_reason` is null for a run that failed.
    """

    run_id: str
    outcome: Literal["stopped", "already_finished"]
    upstream_closed: bool | None
    latency_ms: float
    finish_reason: str | None
    usage: Usage


class Run:
    """The state of one run. `owner` is whose it is: None where no keys are set.

    `max_bytes` caps its events, as the log keeps them.
    """

    def __init__(
        self,
        run_id: str,
        *,
        owner: str | None,
        request: ChatRequest,
        call: Call,
        writer: LogWriter,
        max_bytes: int,
    ) -> None:
        self.id = run_id
        self.owner = owner
        self.request = request
        self.call = call
        self.readers = 0
        self.stop_requested = False
        self.task: asyncio.Task[None] | None = None
        self.over = asyncio.Event()
        self.created_at = time.time()
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.error: Error | None = None
        self.receipt: Receipt | None = None
        self._began = time.monotonic()
        self._first_token: float | None = None
        self._end: float | None = None
        self._lifecycle = Lifecycle()
        self._writer = writer
        self._left = max_bytes
        self._answer: list[str] = []
        self._reasoning: list[str] = []

    @property
    def state(self) -> State:
        """Where the run stands."""
        return self._lifecycle.state

    @property
    def events(self) -> int:
        """How many events the log has."""
        return self._writer.last

    @property
    def first_token_seconds(self) -> float | None:
        """The time from the start to the first token."""
        return None if self._first_token is None else self._first_token - self._began

    @property
    def seconds(self) -> float:
        """The time from the start to the end, or until now."""
        return (time.monotonic() if self._end is None else self._end) - self._began

    def start(self) -> None:
        """Write the `start` event."""
        self._write([Start(self.id, self.call.model)])

    def wait(self) -> None:
        """Note that the provider is being asked."""
        self._lifecycle.move(State.WAITING)

    def append(self, deltas: Sequence[Delta]) -> None:
        """Write what the provider brought. Raises `UpstreamTooLarge` past the cap."""
        if self._first_token is None:
            self._first_token = time.monotonic()
            self._lifecycle.move(State.STREAMING)
        for delta in deltas:
            (self._answer if isinstance(delta, Chunk) else self._reasoning).append(delta.content)
        self._write(deltas)
        if self._left < 0:
            raise UpstreamTooLarge(
                "the answer was cut: it is longer than a run may have (STREAM_SERVE_MAX_RUN_BYTES)"
            )

    def complete(self, finish: Finish) -> None:
        """End the run well."""
        self._settle(State.COMPLETED, finish.reason)

    def stop(self) -> None:
        """End the run as stopped."""
        self._settle(State.STOPPED, STOPPED)

    def fail(self, failure: RunFailure) -> None:
        """End the run badly; the text so far stays."""
        if self._lifecycle.move(State.FAILED):
            self.error = Error.of(failure)
            self._close(self.error)

    def _settle(self, state: State, reason: str) -> None:
        if self._lifecycle.move(state):
            self.finish_reason = reason
            self._close(None)

    def _close(self, error: Error | None) -> None:
        """Write the one terminal event, let the text go, and close the log."""
        self._end = time.monotonic()
        self.usage = self.call.usage or self._estimate()
        self._write([error or End(self.finish_reason or STOPPED, self.usage)])
        self._writer.finish()
        self._answer.clear()
        self._reasoning.clear()

    def _estimate(self) -> Usage:
        return usage.estimate(
            prompt="\n".join(_text(message.get("content")) for message in self.request.messages),
            answer="".join(self._answer),
            reasoning="".join(self._reasoning),
        )

    def _write(self, events: Sequence[Event]) -> None:
        seq = self._writer.last
        frames: list[bytes] = []
        for event in events:
            seq += 1
            frame = sse.frame(seq, encode(event))
            self._left -= len(frame)
            frames.append(frame)
        self._writer.append(frames)


def _text(content: object) -> str:
    """Give the text of a message's content: a string, or a list of parts of which some are text."""
    if isinstance(content, str):
        return content
    parts = cast("list[dict[str, object]]", content) if isinstance(content, list) else []
    return "\n".join(str(part["text"]) for part in parts if "text" in part)

"""One run: an answer being generated, from its start to some minutes after its end.

A run has a lifecycle, the writer of its event log, and what its readers and its receipt need to know.
How it ends is decided in one step, by whoever comes first (`settle`); then, in a conversation, the
answer is stored; then the one terminal event is written (`close`). The run is `over` when its task is
over, too: then the provider's connection is closed. No method here waits, so nothing comes between.
"""

from __future__ import annotations

import asyncio
import time
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from stream_serve import sse, usage
from stream_serve.errors import RunFailure, RunInterrupted, UpstreamTooLarge
from stream_serve.events import Chunk, End, Error, Start, Usage, encode
from stream_serve.history.base import Answer, Status
from stream_serve.lifecycle import Lifecycle, State
from stream_serve.upstream.base import text_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from stream_serve.events import Delta, Event
    from stream_serve.history.base import Turn
    from stream_serve.streams.base import LogWriter
    from stream_serve.upstream.base import Call, ChatRequest, Finish

STOPPED: Final = "stopped"
_EVENT_OVERHEAD: Final = 48

_STATUSES: Final = {
    State.COMPLETED: Status.COMPLETE,
    State.STOPPED: Status.STOPPED,
    State.FAILED: Status.FAILED,
}


class OnDisconnect(Enum):
    """What becomes of a run that nobody reads any more."""

    STOP = "stop"
    CONTINUE = "continue"


class Task(Struct, frozen=True):
    """What a run is to do: ask a provider, and, in a conversation, answer a turn."""

    request: ChatRequest
    turn: Turn | None = None


class Order(Struct, frozen=True, kw_only=True):
    """What a start asks for.

    `prepare` is called with the run's id, once, when the run has been admitted. `run_id` is the
    caller's choice of an id; two orders under one id are the same when their fingerprints are.
    """

    prepare: Callable[[str], Awaitable[Task]]
    run_id: str | None = None
    fingerprint: bytes = b""
    on_disconnect: OnDisconnect = OnDisconnect.STOP

    @classmethod
    def of(cls, request: ChatRequest) -> Order:
        """Order a run that only asks."""

        async def prepare(run_id: str) -> Task:
            del run_id
            return Task(request)

        return cls(prepare=prepare)


class Receipt(Struct, frozen=True, rename="camel"):
    """What a stop did.

    `outcome` is "stopped" when a stop ended the run (this one or an earlier one), else
    "already_finished". `upstream_closed` is true only when every socket that the run had to the
    provider is really closed; false when one is open (after a finished answer it waits in the pool
    for the next call); null when there was none. `latency_ms` is the time from the stop's arrival
    until this was known, in milliseconds. `finish_reason` is null for a run that failed, and so is
    `usage` where nothing is known of it.
    """

    run_id: str
    outcome: Literal["stopped", "already_finished"]
    upstream_closed: bool | None
    latency_ms: float
    finish_reason: str | None
    usage: Usage | None


class Bounds(Struct, frozen=True):
    """How much the log of one run may hold."""

    bytes: int
    events: int


class Run:
    """The state of one run. `owner` is whose it is: None where no keys are set."""

    def __init__(
        self,
        run_id: str,
        *,
        owner: str | None,
        order: Order,
        task: Task,
        call: Call,
        writer: LogWriter,
    ) -> None:
        self.id = run_id
        self.owner = owner
        self.fingerprint = order.fingerprint
        self.on_disconnect = order.on_disconnect
        self.turn = task.turn
        self.call = call
        self.model = task.request.model
        self.readers = 0
        self.stop_requested = False
        self.pump: asyncio.Task[None] | None = None
        self.detached: asyncio.TimerHandle | None = None
        self.over = asyncio.Event()
        self.closed = False
        self.created_at = time.time()
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.failure: RunFailure | None = None
        self.receipt: Receipt | None = None
        self._began = time.monotonic()
        self._first_token: float | None = None
        self._end: float | None = None
        self._lifecycle = Lifecycle()
        self._writer = writer
        self._bytes = 0
        self._messages = task.request.messages
        self._answer: list[str] = []
        self._reasoning: list[str] = []

    @property
    def state(self) -> State:
        """Where the run stands."""
        return self._lifecycle.state

    @property
    def size(self) -> int:
        """About how many bytes of memory the log takes."""
        return self._bytes + _EVENT_OVERHEAD * self.events

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
        turn = self.turn
        self._write(
            [
                Start(self.id, self.model)
                if turn is None
                else Start(
                    self.id,
                    self.model,
                    turn.conversation_id,
                    turn.user_message_id,
                    turn.answer_id,
                )
            ]
        )

    def wait(self) -> None:
        """Note that the provider is being asked."""
        self._lifecycle.move(State.WAITING)

    def append(self, deltas: Sequence[Delta], bounds: Bounds) -> None:
        """Write what the provider brought. Raises `UpstreamTooLarge` past the bounds."""
        if self._first_token is None:
            self._first_token = time.monotonic()
            self._lifecycle.move(State.STREAMING)
        for delta in deltas:
            (self._answer if isinstance(delta, Chunk) else self._reasoning).append(delta.content)
        self._write(deltas)
        if self._bytes > bounds.bytes or self._writer.last >= bounds.events:
            raise UpstreamTooLarge(
                "the answer was cut: it is longer than a run may have "
                "(STREAM_SERVE_MAX_RUN_BYTES, STREAM_SERVE_MAX_RUN_EVENTS)"
            )

    def complete(self, finish: Finish) -> bool:
        """Decide that the run ended well; False when it had ended before."""
        return self._settle(State.COMPLETED, reason=finish.reason)

    def stop(self) -> bool:
        """Decide that the run was stopped; False when it had ended before."""
        return self._settle(State.STOPPED, reason=STOPPED)

    def fail(self, failure: RunFailure) -> bool:
        """Decide that the run ended badly; False when it had ended before. The text stays."""
        return self._settle(State.FAILED, failure=failure)

    def close(self, *, saved: bool | None) -> None:
        """Write the one terminal event of a settled run, and let its text go."""
        if self.failure is not None:
            end: Event = Error.of(self.failure, saved=saved)
        else:
            end = End(self.finish_reason or STOPPED, self.usage or self._estimate(), saved)
        self._write([end])
        self._writer.finish()
        self.closed = True
        self._answer.clear()
        self._reasoning.clear()

    def answer(self) -> Answer:
        """Give what is to be stored of the answer as it is now."""
        if not self.state.terminal:
            status = Status.GENERATING
        elif isinstance(self.failure, RunInterrupted):
            status = Status.INTERRUPTED
        else:
            status = _STATUSES[self.state]
        first = self.first_token_seconds
        return Answer(
            status=status,
            content="".join(self._answer),
            reasoning="".join(self._reasoning) or None,
            usage=self.usage,
            first_token_ms=None if first is None else round(first * 1000, 1),
            error=self.failure.code if self.failure is not None else None,
        )

    def _settle(
        self, state: State, *, reason: str | None = None, failure: RunFailure | None = None
    ) -> bool:
        if not self._lifecycle.move(state):
            return False
        self._end = time.monotonic()
        self.finish_reason = reason
        self.failure = failure
        self.usage = self.call.usage
        if self.usage is None and (failure is None or self._first_token is not None):
            self.usage = self._estimate()
        self._messages = []
        return True

    def _estimate(self) -> Usage:
        return usage.estimate(
            prompt="\n".join(text_of(message.get("content")) for message in self._messages),
            answer="".join(self._answer),
            reasoning="".join(self._reasoning),
        )

    def _write(self, events: Sequence[Event]) -> None:
        seq = self._writer.last
        frames: list[bytes] = []
        for event in events:
            seq += 1
            frame = sse.frame(seq, encode(event))
            self._bytes += len(frame)
            frames.append(frame)
        self._writer.append(frames)

"""One run: an answer being generated, from its start to some minutes after its end.

A run has a lifecycle, the writer of its event log, and what its readers and its receipt need to know.
How it ends is decided in one step, by whoever comes first (`settle`); then, in a conversation, the
answer is stored; then the one terminal event is written (`close`). The run is `over` when its task is
over, too: then the provider's connection is closed. No method here waits, so nothing comes between.
"""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from stream_serve.conversations.base import Answer, Status
from stream_serve.errors import RunFailure, RunInterrupted, UpstreamTooLarge
from stream_serve.events import sse, usage
from stream_serve.events.types import Chunk, End, Error, Start, encode
from stream_serve.producers.base import text_of
from stream_serve.runs import runid
from stream_serve.runs.lifecycle import Lifecycle, State
from stream_serve.runs.view import STOPPED, Receipt, RunState, milliseconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from stream_serve.conversations.base import Turn
    from stream_serve.eventlog.base import LogWriter
    from stream_serve.events.types import Delta, Event, Usage
    from stream_serve.producers.base import Call, ChatRequest, Finish

_EVENT_OVERHEAD: Final = 48
_OWNER: Final = re.compile("[A-Za-z0-9._~@:+=-]{1,128}")

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

    def __post_init__(self) -> None:
        """Refuse an id that no run can have. Raises `ValueError`."""
        if self.run_id is not None and not runid.fits(self.run_id):
            raise ValueError("run_id: a run cannot have this id (see stream_serve.runid)")

    @classmethod
    def of(cls, request: ChatRequest) -> Order:
        """Order a run that only asks."""

        async def prepare(run_id: str) -> Task:
            del run_id
            return Task(request)

        return cls(prepare=prepare)


class Bounds(Struct, frozen=True):
    """How much the log of one run may hold."""

    bytes: int
    events: int


class Limits(Struct, frozen=True, kw_only=True):
    """What runs may take: seconds, numbers of runs, and the size of a run's log.

    `detached` is how long a run goes on that nobody reads, `early_stop` how long a stop waits for
    its start, `kept` and `kept_bytes` how many runs are known after their end, and how large their
    logs may be together: the oldest are forgotten first. `total` is for this process, `each` for
    an owner in all processes. `coalesce` is how long tokens may wait for others in a busy process.
    """

    first_token: float
    idle: float
    run: float
    retention: float
    detached: float
    bounds: Bounds
    total: int
    each: int
    kept: int
    kept_bytes: int
    early_stop: float = 60.0
    coalesce: float = 0.0


class Run:
    """The state of one run. `name` is its log's, `owner` whose it is: None where no keys are set.

    `readers` counts those of this process, `others` those of each other one.
    """

    __slots__ = (
        "_answer",
        "_began",
        "_bytes",
        "_end",
        "_first_token",
        "_last",
        "_lifecycle",
        "_messages",
        "_reasoning",
        "_writer",
        "call",
        "closed",
        "created_at",
        "detached",
        "failure",
        "fingerprint",
        "finish_reason",
        "id",
        "model",
        "name",
        "on_disconnect",
        "others",
        "over",
        "owner",
        "provider_finish_reason",
        "pump",
        "readers",
        "receipt",
        "stop_requested",
        "turn",
        "usage",
    )

    def __init__(
        self,
        name: str,
        *,
        order: Order,
        task: Task,
        call: Call,
        writer: LogWriter,
    ) -> None:
        self.name = name
        self.owner, self.id = parts_of(name)
        self.fingerprint = order.fingerprint
        self.on_disconnect = order.on_disconnect
        self.turn = task.turn
        self.call = call
        self.model = task.request.model
        self.readers = 0
        self.others: dict[str, int] = {}
        self.stop_requested = False
        self.pump: asyncio.Task[None] | None = None
        self.detached: asyncio.TimerHandle | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False
        self.created_at = time.time()
        self.finish_reason: str | None = None
        self.provider_finish_reason: str | None = None
        self.usage: Usage | None = None
        self.failure: RunFailure | None = None
        self.receipt: Receipt | None = None
        self._began = time.monotonic()
        self._first_token: float | None = None
        self._end: float | None = None
        self._lifecycle = Lifecycle()
        self._writer = writer
        self._bytes = 0
        self._last = 0
        self._messages = task.request.messages
        self._answer: list[str] = []
        self._reasoning: list[str] = []

    @property
    def state(self) -> State:
        """Where the run stands."""
        return self._lifecycle.state

    @property
    def watchers(self) -> int:
        """How many readers the run has, here and elsewhere."""
        return self.readers + sum(self.others.values())

    @property
    def lost(self) -> bool:
        """True when another process has taken the run over, and finishes and stores it."""
        return self._writer.lost

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
        if self._bytes > bounds.bytes or self._last >= bounds.events:
            raise UpstreamTooLarge(
                "the answer was cut: it is longer than a run may have "
                "(STREAM_SERVE_MAX_RUN_BYTES, STREAM_SERVE_MAX_RUN_EVENTS)"
            )

    def complete(self, finish: Finish) -> bool:
        """Decide that the run ended well; False when it had ended before."""
        if not self._settle(State.COMPLETED, reason=finish.reason):
            return False
        self.provider_finish_reason = finish.word
        return True

    def stop(self) -> bool:
        """Decide that the run was stopped; False when it had ended before."""
        return self._settle(State.STOPPED, reason=STOPPED)

    def fail(self, failure: RunFailure) -> bool:
        """Decide that the run ended badly; False when it had ended before. The text stays."""
        return self._settle(State.FAILED, failure=failure)

    def close(self, *, saved: bool | None, first: int) -> None:
        """Write the one terminal event of a settled run, and let its text go.

        `first` is the number of the terminal event of a run that was taken over.
        """
        if self.lost:
            self._writer.skip(first - 1)
            self._last = self._writer.last
        if self.failure is not None:
            end: Event = Error.of(self.failure, saved=saved)
        else:
            end = End(
                self.finish_reason or STOPPED,
                self.usage or self._estimate(),
                saved,
                self.provider_finish_reason,
            )
        self._write([end])
        self._writer.finish()
        self.closed = True
        self._answer.clear()
        self._reasoning.clear()

    def describe(self) -> RunState:
        """Say how the run stands now."""
        return RunState(
            run_id=self.id,
            state=self.state.value,
            model=self.model,
            created_at=datetime.fromtimestamp(self.created_at, UTC).isoformat(
                timespec="milliseconds"
            ),
            events=self.events,
            readers=self.watchers,
            first_token_ms=milliseconds(self.first_token_seconds),
            duration_ms=milliseconds(self.seconds),
            finish_reason=self.finish_reason,
            usage=self.usage,
            error=Error.of(self.failure) if self.failure is not None else None,
            upstream_closed=self.call.socket_closed,
        )

    def line(self) -> dict[str, object]:
        """Give what the service's log says of the run when it is over: never its text."""
        failure, usage = self.failure, self.usage
        return {
            "run_id": self.id,
            "model": self.model,
            "state": self.state.value,
            "finish_reason": self.finish_reason,
            "provider_finish_reason": self.provider_finish_reason,
            "code": failure.code if failure is not None else None,
            "provider_request_id": failure.request_id if failure is not None else None,
            "first_token_ms": milliseconds(self.first_token_seconds),
            "duration_ms": milliseconds(self.seconds),
            "events": self.events,
            "prompt_tokens": usage.prompt_tokens if usage is not None else None,
            "completion_tokens": usage.completion_tokens if usage is not None else None,
            "usage_source": usage.source if usage is not None else None,
            "upstream_closed": self.call.socket_closed,
            "conversation_id": self.turn.conversation_id if self.turn is not None else None,
        }

    def note(self, note: bytes) -> None:
        """Leave beside the log what is to be told of the run when it is not known here any more."""
        self._writer.note(note)

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
        frames: list[bytes] = []
        last, size = self._last, self._bytes
        for event in events:
            last += 1
            frame = sse.FRAME % (last, encode(event))
            size += len(frame)
            frames.append(frame)
        self._last, self._bytes = last, size
        self._writer.append(frames)


def name_of(owner: str | None, run_id: str) -> str:
    """Return the name of a run's log: two owners may choose the same id.

    An owner has 1 to 128 letters, digits, or any of `. _ ~ @ : + = -`; None is everybody's. Neither
    part can have a slash, so that two runs never share a name. Raises `ValueError` for any other.
    """
    if not runid.fits(run_id):
        raise ValueError("run_id: a run cannot have this id (see stream_serve.runid)")
    if owner is None:
        return run_id
    if not _OWNER.fullmatch(owner):
        raise ValueError("owner: should have 1 to 128 letters, digits or any of . _ ~ @ : + = -")
    return f"{owner}/{run_id}"


def parts_of(name: str) -> tuple[str | None, str]:
    """Return the owner and the run's id of a log's name. Raises `ValueError` for a name that
    `name_of` does not give."""
    owner, slash, run_id = name.rpartition("/")
    whose = owner if slash else None
    name_of(whose, run_id)
    return whose, run_id

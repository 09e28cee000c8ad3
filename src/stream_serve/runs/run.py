"""One run: an answer that is produced, from its start to some minutes after its end.

A run has a lifecycle, the writer of its event log, and what its readers and its receipt need to know.
Its end has three moments: it is settled when it is decided how it ends; closed when its terminal event
is written (in a conversation the answer is stored between the two); done when its producer is
closed, too. No method here waits, so nothing comes between.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec
import structlog

from stream_serve.errors import UpstreamTooLarge
from stream_serve.events import codec, plain
from stream_serve.events.transcript import Transcript
from stream_serve.events.types import FINISH_REASONS, End, Start, Usage, whole
from stream_serve.runs.lifecycle import Lifecycle, State
from stream_serve.runs.names import split
from stream_serve.runs.view import STOPPED, RunState, milliseconds, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_serve.eventlog.base import LogWriter
    from stream_serve.events.types import Delta, Error, Event
    from stream_serve.producers.base import Finish, Producer
    from stream_serve.runs.spec import Bounds, Plan, RunSpec

_EVENT_OVERHEAD = 48
_UNFOLDED = 16
_MAX_WORD = 100
_log = structlog.stdlib.get_logger("stream_serve.runs")


class Run:
    """The state of one run. `name` is its log's, `owner` whose it is: None where no keys are set."""

    __slots__ = (
        "_began",
        "_bounds",
        "_bytes",
        "_door",
        "_ended",
        "_first_token",
        "_last",
        "_lifecycle",
        "_on_first_token",
        "_skipped",
        "_transcript",
        "_unfolded",
        "_writer",
        "closed",
        "created_at",
        "error",
        "fingerprint",
        "finish_reason",
        "id",
        "model",
        "name",
        "owner",
        "producer",
        "provider_finish_reason",
        "ref",
        "usage",
    )

    def __init__(
        self,
        name: str,
        spec: RunSpec,
        plan: Plan,
        writer: LogWriter,
        *,
        bounds: Bounds,
        on_first_token: Callable[[Run], None],
    ) -> None:
        self.name = name
        self.owner, self.id = split(name)
        self.fingerprint = spec.fingerprint
        self.producer = plan.producer
        self.model = whole(plan.producer.model)
        self.ref = plan.ref
        self._door = plan.door
        self._transcript = Transcript()
        self._unfolded: list[Delta] = []
        self.created_at = time.time()
        self.closed = False
        self.finish_reason: str | None = None
        self.provider_finish_reason: str | None = None
        self.usage: Usage | None = None
        self.error: Error | None = None
        self._bounds = bounds
        self._on_first_token = on_first_token
        self._writer = writer
        self._lifecycle = Lifecycle()
        self._began = time.monotonic()
        self._first_token: float | None = None
        self._ended: float | None = None
        self._bytes = 0
        self._last = 0
        self._skipped = 0

    @property
    def state(self) -> State:
        """Where the run stands."""
        return self._lifecycle.state

    @property
    def transcript(self) -> Transcript:
        """What the run has said so far. Its text is let go when the run is closed."""
        self._fold()
        return self._transcript

    @property
    def lost(self) -> bool:
        """True when another process has taken the run over, and finishes and stores it."""
        return self._writer.lost

    @property
    def size(self) -> int:
        """About how many bytes of memory the log takes."""
        return self._bytes + _EVENT_OVERHEAD * (self.events - self._skipped)

    @property
    def events(self) -> int:
        """The number of the newest event."""
        return self._writer.last

    @property
    def first_token_seconds(self) -> float | None:
        """The time from the start to the first token."""
        return None if self._first_token is None else self._first_token - self._began

    @property
    def seconds(self) -> float:
        """The time from the start to the end, or until now."""
        return (time.monotonic() if self._ended is None else self._ended) - self._began

    @property
    def ending(self) -> End | Error | None:
        """How a settled run ended, before it is known whether that is stored; None until then."""
        if self._ended is None:
            return None
        return self.error or self._end()

    def start(self) -> None:
        """Write the `start` event."""
        start = Start.of(self.id, self.model, self.ref, created_at=int(self.created_at))
        door, self._door = self._door, None
        self._write(start if door is None else msgspec.structs.replace(start, door=door))
        # What a door leaves can be large; it is only read from the log.
        self._transcript.start = start

    def wait(self) -> None:
        """Record that the producer is being asked."""
        self._lifecycle.enter(State.WAITING)

    def append(self, deltas: Sequence[Delta]) -> None:
        """Write what the producer brought. Raises `UpstreamTooLarge` past the bounds.

        What comes after the run is settled is a defect of the producer (`RuntimeError`).
        """
        if self._ended is not None:
            raise RuntimeError("a producer has emitted after its end")
        if self._first_token is None:
            self._first_token = time.monotonic()
            self._lifecycle.enter(State.STREAMING)
            self._on_first_token(self)
        frames = codec.frames(deltas, self._last)
        # A token only lengthens a list; some are folded at once, so that it stays short.
        unfolded, bounds = self._unfolded, self._bounds
        unfolded += deltas
        if len(unfolded) > _UNFOLDED:
            self._fold()
        self._last = last = self._last + len(frames)
        self._bytes = size = self._bytes + sum(map(len, frames))
        self._writer.append(frames)
        if size > bounds.bytes or last >= bounds.events:
            raise UpstreamTooLarge(
                "the answer was cut: it is longer than a run may have",
                parameters=["Bounds.bytes", "Bounds.events"],
            )

    def complete(self, finish: Finish) -> None:
        """Settle the run: it ended well. A settled run is not settled again (`ValueError`)."""
        word = None if finish.word is None else plain.line(finish.word, _MAX_WORD)
        reason = finish.reason
        if reason not in FINISH_REASONS:
            reason = plain.line(reason, _MAX_WORD)
        self._settle(State.COMPLETED)
        self.finish_reason, self.provider_finish_reason = reason, word

    def stop(self) -> None:
        """Settle the run: it was stopped."""
        self._settle(State.STOPPED)
        self.finish_reason = STOPPED

    def fail(self, error: Error) -> None:
        """Settle the run: it ended badly. The text stays."""
        self._settle(State.FAILED)
        self.error = error

    def close(self, *, saved: bool | None) -> None:
        """Write the one terminal event of a settled run, and let its text go.

        The terminal event of a run that another process took over has a number past all others.
        """
        if self.lost:
            before = self._writer.last
            self._writer.skip(self._bounds.events)
            self._last = self._writer.last
            self._skipped = self._last - before
        ending = self.ending or self._end()
        self._finish(ending if saved is None else msgspec.structs.replace(ending, saved=saved))

    def break_off(self, error: Error) -> None:
        """Close the run with an error, whatever its state: by a defect its own end cannot be told."""
        self._lifecycle.break_off()
        if self._ended is None:
            self._ended = time.monotonic()
        self.finish_reason = self.provider_finish_reason = None
        self.error = error
        self._finish(error)

    def summarize(self, summary: Callable[[], bytes]) -> None:
        """Leave beside the log what is to be told of the run when it is not known here any more."""
        self._writer.summarize(summary)

    def describe(self, readers: int) -> RunState:
        """Return how the run stands now, with so many readers."""
        return RunState(
            run_id=self.id,
            state=self.state.value,
            model=self.model,
            created_at=moment(self.created_at),
            events=self.events - self._skipped,
            readers=readers,
            skipped=self._skipped,
            first_token_ms=milliseconds(self.first_token_seconds),
            duration_ms=milliseconds(self.seconds),
            finish_reason=self.finish_reason,
            usage=self.usage,
            error=self.error,
            upstream_closed=self.producer.closed,
        )

    def _end(self) -> End:
        usage = self.usage or self.transcript.estimate(0)
        ended_at = int(self.created_at + self.seconds)
        reason, word = self.finish_reason or STOPPED, self.provider_finish_reason
        return End(reason, usage, provider_finish_reason=word, ended_at=ended_at)

    def _settle(self, state: State) -> None:
        self._lifecycle.enter(state)
        self._ended = time.monotonic()
        self.usage = self._used()

    def _used(self) -> Usage | None:
        """Return what the producer reports, or else the estimate, unless nothing was produced.

        Of an answer that was cut a report can be older than its newest pieces, and one of no tokens
        cannot be true of any text: then it is estimated.
        """
        try:
            usage, cut = _reported(self.producer), self.state is not State.COMPLETED
            if usage is None:
                if self.state is State.FAILED and self._first_token is None:
                    return None
                return self.transcript.estimate(self.producer.prompt_tokens)
            pieces = sum(self.transcript.pieces) if cut else self._first_token is not None
            if usage.completion_tokens < pieces:
                return self.transcript.estimate(usage.prompt_tokens)
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - how a run ended stays as it is
            _log.exception("a producer could not tell its usage", run_id=self.id)
            return None
        return usage

    def _fold(self) -> None:
        if self._unfolded:
            self._transcript.add(self._unfolded)
            self._unfolded.clear()

    def _finish(self, event: Event) -> None:
        self._writer.finish([self._frame(event)])
        self.closed = True
        self._unfolded.clear()
        self._transcript.clear()

    def _write(self, event: Event) -> None:
        self._writer.append([self._frame(event)])

    def _frame(self, event: Event) -> bytes:
        frame = codec.frame(self._last + 1, event)
        self._transcript.fold(event)
        self._last += 1
        self._bytes += len(frame)
        return frame


def _reported(producer: Producer) -> Usage | None:
    """Return what a producer says of its usage. Raises `TypeError` for something else."""
    usage = producer.usage
    if usage is not None and not isinstance(usage, Usage):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"usage is a {type(usage).__name__}, not a Usage")
    return usage

"""What is told of a run, also between processes: its state, and the receipt of a stop."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
from msgspec import Struct

from stream_serve.events import codec
from stream_serve.events.transcript import Transcript
from stream_serve.events.types import Error, Start, Usage
from stream_serve.runs.lifecycle import State


class Receipt(Struct, frozen=True, rename="camel"):
    """What a stop did.

    `outcome` is "stopped" when a stop ended the run (this one or an earlier one), "already_finished"
    when the run had ended in another way, and "unreachable" when the process that has the run did not
    answer: the stop waits for it, and the run ends by it or, if the process is gone, as interrupted.
    `upstream_closed` is true only when every socket that the run had to the provider is really
    closed; false when one is open (after a finished answer it waits in the pool for the next call);
    null when there was none, or when nobody knows. `latency_ms` is the time from the stop's arrival
    until this was known, in milliseconds. `finish_reason` is null for a run that failed, and so is
    `usage` where nothing is known of it.
    """

    run_id: str
    outcome: Literal["stopped", "already_finished", "unreachable"]
    upstream_closed: bool | None
    latency_ms: float
    finish_reason: str | None
    usage: Usage | None


class RunState(Struct, frozen=True, rename="camel", kw_only=True):
    """How a run stands. Durations are in milliseconds.

    `state` is starting, waiting (for the first token), streaming, completed, stopped or failed;
    `events` is how many there are, and `skipped` how many numbers no event has: before the end of a run
    whose process is gone, past all that may be missing. What is not known (yet) is null.
    """

    run_id: str
    state: str
    model: str | None
    created_at: str | None
    events: int
    readers: int
    skipped: int = 0
    first_token_ms: float | None = None
    duration_ms: float | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    error: Error | None = None
    upstream_closed: bool | None = None

    @property
    def newest(self) -> int:
        """The number of the newest event."""
        return self.events + self.skipped

    def receipt(self, latency_ms: float) -> Receipt:
        """Return the receipt of a stop that came after the run's end."""
        return Receipt(
            run_id=self.run_id,
            outcome="stopped" if self.state == State.STOPPED.value else "already_finished",
            upstream_closed=self.upstream_closed,
            latency_ms=latency_ms,
            finish_reason=self.finish_reason,
            usage=self.usage,
        )


def read_state(run_id: str, data: bytes) -> RunState:
    """Return how a run that is over ended, from the frames of its whole log."""
    events = codec.read(data)
    transcript = Transcript.of(event for _, event in events)
    start, end = transcript.start, transcript.end
    known = RunState(
        run_id=run_id,
        state=State.FAILED.value,
        model=start.model if start is not None else None,
        created_at=created(start),
        events=len(events),
        readers=0,
        skipped=events[-1][0] - len(events) if events else 0,
    )
    if end is None:
        return known
    if isinstance(end, Error):
        return msgspec.structs.replace(known, error=end)
    stopped = end.finish_reason == STOPPED
    return msgspec.structs.replace(
        known,
        state=(State.STOPPED if stopped else State.COMPLETED).value,
        finish_reason=end.finish_reason,
        usage=end.usage,
    )


def created(start: Start | None) -> str | None:
    """Return when a run was created, by its first event."""
    if start is None or start.created_at is None:
        return None
    return moment(start.created_at)


def moment(seconds: float) -> str:
    """Return a time of day for people and programs."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def milliseconds(seconds: float | None) -> float | None:
    """Round a time for people."""
    return None if seconds is None else round(seconds * 1000, 1)


STOPPED: Final = "stopped"
encode: Final = msgspec.json.Encoder().encode
decode_state: Final = msgspec.json.Decoder(RunState).decode
decode_receipt: Final = msgspec.json.Decoder(Receipt).decode

"""What a start asks for, and what runs may take."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from stream_serve.runs import names

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stream_serve.events.types import MessageRef
    from stream_serve.producers.base import Producer


class OnDisconnect(Enum):
    """What becomes of a run that nobody reads any more.

    It is stopped, it goes on for some time, or it goes on to its end, as one that nobody has to read.
    """

    STOP = "stop"
    CONTINUE = "continue"
    FINISH = "finish"


class Plan(Struct, frozen=True):
    """What a run consists of: its producer, and in a conversation the message that it becomes.

    `door` goes out with the start (`Start.door`).
    """

    producer: Producer
    ref: MessageRef | None = None
    door: dict[str, Any] | None = None


class RunSpec(Struct, frozen=True, kw_only=True):
    """What a start asks for.

    `prepare` is called with the run's id, once, when the run has been admitted. `run_id` is the
    caller's choice of an id; two specs under one id ask for the same run when their fingerprints are
    the same.
    """

    prepare: Callable[[str], Awaitable[Plan]]
    run_id: str | None = None
    fingerprint: bytes = b""
    on_disconnect: OnDisconnect = OnDisconnect.STOP

    def __post_init__(self) -> None:
        """Refuse an id that no run can have. Raises `ValueError`."""
        if self.run_id is not None and not names.fits(self.run_id):
            raise ValueError(f"run_id: {names.RULE}")

    @classmethod
    def of(cls, producer: Producer) -> RunSpec:
        """Return the spec of a run that this producer makes."""

        async def prepare(run_id: str) -> Plan:
            del run_id
            return Plan(producer)

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
    an owner in all processes.
    """

    run: float
    retention: float
    detached: float
    bounds: Bounds
    total: int
    each: int
    kept: int
    kept_bytes: int
    early_stop: float = 60.0

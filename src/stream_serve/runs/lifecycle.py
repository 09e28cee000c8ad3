"""The states of a run, and which may follow which.

How it works: a run begins as STARTING (its task has not run yet), is WAITING from its first step
until the first token, STREAMING from then on, and ends in exactly one of three terminal states.

    STARTING ──▶ WAITING ──▶ STREAMING
        │           │            │
        └───────────┴────────────┴────▶ COMPLETED | STOPPED | FAILED

Many may want to end a run in the same instant: the provider's last token, a stop, a timeout. The
execution of the run lets the first one decide. A transition that is not in the table is a defect and
raises.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class State(Enum):
    """Where a run stands; the value is what the API says."""

    STARTING = "starting"
    WAITING = "waiting"
    STREAMING = "streaming"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"

    # That of `Enum` is written in Python, and each of these is one object.
    __hash__ = object.__hash__

    @property
    def terminal(self) -> bool:
        """True when the run has ended."""
        return not TRANSITIONS[self]


_ENDS: Final = frozenset({State.COMPLETED, State.STOPPED, State.FAILED})

TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.STARTING: frozenset({State.WAITING}) | _ENDS,
    State.WAITING: frozenset({State.STREAMING}) | _ENDS,
    State.STREAMING: _ENDS,
    State.COMPLETED: frozenset(),
    State.STOPPED: frozenset(),
    State.FAILED: frozenset(),
}


class Lifecycle:
    """The state of one run."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = State.STARTING

    def enter(self, state: State) -> None:
        """Enter a state. Raises `ValueError` for a transition that the table does not have."""
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"a run cannot go from {self.state.value} to {state.value}")
        self.state = state

    def break_off(self) -> None:
        """Fail, also after an end which cannot be told."""
        self.state = State.FAILED

"""What goes wrong: each fault is a scenario of the scripted provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Fault:
    """A scenario, and what the provider does in it, in words."""

    scenario: str
    words: str
    whole: bool = False
    """Whether a client may get a whole answer."""
    text: bool = True
    """Whether there is text before the fault."""


WHOLE: Final = Fault("answer", "does nothing wrong", whole=True)
FAULTS: Final = (
    Fault("incomplete", "ends cleanly, without a finish reason and without `[DONE]`"),
    Fault("done-alone", "ends with `[DONE]`, without a finish reason"),
    Fault("half-event", "ends cleanly in the middle of an event"),
    Fault("close-mid", "closes the connection in the middle"),
    Fault("reset-mid", "resets the connection in the middle"),
    Fault("error-mid", "sends an error in the middle"),
    Fault("hang-mid", "falls silent in the middle"),
    Fault(
        "close-early",
        "closes the first connection before it answers, and answers on the second",
        whole=True,
        text=False,
    ),
    Fault("rate-limited", "answers 429", text=False),
)
LEAVING: Final = (
    ("hang-mid", "while the provider is silent"),
    ("forever", "while tokens come"),
)
"""The scenarios in which a client leaves; the one that a peer may go on with for ever is the last."""

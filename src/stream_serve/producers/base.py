"""The contract of a producer: what makes the events of one run.

How it works: a `Producer` does nothing before `produce` is awaited. That hands on what arrives as soon
as it arrives, without a queue or a task between, and returns how it ended. Whatever happens, `close`
comes last. A producer may ask a model's provider, iterate a generator, or wait for somebody who
pushes: a run does not know which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_serve.events.types import Delta, Usage

    Emit = Callable[[Sequence[Delta]], None]


class Finish(Struct, frozen=True):
    """How an answer ended.

    `reason` is `stop`, `length`, `tool_calls` or `content_filter`, or `unknown` where a producer that is
    trusted to end properly does not say why; `word` is the producer's own where
    it is another one, fit to be shown.
    """

    reason: str = "stop"
    word: str | None = None


class Patience(Struct, frozen=True):
    """How long a producer may be silent, in seconds: until its first delta, and between two.

    `called` is how the two are called where they are set.
    """

    first_token: float
    idle: float
    called: tuple[str, str] = ("Patience.first_token", "Patience.idle")


class Producer(Protocol):
    """Produces once."""

    @property
    def model(self) -> str:
        """The name of who produces, as `start` says it."""
        ...

    @property
    def patience(self) -> Patience | None:
        """How long it may be silent; None for as long as a run may take."""
        ...

    @property
    def prompt_tokens(self) -> int:
        """An estimate of the tokens that were asked; 0 where nothing was asked."""
        ...

    @property
    def usage(self) -> Usage | None:
        """The newest usage that is known, also of an answer that was cut; None: it is estimated."""
        ...

    @property
    def closed(self) -> bool | None:
        """True when every connection that it used is closed, as the system sees it.

        False while one is open, also when it waits in a pool for the next use. None when there was
        no connection at all.
        """
        ...

    async def produce(self, emit: Emit) -> Finish:
        """Produce: call `emit` with what has come, and return how it ended.

        No deltas at all are a sign of life: they renew how long the producer may be silent.
        What `emit` raises ends this and is raised here. Cancelled, at any moment, this calls it no
        more, and leaves nothing that `close` does not clean up. Raises `RunFailure`. To be called
        once.
        """
        ...

    async def close(self) -> None:
        """Let go of everything, and wait (for at most a second) until connections that are not kept
        for another use are really closed.

        May be called at any time, twice, and cancelled: the closing itself is done at once, only
        the waiting is given up.
        """
        ...

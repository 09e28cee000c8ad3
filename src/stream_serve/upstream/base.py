"""The contract of a model provider: asked once, it answers with a stream of deltas.

How it works: `Upstream.call` makes a `Call`, which does nothing yet. Iterating over
`Call.batches()` asks the provider and gives what arrives: a batch is what one read brought, never
empty. When the iteration ends, `Call.finish` says how. Whatever happens, `Call.close` comes last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from stream_serve.events import Delta, Usage


class ChatRequest(Struct, frozen=True):
    """What is asked of the provider.

    `messages` and `options` are in the provider's own words (OpenAI chat completions) and go out
    as they are; `options` has only what the caller set.
    """

    model: str
    messages: list[dict[str, object]]
    options: dict[str, object]


class Finish(Struct, frozen=True):
    """How an answer ended: the provider's finish_reason, and its usage where it gave one."""

    reason: str
    usage: Usage | None


class Call(Protocol):
    """One call of the provider."""

    @property
    def finish(self) -> Finish | None:
        """How the answer ended; None until `batches` has come to its end."""
        ...

    @property
    def usage(self) -> Usage | None:
        """The newest usage that the provider gave, also of an answer that was cut."""
        ...

    @property
    def socket_closed(self) -> bool | None:
        """True when every socket that the call used is closed, as the system sees it.

        False while one is open, also when it went back to the pool for the next call. None when
        there was no socket at all.
        """
        ...

    def batches(self) -> AsyncGenerator[Sequence[Delta], None]:
        """Ask, and give the deltas as they arrive; to be iterated once.

        Cancelling it in any phase leaves nothing that `close` does not clean up. Raises
        `UpstreamError`.
        """
        ...

    async def close(self) -> None:
        """End the call: after a finished answer the connection goes back to the pool, else it is
        closed, and this waits (for at most a second) until it really is.

        May be called at any time, twice, and cancelled: the closing itself is done at once, only
        the waiting is given up.
        """
        ...


class Upstream(Protocol):
    """A model provider."""

    def model_for(self, asked: str | None) -> str:
        """Give the model that answers when `asked` is asked for, or none."""
        ...

    def call(self, request: ChatRequest) -> Call:
        """Make a call; nothing is sent before its `batches` are iterated."""
        ...

    async def close(self) -> None:
        """Close the pooled connections."""
        ...


def text_of(content: object) -> str:
    """Give the text of a message's content: a string, or a list of parts of which some are text."""
    if isinstance(content, str):
        return content
    parts = cast("list[dict[str, object]]", content) if isinstance(content, list) else []
    return "\n".join(str(part["text"]) for part in parts if "text" in part)

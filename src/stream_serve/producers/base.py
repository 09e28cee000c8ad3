"""The contract of a model provider: asked once, it answers with a stream of deltas.

How it works: `Upstream.call` makes a `Call`, which does nothing yet. `Call.stream` asks the provider
and hands on what arrives, in the moment in which it arrives, without a queue or a task between. When
the answer is over it says how. Whatever happens, `Call.close` comes last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_serve.events.types import Delta, Usage

    Take = Callable[[Sequence[Delta]], None]


class ChatRequest(Struct, frozen=True):
    """What is asked of the provider.

    `messages` and `options` are in the provider's own words (OpenAI chat completions) and go out
    as they are; `options` has only what the caller set.
    """

    model: str
    messages: list[dict[str, object]]
    options: dict[str, object]


class Finish(Struct, frozen=True):
    """How an answer ended.

    `reason` is `stop`, `length`, `tool_calls` or `content_filter`; `word` is the provider's own where
    it is another one, fit to be shown. `usage` is what the provider counted, where it did.
    """

    reason: str
    usage: Usage | None
    word: str | None = None


class Call(Protocol):
    """One call of the provider."""

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

    async def stream(self, take: Take) -> Finish:
        """Ask, call `take` with what each read of the socket brought, and say how the answer ended.

        `take` gets at least one delta. What it raises ends the call and is raised here. Cancelled, in
        any phase, this calls it no more, and leaves nothing that `close` does not clean up. Raises
        `UpstreamError`. To be called once.
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
        """Make a call; nothing is sent before its `stream` is awaited."""
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
